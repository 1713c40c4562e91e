//! Fake quantization against quantizing and dequantizing, at ties, ends and extremes.

use qops::float::{
    FakeQuantGrid, ZeroPoints, fake_quantize, fake_quantize_backward,
    fake_quantize_qparams_backward,
};
use qtensor_core::{DType, MemoryFormat, Quantizer, Tensor, quantize_with};

use super::testing::Values;

fn per_tensor<'a>(s: &'a [f32; 1], z: &'a [i32; 1], min: i32, max: i32) -> FakeQuantGrid<'a> {
    FakeQuantGrid {
        scales: s,
        zero_points: ZeroPoints::Integer(z),
        axis: None,
        quant_min: min,
        quant_max: max,
    }
}

#[test]
fn equals_quantizing_and_dequantizing() {
    let x = Values::new(1).tensor(&[3, 4, 5]).map(|v| 4.0 * v);
    let grid = per_tensor(&[0.017], &[100], 0, 255);
    let y = fake_quantize(&x, &grid).unwrap();
    let scale = f64::from(0.017f32);
    let q = quantize_with(&x, Quantizer::per_tensor(scale, 100), DType::QUInt8).unwrap();
    assert_eq!(y, q.dequantize());
    for axis in 0..3 {
        let n = x.shape()[axis];
        let scales: Vec<f32> = (0..n).map(|c| 0.01 + 0.005 * c as f32).collect();
        let zero_points: Vec<i32> = (0..n as i32).map(|c| c - 2).collect();
        let grid = FakeQuantGrid {
            scales: &scales,
            zero_points: ZeroPoints::Integer(&zero_points),
            axis: Some(axis),
            quant_min: -128,
            quant_max: 127,
        };
        let y = fake_quantize(&x, &grid).unwrap();
        for c in 0..n {
            let part = x.select(axis, c).unwrap();
            let one = per_tensor(&[0.0; 1], &[0; 1], -128, 127);
            let grid = FakeQuantGrid {
                scales: &scales[c..=c],
                zero_points: ZeroPoints::Integer(&zero_points[c..=c]),
                ..one
            };
            assert_eq!(
                y.select(axis, c).unwrap(),
                fake_quantize(&part, &grid).unwrap()
            );
        }
    }
}

#[test]
fn the_rounded_integer_decides_about_gradients() {
    let x = Tensor::from_vec(vec![127.4, 127.5, -128.5, -128.6, 126.5], &[5]).unwrap();
    let grid = per_tensor(&[1.0], &[0], -128, 127);
    let ones = Tensor::ones(&[5]).unwrap();
    let d = fake_quantize_backward(&ones, &x, &grid).unwrap();
    assert_eq!(d.to_vec(), [1.0, 0.0, 1.0, 0.0, 1.0]);
    let y = fake_quantize(&x, &grid).unwrap();
    assert_eq!(y.to_vec(), [127.0, 127.0, -128.0, -128.0, 126.0]);
}

#[test]
fn extremes_saturate_and_nan_stays() {
    let values = vec![f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1e30, f32::NAN];
    let x = Tensor::from_vec(values, &[5]).unwrap();
    for (min, max) in [(-128, 127), (i32::MIN, 2_000_000_000)] {
        let grid = per_tensor(&[0.5], &[3], min, max);
        let y = fake_quantize(&x, &grid).unwrap().to_vec();
        let (lo, hi) = ((min as f32 - 3.0) * 0.5, (max as f32 - 3.0) * 0.5);
        assert_eq!(y[..4], [hi, lo, hi, lo]);
        assert!(y[4].is_nan());
        let ones = Tensor::ones(&[5]).unwrap();
        let d = fake_quantize_backward(&ones, &x, &grid).unwrap().to_vec();
        assert_eq!(d[..4], [0.0; 4]);
    }
}

