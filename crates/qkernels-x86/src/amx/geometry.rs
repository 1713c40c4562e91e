//! Where the rows of a product lie in its input.

use crate::shape::ConvShape;

/// Where the rows of a product lie in its input: planes of lines of equally distant rows.
pub(crate) struct Geometry {
    /// Output depths of an image, and bytes from one image and one depth to the next.
    pub(super) planes: [usize; 3],
    /// Lines of a plane, and bytes from one to the next.
    pub(super) lines: [usize; 2],
    /// Rows of a line, and bytes from one to the next.
    pub(super) rows: [usize; 2],
    /// Where each segment begins within a row.
    pub(super) segments: Vec<usize>,
    /// All rows.
    pub(super) total: usize,
}

impl Geometry {
    /// A matrix of `m` rows of `k` bytes.
    pub(crate) fn matrix(m: usize, k: usize) -> Geometry {
        Geometry {
            planes: [1, 0, 0],
            lines: [1, 0],
            rows: [m, k],
            segments: vec![0],
            total: m,
        }
    }

    /// The windows of a convolution without padding; segments are kernel rows if `row_run`, else taps.
    pub(crate) fn windows(shape: &ConvShape, row_run: bool) -> Geometry {
        let [_, height, width] = shape.input;
        let [depth, lines, rows] = shape.output();
        let pixel = shape.in_channels;
        let (line, plane) = (width * pixel, height * width * pixel);
        let [kernel_depth, kernel_height, kernel_width] = shape.kernel;
        let per_line = if row_run { 1 } else { kernel_width };
        let mut segments = Vec::with_capacity(kernel_depth * kernel_height * per_line);
        for kd in 0..kernel_depth {
            for kh in 0..kernel_height {
                for kw in 0..per_line {
                    segments.push(
                        kd * shape.dilation[0] * plane
                            + kh * shape.dilation[1] * line
                            + kw * shape.dilation[2] * pixel,
                    );
                }
            }
        }
        Geometry {
            planes: [depth, shape.input[0] * plane, shape.stride[0] * plane],
            lines: [lines, shape.stride[1] * line],
            rows: [rows, shape.stride[2] * pixel],
            segments,
            total: shape.output_rows(),
        }
    }

    /// Where a line begins, counted over all planes.
    pub(super) fn line(&self, index: usize) -> usize {
        let [depths, image, depth] = self.planes;
        let (plane, line) = (index / self.lines[0], index % self.lines[0]);
        plane / depths * image + plane % depths * depth + line * self.lines[1]
    }
}
