//! Neighbouring outputs of a row, summed together, the same for every vector.
//!
//! For each row of the kernel and each part of the groups' inputs, the weights of its three taps stay in registers while
//! the pixels under the tile pass by; each is multiplied into all outputs whose windows it lies in:
//!
//! ```text
//! stride 1    pixel c is tap 2 of output c - 2, tap 1 of c - 1, tap 0 of c
//! stride 2    pixel 2o is tap 0 of output o and tap 2 of o - 1, pixel 2o + 1 is tap 1 of output o
//! ```
#![allow(unsafe_code)]

use core::hint::black_box;

use super::{Form, KERNEL};
use crate::isa::sweep::{Results, Sweep};
use crate::isa::tile::Output;
use crate::pack::Line;

/// The outputs of a tile, as many as the sums that registers hold beside weights; many images are as wide as a multiple.
const WIDE: usize = 7;

/// The outputs of a tile where a row has few, or few are left.
const NARROW: usize = 4;

/// Results that are packed together.
const PACKED: usize = 4;

/// The vectors of a tier, for groups of one size.
///
/// # Safety
/// Every function needs the instructions of its tier. Pointers to the bytes of a pixel are valid for all channels of a
/// block; those to weights and patterns are aligned and valid for a vector.
pub(super) trait Dots {
    const FORM: Form;
    /// Channels of a group.
    const GROUP: usize;
    /// Bytes of a vector of weights.
    const BYTES: usize;
    type Results: Results;
    type Vector: Copy;
    /// For each part of the groups' inputs, what spreads it, in the first bytes of a line.
    const PATTERNS: [Line; 4];

    /// A vector of weights, or a pattern.
    unsafe fn load(from: *const u8) -> Self::Vector;
    /// Part `part` of each group's inputs, in all lanes of the group.
    unsafe fn spread(pixel: *const u8, part: usize, pattern: Self::Vector) -> Self::Vector;
    /// Adds the products of a lane's integers.
    unsafe fn dot(sums: Sums<Self>, x: Self::Vector, w: Self::Vector) -> Sums<Self>;
}

type Sums<D> = <<D as Dots>::Results as Results>::Sums;

/// Computes all blocks of a sweep, with a stride of `S`.
///
/// # Safety
/// Needs the instructions of the tier, and a sweep of a kernel of three rows and this stride that passed its check for
/// blocks of this form and group.
#[inline(always)]
pub(super) unsafe fn sweep<D: Dots, const S: usize>(sweep: &mut Sweep) {
    let block = D::FORM.block(D::GROUP);
    let base = block.first_channel(sweep.blocks.start, sweep.channels);
    // Unknown to the compiler, which would replace one shuffle by a pattern with several by constants.
    let patterns = black_box(const { &D::PATTERNS }.as_ptr());
    for index in sweep.blocks.clone() {
        let first = block.first_channel(index, sweep.channels);
        // SAFETY: `check` asserted three rows, which hold all channels as a pixel of padding does; weights and start
        // values for all channels.
        let walk = unsafe {
            let mut rows = [sweep.zero.as_ptr(); KERNEL];
            for (r, row) in rows.iter_mut().enumerate() {
                *row = sweep.rows.get_unchecked(r).as_ptr().add(first);
            }
            Walk::<D> {
                rows,
                steps: sweep.rows.len() * D::GROUP / D::FORM.inputs(),
                zero: sweep.zero.as_ptr(),
                width: sweep.width,
                channels: sweep.channels,
                weights: sweep.weights.as_ptr().add(index * block.lines).cast(),
                patterns,
                start: D::Results::start(sweep.start.as_ptr().add(first)),
            }
        };
        let begin = sweep.position.wrapping_sub(sweep.padding);
        let mut at = 0;
        while at < sweep.count {
            let left = sweep.count - at;
            // The last tile overlaps the one before it.
            let (from, outputs) = match left {
                WIDE.. => (at, WIDE),
                5.. if sweep.count >= WIDE => (sweep.count - WIDE, WIDE),
                2.. if sweep.count >= NARROW => (at.min(sweep.count - NARROW), NARROW),
                _ => (at, 1),
            };
            let column = begin.wrapping_add(from * S);
            let place = Place {
                first,
                offset: from * sweep.pitch + first - base,
            };
            // SAFETY: `check` asserted multipliers for all channels and the results of all outputs of the block.
            unsafe {
                match outputs {
                    WIDE => deliver::<D, WIDE>(walk.sums::<S, WIDE>(column), sweep, place),
                    NARROW => deliver::<D, NARROW>(walk.sums::<S, NARROW>(column), sweep, place),
                    _ => deliver::<D, 1>(walk.sums::<S, 1>(column), sweep, place),
                }
            }
            at = from + outputs;
        }
    }
}

/// What the tiles of one block read.
struct Walk<D: Dots> {
    rows: [*const u8; KERNEL],
    /// Three rows times the parts of a group's inputs. The compiler must not know this number: it would unroll the loop over
    /// them, and keep more weights than there are registers.
    steps: usize,
    zero: *const u8,
    width: usize,
    channels: usize,
    weights: *const u8,
    patterns: *const Line,
    start: Sums<D>,
}

