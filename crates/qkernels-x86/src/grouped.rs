//! 3×3 convolutions in groups of four or of eight channels, of as many outputs each (ResNeXt, RegNet).
//!
//! A panel of sixteen columns serves four such groups only by products with zeros, three of four. Here a lane has the
//! inputs of its own group and no others ([`isa::grouped`](crate::isa::grouped)), straight from the input and in the loops of
//! [`columns`](crate::columns). Other geometries, and the tiers below AVX2, take panels.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::columns::Run;
use crate::context::Context;
use crate::finish::FromSums;
use crate::isa::grouped::{Form, Grouped, KERNEL};
use crate::isa::sweep::{Block, Sweeper};
use crate::pack::{Dense, Line, PANEL, PackedWeights, QUAD};
use crate::plan;
use crate::shape::ConvShape;

/// The weights of narrow groups in the orders of the kernels, each made when a tier first asks for it.
#[derive(Clone, Debug)]
pub(crate) struct GroupedTaps {
    /// Channels of a group.
    group: usize,
    forms: [OnceLock<Vec<Line>>; Form::ALL.len()],
}

impl GroupedTaps {
    /// Those of a layer whose groups and kernel the kernels know.
    pub(crate) fn new(shape: &ConvShape, dense: &Dense) -> Option<GroupedTaps> {
        let group = shape.group_channels();
        let narrow = shape.groups > 1
            && matches!(group, 4 | 8)
            && shape.in_channels == shape.out_channels
            && dense.columns <= PANEL;
        let geometry = shape.kernel == [1, KERNEL, KERNEL]
            && shape.dilation[2] == 1
            && matches!(shape.stride[2], 1 | 2);
        (narrow && geometry).then(|| GroupedTaps {
            group,
            forms: Default::default(),
        })
    }

    fn lines(&self, dense: &Dense, kernel: Grouped) -> &[Line] {
        self.forms[kernel.form() as usize].get_or_init(|| {
            let block = kernel.block(KERNEL);
            pack(dense, self.group, kernel.form(), block)
        })
    }
}

/// Orders weights `[block of channels][row][part of a group's inputs][tap][channel][input]`; blocks begin with a line.
fn pack(dense: &Dense, group: usize, form: Form, block: Block) -> Vec<Line> {
    let channels = dense.groups * dense.columns;
    // Several groups may share a panel, in which each has the channels of its columns.
    let weight = |channel: usize, tap: usize, input: usize| {
        let column = channel % dense.columns;
        let c = column / group * group + input;
        let line = &dense.lines(channel / dense.columns, 0, 1)[tap * dense.quads() + c / QUAD];
        line.0[column * QUAD + c % QUAD]
    };
    let mut lines = Vec::new();
    for index in 0..channels.div_ceil(block.channels) {
        let first = block.first_channel(index, channels);
        let mut bytes: Vec<u8> = Vec::with_capacity(block.lines * size_of::<Line>());
        for row in 0..KERNEL {
            for part in (0..group).step_by(form.inputs()) {
                for tap in 0..KERNEL {
                    for channel in first..first + block.channels {
                        for input in part..part + form.inputs() {
                            let weight = weight(channel, row * KERNEL + tap, input);
                            let bits = i16::from(weight).to_le_bytes();
                            bytes.extend_from_slice(&bits[..QUAD / form.inputs()]);
                        }
                    }
                }
            }
        }
        bytes.resize(block.lines * size_of::<Line>(), 0);
        lines.extend(bytes.chunks_exact(size_of::<Line>()).map(|bytes| {
            let mut line = [0; size_of::<Line>()];
            line.copy_from_slice(bytemuck::cast_slice(bytes));
            Line(line)
        }));
    }
    lines
}

/// A convolution that a kernel of narrow groups computes.
pub(crate) struct Job<'a> {
    ctx: &'a Context,
    kernel: Grouped,
    dense: &'a Dense,
    weights: &'a [Line],
    x: &'a [u8],
    shape: &'a ConvShape,
}

impl<'a> Job<'a> {
    /// The convolution of these weights, if there is a kernel for it and the tier.
    pub(crate) fn of(
        ctx: &'a Context,
        weights: &'a PackedWeights,
        x: &'a [u8],
        shape: &'a ConvShape,
    ) -> Option<Job<'a>> {
        let (taps, dense) = weights.grouped()?;
        let kernel = Grouped::of(ctx.isa, shape.out_channels, taps.group)?;
        Some(Job {
            ctx,
            kernel,
            dense,
            weights: taps.lines(dense, kernel),
            x,
            shape,
        })
    }

    /// One value for each output channel, of those that were spread for panels.
    pub(crate) fn unpad<'b, T: Copy>(&self, padded: &'b [T]) -> Cow<'b, [T]> {
        self.dense.unpad(padded)
    }

    /// Computes it; `start` holds a value for each output channel.
    pub(crate) fn conv<C: FromSums>(
        &self,
        start: &[i32],
        input_zero_point: u8,
        from: C,
        out: &mut [C::Out],
    ) {
        let channels = self.shape.out_channels;
        let pieces = (self.ctx).pieces(self.shape.macs(), plan::SERIAL_BELOW);
        let pixels = self.shape.output_rows().div_ceil(pieces).max(1);
        Context::chunks(out, pixels * channels, |index, out| {
            let run = Run {
                isa: self.ctx.isa,
                kernel: self.kernel,
                x: self.x,
                shape: self.shape,
                weights: self.weights,
                start,
                input_zero_point,
                from,
                first: index / channels,
            };
            run.compute(out);
        });
    }
}
