//! Attention of one sequence: many small products, each in a few registers.
//!
//! Matrices of a head are so small (tens of rows, tens of columns) that packing them would take longer than their
//! product. Columns are taken sixteen at a time, rows four at a time, and sums stay in registers. Additions and products
//! are not fused and have one order, so every instruction set gives the same bits.

use crate::context::Context;
use crate::error::{Error, Result, exactly, product};
use crate::isa::Work;
use crate::rows_f32::softmax_in_place;

const OPERATION: &str = "attention_f32";

/// Columns of a tile: a vector of the widest instruction set.
const LANES: usize = 16;
/// Rows of a tile.
const ROWS: usize = 4;

/// The sizes of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Rows of `q` and of the result.
    pub queries: usize,
    /// Rows of `k` and `v`.
    pub keys: usize,
    /// Heads, side by side in a row.
    pub heads: usize,
    /// Features of a head.
    pub depth: usize,
}

/// Memory of [`attention_f32`], kept from call to call.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    turned: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
}

/// `softmax(q·kᵀ · scale + masks) · v` for each head; rows have `heads · depth` features.
///
/// `by_key` is added to all scores of a key, `by_pair` (`[queries][keys]`) to those of a pair. Runs on the calling
/// thread.
///
/// # Errors
/// [`Error::Length`] for buffers that do not fit, [`Error::Indivisible`] without keys.
///
/// ```
/// # use qkernels_x86::{AttentionScratch, AttentionShape, Context, attention_f32};
/// let shape = AttentionShape { queries: 1, keys: 2, heads: 1, depth: 1 };
/// let (mut out, mut scratch) = ([0.0], AttentionScratch::default());
/// attention_f32(&Context::new()?, shape, &[0.0], &[1.0, 2.0], &[10.0, 20.0], [None, None], &mut scratch, &mut out)?;
/// assert_eq!(out, [15.0]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[expect(clippy::too_many_arguments, reason = "three operands, two masks")]
pub fn attention_f32(
    ctx: &Context,
    shape: AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    [by_key, by_pair]: [Option<&[f32]>; 2],
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) -> Result<()> {
    let AttentionShape {
        queries,
        keys,
        heads,
        depth,
    } = shape;
    let width = product(OPERATION, &[heads, depth])?;
    let size = product(OPERATION, &[queries, width])?;
    exactly(OPERATION, "q", size, q.len())?;
    exactly(OPERATION, "output", size, out.len())?;
    let size = product(OPERATION, &[keys, width])?;
    exactly(OPERATION, "k", size, k.len())?;
    exactly(OPERATION, "v", size, v.len())?;
    let pairs = product(OPERATION, &[queries, keys])?;
    if let Some(mask) = by_key {
        exactly(OPERATION, "mask of keys", keys, mask.len())?;
    }
    if let Some(mask) = by_pair {
        exactly(OPERATION, "mask of pairs", pairs, mask.len())?;
    }
    if out.is_empty() {
        return Ok(());
    }
    if keys == 0 {
        return Err(Error::Indivisible {
            operation: OPERATION,
            what: "number of scores",
            actual: pairs,
            divisor: keys,
        });
    }
    // Tiles read whole vectors.
    let (key_lanes, lanes) = (keys.next_multiple_of(LANES), depth.next_multiple_of(LANES));
    scratch.turned.resize(depth * key_lanes, 0.0);
    scratch.values.resize(keys * lanes, 0.0);
    scratch.scores.resize(pairs, 0.0);
    ctx.isa.vectorize(Heads {
        shape,
        q,
        k,
        v,
        by_key,
        by_pair,
        scratch,
        out,
    });
    Ok(())
}

/// All heads, one after the other.
struct Heads<'a> {
    shape: AttentionShape,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    by_key: Option<&'a [f32]>,
    by_pair: Option<&'a [f32]>,
    scratch: &'a mut AttentionScratch,
    out: &'a mut [f32],
}

