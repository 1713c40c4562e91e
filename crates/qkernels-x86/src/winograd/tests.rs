//! The transforms against their definition, and what fits.

use super::*;

#[test]
fn weights_are_four_times_their_transform() {
    // G g Gᵀ of a matrix of ones is an outer product of (1, 3/2, 1/2, 1).
    let line = [2, 3, 1, 2];
    let want: [i16; 16] = core::array::from_fn(|i| line[i / 4] * line[i % 4]);
    assert_eq!(transformed([1; 9]), want);
    let mut corner = [0; 9];
    corner[2] = -128;
    let u = transformed(corner);
    assert_eq!((u[0], u[3], u[15], u[5]), (0, -512, 0, -128));
    let extreme = transformed([-128; 9]);
    assert_eq!(extreme.iter().min(), Some(&-1152));
}

#[test]
fn only_the_right_geometry_and_small_sums_fit() {
    let shape = ConvShape {
        batch: 1,
        in_channels: 32,
        out_channels: 4,
        groups: 1,
        input: [1, 8, 8],
        kernel: [1, 3, 3],
        stride: [1; 3],
        padding: [0, 1, 1],
        dilation: [1; 3],
    };
    assert!(fits(&shape, &[5, -7], &[-3, -9]));
    let limit = i32::MAX / (255 * 4);
    assert!(fits(&shape, &[limit], &[0]) && !fits(&shape, &[limit + 1], &[0]));
    assert!(fits(&shape, &[-limit], &[-limit]) && !fits(&shape, &[0], &[-limit - 1]));
    for other in [
        ConvShape {
            in_channels: 24,
            ..shape
        },
        ConvShape { groups: 2, ..shape },
        ConvShape {
            stride: [1, 2, 1],
            ..shape
        },
        ConvShape {
            dilation: [1, 1, 2],
            ..shape
        },
        ConvShape {
            kernel: [1, 3, 1],
            ..shape
        },
    ] {
        assert!(!fits(&other, &[0], &[0]), "{other:?}");
    }
}
