//! Padding, shuffling and interpolation, float and quantized, against plain index arithmetic and PyTorch 2.6's integers.

use crate::common::*;
use qops::{Interpolation, PadMode, ResizeTo, float, quantized as q8};
use qtensor_core::{
    DType, MemoryFormat, QTensor, Quantizer, Tensor, make_per_channel_quantized_tensor,
};

const HALVES: Interpolation = Interpolation::Bilinear {
    align_corners: false,
};
const CORNERS: Interpolation = Interpolation::Bilinear {
    align_corners: true,
};

/// Integers that rise and fall; the recorded results are of these.
fn wavy(shape: &[usize], zero_point: i32) -> QTensor {
    let n: usize = shape.iter().product();
    let ints: Vec<i32> = (0..n)
        .map(|i| ((i * i * 37 + i * 11 + 5) % 256) as i32)
        .collect();
    quantized(&ints, shape, DType::QUInt8, 0.1, zero_point)
}

/// The tensor with a scale and zero point for each index of `axis`.
fn per_channel(x: &QTensor, axis: usize) -> QTensor {
    let channels = x.shape()[axis];
    let scales: Vec<f64> = (0..channels).map(|c| 0.5 + 0.25 * c as f64).collect();
    let zero_points: Vec<i32> = (0..channels as i32).collect();
    make_per_channel_quantized_tensor(x.int_repr().clone(), &scales, &zero_points, axis).unwrap()
}

/// The tensor in every layout that a test can make of it.
fn views(x: &QTensor) -> Vec<QTensor> {
    if !matches!(x.quantizer(), Quantizer::PerChannel { axis: 0, .. }) {
        return layouts(x);
    }
    // A longer tensor to cut it from would need further scales.
    let order: Vec<usize> = (0..x.rank()).rev().collect();
    let turned = x.permute(&order).unwrap().contiguous();
    vec![x.contiguous(), turned.permute(&order).unwrap()]
}

/// Requires that an operation does the same to a quantized tensor in every layout as to its real values, without changing an integer.
fn follows(
    x: &QTensor,
    on_ints: impl Fn(&QTensor) -> qops::Result<QTensor>,
    on_reals: impl Fn(&Tensor) -> qops::Result<Tensor>,
) {
    let want = on_reals(&x.dequantize()).unwrap();
    for view in views(x) {
        let got = on_ints(&view).unwrap();
        got.quantizer()
            .validate("test", got.dtype(), got.shape())
            .unwrap();
        assert_eq!(got.dequantize(), want);
    }
}

#[test]
fn padding_puts_the_same_elements_around_integers_and_reals() {
    let mut rng = Rng::new(1);
    let modes = [PadMode::Reflect, PadMode::Replicate, PadMode::Circular];
    for (shape, padding) in [
        (&[5][..], &[(3, 2)][..]),
        (&[3, 4], &[(0, 2), (3, 0)]),
        (&[2, 3, 4, 5], &[(0, 0), (2, 1), (1, 3), (4, 0)]),
        (&[1, 1, 0, 2], &[(0, 0), (0, 0), (0, 0), (1, 1)]),
    ] {
        for dtype in DType::ALL {
            let x = activation(&mut rng, shape, DType::QInt8);
            let x = quantized(&ints(&x), shape, dtype, 0.25, 3);
            let mut all = vec![x.clone()];
            all.extend((0..shape.len()).map(|axis| per_channel(&x, axis)));
            for x in all {
                for mode in modes {
                    follows(
                        &x,
                        |x| q8::pad_with(x, padding, mode),
                        |x| float::pad_with(x, padding, mode),
                    );
                }
                let lost = matches!(x.quantizer(), Quantizer::PerChannel { axis, .. } if padding[*axis] != (0, 0));
                if lost {
                    let message = q8::pad(&x, padding, 0.0).unwrap_err().to_string();
                    assert!(message.contains("along the channel axis"), "{message}");
                } else {
                    follows(
                        &x,
                        |x| q8::pad(x, padding, 0.0),
                        |x| float::pad(x, padding, 0.0),
                    );
                }
            }
        }
    }
}

