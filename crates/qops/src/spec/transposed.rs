//! Geometry of transposed convolutions.

use super::{ConvSpec, all_positive, argument, leading, no_effect, span};
use crate::error::Result;

const OPERATION: &str = "conv_transpose";

/// How a transposed convolution spreads its input over its output.
///
/// It is the adjoint of the convolution with the same stride, padding, dilation and groups: the padding is cut off its
/// output, and `output_padding` says which of the lengths that this convolution maps to the input's is meant.
///
/// ```
/// # use qops::ConvTransposeSpec;
/// let spec = ConvTransposeSpec::new(&[2, 2], &[1, 1], &[1, 1], &[1, 1], 1)?;
/// assert_eq!(spec.output([1, 28, 28], [1, 3, 3])?, [1, 56, 56]);
/// let odd = spec.with_output_size([1, 28, 28], [1, 3, 3], &[55, 56])?;
/// assert_eq!(odd.output_padding, [0, 0, 1]);
/// # Ok::<(), qops::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvTransposeSpec {
    /// Step between the windows of neighbouring inputs along depth, height and width of the output.
    pub stride: [usize; 3],
    /// Elements cut off at both ends of each axis of the output.
    pub padding: [usize; 3],
    /// Elements added at the far end of each axis of the output; less than its stride or less than its dilation.
    pub output_padding: [usize; 3],
    /// Step between the elements of a window along each axis.
    pub dilation: [usize; 3],
    /// Independent transposed convolutions over disjoint channels; divides both channel counts.
    pub groups: usize,
}

impl Default for ConvTransposeSpec {
    /// Stride 1, no padding of either kind, no dilation, one group.
    fn default() -> ConvTransposeSpec {
        ConvTransposeSpec {
            stride: [1; 3],
            padding: [0; 3],
            output_padding: [0; 3],
            dilation: [1; 3],
            groups: 1,
        }
    }
}

impl ConvTransposeSpec {
    /// A specification for `D` spatial dimensions from four slices of that length, `D` in 1 to 3.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if the lengths differ or are not 1 to 3, and as
    /// [`validate`](Self::validate).
    pub fn new(
        stride: &[usize],
        padding: &[usize],
        output_padding: &[usize],
        dilation: &[usize],
        groups: usize,
    ) -> Result<ConvTransposeSpec> {
        let rank = stride.len();
        let spec = ConvTransposeSpec {
            stride: leading(OPERATION, "stride", stride, rank, 1)?,
            padding: leading(OPERATION, "padding", padding, rank, 0)?,
            output_padding: leading(OPERATION, "output_padding", output_padding, rank, 0)?,
            dilation: leading(OPERATION, "dilation", dilation, rank, 1)?,
            groups,
        };
        spec.validate()?;
        Ok(spec)
    }

    /// Checks what the public fields allow to go wrong.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if a stride, a dilation or `groups` is 0, or if an output padding
    /// is neither less than its stride nor less than its dilation.
    pub fn validate(&self) -> Result<()> {
        all_positive(OPERATION, "stride", self.stride)?;
        all_positive(OPERATION, "dilation", self.dilation)?;
        if self.groups == 0 {
            return Err(argument(OPERATION, "groups", "at least 1", 0));
        }
        for axis in 0..3 {
            let limit = self.stride[axis].max(self.dilation[axis]);
            if self.output_padding[axis] >= limit {
                return Err(argument(
                    OPERATION,
                    "output_padding",
                    format!("less than {limit}, the greater of stride and dilation"),
                    self.output_padding[axis],
                ));
            }
        }
        Ok(())
    }

    /// Checks that the axes which a tensor of `spatial` spatial dimensions lacks do nothing.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if a missing axis has a stride or dilation but 1, or padding.
    pub fn check_spatial(&self, spatial: usize) -> Result<()> {
        let missing = 3 - spatial.min(3);
        no_effect(OPERATION, "stride", &self.stride[..missing], 1)?;
        no_effect(OPERATION, "padding", &self.padding[..missing], 0)?;
        no_effect(
            OPERATION,
            "output_padding",
            &self.output_padding[..missing],
            0,
        )?;
        no_effect(OPERATION, "dilation", &self.dilation[..missing], 1)
    }

    /// `(input − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding + 1` along each axis.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) as [`validate`](Self::validate), for an empty kernel or input, and
    /// for a padding that leaves no output.
    pub fn output(&self, input: [usize; 3], kernel: [usize; 3]) -> Result<[usize; 3]> {
        self.validate()?;
        let mut out = [0; 3];
        for (axis, length) in out.iter_mut().enumerate() {
            let covered = self.covered(axis, input, kernel)?;
            let padding = self.padding[axis];
            let cut = padding.checked_mul(2);
            *length = cut
                .and_then(|cut| covered.checked_sub(cut))
                .filter(|&length| length > 0)
                .ok_or_else(|| {
                    let most = (covered - 1) / 2;
                    let expected =
                        format!("at most {most} for an output of {covered} before it is cut");
                    argument(OPERATION, "padding", expected, padding)
                })?;
        }
        Ok(out)
    }

    /// The specification whose output has the given spatial size, by its output padding.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) as [`output`](Self::output), or if `size` has not one to three lengths,
    /// each between that without output padding and `stride − 1` more.
    #[doc(alias = "output_size")]
    pub fn with_output_size(
        &self,
        input: [usize; 3],
        kernel: [usize; 3],
        size: &[usize],
    ) -> Result<ConvTransposeSpec> {
        let size = leading(OPERATION, "output_size", size, size.len(), 1)?;
        let least = ConvTransposeSpec {
            output_padding: [0; 3],
            ..*self
        };
        let lengths = least.output(input, kernel)?;
        let mut spec = least;
        for axis in 0..3 {
            let low = lengths[axis];
            let high = low.saturating_add(self.stride[axis] - 1);
            if !(low..=high).contains(&size[axis]) {
                let expected = format!("{low} to {high} along axis {axis} of depth, height, width");
                return Err(argument(OPERATION, "output_size", expected, size[axis]));
            }
            spec.output_padding[axis] = size[axis] - low;
        }
        Ok(spec)
    }

    /// The convolution that this is the adjoint of.
    pub fn adjoint(&self) -> ConvSpec {
        ConvSpec {
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        }
    }

    /// The length of an axis before the padding is cut off.
    fn covered(&self, axis: usize, input: [usize; 3], kernel: [usize; 3]) -> Result<usize> {
        all_positive(OPERATION, "kernel", kernel)?;
        all_positive(OPERATION, "input size", input)?;
        let window = span(OPERATION, kernel[axis], self.dilation[axis])?;
        let stride = self.stride[axis];
        (input[axis] - 1)
            .checked_mul(stride)
            .and_then(|steps| steps.checked_add(window))
            .and_then(|covered| covered.checked_add(self.output_padding[axis]))
            .ok_or_else(|| argument(OPERATION, "stride", "within the address range", stride))
    }
}
