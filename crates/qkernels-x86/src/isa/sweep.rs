//! A walk along a row of outputs: what the kernels of depthwise and of narrow groups are asked to do, checked before they
//! start, and what they have in common.
#![allow(unsafe_code)]

use core::ops::Range;

use qtensor_core::requant::OutputRange;

use super::tile::Output;
use crate::pack::Line;

/// The greatest kernel.
pub(crate) const MAX_KERNEL: usize = 5;

/// A kernel that computes sweeps.
pub(crate) trait Sweeper: Copy {
    /// What it computes at a time, with a kernel of that many rows.
    fn block(self, kernel: usize) -> Block;
    /// Computes a run of outputs of one row.
    fn sweep(self, sweep: Sweep);
}

/// Channels that are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// How many.
    pub(crate) channels: usize,
    /// Lines of their weights.
    pub(crate) lines: usize,
}

impl Block {
    /// The first channel of a block; the last block is moved back so that it is full.
    #[inline(always)]
    pub(crate) fn first_channel(self, block: usize, channels: usize) -> usize {
        (block * self.channels).min(channels - self.channels)
    }
}

/// A vector (or two) of sums, one for each channel of a block, and what becomes of them.
///
/// # Safety
/// Every function needs the instructions of its tier. Pointers to values of channels and to results are valid for all
/// channels of a block.
pub(super) trait Results {
    type Sums: Copy;
    type Requant: Copy;

    /// One 32-bit value for each channel, in the order of the lanes.
    unsafe fn start(values: *const i32) -> Self::Sums;
    /// Writes the sums in the order of the channels.
    unsafe fn sums(sums: Self::Sums, out: *mut i32);
    unsafe fn requant(multipliers: *const f32, range: OutputRange) -> Self::Requant;
    /// Scales, bounds above and rounds.
    unsafe fn scale(sums: Self::Sums, requant: &Self::Requant) -> Self::Sums;
    /// Writes the first `count` of `G` scaled results as bytes, one every `pitch` bytes. Packing saturates,
    /// which bounds them below as they should be: products too small for an integer became the least one.
    unsafe fn bytes<const G: usize>(
        scaled: [Self::Sums; G],
        requant: &Self::Requant,
        out: *mut u8,
        pitch: usize,
        count: usize,
    );
}

/// Neighbouring outputs of one row, for some blocks of channels.
pub(crate) struct Sweep<'a> {
    /// The input row under each row of the kernel: `width` pixels.
    pub(crate) rows: &'a [&'a [u8]],
    /// A pixel of padding.
    pub(crate) zero: &'a [u8],
    /// Columns of the input.
    pub(crate) width: usize,
    /// Channels of input and output.
    pub(crate) channels: usize,
    /// The column of the padded input at which the first output's window begins.
    pub(crate) position: usize,
    /// Columns of padding at either side.
    pub(crate) padding: usize,
    /// Columns between windows, 1 or 2.
    pub(crate) stride: usize,
    /// Outputs.
    pub(crate) count: usize,
    /// Blocks of channels, the last of which is moved back so that it is full.
    pub(crate) blocks: Range<usize>,
    /// Weights of all blocks.
    pub(crate) weights: &'a [Line],
    /// A start value for each channel.
    pub(crate) start: &'a [i32],
    /// Results, from the first channel of the first block of the first output on.
    pub(crate) output: Output<'a>,
    /// Elements between the results of neighbouring outputs.
    pub(crate) pitch: usize,
}

impl Sweep<'_> {
    /// Asserts everything that a kernel which takes `block` relies on. Release builds wrap around on overflow, so bounds are
    /// compared by division and subtraction.
    pub(super) fn check(&self, block: Block) {
        let kernel = self.rows.len();
        assert!(matches!(kernel, 3 | 5), "the kernel must be of 3 or 5 rows");
        assert!(matches!(self.stride, 1 | 2), "the stride must be 1 or 2");
        assert!(
            block.channels <= self.channels && self.channels <= self.zero.len(),
            "the channels must fill a vector, and a pixel of padding hold them"
        );
        assert!(
            (self.rows.iter()).all(|row| self.width <= row.len() / self.channels),
            "every row must hold its pixels"
        );
        let blocks = self.channels.div_ceil(block.channels);
        assert!(
            self.blocks.start < self.blocks.end && self.blocks.end <= blocks,
            "the blocks must be the channels'"
        );
        assert!(
            blocks <= self.weights.len() / block.lines,
            "every block needs weights"
        );
        assert!(
            self.channels <= self.start.len(),
            "every channel needs a start value"
        );
        let len = match &self.output {
            Output::Bytes {
                multipliers,
                range: OutputRange { zero_point, lo, hi },
                out,
            } => {
                assert!(
                    self.channels <= multipliers.len(),
                    "every channel needs a multiplier"
                );
                assert!(0 <= *lo && lo <= hi && *hi <= 255, "results must be bytes");
                assert!((0..=255).contains(zero_point), "results must be bytes");
                out.len()
            }
            Output::Added(_) => unreachable!("only tiles of AVX-512 add"),
            Output::Sums(out) => out.len(),
        };
        let last = block.first_channel(self.blocks.end - 1, self.channels);
        let width = last + block.channels - block.first_channel(self.blocks.start, self.channels);
        let beyond = self.count.saturating_sub(1).checked_mul(self.pitch);
        let room = len.checked_sub(width);
        assert!(
            beyond.is_some() && room.is_some() && beyond <= room,
            "the output must hold every result"
        );
    }
}

#[cfg(test)]
mod tests;