#[test]
fn a_padding_constant_is_quantized_and_the_memory_order_stays() {
    let x = quantized(&[1, 2, 10, 9], &[2, 2], DType::QUInt8, 0.5, 3);
    let y = q8::pad(&x, &[(0, 0), (1, 1)], 1.3).unwrap();
    assert_eq!(ints(&y), [6, 1, 2, 6, 6, 10, 9, 6]);
    let y = q8::pad(&x, &[(1, 0), (0, 0)], -99.0).unwrap();
    assert_eq!(ints(&y), [0, 0, 1, 2, 10, 9]);
    let last = wavy(&[1, 2, 3, 5], 7)
        .to_memory_format(MemoryFormat::ChannelsLast)
        .unwrap();
    let pairs = [(0, 0), (0, 1), (1, 1), (2, 0)];
    for y in [
        q8::pad(&last, &pairs, 1.0),
        q8::pad_with(&last, &pairs, PadMode::Replicate),
    ] {
        let y = y.unwrap();
        assert_eq!(y.shape(), [1, 3, 5, 7]);
        assert!(y.layout().is_dense_in(MemoryFormat::ChannelsLast));
    }
    // Recorded from PyTorch.
    let x = quantized(
        &[1, 2, 2, 3, 3, 4, 10, 9],
        &[1, 1, 4, 2],
        DType::QUInt8,
        0.5,
        3,
    );
    let y = q8::pad_with(&x, &[(0, 0), (0, 0), (2, 2), (1, 1)], PadMode::Reflect).unwrap();
    let want = [
        4, 3, 4, 3, 3, 2, 3, 2, 2, 1, 2, 1, 3, 2, 3, 2, 4, 3, 4, 3, 9, 10, 9, 10, 4, 3, 4, 3, 3, 2,
        3, 2,
    ];
    assert_eq!(ints(&y), want);
}

#[test]
fn pixels_and_channels_change_places() {
    let x = wavy(&[2, 8, 3, 2], 7);
    let shuffled = q8::pixel_shuffle(&x, 2).unwrap();
    assert_eq!(shuffled.shape(), [2, 2, 6, 4]);
    for (c, h, w) in [(0, 0, 0), (1, 5, 3), (1, 2, 1), (0, 3, 2)] {
        let from = [1, c * 4 + h % 2 * 2 + w % 2, h / 2, w / 2];
        assert_eq!(shuffled.get(&[1, c, h, w]).unwrap(), x.get(&from).unwrap());
    }
    assert_eq!(q8::pixel_unshuffle(&shuffled, 2).unwrap(), x);
    let interleaved = q8::channel_shuffle(&x, 4).unwrap();
    for (to, from) in [0, 2, 4, 6, 1, 3, 5, 7].into_iter().enumerate() {
        assert_eq!(
            interleaved.select(1, to).unwrap(),
            x.select(1, from).unwrap()
        );
    }
    for (x, lost) in [
        (x.clone(), false),
        (per_channel(&x, 1), true),
        (per_channel(&x, 0), false),
    ] {
        follows(
            &x,
            |x| q8::channel_shuffle(x, 4),
            |x| float::channel_shuffle(x, 4),
        );
        if lost {
            let message = q8::pixel_shuffle(&x, 2).unwrap_err().to_string();
            assert!(message.contains("the channel axis 1"), "{message}");
        } else {
            follows(
                &x,
                |x| q8::pixel_shuffle(x, 2),
                |x| float::pixel_shuffle(x, 2),
            );
            follows(
                &x,
                |x| q8::pixel_unshuffle(x, 1),
                |x| float::pixel_unshuffle(x, 1),
            );
        }
    }
    assert_eq!(
        float::pixel_shuffle(&Tensor::zeros(&[4, 1, 1]).unwrap(), 2)
            .unwrap()
            .shape(),
        [1, 2, 2]
    );
}

