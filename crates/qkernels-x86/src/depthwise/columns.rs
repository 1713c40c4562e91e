//! Which depthwise convolutions go column by column, and their weights in the order that this needs.

use crate::isa::Isa;
use crate::isa::depthwise::{Columns, Form};
use crate::pack::Line;
use crate::shape::ConvShape;

use super::DepthwiseTaps;

/// The kernel that computes a layer on a tier, if there is one.
pub(super) fn kernel(isa: Isa, shape: &ConvShape) -> Option<Columns> {
    let [depth, height, width] = shape.kernel;
    let square = depth == 1 && height == width && matches!(height, 3 | 5);
    let dense = shape.dilation[2] == 1 && matches!(shape.stride[2], 1 | 2);
    if !square || !dense || shape.in_channels != shape.out_channels {
        return None;
    }
    Columns::of(isa, shape.out_channels)
}

/// Packs the weights of a square kernel in the order of a form: for every block of channels, tap of a row and
/// vector of kernel rows, lanes of neighbouring rows' weights.
///
/// Blocks begin with a line. The two vectors of the forms of four rows hold the lower and the upper four
/// channels of every eight, as unpacking leaves them.
pub(super) fn pack(taps: &DepthwiseTaps, form: Form) -> Vec<Line> {
    let (kernel, channels) = (taps.kernel[2], taps.out_channels);
    let vectors = form.channels().min(16) / 8;
    let lanes = form.channels() / vectors;
    let size = form.block(kernel);
    let mut lines = Vec::new();
    for block in 0..channels.div_ceil(form.channels()) {
        let first = size.first_channel(block, channels);
        let mut bytes = Vec::with_capacity(size.lines * size_of::<Line>());
        for tap in 0..kernel {
            for row in (0..kernel).step_by(form.rows()) {
                for vector in 0..vectors {
                    for lane in 0..lanes {
                        let channel = match vectors {
                            1 => lane,
                            _ => lane / 4 * 8 + vector * 4 + lane % 4,
                        };
                        let weight = |row| match row < kernel {
                            true => taps.weight(first + channel, row, tap),
                            false => 0,
                        };
                        for row in row..row + form.rows() {
                            let weight = weight(row).to_le_bytes();
                            bytes.extend_from_slice(&weight[..4 / form.rows()]);
                        }
                    }
                }
            }
        }
        bytes.resize(size.lines * size_of::<Line>(), 0);
        lines.extend(bytes.chunks_exact(size_of::<Line>()).map(|bytes| {
            let mut line = [0; size_of::<Line>()];
            line.copy_from_slice(bytemuck::cast_slice(bytes));
            Line(line)
        }));
    }
    lines
}
