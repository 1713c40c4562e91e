//! Geometry of windows: stride, padding, dilation and groups of convolutions and pools.
//!
//! One and two spatial dimensions are written as three (depth, height, width) whose missing leading
//! ones do nothing, so that every operation has one code path for all three ranks.

mod transposed;

pub use transposed::ConvTransposeSpec;

use crate::error::{Error, Result};

/// How a convolution walks over its input.
///
/// ```
/// # use qops::ConvSpec;
/// let spec = ConvSpec::new(&[2, 2], &[1, 1], &[1, 1], 1)?;
/// assert_eq!(spec.stride, [1, 2, 2]);
/// assert_eq!(spec.output([1, 56, 56], [1, 3, 3])?, [1, 28, 28]);
/// # Ok::<(), qops::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvSpec {
    /// Step between windows along depth, height and width.
    pub stride: [usize; 3],
    /// Zeros added at both ends of each axis.
    pub padding: [usize; 3],
    /// Step between the elements of a window along each axis.
    pub dilation: [usize; 3],
    /// Independent convolutions over disjoint channels; divides both channel counts.
    pub groups: usize,
}

impl Default for ConvSpec {
    /// Stride 1, no padding, no dilation, one group.
    fn default() -> ConvSpec {
        ConvSpec {
            stride: [1; 3],
            padding: [0; 3],
            dilation: [1; 3],
            groups: 1,
        }
    }
}

impl ConvSpec {
    /// A specification for `D` spatial dimensions from three slices of that length, `D` in 1 to 3.
    ///
    /// # Errors
    /// [`Error::Argument`] if the lengths differ or are not 1 to 3, or if a stride, a dilation or
    /// `groups` is 0.
    pub fn new(
        stride: &[usize],
        padding: &[usize],
        dilation: &[usize],
        groups: usize,
    ) -> Result<ConvSpec> {
        let rank = stride.len();
        let spec = ConvSpec {
            stride: leading("conv", "stride", stride, rank, 1)?,
            padding: leading("conv", "padding", padding, rank, 0)?,
            dilation: leading("conv", "dilation", dilation, rank, 1)?,
            groups,
        };
        spec.validate()?;
        Ok(spec)
    }

    /// Checks what the public fields allow to go wrong.
    ///
    /// # Errors
    /// [`Error::Argument`] if a stride, a dilation or `groups` is 0, or if a size exceeds 2^40.
    pub fn validate(&self) -> Result<()> {
        all_positive("conv", "stride", self.stride)?;
        all_positive("conv", "dilation", self.dilation)?;
        moderate("conv", "stride", self.stride)?;
        moderate("conv", "padding", self.padding)?;
        moderate("conv", "dilation", self.dilation)?;
        if self.groups == 0 {
            return Err(argument("conv", "groups", "at least 1", 0));
        }
        Ok(())
    }

    /// Checks that the axes which a tensor of `spatial` spatial dimensions lacks do nothing.
    ///
    /// # Errors
    /// [`Error::Argument`] if a missing axis has a stride or dilation but 1, or padding.
    pub fn check_spatial(&self, spatial: usize) -> Result<()> {
        let missing = 3 - spatial.min(3);
        no_effect("conv", "stride", &self.stride[..missing], 1)?;
        no_effect("conv", "padding", &self.padding[..missing], 0)?;
        no_effect("conv", "dilation", &self.dilation[..missing], 1)
    }

    /// `floor((input + 2·padding − dilation·(kernel − 1) − 1) / stride) + 1` along each axis.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`validate`](Self::validate) or for an empty kernel, [`Error::Window`]
    /// if the dilated kernel does not fit into the padded input.
    pub fn output(&self, input: [usize; 3], kernel: [usize; 3]) -> Result<[usize; 3]> {
        self.validate()?;
        all_positive("conv", "kernel", kernel)?;
        let mut out = [0; 3];
        for axis in 0..3 {
            let window = span("conv", kernel[axis], self.dilation[axis])?;
            let padded = padded("conv", input[axis], self.padding[axis])?;
            let room = fits("conv", axis, window, padded)?;
            out[axis] = room / self.stride[axis] + 1;
        }
        Ok(out)
    }
}

