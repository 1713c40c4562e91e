//! A copy of an image with its padding around it, for layers of few channels.
//!
//! Where whole kernel rows are segments, those at the left and right edges lie partly in the padding. One
//! copy of the image, which is small because its channels are few, makes all of them plain runs of bytes.

use core::cell::RefCell;
use core::ops::Range;

use crate::plan::CACHE_LINE;
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
    let height = shape.input[1] + 2 * shape.padding[1];
    let all = (0..shape.batch, 0..height);
    with_band(x, shape, all, zero_point, slack, work)
}

/// [`with_padding`] for some images, and some lines of each of their padded planes.
pub(crate) fn with_band<T>(
    x: &[u8],
    shape: &ConvShape,
    (images, lines): (Range<usize>, Range<usize>),
    zero_point: u8,
    slack: usize,
    work: impl FnOnce(&[u8], &ConvShape) -> T,
) -> T {
    let [depth, height, width] = shape.input;
    let [over, above, left] = shape.padding;
    let band = ConvShape {
        batch: images.len(),
        input: [depth + 2 * over, lines.len(), width + 2 * left],
        padding: [0; 3],
        ..*shape
    };
    let (row, edge) = (width * shape.in_channels, left * shape.in_channels);
    // Taken out of its cell, because rayon may run other work on this thread while it waits.
    let mut copy = COPY.take();
    let len = band.input_len() + slack;
    copy.resize(copy.len().max(len + CACHE_LINE), 0);
    // Tiles load 64 bytes of a pixel: beside the lines of the cache each of them would be two accesses.
    let start = copy.as_ptr().align_offset(CACHE_LINE).min(CACHE_LINE);
    let aligned = &mut copy[start..start + len];
    let mut padded = aligned.chunks_exact_mut(row + 2 * edge);
    for image in images {
        for d in 0..band.input[0] {
            for (h, out) in lines.clone().zip(&mut padded) {
                let source = d.checked_sub(over).zip(h.checked_sub(above));
                let source = source.filter(|&(d, h)| d < depth && h < height);
                let Some((d, h)) = source else {
                    out.fill(zero_point);
                    continue;
                };
                let at = ((image * depth + d) * height + h) * row;
                out[..edge].fill(zero_point);
                out[edge..edge + row].copy_from_slice(&x[at..at + row]);
                out[edge + row..].fill(zero_point);
            }
        }
    }
    aligned[len - slack..].fill(zero_point);
    let result = work(aligned, &band);
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

        // A shorter copy after a longer one, of the second image's upper line of padding and its only line.
        let band = (1..2, 0..2);
        let (copy, band) = with_band(&[1, 2, 3, 4], &shape, band, 8, 1, |x, shape| {
            (x.to_vec(), *shape)
        });
        assert_eq!(copy, [8, 8, 8, 8, 8, 3, 4, 8, 8]);
        assert_eq!((band.batch, band.input), (1, [1, 2, 4]));
    }
}
