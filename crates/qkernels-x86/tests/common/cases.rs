//! One small layer for every path through the kernels.

use qkernels_x86::ConvShape;

/// A two-dimensional convolution of stride 1 that keeps the size of the image.
pub fn square(
    channels: [usize; 2],
    groups: usize,
    size: [usize; 2],
    kernel: [usize; 2],
) -> ConvShape {
    ConvShape {
        batch: 1,
        in_channels: channels[0],
        out_channels: channels[1],
        groups,
        input: [1, size[0], size[1]],
        kernel: [1, kernel[0], kernel[1]],
        stride: [1; 3],
        padding: [0, kernel[0] / 2, kernel[1] / 2],
        dilation: [1; 3],
    }
}

/// Rows, columns and depth of linear layers: single rows, tiles of every height, several panels, and
/// depths on either side of what is multiplied at a time.
pub fn linear_layers() -> Vec<[usize; 3]> {
    vec![
        [1, 1, 1],
        [1, 65, 70],
        [2, 33, 19],
        [3, 16, 64],
        [4, 17, 5],
        [5, 48, 31],
        [7, 80, 33],
        [13, 15, 147],
        [50, 20, 16],
        [6, 18, 520],
        [26, 33, 512],
    ]
}

/// Convolutions of every kind.
pub fn convolutions() -> Vec<ConvShape> {
    let three = [3, 3];
    let dense = square([16, 20], 1, [6, 7], three);
    let odd = square([5, 33], 1, [5, 4], three);
    let stem = square([3, 18], 1, [9, 11], [7, 7]);
    let point = square([24, 17], 1, [4, 5], [1, 1]);
    let depthwise = square([19, 19], 19, [6, 9], three);
    let stride = [1, 2, 2];
    let dilation = [1, 2, 2];
    vec![
        dense,
        ConvShape {
            batch: 2,
            ..square([32, 16], 1, [5, 5], three)
        },
        square([48, 3], 1, [1, 2], three),
        ConvShape { stride, ..dense },
        ConvShape {
            dilation,
            padding: [0, 2, 2],
            ..dense
        },
        odd,
        ConvShape {
            stride,
            padding: [0; 3],
            ..odd
        },
        ConvShape {
            batch: 2,
            stride,
            ..stem
        },
        ConvShape {
            padding: [0, 6, 0],
            ..stem
        },
        point,
        ConvShape { stride, ..point },
        ConvShape {
            padding: [0, 1, 2],
            ..point
        },
        depthwise,
        ConvShape {
            stride,
            ..depthwise
        },
        ConvShape {
            dilation,
            padding: [0, 2, 2],
            ..depthwise
        },
        square([8, 24], 8, [5, 6], [5, 5]),
        square([64, 64], 64, [7, 7], three),
        square([8, 8], 2, [5, 6], three),
        square([32, 32], 8, [5, 6], three),
        square([40, 34], 2, [4, 4], three),
        square([12, 36], 3, [4, 5], [1, 1]),
        ConvShape {
            input: [3, 4, 5],
            kernel: [2, 3, 2],
            padding: [1; 3],
            ..odd
        },
        ConvShape {
            input: [1, 1, 19],
            kernel: [1, 1, 5],
            padding: [0, 0, 2],
            ..dense
        },
    ]
}

/// Convolutions of 3×3 in groups of four and of eight channels: blocks of channels that overlap, panels that groups have for
/// themselves, rows as wide as no, one and several tiles, windows in the padding only.
pub fn narrow_groups() -> Vec<ConvShape> {
    let three = [3, 3];
    let stride = [1, 2, 2];
    let fours = square([48, 48], 12, [6, 17], three);
    let eights = square([24, 24], 3, [5, 10], three);
    vec![
        fours,
        ConvShape { stride, ..fours },
        eights,
        ConvShape { stride, ..eights },
        ConvShape {
            batch: 2,
            ..square([16, 16], 4, [7, 7], three)
        },
        square([20, 20], 5, [4, 3], three),
        square([12, 12], 3, [3, 8], three),
        square([152, 152], 19, [4, 14], three),
        ConvShape {
            stride,
            padding: [0, 3, 4],
            ..square([64, 64], 8, [6, 5], three)
        },
        ConvShape {
            padding: [0; 3],
            dilation: [1, 2, 1],
            ..square([40, 40], 5, [7, 9], three)
        },
        ConvShape {
            stride: [2, 1, 2],
            input: [4, 3, 13],
            ..square([16, 16], 2, [1, 1], three)
        },
        ConvShape {
            dilation: [1, 1, 2],
            ..eights
        },
        ConvShape {
            out_channels: 24,
            ..fours
        },
    ]
}
