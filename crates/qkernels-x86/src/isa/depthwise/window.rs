//! The walk along a row, the same for every vector: columns come in, sums move on, results go out.
//!
//! ```text
//! kernel of 3, stride 1     column c is tap 2 of output c - 2, tap 1 of c - 1, tap 0 of c
//! kernel of 3, stride 2     columns 2o + 1 and 2o + 2 complete output o; the latter begins output o + 1
//! ```
//!
//! The sums of the outputs under way are the elements of a small array; when the first one is complete, the
//! others move down. Everything here is inlined into one function per kernel, in which that array is a few
//! registers.
#![allow(unsafe_code)]

use super::Form;
use crate::isa::sweep::{Results, Sweep};
use crate::isa::tile::Output;

/// The vectors of a tier: one lane for every channel of a block.
///
/// # Safety
/// Every function needs the instructions of its tier. Pointers to bytes of a pixel are valid for all channels of a block;
/// those to weights are aligned and valid for a vector.
pub(super) trait Lanes: Results {
    const FORM: Form;

    unsafe fn zero() -> Self::Sums;
    unsafe fn weights(weights: *const u8) -> Self::Sums;
    /// The bytes under the rows of the kernel, `FORM.rows()` of them in each lane.
    unsafe fn column<const K: usize, const R: usize>(rows: [*const u8; K]) -> [Self::Sums; R];
    /// Adds the products of a lane's integers.
    unsafe fn dot(sums: Self::Sums, x: Self::Sums, w: Self::Sums) -> Self::Sums;
}

/// Computes all blocks of a sweep: a kernel of `K` by `K` whose rows fill `R` vectors, with a stride of `S`,
/// `A` outputs under way at a time, `G` results stored together; sums instead of bytes if `SUMS`.
///
/// # Safety
/// Needs the instructions of the tier, a sweep of this kernel, stride and output that passed [`Sweep::check`],
/// `R = ceil(K / FORM.rows())` and `A = ceil(K / S)`.
#[inline(always)]
pub(super) unsafe fn sweep<
    L: Lanes,
    const K: usize,
    const R: usize,
    const S: usize,
    const A: usize,
    const G: usize,
    const SUMS: bool,
>(
    sweep: &mut Sweep,
) {
    let size = L::FORM.block(K);
    let base = size.first_channel(sweep.blocks.start, sweep.channels);
    for block in sweep.blocks.clone() {
        let first = size.first_channel(block, sweep.channels);
        let line = block * size.lines;
        // SAFETY: `check` asserted `K` rows, which hold all channels as a pixel of padding does; weights,
        // start values and multipliers for all channels; and the results of the block.
        unsafe {
            let mut rows = [sweep.zero.as_ptr(); K];
            for (r, row) in rows.iter_mut().enumerate() {
                *row = sweep.rows.get_unchecked(r).as_ptr().add(first);
            }
            let walk = Walk::<L, K, R> {
                rows,
                zero: sweep.zero.as_ptr(),
                width: sweep.width,
                channels: sweep.channels,
                weights: sweep.weights.as_ptr().add(line).cast(),
                held: Walk::<L, K, R>::hold(sweep.weights.as_ptr().add(line).cast()),
                start: L::start(sweep.start.as_ptr().add(first)),
            };
            let column = sweep.position.wrapping_sub(sweep.padding);
            match &mut sweep.output {
                Output::Bytes {
                    multipliers,
                    range,
                    out,
                } if !SUMS => {
                    let requant = L::requant(multipliers.as_ptr().add(first), *range);
                    let mut out = out.as_mut_ptr().add(first - base);
                    let mut state = walk.begin::<S, A>(column);
                    let mut left = sweep.count;
                    while left > 0 {
                        let count = G.min(left);
                        let mut done = walk.outputs::<S, A, G>(&mut state, count);
                        for done in &mut done {
                            *done = L::scale(*done, &requant);
                        }
                        L::bytes(done, &requant, out, sweep.pitch, count);
                        out = out.wrapping_add(G * sweep.pitch);
                        left -= count;
                    }
                }
                Output::Sums(out) if SUMS => {
                    let mut out = out.as_mut_ptr().add(first - base);
                    let mut state = walk.begin::<S, A>(column);
                    for _ in 0..sweep.count {
                        let [done] = walk.outputs::<S, A, 1>(&mut state, 1);
                        L::sums(done, out);
                        out = out.wrapping_add(sweep.pitch);
                    }
                }
                _ => {}
            }
        }
    }
}

/// What the walk along one block of a row reads.
struct Walk<L: Lanes, const K: usize, const R: usize> {
    rows: [*const u8; K],
    zero: *const u8,
    width: usize,
    channels: usize,
    weights: *const u8,
    held: [[L::Sums; R]; K],
    start: L::Sums,
}

