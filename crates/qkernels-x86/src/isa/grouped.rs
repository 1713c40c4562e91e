//! 3×3 kernels of groups of four and of eight channels: the door to them.
//!
//! Each lane sums one output channel, and a dot instruction adds the products of as many of its group's inputs as a lane
//! holds. So a vector of activations holds the bytes of each group once for every output of the group: the channels of a
//! pixel, which lie together, are loaded and *spread* by one permutation. Several neighbouring outputs are summed at a time,
//! and a spread pixel serves all those whose windows it lies in ([`tile`]).
//!
//! ```text
//! pixel, groups of four    | a0 a1 a2 a3 | b0 b1 b2 b3 | c0 ...
//! spread                   | a0 a1 a2 a3 | a0 a1 a2 a3 | a0 a1 a2 a3 | a0 a1 a2 a3 | b0 b1 b2 b3 | b0 ...
//! weights of a tap         | output 0    | output 1    | output 2    | output 3    | output 4    | ...
//! ```

mod avx2;
mod avx512vnni;
mod avxvnni;
mod tile;

use super::sweep::{Block, Sweep, Sweeper};
use super::{Isa, Tier};
use crate::pack::{Line, QUAD};

/// Rows and columns of the kernel.
pub(crate) const KERNEL: usize = 3;

/// How channels and inputs fill vectors; each form has its own order of weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Eight channels, two inputs as 16-bit integers.
    Pairs,
    /// Eight channels, four inputs.
    Quads,
    /// Sixteen channels, four inputs.
    WideQuads,
}

impl Form {
    /// Every form, the narrowest first.
    pub(crate) const ALL: [Form; 3] = [Form::Pairs, Form::Quads, Form::WideQuads];

    /// Channels computed together, one in each lane.
    pub(crate) fn channels(self) -> usize {
        match self {
            Form::Pairs | Form::Quads => avx2::CHANNELS,
            Form::WideQuads => avx512vnni::CHANNELS,
        }
    }

    /// Inputs of a group that a lane holds.
    pub(crate) fn inputs(self) -> usize {
        match self {
            Form::Pairs => QUAD / 2,
            Form::Quads | Form::WideQuads => QUAD,
        }
    }

    /// A block of channels, in groups of `group`.
    pub(crate) fn block(self, group: usize) -> Block {
        let vectors = KERNEL * KERNEL * group / self.inputs();
        Block {
            channels: self.channels(),
            lines: (vectors * self.channels() * QUAD).div_ceil(size_of::<Line>()),
        }
    }
}

/// A kernel for a tier, a number of channels, and groups of four or of eight.
#[derive(Clone, Copy)]
pub(crate) struct Grouped {
    isa: Isa,
    form: Form,
    group: usize,
}

impl Grouped {
    /// The kernel with the widest vectors that the channels fill, or `None` if there is none.
    pub(crate) fn of(isa: Isa, channels: usize, group: usize) -> Option<Grouped> {
        let exists = |form: &Form| match form {
            Form::Pairs => isa.tier() >= Tier::Avx2,
            Form::Quads => isa.tier() == Tier::AvxVnni,
            Form::WideQuads => isa.tier() >= Tier::Avx512Vnni,
        };
        let fits = |form: &Form| form.channels() <= channels && matches!(group, 4 | 8);
        let form = Form::ALL.into_iter().filter(exists).rfind(fits)?;
        Some(Grouped { isa, form, group })
    }

    /// The order of weights that this kernel reads.
    pub(crate) fn form(self) -> Form {
        self.form
    }
}

/// Asserts everything that a kernel relies on.
fn check(sweep: &Sweep, form: Form, group: usize) {
    assert!(matches!(group, 4 | 8), "groups must be of 4 or 8 channels");
    assert!(
        sweep.rows.len() == KERNEL,
        "the kernel must be of three rows"
    );
    sweep.check(form.block(group));
}

impl Sweeper for Grouped {
    fn block(self, _: usize) -> Block {
        self.form.block(self.group)
    }

    fn sweep(self, mut sweep: Sweep) {
        match self.form {
            Form::Pairs => avx2::sweep(self.isa, self.group, &mut sweep),
            Form::Quads => avxvnni::sweep(self.isa, self.group, &mut sweep),
            Form::WideQuads => avx512vnni::sweep(self.isa, self.group, &mut sweep),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::tile::Output;

    fn check_rows(rows: usize, group: usize) {
        let row = [0; 32];
        let lines = vec![Line([0; 64]); Form::Pairs.block(4).lines];
        let sweep = Sweep {
            rows: &vec![&row[..]; rows],
            zero: &[0; 8],
            width: 4,
            channels: 8,
            position: 0,
            padding: 1,
            stride: 1,
            count: 4,
            blocks: 0..1,
            weights: &lines,
            start: &[0; 8],
            output: Output::Sums(&mut [0; 32]),
            pitch: 8,
        };
        check(&sweep, Form::Pairs, group);
    }

    #[test]
    fn a_sweep_that_fits_passes() {
        check_rows(3, 4);
    }

    #[test]
    #[should_panic(expected = "three rows")]
    fn another_kernel_is_refused() {
        check_rows(5, 4);
    }

    #[test]
    #[should_panic(expected = "4 or 8 channels")]
    fn other_groups_are_refused() {
        check_rows(3, 2);
    }

    #[test]
    #[should_panic(expected = "needs weights")]
    fn weights_of_smaller_groups_are_refused() {
        check_rows(3, 8);
    }

    #[test]
    fn the_widest_form_that_the_channels_fill_is_taken() {
        for isa in Isa::available() {
            let form = |channels| Grouped::of(isa, channels, 4).map(Grouped::form);
            let wide = isa.tier() >= Tier::Avx512Vnni;
            assert_eq!(form(16) == Some(Form::WideQuads), wide);
            assert_eq!(form(12).is_some(), isa.tier() >= Tier::Avx2);
            assert_eq!(form(4), None);
        }
    }
}
