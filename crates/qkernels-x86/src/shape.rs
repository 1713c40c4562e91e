//! The geometry of a convolution, checked once and then trusted.
//!
//! One, two and three spatial dimensions are all written as three (depth, height, width), the
//! missing leading ones having size 1. Memory is channels-last: `[batch][depth][height][width][channel]`.

use crate::error::{Error, Result, positive, product};

/// Everything about a convolution but its weights.
///
/// ```
/// # use qkernels_x86::ConvShape;
/// let shape = ConvShape {
///     batch: 1, in_channels: 64, out_channels: 128, groups: 1,
///     input: [1, 56, 56], kernel: [1, 3, 3], stride: [1, 2, 2], padding: [0, 1, 1], dilation: [1, 1, 1],
/// };
/// shape.validate()?;
/// assert_eq!(shape.output(), [1, 28, 28]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Channels of the input, all groups together.
    pub in_channels: usize,
    /// Channels of the output, all groups together.
    pub out_channels: usize,
    /// Independent convolutions that share the geometry; divides both channel counts.
    pub groups: usize,
    /// Input depth, height, width.
    pub input: [usize; 3],
    /// Kernel depth, height, width.
    pub kernel: [usize; 3],
    /// Step between windows along each axis.
    pub stride: [usize; 3],
    /// Real zeros added at both ends of each axis.
    pub padding: [usize; 3],
    /// Step between the elements of a window along each axis.
    pub dilation: [usize; 3],
}

const OPERATION: &str = "conv";

impl ConvShape {
    /// Checks that an output exists and that all lengths fit the address space.
    ///
    /// # Errors
    /// [`Error::Zero`] for a zero size (the batch may be empty), [`Error::Indivisible`] if groups do not
    /// divide the channels, [`Error::Window`] if the dilated kernel exceeds the padded input,
    /// [`Error::TooLarge`] if a length overflows, or a step over the whole input would.
    pub fn validate(&self) -> Result<()> {
        check_channels(
            OPERATION,
            [self.in_channels, self.out_channels, self.groups],
        )?;
        for axis in 0..3 {
            let sizes = [self.input, self.kernel, self.stride, self.dilation];
            check_axis(OPERATION, sizes.map(|sizes| sizes[axis]))?;
            let too_large = Error::TooLarge {
                operation: OPERATION,
            };
            let window = self.dilation[axis]
                .checked_mul(self.kernel[axis] - 1)
                .and_then(|span| span.checked_add(1))
                .ok_or(too_large.clone())?;
            let input = self.padding[axis]
                .checked_mul(2)
                .and_then(|padding| padding.checked_add(self.input[axis]))
                .ok_or(too_large)?;
            if window > input {
                return Err(Error::Window {
                    operation: OPERATION,
                    axis,
                    window,
                    input,
                });
            }
        }
        let [d, h, w] = self.input;
        let elements = product(OPERATION, &[self.batch, d, h, w, self.in_channels])?;
        // Kernels move by this many elements at most, even where a stride leads to no second window.
        for axis in 0..3 {
            let padded = self.input[axis] + 2 * self.padding[axis];
            let reach = padded.max(self.stride[axis]).max(self.dilation[axis]);
            product(OPERATION, &[reach, elements.max(1)])?;
        }
        let [d, h, w] = self.output();
        product(OPERATION, &[self.batch, d, h, w, self.out_channels])?;
        let [d, h, w] = self.kernel;
        let weights = [d, h, w, self.group_channels(), self.out_channels];
        product(OPERATION, &weights).map(drop)
    }

    /// `floor((input + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1` along each axis.
    ///
    /// A shape that [`ConvShape::validate`] refuses has no output; the answer then is 0 along that axis.
    pub fn output(&self) -> [usize; 3] {
        core::array::from_fn(|axis| {
            let window = self.dilation[axis]
                .saturating_mul(self.kernel[axis].saturating_sub(1))
                .saturating_add(1);
            let input = self.padding[axis]
                .saturating_mul(2)
                .saturating_add(self.input[axis]);
            input
                .checked_sub(window)
                .and_then(|room| room.checked_div(self.stride[axis]))
                .map_or(0, |steps| steps.saturating_add(1))
        })
    }

    /// Multiplications of one call: output elements times products per element.
    pub fn macs(&self) -> u64 {
        let outputs = self
            .output()
            .iter()
            .fold(self.batch, |total, &size| total.saturating_mul(size));
        let products = self.reduction().saturating_mul(self.out_channels);
        (outputs as u64).saturating_mul(products as u64)
    }