/// How a pool walks over its input.
///
/// ```
/// # use qops::PoolSpec;
/// let spec = PoolSpec::new(&[3, 3], &[2, 2], &[1, 1])?;
/// assert_eq!(spec.output("max_pool", [1, 112, 112])?, [1, 56, 56]);
/// let halves = PoolSpec::new(&[2], &[], &[])?;
/// assert_eq!(halves.stride, [1, 1, 2]);
/// # Ok::<(), qops::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolSpec {
    /// Window size along depth, height and width.
    pub kernel: [usize; 3],
    /// Step between windows along each axis.
    pub stride: [usize; 3],
    /// Positions added at both ends of each axis: minus infinity for a maximum, 0 for an average.
    pub padding: [usize; 3],
    /// Step between the elements of a window along each axis; averages take only 1.
    pub dilation: [usize; 3],
    /// Whether a last window that starts inside but ends outside the padded input counts.
    pub ceil_mode: bool,
    /// Whether an average divides by the window with its padding rather than by the real elements.
    pub count_include_pad: bool,
    /// What an average divides by instead.
    pub divisor_override: Option<usize>,
}

impl PoolSpec {
    /// A specification for `D` spatial dimensions, `D` in 1 to 3.
    ///
    /// An empty `stride` is the kernel's size, an empty `padding` is none. Dilation is 1, `ceil_mode`
    /// off, `count_include_pad` on (PyTorch's defaults); set the fields for others. Whether the padding
    /// is too large depends on the dilation, and is checked where the specification is used.
    ///
    /// # Errors
    /// [`Error::Argument`] if the lengths differ or are not 1 to 3, or if a size or stride is 0.
    pub fn new(kernel: &[usize], stride: &[usize], padding: &[usize]) -> Result<PoolSpec> {
        let rank = kernel.len();
        let stride = if stride.is_empty() { kernel } else { stride };
        let none = [0; 3];
        let padding = if padding.is_empty() {
            &none[..rank.min(3)]
        } else {
            padding
        };
        let spec = PoolSpec {
            kernel: leading("pool", "kernel", kernel, rank, 1)?,
            stride: leading("pool", "stride", stride, rank, 1)?,
            padding: leading("pool", "padding", padding, rank, 0)?,
            dilation: [1; 3],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        };
        all_positive("pool", "kernel", spec.kernel)?;
        all_positive("pool", "stride", spec.stride)?;
        Ok(spec)
    }

    /// Checks what the public fields allow to go wrong, for `operation` in the message.
    ///
    /// # Errors
    /// [`Error::Argument`] if a size, stride, dilation or the divisor is 0, if one exceeds 2^40, or if the
    /// padding exceeds half of the window.
    pub fn validate(&self, operation: &'static str) -> Result<()> {
        all_positive(operation, "kernel", self.kernel)?;
        all_positive(operation, "stride", self.stride)?;
        all_positive(operation, "dilation", self.dilation)?;
        moderate(operation, "kernel", self.kernel)?;
        moderate(operation, "stride", self.stride)?;
        moderate(operation, "dilation", self.dilation)?;
        for axis in 0..3 {
            let half = span(operation, self.kernel[axis], self.dilation[axis])? / 2;
            if self.padding[axis] > half {
                let expected = format!("at most half of the window ({half})");
                return Err(argument(operation, "padding", expected, self.padding[axis]));
            }
        }
        if self.divisor_override == Some(0) {
            return Err(argument(operation, "divisor_override", "at least 1", 0));
        }
        Ok(())
    }

    /// Checks that the axes which a tensor of `spatial` spatial dimensions lacks do nothing.
    ///
    /// # Errors
    /// [`Error::Argument`] if a missing axis has a kernel, stride or dilation but 1, or padding.
    pub fn check_spatial(&self, operation: &'static str, spatial: usize) -> Result<()> {
        let missing = 3 - spatial.min(3);
        no_effect(operation, "kernel", &self.kernel[..missing], 1)?;
        no_effect(operation, "stride", &self.stride[..missing], 1)?;
        no_effect(operation, "padding", &self.padding[..missing], 0)?;
        no_effect(operation, "dilation", &self.dilation[..missing], 1)
    }

