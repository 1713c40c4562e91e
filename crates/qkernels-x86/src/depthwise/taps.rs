//! The weights of a depthwise convolution in the order in which its kernel reads them.

use std::sync::OnceLock;

use super::OPERATION;
use super::lines::Word;
use crate::error::{Error, Result, exactly, product};
#[cfg(target_arch = "x86_64")]
use crate::isa::depthwise::Form;
#[cfg(target_arch = "x86_64")]
use crate::pack::Line;
use crate::shape::ConvShape;

/// More taps could leave `i32`, as in the dense kernels.
const TAP_LIMIT: usize = 65_000;

/// The weights of a depthwise convolution, independent of activations.
#[derive(Clone, Debug)]
pub struct DepthwiseTaps {
    /// As they are given to [`pack`](Self::pack).
    weights: Vec<i8>,
    column_sums: Vec<i32>,
    pub(super) out_channels: usize,
    /// Output channels per input channel.
    pub(super) multiplier: usize,
    pub(super) kernel: [usize; 3],
    /// The order of staged lines of eight channels, and of sixteen, each made when a tier first asks for it.
    words: OnceLock<Vec<Word<8>>>,
    #[cfg(target_arch = "x86_64")]
    wide: OnceLock<Vec<Word<16>>>,
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

        let column_sums = (w.chunks_exact(taps))
            .map(|w| w.iter().map(|&w| i32::from(w)).sum())
            .collect();
        Ok(DepthwiseTaps {
            weights: w.to_vec(),
            column_sums,
            out_channels: channels,
            multiplier: channels / shape.in_channels,
            kernel: shape.kernel,
            words: OnceLock::new(),
            #[cfg(target_arch = "x86_64")]
            wide: OnceLock::new(),
            #[cfg(target_arch = "x86_64")]
            columns: Default::default(),
        })
    }

    /// The weights of a square kernel in the order of a form.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn columns(&self, form: Form) -> &[Line] {
        self.columns[form as usize].get_or_init(|| super::columns::pack(self, form))
    }

    /// The weights in words of eight channels, `[block][kernel row][tap]`. The last block overlaps the one before it if the
    /// channels do not divide.
    pub(super) fn words(&self) -> &[Word<8>] {
        self.words.get_or_init(|| self.order())
    }

    /// The same in words of sixteen channels.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn wide(&self) -> &[Word<16>] {
        self.wide.get_or_init(|| self.order())
    }

    fn order<const L: usize>(&self) -> Vec<Word<L>> {
        let (taps, mut words) = (self.kernel.iter().product(), Vec::new());
        for block in 0..self.out_channels.div_ceil(L) {
            let first = first_channel::<L>(block, self.out_channels);
            for tap in 0..taps {
                let weight = |lane: usize| self.weights.get((first + lane) * taps + tap).copied();
                words.push(Word::weights(weight));
            }
        }
        words
    }

    /// One weight; `row` counts the rows of the kernel over its planes.
    pub(super) fn weight(&self, channel: usize, row: usize, tap: usize) -> i16 {
        let [depth, height, width] = self.kernel;
        i16::from(self.weights[(channel * depth * height + row) * width + tap])
    }

    /// The sum of the weights of each output channel, the factor of the input's zero point.
    pub fn column_sums(&self) -> &[i32] {
        &self.column_sums
    }
}

/// The first channel of a block of `L`; the last block is moved back so that it is full if it can be.
pub(super) fn first_channel<const L: usize>(block: usize, channels: usize) -> usize {
    (block * L).min(channels.saturating_sub(L))
}