    /// Products summed per output element: kernel volume times channels of a group.
    pub(crate) fn reduction(&self) -> usize {
        self.taps().saturating_mul(self.group_channels())
    }

    /// Kernel volume.
    pub(crate) fn taps(&self) -> usize {
        self.kernel
            .iter()
            .fold(1, |total, &size| total.saturating_mul(size))
    }

    /// Input channels of one group.
    pub(crate) fn group_channels(&self) -> usize {
        self.in_channels / self.groups.max(1)
    }

    /// Bytes of the input, without slack; call [`ConvShape::validate`] first.
    pub(crate) fn input_len(&self) -> usize {
        self.batch * self.input.iter().product::<usize>() * self.in_channels
    }

    /// Output positions of all images; call [`ConvShape::validate`] first.
    pub(crate) fn output_rows(&self) -> usize {
        self.batch * self.output().iter().product::<usize>()
    }

    /// The input coordinate along an axis that an output meets with a tap, unless it lies in the padding.
    #[inline(always)]
    pub(crate) fn under(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride[axis] + tap * self.dilation[axis])
            .checked_sub(self.padding[axis])
            .filter(|&at| at < self.input[axis])
    }

    /// Whether every group reads a single channel, the case of the depthwise kernels.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups == self.in_channels && self.groups > 1
    }
}

/// Refuses zeros among the numbers of input channels, output channels and groups, and groups that do not divide the channels.
pub(crate) fn check_channels(
    operation: &'static str,
    [inputs, outputs, groups]: [usize; 3],
) -> Result<()> {
    let channels = [("in_channels", inputs), ("out_channels", outputs)];
    for (what, size) in channels.into_iter().chain([("groups", groups)]) {
        positive(operation, what, size)?;
    }
    for (what, actual) in channels {
        if actual % groups != 0 {
            return Err(Error::Indivisible {
                operation,
                what,
                actual,
                divisor: groups,
            });
        }
    }
    Ok(())
}

/// Refuses zeros among the input size, kernel size, stride and dilation of an axis.
pub(crate) fn check_axis(operation: &'static str, sizes: [usize; 4]) -> Result<()> {
    let names = ["input size", "kernel size", "stride", "dilation"];
    for (what, size) in names.into_iter().zip(sizes) {
        positive(operation, what, size)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: ConvShape = ConvShape {
        batch: 2,
        in_channels: 6,
        out_channels: 4,
        groups: 2,
        input: [1, 5, 7],
        kernel: [1, 3, 3],
        stride: [1, 1, 2],
        padding: [0, 1, 0],
        dilation: [1, 2, 1],
    };

    #[test]
    fn sizes_follow_the_formula() {
        assert_eq!(PLAIN.validate(), Ok(()));
        assert_eq!(PLAIN.output(), [1, 3, 3]);
        assert_eq!(PLAIN.macs(), 2 * 9 * 4 * 27);
        assert_eq!(PLAIN.output_rows(), 18);
    }

    #[test]
    fn mistakes_name_the_numbers() {
        let groups = ConvShape { groups: 3, ..PLAIN };
        let error = Error::Indivisible {
            operation: "conv",
            what: "out_channels",
            actual: 4,
            divisor: 3,
        };
        assert_eq!(groups.validate(), Err(error));
        let window = ConvShape {
            kernel: [1, 5, 3],
            ..PLAIN
        };
        assert_eq!(
            window.validate(),
            Err(Error::Window {
                operation: "conv",
                axis: 1,
                window: 9,
                input: 7
            })
        );
        assert_eq!(window.output()[1], 0);
        let zero = ConvShape {
            stride: [1, 0, 1],
            ..PLAIN
        };
        assert_eq!(
            zero.validate(),
            Err(Error::Zero {
                operation: "conv",
                what: "stride"
            })
        );
        let huge = ConvShape {
            padding: [0, usize::MAX, 0],
            ..PLAIN
        };
        assert_eq!(huge.validate(), Err(Error::TooLarge { operation: "conv" }));
        let large = ConvShape {
            padding: [0, usize::MAX / 4, usize::MAX / 4],
            ..PLAIN
        };
        assert_eq!(large.validate(), Err(Error::TooLarge { operation: "conv" }));
        // A single window, to which no stride matters; but what it is multiplied with does not fit.
        let step = ConvShape {
            stride: [1, 1, usize::MAX / 2],
            ..PLAIN
        };
        assert_eq!(step.validate(), Err(Error::TooLarge { operation: "conv" }));
        let single = ConvShape {
            stride: [1, 1, 1 << 20],
            ..PLAIN
        };
        assert_eq!((single.validate(), single.output()), (Ok(()), [1, 3, 1]));
    }
}
