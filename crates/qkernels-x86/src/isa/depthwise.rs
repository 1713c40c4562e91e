//! Depthwise 3×3 and 5×5 kernels by columns: the door to them.
//!
//! For each column of the input, the bytes under the rows of the kernel are interleaved, so that one dot
//! instruction multiplies two of them (four, with VNNI) in each lane. A column is loaded once and added to
//! all outputs whose windows it lies in; their sums move on through registers ([`window`]).

pub(super) mod avx2;
mod avx512vnni;
mod avxvnni;
mod sse2;
mod window;

use super::sweep::{Block, Sweep, Sweeper};
use super::{Isa, Tier};
use crate::pack::Line;

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

    /// A block of channels of a square kernel.
    pub(crate) fn block(self, kernel: usize) -> Block {
        let dwords = kernel * kernel.div_ceil(self.rows()) * self.channels();
        Block {
            channels: self.channels(),
            lines: (dwords * 4).div_ceil(size_of::<Line>()),
        }
    }
}

impl Columns {
    /// The kernel with the widest vectors that the channels fill, or `None` if there is none.
    pub(crate) fn of(isa: Isa, channels: usize) -> Option<Columns> {
        let exists = |form: &Form| match form {
            Form::Pairs => isa.tier() >= Tier::Sse2,
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
}

impl Sweeper for Columns {
    fn block(self, kernel: usize) -> Block {
        self.form.block(kernel)
    }

    fn sweep(self, mut sweep: Sweep) {
        match (self.form, self.isa.tier()) {
            (Form::Pairs, Tier::Sse2) => sse2::sweep(&mut sweep),
            (Form::Pairs, _) => avx2::sweep(self.isa, &mut sweep),
            (Form::Quads, Tier::Avx512Vnni | Tier::Amx) => {
                avx512vnni::narrow_sweep(self.isa, &mut sweep)
            }
            (Form::Quads, _) => avxvnni::sweep(self.isa, &mut sweep),
            (Form::WideQuads, _) => avx512vnni::sweep(self.isa, &mut sweep),
        }
    }
}
