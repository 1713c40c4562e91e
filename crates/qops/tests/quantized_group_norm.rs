//! Layer, group and instance normalization against the formula in plain loops.

use qops::quantized::{OutQParams, group_norm, instance_norm, layer_norm};
use qtensor_core::rounding::round_half_even;
use qtensor_core::{DType, IntTensor, MemoryFormat, QTensor, Quantizer, Tensor};

const OUT: OutQParams = OutQParams {
    scale: 0.03125,
    zero_point: 7,
};

fn sample(shape: &[usize], dtype: DType, zero_point: i32) -> QTensor {
    let count: usize = shape.iter().product();
    let (lo, hi) = dtype.range();
    let ints: Vec<i32> = (0..count as i32)
        .map(|i| lo + (i * i * 31 + i * 17) % (hi - lo + 1))
        .collect();
    let ints = IntTensor::from_i32(&ints, shape, dtype).unwrap();
    QTensor::from_parts(ints, Quantizer::per_tensor(0.125, zero_point)).unwrap()
}

fn parameter(count: usize, start: f32) -> Tensor {
    let values = (0..count).map(|i| start + 0.3 * i as f32).collect();
    Tensor::from_vec(values, &[count]).unwrap()
}

/// Rows of `length` elements, the parameters of element `i` found by `at`.
fn expected(
    x: &QTensor,
    length: usize,
    parameters: (&[f32], &[f32]),
    at: impl Fn(usize) -> usize,
    eps: f64,
) -> Vec<i32> {
    let (scale, z) = x.per_tensor("test").unwrap();
    let (lo, hi) = x.dtype().range();
    let ints = x.int_repr().to_i32_vec();
    let mut y = Vec::new();
    for (row, ints) in ints.chunks(length).enumerate() {
        let d: Vec<f64> = ints.iter().map(|q| f64::from(q - z)).collect();
        let mean = d.iter().sum::<f64>() / length as f64;
        let squares = d.iter().map(|d| d * d).sum::<f64>() / length as f64;
        let variance = (squares - mean * mean).max(0.0);
        let k = (scale / (variance * scale * scale + eps).sqrt()) as f32;
        for (i, d) in d.iter().enumerate() {
            let p = at(row * length + i);
            let real = (*d as f32 - mean as f32) * (k * parameters.0[p]) + parameters.1[p];
            let q = round_half_even(real * (1.0 / OUT.scale as f32)) as i32 + OUT.zero_point;
            y.push(q.clamp(lo, hi));
        }
    }
    y
}

#[test]
fn rows_groups_and_instances_follow_the_formula() {
    for (dtype, z) in [(DType::QUInt8, 120), (DType::QInt8, -3)] {
        let x = sample(&[2, 6, 3, 5], dtype, z);
        let (gamma, beta) = (parameter(6, 0.5), parameter(6, -1.0));
        let parameters = (&gamma.to_vec()[..], &beta.to_vec()[..]);
        let by_channel = |i: usize| i / 15 % 6;
        for groups in [1, 2, 6] {
            let y = group_norm(&x, groups, Some(&gamma), Some(&beta), 1e-5, OUT).unwrap();
            let want = expected(&x, 90 / groups, parameters, by_channel, 1e-5);
            assert_eq!(
                y.int_repr().to_i32_vec(),
                want,
                "{groups} groups of {dtype}"
            );
        }
        let y = instance_norm(&x, Some(&gamma), Some(&beta), 1e-5, OUT).unwrap();
        let want = group_norm(&x, 6, Some(&gamma), Some(&beta), 1e-5, OUT).unwrap();
        assert_eq!(y, want);
        // The order in memory does not matter.
        let other = x.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
        let y = instance_norm(&other, Some(&gamma), Some(&beta), 1e-5, OUT).unwrap();
        assert_eq!(y.int_repr().to_i32_vec(), want.int_repr().to_i32_vec());

        let rows = sample(&[4, 2, 3], dtype, z);
        let (gamma, beta) = (parameter(6, 0.5), parameter(6, -1.0));
        let shaped = |t: &Tensor| t.reshape(&[2, 3]).unwrap();
        let y = layer_norm(
            &rows,
            &[2, 3],
            Some(&shaped(&gamma)),
            Some(&shaped(&beta)),
            1e-3,
            OUT,
        );
        let want = expected(&rows, 6, parameters, |i| i % 6, 1e-3);
        assert_eq!(y.unwrap().int_repr().to_i32_vec(), want);
        let (ones, zeros) = ([1.0; 6], [0.0; 6]);
        let y = layer_norm(&rows, &[3], None, None, 1e-3, OUT).unwrap();
        let want = expected(&rows, 3, (&ones, &zeros), |i| i % 3, 1e-3);
        assert_eq!(y.int_repr().to_i32_vec(), want);
    }
}

#[test]
fn constant_rows_become_beta_and_mistakes_are_errors() {
    let ints = IntTensor::from_i32(&[9; 8], &[2, 4], DType::QUInt8).unwrap();
    let x = QTensor::from_parts(ints, Quantizer::per_tensor(0.5, 3)).unwrap();
    let y = layer_norm(&x, &[4], None, None, 0.0, OUT).unwrap();
    assert_eq!(y.int_repr().to_i32_vec(), [7; 8]);
    assert!(layer_norm(&x, &[3], None, None, 0.0, OUT).is_err());
    assert!(layer_norm(&x, &[], None, None, 0.0, OUT).is_err());
    assert!(layer_norm(&x, &[4], None, None, f64::NAN, OUT).is_err());
    let wrong = parameter(3, 1.0);
    assert!(layer_norm(&x, &[4], Some(&wrong), None, 0.0, OUT).is_err());
    let error = group_norm(&x, 3, None, None, 0.0, OUT).unwrap_err();
    assert!(
        error.to_string().contains('3') && error.to_string().contains('4'),
        "{error}"
    );
    assert!(group_norm(&x, 0, None, None, 0.0, OUT).is_err());
    assert!(instance_norm(&x, Some(&wrong), None, 0.0, OUT).is_err());
    let empty = sample(&[0, 4, 2], DType::QUInt8, 0);
    assert_eq!(
        instance_norm(&empty, None, None, 0.0, OUT).unwrap().numel(),
        0
    );
}