impl Work for Heads<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let AttentionShape {
            queries,
            keys,
            heads,
            depth,
        } = self.shape;
        let width = heads * depth;
        let (key_lanes, lanes) = (keys.next_multiple_of(LANES), depth.next_multiple_of(LANES));
        let scale = 1.0 / (depth as f32).sqrt();
        let AttentionScratch {
            turned,
            values,
            scores,
        } = self.scratch;
        for head in 0..heads {
            let start = head * depth;
            for (key, row) in self.k.chunks_exact(width).enumerate() {
                for (d, &value) in row[start..start + depth].iter().enumerate() {
                    turned[d * key_lanes + key] = value;
                }
            }
            let rows = values.chunks_exact_mut(lanes);
            for (row, from) in rows.zip(self.v.chunks_exact(width)) {
                row[..depth].copy_from_slice(&from[start..start + depth]);
            }
            multiply(
                [queries, depth, keys],
                Strided::new(&self.q[start..], width),
                Strided::new(turned, key_lanes),
                scores,
                keys,
            );
            for (query, row) in scores.chunks_exact_mut(keys).enumerate() {
                row.iter_mut().for_each(|score| *score *= scale);
                let pair = self.by_pair.map(|mask| &mask[query * keys..][..keys]);
                for mask in [self.by_key, pair].into_iter().flatten() {
                    row.iter_mut().zip(mask).for_each(|(score, m)| *score += m);
                }
            }
            softmax_in_place(scores, keys);
            multiply(
                [queries, keys, depth],
                Strided::new(scores, keys),
                Strided::new(values, lanes),
                &mut self.out[start..],
                width,
            );
        }
    }
}

/// Rows `stride` elements apart.
#[derive(Clone, Copy)]
struct Strided<'a> {
    data: &'a [f32],
    stride: usize,
}

impl<'a> Strided<'a> {
    fn new(data: &'a [f32], stride: usize) -> Strided<'a> {
        Strided { data, stride }
    }
}

/// `out[r][c] = Σ a[r][d] · b[d][c]`, in the order of `d`.
#[inline(always)]
fn multiply(
    [rows, depth, columns]: [usize; 3],
    a: Strided,
    b: Strided,
    out: &mut [f32],
    stride: usize,
) {
    let mut row = 0;
    while row < rows {
        let height = ROWS.min(rows - row);
        let out = &mut out[row * stride..];
        let a = Strided::new(&a.data[row * a.stride..], a.stride);
        match height {
            ROWS => tiles::<ROWS>(depth, columns, a, b, out, stride),
            3 => tiles::<3>(depth, columns, a, b, out, stride),
            2 => tiles::<2>(depth, columns, a, b, out, stride),
            _ => tiles::<1>(depth, columns, a, b, out, stride),
        }
        row += height;
    }
}

/// All columns of `H` rows. Rows of `b` are whole vectors, whatever the number of columns.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "indices of constant bounds are what keeps the sums in registers"
)]
fn tiles<const H: usize>(
    depth: usize,
    columns: usize,
    a: Strided,
    b: Strided,
    out: &mut [f32],
    stride: usize,
) {
    let mut column = 0;
    while column < columns {
        // Never indexed by anything but constants once unrolled, so that they are registers.
        let mut sums = [[0.0f32; LANES]; H];
        for d in 0..depth {
            let Some(values) = b.data[d * b.stride + column..].first_chunk::<LANES>() else {
                return;
            };
            for row in 0..H {
                let factor = a.data[row * a.stride + d];
                for lane in 0..LANES {
                    sums[row][lane] += factor * values[lane];
                }
            }
        }
        let width = LANES.min(columns - column);
        for row in 0..H {
            // A copy: what is sliced must lie in memory.
            let done = sums[row];
            let place = &mut out[row * stride + column..];
            match place.first_chunk_mut::<LANES>() {
                Some(whole) if width == LANES => *whole = done,
                _ => place[..width].copy_from_slice(&done[..width]),
            }
        }
        column += LANES;
    }
}
