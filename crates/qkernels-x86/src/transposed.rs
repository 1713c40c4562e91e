//! Transposed convolutions as ordinary ones, one for each kind of output position.
//!
//! Output `o` of a transposed convolution is the sum of `x[i] * w[k]` over all `i` and `k` with
//! `i * stride + k * dilation - padding = o`. Outputs of one residue modulo the stride, a *phase*, meet the same taps, and from
//! one of them to the next the inputs move by one. So a phase is a convolution of stride 1 with its taps back to front, and
//! no product with a zero between two inputs is ever made. With kernel 4, stride 2 and padding 1:
//!
//! ```text
//! input             x0        x1        x2        x3
//! phase 0  out 0    0·w3+x0·w1    out 2  x0·w3+x1·w1    ...        taps 3, 1
//! phase 1  out 1    x0·w2+x1·w0   out 3  x1·w2+x2·w0    ...        taps 2, 0
//! ```
//!
//! Each axis has its own phases. Phases with equally many taps along each axis are computed by one convolution, as output
//! channels beside each other ([`TransposedPart`]); [`TransposedPart::place`] brings its results to their positions.
//! With several groups of channels each phase has a convolution of its own, so that groups stay what they are.
//!
//! With `g = gcd(stride, dilation)` the taps of a phase are `stride / g` apart, and their inputs `dilation / g`.

use crate::error::{Error, Result, product};
use crate::shape::{ConvShape, check_axis, check_channels};

const OPERATION: &str = "conv_transpose";

/// The greatest size, step or padding along an axis; phases are computed with products of two of them.
const GREATEST: usize = 1 << 31;

/// Everything about a transposed convolution but its weights.
///
/// Memory is that of a [`ConvShape`]; weights are `[out_channels][in_channels / groups][depth][height][width]`.
///
/// ```
/// # use qkernels_x86::TransposedShape;
/// let shape = TransposedShape {
///     batch: 1, in_channels: 64, out_channels: 32, groups: 1, input: [1, 14, 14], kernel: [1, 4, 4],
///     stride: [1, 2, 2], padding: [0, 1, 1], output_padding: [0; 3], dilation: [1; 3],
/// };
/// shape.validate()?;
/// assert_eq!(shape.output(), [1, 28, 28]);
/// // Four phases of 2 x 2 taps, in one convolution.
/// let parts = shape.parts();
/// assert_eq!((parts.len(), parts[0].conv(&shape).map(|c| (c.kernel, c.out_channels))), (1, Some(([1, 2, 2], 128))));
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransposedShape {
    /// Images.
    pub batch: usize,
    /// Channels of the input, all groups together.
    pub in_channels: usize,
    /// Channels of the output, all groups together.
    pub out_channels: usize,
    /// Independent transposed convolutions that share the geometry; divides both channel counts.
    pub groups: usize,
    /// Input depth, height, width.
    pub input: [usize; 3],
    /// Kernel depth, height, width.
    pub kernel: [usize; 3],
    /// Step between the windows of neighbouring inputs along each axis of the output.
    pub stride: [usize; 3],
    /// Elements cut off at both ends of each axis of the output.
    pub padding: [usize; 3],
    /// Elements added at the far end of each axis of the output.
    pub output_padding: [usize; 3],
    /// Step between the elements of a window along each axis.
    pub dilation: [usize; 3],
}

impl TransposedShape {
    /// Checks that an output exists and that all lengths fit the address space.
    ///
    /// # Errors
    /// [`Error::Zero`] for a zero size (the batch may be empty), [`Error::Indivisible`] if groups do not divide the
    /// channels, [`Error::OutputPadding`], [`Error::Cut`] if the padding leaves no output, [`Error::TooLarge`] if a
    /// length overflows or a size exceeds 2^31.
    pub fn validate(&self) -> Result<()> {
        check_channels(
            OPERATION,
            [self.in_channels, self.out_channels, self.groups],
        )?;
        for axis in 0..3 {
            self.validate_axis(axis)?;
        }
        let [d, h, w] = self.input;
        product(OPERATION, &[self.batch, d, h, w, self.in_channels])?;
        let [d, h, w] = self.output();
        product(OPERATION, &[self.batch, d, h, w, self.out_channels])?;
        let [d, h, w] = self.kernel;
        let per_group = self.in_channels / self.groups;
        product(OPERATION, &[d, h, w, per_group, self.out_channels]).map(drop)
    }