    /// The output's length along each axis.
    ///
    /// As [`ConvSpec::output`]; with `ceil_mode` the division rounds up, but a window that would start
    /// in the padding behind the input is dropped (PyTorch's `pooling_output_shape`).
    ///
    /// # Errors
    /// [`Error::Argument`] as [`validate`](Self::validate), [`Error::Window`] if a window does not
    /// fit into the padded input.
    pub fn output(&self, operation: &'static str, input: [usize; 3]) -> Result<[usize; 3]> {
        self.validate(operation)?;
        let mut out = [0; 3];
        for axis in 0..3 {
            let (stride, padding) = (self.stride[axis], self.padding[axis]);
            let window = span(operation, self.kernel[axis], self.dilation[axis])?;
            let padded = padded(operation, input[axis], padding)?;
            // Rounding up is rounding down with `stride − 1` more room, so a window may even be larger
            // than the whole input.
            let extra = if self.ceil_mode { stride - 1 } else { 0 };
            let room = fits(operation, axis, window, padded.saturating_add(extra))?;
            out[axis] = room / stride + 1;
            if self.ceil_mode && room / stride * stride >= input[axis] + padding {
                out[axis] -= 1;
            }
            if input[axis] == 0 || out[axis] == 0 {
                return Err(Error::Window {
                    operation,
                    axis,
                    window,
                    input: padded,
                });
            }
        }
        Ok(out)
    }
}

/// The last `D` of three axes from a slice of length `D`, the missing leading ones being `fill`.
fn leading(
    operation: &'static str,
    name: &'static str,
    values: &[usize],
    rank: usize,
    fill: usize,
) -> Result<[usize; 3]> {
    if !(1..=3).contains(&rank) || values.len() != rank {
        let expected = if (1..=3).contains(&rank) {
            format!("{rank} values, one per spatial dimension")
        } else {
            "1 to 3 values, one per spatial dimension".to_owned()
        };
        return Err(argument(operation, name, expected, format!("{values:?}")));
    }
    let mut all = [fill; 3];
    all[3 - rank..].copy_from_slice(values);
    Ok(all)
}

fn all_positive(operation: &'static str, name: &'static str, values: [usize; 3]) -> Result<()> {
    if values.contains(&0) {
        return Err(argument(
            operation,
            name,
            "at least 1 along each axis",
            format!("{values:?}"),
        ));
    }
    Ok(())
}

/// Refuses sizes whose products and sums with lengths of tensors could overflow.
fn moderate(operation: &'static str, name: &'static str, values: [usize; 3]) -> Result<()> {
    const MOST: usize = 1 << 40;
    match values.iter().find(|&&value| value > MOST) {
        None => Ok(()),
        Some(value) => {
            let expected = format!("at most {MOST} along each axis");
            Err(argument(operation, name, expected, value))
        }
    }
}

fn no_effect(
    operation: &'static str,
    name: &'static str,
    missing: &[usize],
    neutral: usize,
) -> Result<()> {
    match missing.iter().find(|&&value| value != neutral) {
        None => Ok(()),
        Some(value) => Err(argument(
            operation,
            name,
            format!("{neutral} along axes that the input does not have"),
            value,
        )),
    }
}

/// The length that a window covers: `dilation·(kernel − 1) + 1`.
fn span(operation: &'static str, kernel: usize, dilation: usize) -> Result<usize> {
    (kernel - 1)
        .checked_mul(dilation)
        .and_then(|reach| reach.checked_add(1))
        .ok_or_else(|| argument(operation, "dilation", "within the address range", dilation))
}

fn padded(operation: &'static str, input: usize, padding: usize) -> Result<usize> {
    padding
        .checked_mul(2)
        .and_then(|both| both.checked_add(input))
        .ok_or_else(|| argument(operation, "padding", "within the address range", padding))
}

/// How far a window can move; an input without elements holds none.
fn fits(operation: &'static str, axis: usize, window: usize, input: usize) -> Result<usize> {
    input.checked_sub(window).ok_or(Error::Window {
        operation,
        axis,
        window,
        input,
    })
}

/// An [`Error::Argument`].
pub(crate) fn argument(
    operation: &'static str,
    name: &'static str,
    expected: impl Into<String>,
    actual: impl ToString,
) -> Error {
    Error::Argument {
        operation,
        argument: name,
        expected: expected.into(),
        actual: actual.to_string(),
    }
}