/// Goes through the pixels under a tile, which must be spelled out: a loop that stays rolled would index the sums, and so force
/// them into memory.
macro_rules! each_pixel {
    ($self:ident, $step:ident, $sums:ident: $($c:literal)*) => {
        $( $self.pixel::<S, P, $c, EDGE>(&$step, &mut $sums); )*
    };
}

/// One row of the kernel and one part of the groups' inputs.
struct Step<D: Dots> {
    /// The first pixel under the tile, which may be one of padding before the row.
    begin: *const u8,
    column: usize,
    part: usize,
    pattern: D::Vector,
    weights: [D::Vector; KERNEL],
}

/// The functions need what [`sweep`] needs, and pointers as it makes them.
impl<D: Dots> Walk<D> {
    /// The sums of `P` outputs, the window of the first of which begins with a column; columns of padding are not below
    /// the width.
    #[inline(always)]
    unsafe fn sums<const S: usize, const P: usize>(&self, column: usize) -> [Sums<D>; P] {
        let span = (P - 1) * S + KERNEL;
        let inside = column < self.width && span <= self.width - column;
        // SAFETY: columns of padding are looked for unless all lie within the rows.
        unsafe {
            if inside {
                self.tile::<S, P, false>(column)
            } else {
                self.tile::<S, P, true>(column)
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<const S: usize, const P: usize, const EDGE: bool>(
        &self,
        column: usize,
    ) -> [Sums<D>; P] {
        let mut sums = [self.start; P];
        let mut weights = self.weights;
        let parts = D::GROUP / D::FORM.inputs();
        for index in 0..self.steps {
            let part = index % parts;
            // SAFETY: there are rows for all steps, and weights of three taps for each.
            unsafe {
                let row = *self.rows.get_unchecked(index / parts);
                let step = Step::<D> {
                    begin: row.wrapping_add(column.wrapping_mul(self.channels)),
                    column,
                    part,
                    pattern: D::load(self.patterns.add(part).cast()),
                    weights: [
                        D::load(weights),
                        D::load(weights.add(D::BYTES)),
                        D::load(weights.add(2 * D::BYTES)),
                    ],
                };
                weights = weights.add(KERNEL * D::BYTES);
                each_pixel!(self, step, sums: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
            }
        }
        sums
    }

    /// Multiplies pixel `C` of those under a tile, if there are as many.
    #[inline(always)]
    unsafe fn pixel<const S: usize, const P: usize, const C: usize, const EDGE: bool>(
        &self,
        step: &Step<D>,
        sums: &mut [Sums<D>; P],
    ) {
        if C >= (P - 1) * S + KERNEL {
            return;
        }
        let inside = !EDGE || step.column.wrapping_add(C) < self.width;
        // SAFETY: the column lies within the rows, or the pixel of padding stands for it.
        unsafe {
            let pixel = if inside {
                step.begin.wrapping_add(C * self.channels)
            } else {
                self.zero
            };
            let x = D::spread(pixel, step.part, step.pattern);
            for tap in 0..KERNEL.min(C + 1) {
                let output = (C - tap) / S;
                if (C - tap).is_multiple_of(S) && output < P {
                    sums[output] = D::dot(sums[output], x, step.weights[tap]);
                }
            }
        }
    }
}

/// Where the results of a tile belong.
struct Place {
    /// The first channel of the block.
    first: usize,
    /// Elements before them in the output.
    offset: usize,
}

/// Delivers the sums of a tile.
///
/// # Safety
/// Needs the instructions of the tier, and a sweep that passed its check and has these outputs.
#[inline(always)]
unsafe fn deliver<D: Dots, const P: usize>(sums: [Sums<D>; P], sweep: &mut Sweep, place: Place) {
    // SAFETY: `check` asserted multipliers for all channels and room for the channels of all outputs.
    unsafe {
        match &mut sweep.output {
            Output::Bytes {
                multipliers,
                range,
                out,
            } => {
                let multipliers = multipliers.as_ptr().add(place.first);
                let requant = D::Results::requant(multipliers, *range);
                let mut out = out.as_mut_ptr().add(place.offset);
                let mut from = 0;
                while from < P {
                    let mut packed = [sums[from]; PACKED];
                    for (i, packed) in packed.iter_mut().enumerate() {
                        *packed = D::Results::scale(sums[(from + i).min(P - 1)], &requant);
                    }
                    let count = PACKED.min(P - from);
                    D::Results::bytes(packed, &requant, out, sweep.pitch, count);
                    out = out.wrapping_add(PACKED * sweep.pitch);
                    from += PACKED;
                }
            }
            Output::Added(_) => unreachable!("only tiles of AVX-512 add"),
            Output::Sums(out) => {
                let mut out = out.as_mut_ptr().add(place.offset);
                for sums in sums {
                    D::Results::sums(sums, out);
                    out = out.wrapping_add(sweep.pitch);
                }
            }
        }
    }
}