    fn validate_axis(&self, axis: usize) -> Result<()> {
        let sizes = [self.input, self.kernel, self.stride, self.dilation];
        let sizes = sizes.map(|sizes| sizes[axis]);
        check_axis(OPERATION, sizes)?;
        if sizes
            .into_iter()
            .chain([self.padding[axis]])
            .any(|size| size > GREATEST)
        {
            return Err(Error::TooLarge {
                operation: OPERATION,
            });
        }
        let limit = self.stride[axis].max(self.dilation[axis]);
        if self.output_padding[axis] >= limit {
            return Err(Error::OutputPadding {
                operation: OPERATION,
                axis,
                padding: self.output_padding[axis],
                limit,
            });
        }
        let covered = self.covered(axis);
        if covered <= 2 * self.padding[axis] {
            return Err(Error::Cut {
                operation: OPERATION,
                axis,
                padding: self.padding[axis],
                length: covered,
            });
        }
        Ok(())
    }

    /// The length of an axis of the output before the padding is cut off.
    fn covered(&self, axis: usize) -> usize {
        let window = self.dilation[axis].saturating_mul(self.kernel[axis].saturating_sub(1));
        (self.input[axis].saturating_sub(1))
            .saturating_mul(self.stride[axis])
            .saturating_add(window)
            .saturating_add(self.output_padding[axis])
            .saturating_add(1)
    }

    /// `(input - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1` along each axis, 0 where that is
    /// negative.
    pub fn output(&self) -> [usize; 3] {
        core::array::from_fn(|axis| {
            let cut = self.padding[axis].saturating_mul(2);
            self.covered(axis).saturating_sub(cut)
        })
    }

    /// Multiplications of one call if nothing is cut off: inputs times products of each.
    pub fn macs(&self) -> u64 {
        let inputs = self.input.iter().chain([&self.batch, &self.in_channels]);
        let kernel = self.kernel.iter();
        inputs.chain(kernel).fold(
            (self.out_channels / self.groups.max(1)) as u64,
            |total, &size| total.saturating_mul(size as u64),
        )
    }

    /// The convolutions that compute this one; call [`TransposedShape::validate`] first.
    ///
    /// They depend on everything but the batch and the size of the input.
    pub fn parts(&self) -> Vec<TransposedPart> {
        let [depth, height, width] = core::array::from_fn(|axis| AxisPart::all(self, axis));
        let mut parts = Vec::new();
        for d in &depth {
            for h in &height {
                for w in &width {
                    parts.push(TransposedPart {
                        out_channels: self.out_channels,
                        axes: [d.clone(), h.clone(), w.clone()],
                    });
                }
            }
        }
        parts
    }

    /// The residues modulo the stride that outputs with products have along an axis.
    pub(crate) fn met(&self, axis: usize) -> Vec<usize> {
        let parts = AxisPart::all(self, axis);
        let phases = parts.iter().flat_map(|part| &part.phases);
        phases.map(|phase| phase.first).collect()
    }
}

/// Some phases of a transposed convolution, as one convolution.
#[derive(Clone, Debug)]
pub struct TransposedPart {
    pub(crate) out_channels: usize,
    pub(crate) axes: [AxisPart; 3],
}

impl TransposedPart {
    /// The convolution for a batch and an input size, or `None` if no output of that size is of these phases.
    ///
    /// `shape` differs from that of [`TransposedShape::parts`] in batch and input size alone.
    pub fn conv(&self, shape: &TransposedShape) -> Option<ConvShape> {
        let is_met = |axis: usize| {
            let phases = &self.axes[axis].phases;
            phases
                .iter()
                .any(|phase| phase.count(shape.input[axis]) > 0)
        };
        (0..3).all(is_met).then(|| ConvShape {
            batch: shape.batch,
            input: shape.input,
            ..self.least(shape)
        })
    }

    /// The convolution of the smallest input that it has an output for, and an empty batch: what weights are packed with.
    pub fn least(&self, shape: &TransposedShape) -> ConvShape {
        let [taps, padding, dilation] = [
            self.axes.each_ref().map(|axis| axis.taps),
            self.axes.each_ref().map(|axis| axis.padding),
            self.axes.each_ref().map(|axis| axis.dilation),
        ];
        ConvShape {
            batch: 0,
            in_channels: shape.in_channels,
            out_channels: self.members() * self.out_channels,
            groups: shape.groups,
            input: core::array::from_fn(|axis| (taps[axis] - 1) * dilation[axis] + 1),
            kernel: taps,
            stride: [1; 3],
            padding,
            dilation,
        }
    }

    /// Phases, each of which has all output channels once.
    pub fn members(&self) -> usize {
        self.axes.iter().map(|axis| axis.phases.len()).product()
    }

    /// Whether the convolution's outputs are those of `shape`, each at its place.
    pub fn is_whole(&self, shape: &TransposedShape) -> bool {
        let all = (self.axes.iter()).all(|axis| axis.phases.iter().all(|p| p.offset == 0));
        let output = self.conv(shape).map(|conv| conv.output());
        shape.stride == [1; 3] && all && output == Some(shape.output())
    }