#[test]
fn interpolated_integers_are_pytorchs() {
    let x = wavy(&[1, 2, 3, 5], 7);
    for (to, mode, shape, want) in [
        (
            ResizeTo::Size(&[5, 7]),
            Interpolation::Nearest,
            [1, 2, 5, 7],
            &[
                5, 5, 53, 175, 175, 115, 129, 5, 5, 53, 175, 175, 115, 129, 217, 217, 123, 103,
                103, 157, 29, 217, 217, 123, 103, 103, 157, 29, 231, 231, 251, 89, 89, 1, 243, 47,
                47, 181, 133, 133, 159, 3, 47, 47, 181, 133, 133, 159, 3, 177, 177, 169, 235, 235,
                119, 77, 177, 177, 169, 235, 235, 119, 77, 109, 109, 215, 139, 139, 137, 209,
            ][..],
        ),
        (
            ResizeTo::Size(&[5, 7]),
            HALVES,
            [1, 2, 5, 7],
            &[
                5, 32, 88, 175, 132, 121, 129, 90, 85, 100, 146, 136, 113, 89, 217, 163, 117, 103,
                142, 102, 29, 225, 211, 170, 95, 72, 104, 157, 231, 242, 205, 89, 26, 105, 243, 47,
                124, 167, 133, 152, 92, 3, 99, 143, 176, 174, 152, 96, 33, 177, 172, 188, 235, 152,
                101, 77, 136, 171, 191, 177, 143, 141, 156, 109, 170, 193, 139, 138, 168, 209,
            ][..],
        ),
        (
            ResizeTo::Size(&[5, 7]),
            CORNERS,
            [1, 2, 5, 7],
            &[
                5, 37, 94, 175, 135, 120, 129, 111, 96, 105, 139, 137, 117, 79, 217, 154, 116, 103,
                139, 114, 29, 224, 199, 157, 96, 85, 98, 136, 231, 244, 197, 89, 30, 82, 243, 47,
                136, 165, 133, 150, 107, 3, 112, 154, 178, 184, 154, 106, 40, 177, 172, 191, 235,
                158, 105, 77, 143, 176, 190, 187, 148, 133, 143, 109, 180, 190, 139, 138, 161, 209,
            ][..],
        ),
        (
            ResizeTo::Factor(&[1.7, 2.3]),
            Interpolation::Nearest,
            [1, 2, 5, 11],
            &[
                5, 5, 5, 53, 53, 175, 175, 115, 115, 115, 129, 5, 5, 5, 53, 53, 175, 175, 115, 115,
                115, 129, 217, 217, 217, 123, 123, 103, 103, 157, 157, 157, 29, 217, 217, 217, 123,
                123, 103, 103, 157, 157, 157, 29, 231, 231, 231, 251, 251, 89, 89, 1, 1, 1, 243,
                47, 47, 47, 181, 181, 133, 133, 159, 159, 159, 3, 47, 47, 47, 181, 181, 133, 133,
                159, 159, 159, 3, 177, 177, 177, 169, 169, 235, 235, 119, 119, 119, 77, 177, 177,
                177, 169, 169, 235, 235, 119, 119, 119, 77, 109, 109, 109, 215, 215, 139, 139, 137,
                137, 137, 209,
            ][..],
        ),
        (
            ResizeTo::Factor(&[1.7, 2.3]),
            HALVES,
            [1, 2, 5, 11],
            &[
                5, 12, 33, 56, 109, 162, 155, 129, 118, 124, 129, 86, 85, 82, 81, 111, 140, 142,
                135, 123, 106, 91, 211, 197, 158, 121, 114, 107, 122, 144, 132, 78, 32, 225, 220,
                207, 192, 149, 106, 87, 76, 85, 119, 149, 231, 234, 243, 247, 177, 107, 60, 22, 48,
                154, 243, 47, 67, 126, 180, 159, 138, 141, 153, 128, 61, 3, 97, 109, 143, 176, 174,
                172, 163, 150, 122, 73, 31, 173, 173, 171, 171, 198, 225, 196, 147, 111, 92, 75,
                139, 147, 172, 194, 189, 183, 164, 142, 133, 143, 151, 109, 125, 171, 213, 180,
                147, 138, 137, 151, 182, 209,
            ][..],
        ),
        (
            ResizeTo::Factor(&[1.7, 2.3]),
            CORNERS,
            [1, 2, 5, 11],
            &[
                5, 24, 43, 77, 126, 175, 151, 127, 118, 123, 129, 111, 102, 93, 98, 119, 139, 138,
                137, 125, 102, 79, 217, 179, 142, 119, 111, 103, 125, 146, 131, 80, 29, 224, 209,
                194, 169, 132, 96, 89, 82, 90, 113, 136, 231, 239, 247, 219, 154, 89, 54, 19, 49,
                146, 243, 47, 101, 154, 171, 152, 133, 143, 154, 128, 65, 3, 112, 137, 162, 177,
                180, 184, 166, 148, 119, 80, 40, 177, 174, 171, 182, 209, 235, 189, 142, 111, 94,
                77, 143, 163, 182, 191, 189, 187, 163, 140, 131, 137, 143, 109, 151, 194, 200, 169,
                139, 138, 137, 151, 180, 209,
            ][..],
        ),
        (
            ResizeTo::Factor(&[0.6, 0.5]),
            Interpolation::Nearest,
            [1, 2, 1, 2],
            &[5, 175, 47, 133][..],
        ),
        (
            ResizeTo::Factor(&[0.6, 0.5]),
            HALVES,
            [1, 2, 1, 2],
            &[76, 140, 134, 156][..],
        ),
        (
            ResizeTo::Factor(&[0.6, 0.5]),
            CORNERS,
            [1, 2, 1, 2],
            &[5, 129, 47, 3][..],
        ),
        (
            ResizeTo::Size(&[1, 1]),
            Interpolation::Nearest,
            [1, 2, 1, 1],
            &[5, 47][..],
        ),
        (
            ResizeTo::Size(&[1, 1]),
            HALVES,
            [1, 2, 1, 1],
            &[103, 235][..],
        ),
        (ResizeTo::Size(&[1, 1]), CORNERS, [1, 2, 1, 1], &[5, 47][..]),
    ] {
        for view in layouts(&x) {
            let y = q8::interpolate(&view, to, mode).unwrap();
            assert_eq!((y.shape(), y.quantizer()), (&shape[..], x.quantizer()));
            assert_eq!(ints(&y), want, "{to:?} {mode:?}");
        }
        // Signed integers are these, moved.
        let signed: Vec<i32> = ints(&x).iter().map(|q| q - 128).collect();
        let signed = quantized(&signed, x.shape(), DType::QInt8, 0.1, 7 - 128);
        let y = q8::interpolate(&signed, to, mode).unwrap();
        let moved: Vec<i32> = ints(&y).iter().map(|q| q + 128).collect();
        // The sum of moved integers may round to the other side only where it is a tie between two floats; these hold none.
        assert_eq!(moved, want, "{to:?} {mode:?}");
        // Real pixels lie within half a step of them.
        let real = float::interpolate(&x.dequantize(), to, mode).unwrap();
        let stored = quantized(want, &shape, DType::QUInt8, 0.1, 7).dequantize();
        let off = real
            .to_vec()
            .into_iter()
            .zip(stored.to_vec())
            .map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) <= 0.0501, "{to:?} {mode:?}");
    }
}

