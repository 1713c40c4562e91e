//! Patches as columns of a matrix, which turns a convolution into a matrix product, and the adjoint.
//!
//! Row `(c, kd, kh, kw)` of the matrix holds, for every output position, the input element that this
//! kernel element meets (0 in the padding). It is made for a few output lines at a time, so that it stays
//! in the cache while the product reads it:
//!
//! ```text
//!            output positions of the lines r0..r1
//!          ┌───────────────────────────────┐
//! c0 k00   │ x[..] x[..] x[..] …           │  taps · channels rows
//! c0 k01   │                               │
//!  …       └───────────────────────────────┘
//! ```

use std::ops::Range;

use super::geometry::{Geometry, overlap};
use super::parallel;

/// Elements of the matrix that are made at a time, 1 MiB.
const BLOCK: usize = 1 << 18;

/// Which output lines (runs along the width, counted over depth and height) form each block.
pub(super) fn blocks(g: &Geometry) -> impl Iterator<Item = Range<usize>> + use<> {
    let lines = g.output[0] * g.output[1];
    let step = (BLOCK / (g.depth() * g.output[2]).max(1)).clamp(1, lines.max(1));
    (0..lines)
        .step_by(step)
        .map(move |start| start..(start + step).min(lines))
}

/// Writes the rows of the matrix for some output lines; `x` are the input channels of one group.
pub(super) fn im2col(
    g: &Geometry,
    x: &[f32],
    lines: Range<usize>,
    columns: &mut [f32],
    parallel: bool,
) {
    let (plane, width) = (g.input_plane(), g.output[2]);
    let row_len = lines.len() * width;
    let fill = |index: usize, row: &mut [f32]| {
        let (channel, tap) = (index / g.taps(), Tap::new(g, index % g.taps()));
        let source = &x[channel * plane..(channel + 1) * plane];
        for (line, out) in lines.clone().zip(row.chunks_exact_mut(width)) {
            match tap.line(g, line) {
                None => out.fill(0.0),
                Some(start) => {
                    let (inside, first) = (tap.columns.clone(), start + tap.first);
                    out[..inside.start].fill(0.0);
                    out[inside.end..].fill(0.0);
                    let out = &mut out[inside];
                    if out.is_empty() {
                        continue;
                    }
                    if g.spec.stride[2] == 1 {
                        out.copy_from_slice(&source[first..first + out.len()]);
                    } else {
                        let values = source[first..].iter().step_by(g.spec.stride[2]);
                        out.iter_mut().zip(values).for_each(|(o, &v)| *o = v);
                    }
                }
            }
        }
    };
    let work = if parallel { columns.len() } else { 0 };
    parallel::chunks(columns, row_len, work, fill);
}

/// Adds the rows of the matrix for some output lines to the elements they came from: the adjoint of
/// [`im2col`].
pub(super) fn col2im(g: &Geometry, columns: &[f32], lines: Range<usize>, x: &mut [f32]) {
    let (plane, width) = (g.input_plane(), g.output[2]);
    let row_len = lines.len() * width;
    if row_len == 0 {
        return;
    }
    for (index, row) in columns.chunks_exact(row_len).enumerate() {
        let (channel, tap) = (index / g.taps(), Tap::new(g, index % g.taps()));
        let target = &mut x[channel * plane..(channel + 1) * plane];
        for (line, values) in lines.clone().zip(row.chunks_exact(width)) {
            let Some(start) = tap.line(g, line) else {
                continue;
            };
            let values = &values[tap.columns.clone()];
            if values.is_empty() {
                continue;
            }
            let target = target[start + tap.first..]
                .iter_mut()
                .step_by(g.spec.stride[2]);
            target.zip(values).for_each(|(t, &v)| *t += v);
        }
    }
}

/// The output lines that meet the input through one kernel element, with where both begin.
pub(super) struct Lines {
    /// Starts in the output plane and in the input plane.
    starts: Vec<[usize; 2]>,
    /// Elements of each line.
    len: usize,
}

impl Lines {
    /// Those of every kernel element.
    pub fn of(g: &Geometry) -> Vec<Lines> {
        let width = g.output[2];
        let all = |tap: usize| {
            let tap = Tap::new(g, tap);
            let meets = |line: usize| {
                let input = tap.line(g, line)? + tap.first;
                Some([line * width + tap.columns.start, input])
            };
            let len = tap.columns.len();
            let lines = if len == 0 {
                0
            } else {
                g.output[0] * g.output[1]
            };
            Lines {
                starts: (0..lines).filter_map(meets).collect(),
                len,
            }
        };
        (0..g.taps()).map(all).collect()
    }

    /// `Σ dy · x` over all lines of one plane of each.
    pub fn product(&self, dy: &[f32], x: &[f32], stride: usize) -> f32 {
        let mut sum = 0f32;
        for &[to, from] in &self.starts {
            let dy = &dy[to..to + self.len];
            if stride == 1 {
                sum += dot(dy, &x[from..from + self.len]);
            } else {
                let x = x[from..].iter().step_by(stride);
                sum += dy.iter().zip(x).map(|(a, b)| a * b).sum::<f32>();
            }
        }
        sum
    }
}

/// `Σ a · b` in eight interleaved partial sums, which the compiler can vectorize.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// One kernel element: where it meets the input.
struct Tap {
    depth: usize,
    height: usize,
    /// The output columns at which it lies inside the input.
    columns: Range<usize>,
    /// The input column it meets at the first of them.
    first: usize,
}

impl Tap {
    fn new(g: &Geometry, tap: usize) -> Tap {
        let [_, kh, kw] = g.kernel;
        let offset = tap % kw * g.spec.dilation[2];
        let lengths = [g.output[2], g.input[2]];
        let (columns, first) = overlap(lengths, g.spec.stride[2], g.spec.padding[2], offset);
        Tap {
            depth: tap / (kw * kh) * g.spec.dilation[0],
            height: tap / kw % kh * g.spec.dilation[1],
            columns,
            first,
        }
    }

    /// Where the input line that meets an output line starts in its plane; `None` in the padding.
    fn line(&self, g: &Geometry, line: usize) -> Option<usize> {
        let inside = |axis: usize, out: usize, offset: usize| {
            (out * g.spec.stride[axis] + offset)
                .checked_sub(g.spec.padding[axis])
                .filter(|&at| at < g.input[axis])
        };
        let depth = inside(0, line / g.output[1], self.depth)?;
        let height = inside(1, line % g.output[1], self.height)?;
        Some((depth * g.input[1] + height) * g.input[2])
    }
}
