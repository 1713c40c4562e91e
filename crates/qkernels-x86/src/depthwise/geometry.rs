//! Where the columns of a row lie while it is staged.

use crate::shape::ConvShape;

/// Bytes of staged rows to keep in use at a time: most of an L1 cache.
const STAGE_BYTES: usize = 24 << 10;

/// The part of the geometry along the width that staging decides.
///
/// Positions that outputs next to each other meet with one tap are neighbours in a staged row, for every stride: its parts hold
/// the positions of the same remainder by the step between outputs.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    /// Every `grain`-th column of the padded row is read, and staged.
    grain: usize,
    /// Outputs of a row.
    pub(super) outputs: usize,
    /// Parts of a staged row.
    pub(super) parts: usize,
    /// Positions of a part.
    pub(super) part: usize,
    /// Columns of padding before the row.
    padding: usize,
    /// Positions between two taps, before they are parted.
    tap_step: usize,
    /// Taps of a kernel row.
    pub(super) across: usize,
    /// Rows of the kernel, depth times height.
    pub(super) kernel_rows: usize,
    /// Blocks of channels staged at a time.
    pub(super) group: usize,
}

impl Geometry {
    /// Rows are staged for so many `lanes` at a time. `None` if that would take many times the memory of input and output.
    pub(super) fn new(shape: &ConvShape, lanes: usize) -> Option<Geometry> {
        let [stride, dilation, padding] = [shape.stride[2], shape.dilation[2], shape.padding[2]];
        let across = shape.kernel[2];
        let kernel_rows = shape.kernel[0] * shape.kernel[1];
        let last_output = shape.output()[2] - 1;
        // A single tap has no second one, a single output no second output.
        let tap_distance = if across > 1 { dilation } else { 0 };
        let output_distance = if last_output > 0 { stride } else { 0 };
        let grain = gcd(tap_distance, output_distance).max(1);
        let parts = (output_distance / grain).max(1);
        let tap_step = tap_distance / grain;
        let part = last_output + (across - 1) * tap_step / parts + 1;
        let positions = part.saturating_mul(parts);
        let row_bytes = (kernel_rows + 1)
            .saturating_mul(positions)
            .saturating_mul(lanes * size_of::<i16>());
        let elements = shape.input_len() + shape.output_rows() * shape.out_channels;
        let allowed = elements.saturating_mul(64).saturating_add(1 << 20);
        if row_bytes > allowed {
            return None;
        }
        let blocks = shape.out_channels.div_ceil(lanes);
        Some(Geometry {
            grain,
            outputs: last_output + 1,
            parts,
            part,
            padding,
            tap_step,
            across,
            kernel_rows,
            group: (STAGE_BYTES / row_bytes).clamp(1, blocks),
        })
    }

    /// Positions of a staged row.
    pub(super) fn positions(&self) -> usize {
        self.parts * self.part
    }

    /// Where the positions under the first output lie in a staged row.
    pub(super) fn under(&self) -> impl Iterator<Item = usize> + use<> {
        let Geometry {
            tap_step,
            parts,
            part,
            ..
        } = *self;
        (0..self.across).map(move |at| {
            let place = at * tap_step;
            place % parts * part + place / parts
        })
    }

    /// The first position of a part that lies in the input, and its column there; the next ones are
    /// [`pitch`](Self::pitch) columns from each other.
    pub(super) fn first_real(&self, part: usize) -> (usize, usize) {
        let column = part * self.grain;
        let skip = self.padding.saturating_sub(column).div_ceil(self.pitch());
        (skip, skip * self.pitch() + column - self.padding)
    }

    /// Columns between neighbouring positions of a part.
    pub(super) fn pitch(&self) -> usize {
        self.grain * self.parts
    }
}

/// The greatest common divisor; that of a number and 0 is the number.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
