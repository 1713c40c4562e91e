//! The weights of a depthwise convolution in the order in which its kernel reads them.

#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

use super::{LANES, OPERATION, Pairs};
use crate::error::{Error, Result, exactly, product};
#[cfg(target_arch = "x86_64")]
use crate::isa::depthwise::Form;
#[cfg(target_arch = "x86_64")]
use crate::pack::Line;
use crate::shape::ConvShape;

/// More taps could leave `i32`, as in the dense kernels.
const TAP_LIMIT: usize = 65_000;

/// The weights of a depthwise convolution, ordered `[block of 8 channels][kernel row][pair][channel][2]`
/// and independent of activations. The last block overlaps the one before it if the channels do not
/// divide.
#[derive(Clone, Debug)]
pub struct DepthwiseTaps {
    pub(super) pairs: Vec<Pairs>,
    column_sums: Vec<i32>,
    pub(super) out_channels: usize,
    /// Output channels per input channel.
    pub(super) multiplier: usize,
    pub(super) kernel: [usize; 3],
    /// The orders of the [`columns`](super::columns) kernels, each made when a tier first asks for it.
    #[cfg(target_arch = "x86_64")]
    columns: [OnceLock<Vec<Line>>; Form::ALL.len()],
}

impl DepthwiseTaps {
    /// Packs weights `w[out_channels][kernel depth][kernel height][kernel width]`.
    ///
    /// Output channel `o` reads input channel `o / (out_channels / in_channels)`, as grouped convolution
    /// with one input channel per group does.
    ///
    /// # Errors
    /// Those of [`ConvShape::validate`]; [`Error::Mismatch`] if `groups` is not `in_channels`,
    /// [`Error::Depth`] for more than 65 000 taps, [`Error::Length`] if `w` does not fit.
    pub fn pack(w: &[i8], shape: &ConvShape) -> Result<Self> {
        shape.validate()?;
        if shape.groups != shape.in_channels {
            return Err(Error::Mismatch {
                operation: OPERATION,
                what: "groups",
                expected: shape.in_channels,
                actual: shape.groups,
            });
        }
        let taps = product(OPERATION, &shape.kernel)?;
        if taps > TAP_LIMIT {
            return Err(Error::Depth {
                operation: OPERATION,
                limit: TAP_LIMIT,
                actual: taps,
            });
        }
        let channels = shape.out_channels;
        let needed = product(OPERATION, &[channels, taps])?;
        exactly(OPERATION, "weights", needed, w.len())?;

        let width = shape.kernel[2];
        let mut pairs = Vec::new();
        for block in 0..channels.div_ceil(LANES) {
            let first = first_channel(block, channels);
            for row in 0..taps / width {
                for tap in (0..width).step_by(2) {
                    pairs.push(core::array::from_fn(|i| {
                        let (channel, tap) = (first + i / 2, tap + i % 2);
                        if channel < channels && tap < width {
                            i16::from(w[channel * taps + row * width + tap])
                        } else {
                            0
                        }
                    }));
                }
            }
        }
        let column_sums = (w.chunks_exact(taps))
            .map(|w| w.iter().map(|&w| i32::from(w)).sum())
            .collect();
        Ok(DepthwiseTaps {
            pairs,
            column_sums,
            out_channels: channels,
            multiplier: channels / shape.in_channels,
            kernel: shape.kernel,
            #[cfg(target_arch = "x86_64")]
            columns: Default::default(),
        })
    }

    /// The weights of a square kernel in the order of a form.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn columns(&self, form: Form) -> &[Line] {
        self.columns[form as usize].get_or_init(|| super::columns::pack(self, form))
    }

    /// One weight; `row` counts the rows of the kernel over its planes.
    pub(super) fn weight(&self, channel: usize, row: usize, tap: usize) -> i16 {
        let [depth, height, width] = self.kernel;
        let block = channel / LANES;
        let lane = channel - first_channel(block, self.out_channels);
        let pair = (block * depth * height + row) * width.div_ceil(2) + tap / 2;
        self.pairs[pair][2 * lane + tap % 2]
    }

    /// The sum of the weights of each output channel, the factor of the input's zero point.
    pub fn column_sums(&self) -> &[i32] {
        &self.column_sums
    }
}

/// The first channel of a block; the last block is moved back so that it is full if it can be.
#[inline(always)]
pub(super) fn first_channel(block: usize, channels: usize) -> usize {
    (block * LANES).min(channels.saturating_sub(LANES))
}