/// Where the walk is.
struct State<V, const A: usize> {
    /// The sums of the outputs under way.
    sums: [V; A],
    /// The next column of the input; columns of padding are not below its width.
    column: usize,
}

/// The functions need what [`sweep`] needs, and pointers as it makes them.
impl<L: Lanes, const K: usize, const R: usize> Walk<L, K, R> {
    /// The small kernel's weights, which fit the registers; those of the great one are operands in memory.
    #[inline(always)]
    unsafe fn hold(weights: *const u8) -> [[L::Sums; R]; K] {
        // SAFETY: there are `K * R` vectors of weights.
        unsafe {
            let mut held = [[L::zero(); R]; K];
            if K == 3 {
                for (i, held) in held.as_flattened_mut().iter_mut().enumerate() {
                    *held = L::weights(weights.add(i * size_of::<L::Sums>()));
                }
            }
            held
        }
    }

    /// Reads the columns before those that complete the first output.
    #[inline(always)]
    unsafe fn begin<const S: usize, const A: usize>(&self, column: usize) -> State<L::Sums, A> {
        let sums = [self.start; A];
        let mut state = State { sums, column };
        for d in 0..K - S {
            // SAFETY: `pixel` gives channels of the input or of padding.
            unsafe { self.add::<S, A>(&mut state.sums, d, self.pixel(state.column)) };
            state.column = state.column.wrapping_add(1);
        }
        state
    }

    /// The sums of the next `count` of `G` outputs.
    #[inline(always)]
    unsafe fn outputs<const S: usize, const A: usize, const G: usize>(
        &self,
        state: &mut State<L::Sums, A>,
        count: usize,
    ) -> [L::Sums; G] {
        let mut done = [self.start; G];
        let inside = state.column < self.width && G * S <= self.width - state.column;
        if inside && count == G {
            let mut offset = state.column * self.channels;
            for done in &mut done {
                for d in K - S..K {
                    // SAFETY: all of these columns are within the rows.
                    unsafe {
                        let pixel = self.at(offset);
                        self.add::<S, A>(&mut state.sums, d, pixel);
                    }
                    offset += self.channels;
                }
                *done = self.next(&mut state.sums);
            }
        } else {
            for (g, done) in done.iter_mut().enumerate() {
                if g < count {
                    for j in 0..S {
                        let column = state.column.wrapping_add(g * S + j);
                        // SAFETY: `pixel` gives channels of the input or of padding.
                        unsafe { self.add::<S, A>(&mut state.sums, K - S + j, self.pixel(column)) };
                    }
                    *done = self.next(&mut state.sums);
                }
            }
        }
        state.column = state.column.wrapping_add(G * S);
        done
    }

    /// Adds a column that lies under tap `d` of the first output under way.
    #[inline(always)]
    unsafe fn add<const S: usize, const A: usize>(
        &self,
        sums: &mut [L::Sums; A],
        d: usize,
        pixel: [*const u8; K],
    ) {
        // SAFETY: there are `K * R` vectors of weights; the pixel holds the channels, says the caller.
        unsafe {
            let x = L::column::<K, R>(pixel);
            // The bounds are constants, so that the loops are unrolled and the sums stay in registers.
            #[allow(clippy::needless_range_loop)]
            for i in 0..A {
                if d >= i * S && d - i * S < K {
                    let tap = d - i * S;
                    for r in 0..R {
                        let w = if K == 3 {
                            self.held[tap][r]
                        } else {
                            let index = tap * R + r;
                            L::weights(self.weights.add(index * size_of::<L::Sums>()))
                        };
                        sums[i] = L::dot(sums[i], x[r], w);
                    }
                }
            }
        }
    }

    /// Takes the first sum, which is complete, and begins another one.
    #[inline(always)]
    fn next<const A: usize>(&self, sums: &mut [L::Sums; A]) -> L::Sums {
        let first = sums[0];
        for i in 1..A {
            sums[i - 1] = sums[i];
        }
        sums[A - 1] = self.start;
        first
    }

    /// A column of the input, or of padding.
    #[inline(always)]
    unsafe fn pixel(&self, column: usize) -> [*const u8; K] {
        if column < self.width {
            // SAFETY: the rows hold `width` pixels.
            unsafe { self.at(column * self.channels) }
        } else {
            [self.zero; K]
        }
    }

    /// The bytes at an offset within all rows.
    #[inline(always)]
    unsafe fn at(&self, offset: usize) -> [*const u8; K] {
        let mut pixel = self.rows;
        for row in &mut pixel {
            // SAFETY: the caller's promise.
            *row = unsafe { row.add(offset) };
        }
        pixel
    }
}