#[test]
fn integer_and_float_zero_points_differ_on_ties() {
    let x = Tensor::from_vec(vec![0.5, 1.5, 2.5], &[3, 1]).unwrap();
    let grid = |zero_points| FakeQuantGrid {
        scales: &[1.0, 1.0, 1.0],
        zero_points,
        axis: Some(0),
        quant_min: 0,
        quant_max: 255,
    };
    let integer = grid(ZeroPoints::Integer(&[1, 1, 1]));
    assert_eq!(
        fake_quantize(&x, &integer).unwrap().to_vec(),
        [0.0, 2.0, 2.0]
    );
    let float = grid(ZeroPoints::Float(&[1.0, 1.0, 1.0]));
    assert_eq!(fake_quantize(&x, &float).unwrap().to_vec(), [1.0, 1.0, 3.0]);
    let between = grid(ZeroPoints::Float(&[0.25, 0.25, 0.25]));
    assert_eq!(
        fake_quantize(&x, &between).unwrap().to_vec(),
        [0.75, 1.75, 2.75]
    );
}

#[test]
fn both_roundings_agree_and_layouts_do_not_matter() {
    let mut values = Values::new(3);
    let x = values.tensor(&[2, 3, 4, 5]).map(|v| 300.0 * v);
    let grid = per_tensor(&[0.9], &[-7], -128, 127);
    let y = fake_quantize(&x, &grid).unwrap();
    // The wide range takes the general rounding; inside the narrow one both are the same.
    let wide = per_tensor(&[0.9], &[-7], -2_000_000, 127);
    let narrow: Vec<f32> = y.to_vec();
    let general = fake_quantize(&x, &wide).unwrap().to_vec();
    let least = (-128.0 + 7.0) * 0.9f32;
    for (a, b) in narrow.iter().zip(general) {
        assert_eq!(*a, b.max(least));
    }
    let last = x.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
    assert_eq!(fake_quantize(&last, &grid).unwrap(), y);
    let g = values.tensor(&[2, 3, 4, 5]);
    assert_eq!(
        fake_quantize_backward(&g, &last, &grid).unwrap(),
        fake_quantize_backward(&g, &x, &grid).unwrap()
    );
}

#[test]
fn gradients_of_scale_and_zero_point_by_hand() {
    // In range (r = 1), below (r = −2) and above (r = 5) with s = 0.5, z = 1, 0..=3.
    let x = Tensor::from_vec(vec![0.1, -1.5, 2.0], &[3]).unwrap();
    let g = Tensor::from_vec(vec![1.0, 10.0, 100.0], &[3]).unwrap();
    let grid = per_tensor(&[0.5], &[1], 0, 3);
    let (ds, dz) = fake_quantize_qparams_backward(&g, &x, &grid, 0.5).unwrap();
    let want: f32 = 0.5 * (1.0 * (0.0 - 0.1) / 0.5 - 10.0 + 100.0 * 2.0);
    assert!(
        (ds.to_vec()[0] - want).abs() < 1e-4,
        "{ds:?} and not {want}"
    );
    assert_eq!(dz.to_vec(), [-0.5 * 0.5 * 110.0]);
}

#[test]
fn mistakes_carry_their_numbers() {
    let x = Tensor::zeros(&[2, 3]).unwrap();
    let good = per_tensor(&[1.0], &[0], -1, 1);
    let message = |grid: FakeQuantGrid<'_>| fake_quantize(&x, &grid).unwrap_err().to_string();
    let range = message(FakeQuantGrid {
        quant_min: 1,
        ..good
    });
    assert!(range.contains("1..=1"), "{range}");
    let zero_point = message(FakeQuantGrid {
        zero_points: ZeroPoints::Integer(&[2]),
        ..good
    });
    assert!(
        zero_point.contains("-1..=1") && zero_point.contains('2'),
        "{zero_point}"
    );
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45] {
        assert!(
            fake_quantize(
                &x,
                &FakeQuantGrid {
                    scales: &[bad],
                    ..good
                }
            )
            .is_err()
        );
    }
    let count = message(FakeQuantGrid {
        axis: Some(1),
        ..good
    });
    assert!(count.contains('3') && count.contains('1'), "{count}");
    assert!(
        fake_quantize(
            &x,
            &FakeQuantGrid {
                axis: Some(2),
                ..good
            }
        )
        .is_err()
    );
    assert!(fake_quantize_backward(&Tensor::zeros(&[3, 2]).unwrap(), &x, &good).is_err());
    let empty = Tensor::zeros(&[0, 3]).unwrap();
    assert_eq!(fake_quantize(&empty, &good).unwrap().shape(), [0, 3]);
}
