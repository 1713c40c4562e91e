//! Depthwise convolution, without a matrix product.
//!
//! Each input plane is copied once into a padded scratch plane whose lines are split by
//! `column mod stride`. Behind that, the elements that one kernel element meets along a line are
//! neighbours in memory for every stride and dilation, and no edge needs a test:
//!
//! ```text
//! padded line, stride 2:   a0 b0 a1 b1 a2 b2 …
//! scratch:                 a0 a1 a2 … | b0 b1 b2 …
//! ```
//!
//! A line of outputs is then a sum of shifted scratch lines, with nothing in the loop but vectors.

use qkernels_x86::{Isa, Work};
use rayon::prelude::*;

use super::geometry::Geometry;
use super::parallel::SERIAL_BELOW;
use crate::error::Result;

/// Lines of outputs are rounded up to this many; the scratch plane has as many spare elements behind it.
const BLOCK: usize = 16;

/// Whether this way computes the convolution: one input channel a group, and a padded plane that is not out of
/// all proportion to input and output, as only absurd padding and strides can make it.
pub(super) fn applies(g: &Geometry) -> bool {
    // A scratch line has as many parts as the stride, though the windows may cover but one of them.
    let line = reach(g, 2)
        .div_ceil(g.spec.stride[2])
        .saturating_mul(g.spec.stride[2]);
    let padded = (0..2).fold(line, |size, axis| size.saturating_mul(reach(g, axis)));
    let real = g.input_plane().saturating_add(g.output_plane());
    g.channels == 1 && g.spec.groups > 1 && padded <= real.saturating_mul(4).saturating_add(4096)
}

/// How much of the padded input the windows cover along one axis.
fn reach(g: &Geometry, axis: usize) -> usize {
    let last = (g.output[axis] - 1) * g.spec.stride[axis];
    last + (g.kernel[axis] - 1) * g.spec.dilation[axis] + 1
}

/// Convolves with one input channel a group; `out` is `[N, O, …]`, row-major as `x` is.
pub(super) fn depthwise(
    g: &Geometry,
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) -> Result<()> {
    let (from, to, taps) = (g.input_plane(), g.filters * g.output_plane(), g.taps());
    // Without images, too, nothing bounds the planes that the scratch would be made for.
    if out.is_empty() {
        return Ok(());
    }
    let isa = Isa::active()?;
    let plan = Plan::new(g);
    // One job computes all outputs of one input channel.
    let job = |scratch: &mut Vec<f32>, index: usize, out: &mut [f32]| {
        let first = index % g.spec.groups * g.filters;
        isa.vectorize(Planes {
            plan: &plan,
            g,
            x: &x[index * from..(index + 1) * from],
            weights: &weights[first * taps..(first + g.filters) * taps],
            bias: bias.map(|bias| &bias[first..first + g.filters]),
            scratch,
            out,
        });
    };
    let sums = g.output[2].next_multiple_of(BLOCK);
    let scratch = || vec![0f32; plan.scratch_len() + sums];
    if g.work() < SERIAL_BELOW {
        let mut scratch = scratch();
        let jobs = out.chunks_exact_mut(to).enumerate();
        jobs.for_each(|(index, out)| job(&mut scratch, index, out));
    } else {
        let jobs = out.par_chunks_exact_mut(to).enumerate();
        jobs.for_each_init(scratch, |scratch, (index, out)| job(scratch, index, out));
    }
    Ok(())
}

/// Where things lie in the scratch plane.
struct Plan {
    /// Padded input lines along depth and height that some output needs.
    lines: [usize; 2],
    /// Distance between the parts of a line with different `column mod stride`.
    phase: usize,
    /// Length of a scratch line: all its parts.
    line: usize,
    /// Where each kernel element lies, seen from the output's own line and column.
    offsets: Vec<usize>,
}

impl Plan {
    fn new(g: &Geometry) -> Plan {
        let (spec, stride) = (&g.spec, g.spec.stride[2]);
        let (lines, phase) = ([reach(g, 0), reach(g, 1)], reach(g, 2).div_ceil(stride));
        let line = phase * stride;
        let [_, kh, kw] = g.kernel;
        let offset = |tap: usize| {
            let depth = tap / (kw * kh) * spec.dilation[0];
            let height = tap / kw % kh * spec.dilation[1];
            let column = tap % kw * spec.dilation[2];
            (depth * lines[1] + height) * line + column % stride * phase + column / stride
        };
        Plan {
            lines,
            phase,
            line,
            offsets: (0..g.taps()).map(offset).collect(),
        }
    }

    fn scratch_len(&self) -> usize {
        self.lines[0] * self.lines[1] * self.line + BLOCK
    }
}

/// All output planes of one input plane.
struct Planes<'a> {
    plan: &'a Plan,
    g: &'a Geometry,
    x: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    /// The scratch plane, then a line of sums. The plane's padding is 0 and stays so: only positions of
    /// real elements are ever written.
    scratch: &'a mut [f32],
    out: &'a mut [f32],
}

