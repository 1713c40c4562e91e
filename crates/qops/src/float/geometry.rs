//! The geometry of one convolution call: shapes checked once, lengths derived from them.

use std::ops::Range;

use qtensor_core::Tensor;

use super::linear::check_rank;
use crate::error::{Error, Result};
use crate::spec::{ConvSpec, argument};

/// Checked sizes of a convolution; spatial sizes are depth, height, width.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub spec: ConvSpec,
    pub batch: usize,
    /// Input channels of one group.
    pub channels: usize,
    /// Output channels of one group.
    pub filters: usize,
    pub input: [usize; 3],
    pub kernel: [usize; 3],
    pub output: [usize; 3],
    spatial: usize,
}

impl Geometry {
    /// From the shapes of input `[N, C, …]` and weights `[O, C/groups, …]`, of equal rank 3 to 5.
    pub fn new(x: &Tensor, weight: &Tensor, spec: &ConvSpec) -> Result<Geometry> {
        check_rank("conv", x, 3, 5)?;
        check_rank("conv (weight)", weight, x.rank(), x.rank())?;
        let (x, w) = (x.shape(), weight.shape());
        let spatial = x.len() - 2;
        spec.validate()?;
        spec.check_spatial(spatial)?;
        if w[1].checked_mul(spec.groups) != Some(x[1]) {
            return Err(Error::Operands {
                operation: "conv",
                what: "the number of input channels (weights: times groups)",
                expected: w[1].saturating_mul(spec.groups),
                actual: x[1],
                left: w.to_vec(),
                right: x.to_vec(),
            });
        }
        if !w[0].is_multiple_of(spec.groups) {
            let expected = format!("a divisor of the {} output channels", w[0]);
            return Err(argument("conv", "groups", expected, spec.groups));
        }
        let (input, kernel) = (three(&x[2..]), three(&w[2..]));
        Ok(Geometry {
            spec: *spec,
            batch: x[0],
            channels: w[1],
            filters: w[0] / spec.groups,
            input,
            kernel,
            output: spec.output(input, kernel)?,
            spatial,
        })
    }

    /// The output's shape in the input's rank.
    pub fn output_shape(&self) -> Vec<usize> {
        let mut shape = vec![self.batch, self.filters * self.spec.groups];
        shape.extend(&self.output[3 - self.spatial..]);
        shape
    }

    /// The input's shape.
    pub fn input_shape(&self) -> Vec<usize> {
        let mut shape = vec![self.batch, self.channels * self.spec.groups];
        shape.extend(&self.input[3 - self.spatial..]);
        shape
    }

    /// Elements of one input channel.
    pub fn input_plane(&self) -> usize {
        self.input.iter().product()
    }

    /// Elements of one output channel.
    pub fn output_plane(&self) -> usize {
        self.output.iter().product()
    }

    /// Elements of one kernel channel.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Products summed per output element.
    pub fn depth(&self) -> usize {
        self.channels * self.taps()
    }

    /// Products of the whole call.
    pub fn work(&self) -> usize {
        [
            self.spec.groups,
            self.filters,
            self.output_plane(),
            self.depth(),
        ]
        .iter()
        .fold(self.batch, |work, &n| work.saturating_mul(n))
    }

    /// Whether the windows are the input's elements themselves, so that no patches need collecting.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1; 3] && self.spec.stride == [1; 3] && self.spec.padding == [0; 3]
    }
}

/// One to three spatial lengths as three, the missing leading ones being 1.
pub(super) fn three(lengths: &[usize]) -> [usize; 3] {
    let mut all = [1; 3];
    all[3 - lengths.len()..].copy_from_slice(lengths);
    all
}

/// The outputs along one axis at which a window element lies inside the input, and the input position
/// that it meets at the first of them. `offset` is the element's distance from the window's start.
///
/// Output `o` meets input position `o·stride + offset − padding`.
pub(super) fn overlap(
    [outputs, inputs]: [usize; 2],
    stride: usize,
    padding: usize,
    offset: usize,
) -> (Range<usize>, usize) {
    let end = (inputs + padding)
        .saturating_sub(offset)
        .div_ceil(stride)
        .min(outputs);
    let start = padding.saturating_sub(offset).div_ceil(stride).min(end);
    (
        start..end,
        (start * stride + offset).saturating_sub(padding),
    )
}