#[test]
fn the_nearest_pixel_exists_in_one_to_three_dimensions() {
    let x = quantized(
        &[5, 53, 175, 115, 129, 217, 123, 103],
        &[1, 1, 2, 2, 2],
        DType::QUInt8,
        0.1,
        3,
    );
    let y = q8::interpolate(
        &x,
        ResizeTo::Factor(&[2.0, 1.5, 1.0]),
        Interpolation::Nearest,
    )
    .unwrap();
    let plane = |a: [i32; 4]| [a[0], a[1], a[0], a[1], a[2], a[3]].to_vec();
    let (first, second) = (plane([5, 53, 175, 115]), plane([129, 217, 123, 103]));
    assert_eq!(
        ints(&y),
        [first.clone(), first, second.clone(), second].concat()
    );
    let row = quantized(&[5, 53, 175], &[1, 1, 3], DType::QInt32, 0.1, 3);
    let y = q8::interpolate(&row, ResizeTo::Size(&[5]), Interpolation::Nearest).unwrap();
    assert_eq!(ints(&y), [5, 5, 53, 53, 175]);
    for axis in 0..4 {
        let x = per_channel(&wavy(&[2, 2, 3, 4], 7), axis);
        let to = ResizeTo::Size(&[5, 3]);
        follows(
            &x,
            |x| q8::interpolate(x, to, Interpolation::Nearest),
            |x| float::interpolate(x, to, Interpolation::Nearest),
        );
        let refused = q8::interpolate(&x, to, HALVES).unwrap_err().to_string();
        assert!(refused.contains("needs a per-tensor"), "{refused}");
    }
    let none = wavy(&[0, 2, 3, 4], 7);
    for mode in [Interpolation::Nearest, HALVES] {
        assert_eq!(
            q8::interpolate(&none, ResizeTo::Size(&[5, 3]), mode)
                .unwrap()
                .shape(),
            [0, 2, 5, 3]
        );
    }
}