impl Work for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        self.spread();
        let (plane, taps) = (self.g.output_plane(), self.g.taps());
        let [_, height, width] = self.g.output;
        let (scratch, sums) = self.scratch.split_at_mut(self.plan.scratch_len());
        for (index, out) in self.out.chunks_exact_mut(plane).enumerate() {
            let weights = &self.weights[index * taps..(index + 1) * taps];
            let bias = self.bias.map_or(0.0, |bias| bias[index]);
            for (line, out) in out.chunks_exact_mut(width).enumerate() {
                let depth = line / height * self.g.spec.stride[0];
                let from = line % height * self.g.spec.stride[1];
                let start = (depth * self.plan.lines[1] + from) * self.plan.line;
                let scratch = &scratch[start..];
                match width {
                    1..=8 => short_line::<8>(scratch, self.plan, weights, bias, out),
                    9..=16 => short_line::<16>(scratch, self.plan, weights, bias, out),
                    _ => {
                        convolve_line(scratch, self.plan, weights, bias, sums);
                        out.copy_from_slice(&sums[..width]);
                    }
                }
            }
        }
    }
}

impl Planes<'_> {
    /// Copies the input plane into the scratch plane.
    #[inline(always)]
    fn spread(&mut self) {
        let g = self.g;
        let (stride, padding) = (g.spec.stride, g.spec.padding);
        for line in 0..self.plan.lines[0] * self.plan.lines[1] {
            let depth = (line / self.plan.lines[1]).wrapping_sub(padding[0]);
            let height = (line % self.plan.lines[1]).wrapping_sub(padding[1]);
            // A position before the input wraps around to a number that is too large as well.
            if depth >= g.input[0] || height >= g.input[1] {
                continue;
            }
            let from = (depth * g.input[1] + height) * g.input[2];
            let source = &self.x[from..from + g.input[2]];
            let parts = self.scratch[line * self.plan.line..].chunks_exact_mut(self.plan.phase);
            for (phase, part) in parts.take(stride[2]).enumerate() {
                // Element `i` of this part is input column `i·stride + phase − padding`.
                let skip = padding[2].saturating_sub(phase).div_ceil(stride[2]);
                let first = skip * stride[2] + phase - padding[2];
                if skip >= part.len() || first >= source.len() {
                    continue;
                }
                let (part, source) = (&mut part[skip..], &source[first..]);
                if stride[2] == 1 {
                    let n = part.len().min(source.len());
                    part[..n].copy_from_slice(&source[..n]);
                } else {
                    let source = source.iter().step_by(stride[2]);
                    part.iter_mut().zip(source).for_each(|(o, &v)| *o = v);
                }
            }
        }
    }
}

/// One line of outputs from the scratch elements behind its first window.
///
/// `sums` is the line rounded up to whole vectors, so that no column is left to scalar code.
#[inline(always)]
fn convolve_line(scratch: &[f32], plan: &Plan, weights: &[f32], bias: f32, sums: &mut [f32]) {
    sums.fill(bias);
    // Nine kernel elements at a time, then three, then one: the more, the less often sums are stored.
    let (weights, offsets) = add_groups::<9>(scratch, weights, &plan.offsets, sums);
    let (weights, offsets) = add_groups::<3>(scratch, weights, offsets, sums);
    add_groups::<1>(scratch, weights, offsets, sums);
}

/// Adds `T` kernel elements at a time and answers those left over.
#[inline(always)]
fn add_groups<'a, const T: usize>(
    scratch: &[f32],
    weights: &'a [f32],
    offsets: &'a [usize],
    sums: &mut [f32],
) -> (&'a [f32], &'a [usize]) {
    let (weights, more_weights) = weights.as_chunks::<T>();
    let (offsets, more_offsets) = offsets.as_chunks::<T>();
    let len = sums.len();
    for (weights, offsets) in weights.iter().zip(offsets) {
        let mut sources = [&scratch[..0]; T];
        for (source, &offset) in sources.iter_mut().zip(offsets) {
            *source = &scratch[offset..offset + len];
        }
        for (i, sum) in sums.iter_mut().enumerate() {
            let mut total = *sum;
            for (weight, source) in weights.iter().zip(&sources) {
                total += weight * source[i];
            }
            *sum = total;
        }
    }
    (more_weights, more_offsets)
}

/// A line of at most `N` outputs, kept in registers over all kernel elements.
#[inline(always)]
fn short_line<const N: usize>(
    scratch: &[f32],
    plan: &Plan,
    weights: &[f32],
    bias: f32,
    out: &mut [f32],
) {
    // Every access in the loop has a constant length, without which the sums would live in memory.
    let mut sums = [bias; N];
    for (&weight, &offset) in weights.iter().zip(&plan.offsets) {
        let Some(values) = scratch[offset..].first_chunk::<N>() else {
            unreachable!("the scratch plane has {BLOCK} spare elements");
        };
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += weight * value;
        }
    }
    let all = sums;
    out.copy_from_slice(&all[..out.len()]);
}
