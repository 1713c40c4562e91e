//! A copy of an image with its padding around it, for layers of few channels.
//!
//! Where whole kernel rows are segments, those at the left and right edges lie partly in the padding. One
//! copy of the image, which is small because its channels are few, makes all of them plain runs of bytes.

use core::cell::RefCell;

use crate::shape::ConvShape;

thread_local! {
    static COPY: RefCell<Vec<u8>> = RefCell::default();
}

/// Calls `work` with the padded input and the shape that has it as its input. The copy has `slack` bytes more.
pub(crate) fn with_padding<T>(
    x: &[u8],
    shape: &ConvShape,
    zero_point: u8,
    slack: usize,
    work: impl FnOnce(&[u8], &ConvShape) -> T,
) -> T {
    let [depth, height, width] = shape.input;
    let [over, above, left] = shape.padding;
    let padded = ConvShape {
        input: core::array::from_fn(|axis| shape.input[axis] + 2 * shape.padding[axis]),
        padding: [0; 3],
        ..*shape
    };
    let [_, padded_height, padded_width] = padded.input;
    let (line, plane) = (
        padded_width * shape.in_channels,
        padded_height * padded_width,
    );
    // Taken out of its cell, because rayon may run other work on this thread while it waits.
    let mut copy = COPY.take();
    copy.clear();
    copy.resize(padded.input_len() + slack, zero_point);
    for (index, row) in x[..shape.input_len()]
        .chunks_exact(width * shape.in_channels)
        .enumerate()
    {
        let (image, d, h) = (
            index / height / depth,
            index / height % depth,
            index % height,
        );
        let plane_index = image * padded.input[0] + over + d;
        let start = plane_index * plane * shape.in_channels + (above + h) * line;
        copy[start + left * shape.in_channels..][..row.len()].copy_from_slice(row);
    }
    let result = work(&copy, &padded);
    COPY.set(copy);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_lie_in_the_middle() {
        let shape = ConvShape {
            batch: 2,
            in_channels: 1,
            out_channels: 1,
            groups: 1,
            input: [1, 1, 2],
            kernel: [1, 1, 3],
            stride: [1; 3],
            padding: [0, 1, 1],
            dilation: [1; 3],
        };
        let (copy, padded) =
            with_padding(&[1, 2, 3, 4], &shape, 9, 2, |x, shape| (x.to_vec(), *shape));
        #[rustfmt::skip]
        let want = [
            9, 9, 9, 9,  9, 1, 2, 9,  9, 9, 9, 9,
            9, 9, 9, 9,  9, 3, 4, 9,  9, 9, 9, 9,
            9, 9,
        ];
        assert_eq!((copy.as_slice(), padded.input), (&want[..], [1, 3, 4]));
        assert_eq!((padded.padding, padded.output()), ([0; 3], shape.output()));
    }
}