    /// The convolution's weights, from those of the transposed one.
    ///
    /// # Errors
    /// [`Error::Length`] if `w` does not hold as many as `shape` says.
    pub fn weights<T: Copy>(&self, shape: &TransposedShape, w: &[T]) -> Result<Vec<T>> {
        let [depth, height, width] = shape.kernel;
        let channels = shape.in_channels / shape.groups;
        let taps = depth * height * width;
        let expected = product(OPERATION, &[shape.out_channels, channels, taps])?;
        crate::error::exactly(OPERATION, "weight", expected, w.len())?;
        let [d, h, w_axis] = &self.axes;
        let mut all = Vec::new();
        for pd in &d.phases {
            for ph in &h.phases {
                for pw in &w_axis.phases {
                    for row in w.chunks_exact(taps) {
                        for kd in d.taps_of(pd) {
                            for kh in h.taps_of(ph) {
                                let line = (kd * height + kh) * width;
                                all.extend(w_axis.taps_of(pw).map(|kw| row[line + kw]));
                            }
                        }
                    }
                }
            }
        }
        Ok(all)
    }

    /// One value per output channel of the convolution, from those of the transposed one.
    pub fn stacked<T: Clone>(&self, values: &[T]) -> Vec<T> {
        let copies = core::iter::repeat_n(values, self.members());
        copies.flat_map(|values| values.iter().cloned()).collect()
    }
}

/// Phases of one axis with equally many taps.
#[derive(Clone, Debug)]
pub(crate) struct AxisPart {
    /// Taps of each.
    taps: usize,
    /// From tap to tap in the original kernel.
    step: usize,
    /// From tap to tap in the input.
    dilation: usize,
    /// At both ends of the input, as much as any of the phases needs.
    padding: usize,
    /// In the order in which the results of one position of the convolution lie in the output.
    pub(crate) phases: Vec<Phase>,
}

/// Outputs of one residue modulo the stride.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    /// The residue, which is the first of the outputs.
    pub(crate) first: usize,
    /// The first tap.
    tap: usize,
    /// The position of the convolution that computes the first output.
    pub(crate) offset: usize,
    /// Outputs beyond the size of the input.
    extra: i64,
}

impl Phase {
    /// Outputs of this phase.
    fn count(&self, input: usize) -> usize {
        usize::try_from(input as i64 + self.extra).unwrap_or(0)
    }
}

impl AxisPart {
    fn all(shape: &TransposedShape, axis: usize) -> Vec<AxisPart> {
        let [stride, dilation, kernel, padding, output_padding] = [
            shape.stride,
            shape.dilation,
            shape.kernel,
            shape.padding,
            shape.output_padding,
        ]
        .map(|sizes| sizes[axis] as i64);
        let common = gcd(stride, dilation);
        let (step, apart) = (stride / common, dilation / common);
        // Where the last output lies relative to the first one of the last input.
        let last = dilation * (kernel - 1) + output_padding - 2 * padding;
        let mut parts: Vec<AxisPart> = Vec::new();
        for tap in 0..step.min(kernel) {
            let first = (tap * dilation - padding).rem_euclid(stride);
            // The input that this tap multiplies for the first output.
            let input = (first + padding - tap * dilation) / stride;
            let taps = (kernel - tap + step - 1) / step;
            let before = (taps - 1) * apart - input;
            let extra = (last - first).div_euclid(stride);
            let after = input + extra;
            let together = |part: &AxisPart| shape.groups == 1 && part.taps == taps as usize;
            let index = parts.iter().position(together).unwrap_or_else(|| {
                parts.push(AxisPart {
                    taps: taps as usize,
                    step: step as usize,
                    dilation: apart as usize,
                    padding: 0,
                    phases: Vec::new(),
                });
                parts.len() - 1
            });
            let part = &mut parts[index];
            let padding = before.max(after).max(0) as usize;
            if padding > part.padding {
                let more = padding - part.padding;
                part.phases
                    .iter_mut()
                    .for_each(|phase| phase.offset += more);
                part.padding = padding;
            }
            part.phases.push(Phase {
                first: first as usize,
                tap: tap as usize,
                offset: (part.padding as i64 - before) as usize,
                extra,
            });
        }
        for part in &mut parts {
            part.phases.sort_by_key(|phase| phase.place(stride));
        }
        parts
    }

    /// The taps of a phase in the original kernel, back to front.
    fn taps_of(&self, phase: &Phase) -> impl Iterator<Item = usize> + use<> {
        let (first, step) = (phase.tap, self.step);
        (0..self.taps).rev().map(move |tap| first + tap * step)
    }
}

impl Phase {
    /// The output that position 0 of the convolution computes; it lies before the output's start if it is cut off.
    pub(crate) fn place(&self, stride: i64) -> i64 {
        self.first as i64 - self.offset as i64 * stride
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
