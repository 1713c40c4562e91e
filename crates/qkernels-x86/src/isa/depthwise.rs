//! Depthwise 3×3 and 5×5 kernels by columns: what they are asked to do, checked before they start, and the
//! door to them.
//!
//! For each column of the input, the bytes under the rows of the kernel are interleaved, so that one dot
//! instruction multiplies two of them (four, with VNNI) in each lane. A column is loaded once and added to
//! all outputs whose windows it lies in; their sums move on through registers ([`window`]).

mod avx2;
mod avx512vnni;
mod avxvnni;
mod window;

use core::ops::Range;

use qtensor_core::requant::OutputRange;

use super::tile::Output;
use super::{Isa, Tier};
use crate::pack::Line;

/// The greatest kernel.
pub(crate) const MAX_KERNEL: usize = 5;

/// A kernel for a tier and a number of channels.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    isa: Isa,
    form: Form,
}

/// How channels and taps fill vectors; each form has its own order of weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Eight channels, two rows of the kernel as 16-bit integers.
    Pairs,
    /// Sixteen channels in two vectors, four rows of the kernel.
    Quads,
    /// The same of 32 channels.
    WideQuads,
}

impl Form {
    /// Every form, the narrowest first.
    pub(crate) const ALL: [Form; 3] = [Form::Pairs, Form::Quads, Form::WideQuads];

    /// Channels computed together.
    pub(crate) fn channels(self) -> usize {
        match self {
            Form::Pairs => avx2::CHANNELS,
            Form::Quads => avxvnni::CHANNELS,
            Form::WideQuads => avx512vnni::CHANNELS,
        }
    }

    /// Rows of the kernel that a lane holds.
    pub(crate) fn rows(self) -> usize {
        if self == Form::Pairs { 2 } else { 4 }
    }

    /// Bytes of the weights of a block of channels.
    fn block_bytes(self, kernel: usize) -> usize {
        let dwords = kernel * kernel.div_ceil(self.rows()) * self.channels();
        dwords * 4
    }

    /// Lines of the weights of a block of channels.
    pub(crate) fn block_lines(self, kernel: usize) -> usize {
        self.block_bytes(kernel).div_ceil(size_of::<Line>())
    }
}

impl Columns {
    /// The kernel with the widest vectors that the channels fill, or `None` if there is none.
    pub(crate) fn of(isa: Isa, channels: usize) -> Option<Columns> {
        let exists = |form: &Form| match form {
            Form::Pairs => isa.tier() >= Tier::Avx2,
            Form::Quads => isa.tier() >= Tier::AvxVnni,
            Form::WideQuads => isa.tier() >= Tier::Avx512Vnni,
        };
        let fits = |form: &Form| form.channels() <= channels;
        let form = Form::ALL.into_iter().filter(exists).rfind(fits)?;
        Some(Columns { isa, form })
    }

    /// The order of weights that this kernel reads.
    pub(crate) fn form(self) -> Form {
        self.form
    }

    /// Computes a run of outputs of one row.
    pub(crate) fn sweep(self, mut sweep: Sweep) {
        match (self.form, self.isa.tier()) {
            (Form::Pairs, _) => avx2::sweep(self.isa, &mut sweep),
            (Form::Quads, Tier::Avx512Vnni | Tier::Amx) => {
                avx512vnni::narrow_sweep(self.isa, &mut sweep)
            }
            (Form::Quads, _) => avxvnni::sweep(self.isa, &mut sweep),
            (Form::WideQuads, _) => avx512vnni::sweep(self.isa, &mut sweep),
        }
    }
}

/// The first channel of a block; the last block is moved back so that it is full.
#[inline(always)]
pub(crate) fn first_channel(form: Form, block: usize, channels: usize) -> usize {
    (block * form.channels()).min(channels - form.channels())
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
    /// Asserts everything a kernel of `form` relies on. Release builds wrap around on overflow, so bounds are
    /// compared by division and subtraction.
    fn check(&self, form: Form) {
        let kernel = self.rows.len();
        assert!(matches!(kernel, 3 | 5), "the kernel must be of 3 or 5 rows");
        assert!(matches!(self.stride, 1 | 2), "the stride must be 1 or 2");
        assert!(
            form.channels() <= self.channels && self.channels <= self.zero.len(),
            "the channels must fill a vector, and a pixel of padding hold them"
        );
        assert!(
            (self.rows.iter()).all(|row| self.width <= row.len() / self.channels),
            "every row must hold its pixels"
        );
        let blocks = self.channels.div_ceil(form.channels());
        assert!(
            self.blocks.start < self.blocks.end && self.blocks.end <= blocks,
            "the blocks must be the channels'"
        );
        assert!(
            blocks <= self.weights.len() / form.block_lines(kernel),
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
            Output::Sums(out) => out.len(),
        };
        let last = first_channel(form, self.blocks.end - 1, self.channels);
        let width = last + form.channels() - first_channel(form, self.blocks.start, self.channels);
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