#[test]
fn mistakes_carry_both_numbers() {
    let x = wavy(&[1, 6, 3, 5], 7);
    let resized = |to, mode| q8::interpolate(&x, to, mode).unwrap_err().to_string();
    for (message, want) in [
        (
            q8::pad(&x, &[(1, 1)], 0.0).unwrap_err().to_string(),
            "pad: padding must be one pair for each of 4 dimensions, got 1",
        ),
        (
            q8::pad_with(&x, &[(0, 0), (0, 0), (3, 0), (0, 0)], PadMode::Reflect)
                .unwrap_err()
                .to_string(),
            "pad: padding must be at most 2 along dimension 2 of length 3 (Reflect), got 3",
        ),
        (
            q8::pixel_shuffle(&x, 2).unwrap_err().to_string(),
            "pixel_shuffle: factor must be positive, its square a divisor of 6 channels, got 2",
        ),
        (
            q8::pixel_shuffle(&x, 0).unwrap_err().to_string(),
            "pixel_shuffle: factor must be positive, its square a divisor of 6 channels, got 0",
        ),
        (
            q8::pixel_unshuffle(&x, 3).unwrap_err().to_string(),
            "pixel_unshuffle: factor must be a divisor of height and width [3, 5], got 3",
        ),
        (
            q8::channel_shuffle(&x, 4).unwrap_err().to_string(),
            "channel_shuffle: groups must be a divisor of 6 channels, got 4",
        ),
        (
            q8::pixel_shuffle(&quantized(&[1], &[1], DType::QInt8, 0.1, 0), 1)
                .unwrap_err()
                .to_string(),
            "pixel_shuffle: expected at least 3 dimensions, got 1 (shape [1])",
        ),
        (
            resized(ResizeTo::Size(&[5]), HALVES),
            "interpolate: the number of sizes or factors must be 2, got 1",
        ),
        (
            resized(ResizeTo::Size(&[5, 0]), HALVES),
            "interpolate: size must be positive lengths of input and output, got 5 and 0",
        ),
        (
            resized(ResizeTo::Factor(&[0.1, 1.0]), HALVES),
            "interpolate: size must be positive lengths of input and output, got 3 and 0",
        ),
        (
            resized(ResizeTo::Factor(&[f64::NAN, 1.0]), HALVES),
            "interpolate: factor must be finite and positive, got NaN",
        ),
    ] {
        assert_eq!(message, want);
    }
    assert!(
        resized(ResizeTo::Factor(&[1e300, 1.0]), Interpolation::Nearest)
            .contains("more elements than memory")
    );
    let flat = quantized(&[1, 2, 3], &[1, 1, 3], DType::QUInt8, 0.1, 0);
    let message = q8::interpolate(&flat, ResizeTo::Size(&[5]), CORNERS)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "interpolate: expected 4 dimensions, got 3 (shape [1, 1, 3])"
    );
}
