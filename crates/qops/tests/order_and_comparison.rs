//! Order statistics and comparisons of real numbers, and where quantized ones share them.

use crate::common::*;
use qops::{float, quantized as q8};
use qtensor_core::{DType, Quantizer, Tensor, make_per_channel_quantized_tensor};

const NAN: f32 = f32::NAN;

fn of(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape).unwrap()
}

/// Bits, so that NaN equals itself.
fn bits(t: &Tensor) -> Vec<u32> {
    t.to_vec().into_iter().map(f32::to_bits).collect()
}

#[test]
fn floats_are_ordered_as_the_integers_that_they_stand_for() {
    let mut rng = Rng::new(1);
    for shape in [&[7][..], &[3, 4], &[2, 3, 4], &[2, 1, 3, 2]] {
        let n: usize = shape.iter().product();
        let values: Vec<i32> = (0..n).map(|_| rng.int(0, 5) * 9).collect();
        for q in layouts(&quantized(&values, shape, DType::QUInt8, 0.25, 20)) {
            let x = q.dequantize();
            assert_eq!(float::min(&x).unwrap(), q8::min(&q).unwrap().dequantize());
            assert_eq!(float::max(&x).unwrap(), q8::max(&q).unwrap().dequantize());
            assert_eq!(float::argmin(&x).unwrap(), q8::argmin(&q).unwrap());
            assert_eq!(float::argmax(&x).unwrap(), q8::argmax(&q).unwrap());
            assert_eq!(
                float::msort(&x).unwrap(),
                q8::msort(&q).unwrap().dequantize()
            );
            for dim in 0..shape.len() {
                for (real, ints) in [
                    (float::min_dim(&x, dim), q8::min_dim(&q, dim)),
                    (float::max_dim(&x, dim), q8::max_dim(&q, dim)),
                    (
                        float::topk(&x, 1, Some(dim), true),
                        q8::topk(&q, 1, Some(dim), true),
                    ),
                    (
                        float::sort(&x, Some(dim), true),
                        q8::sort(&q, Some(dim), true),
                    ),
                    (
                        float::sort(&x, Some(dim), false),
                        q8::sort(&q, Some(dim), false),
                    ),
                ] {
                    let (real, ints) = (real.unwrap(), ints.unwrap());
                    assert_eq!((real.0, real.1), (ints.0.dequantize(), ints.1));
                }
                assert_eq!(
                    float::argmin_dim(&x, dim).unwrap(),
                    q8::argmin_dim(&q, dim).unwrap()
                );
                assert_eq!(
                    float::argmax_dim(&x, dim).unwrap(),
                    q8::argmax_dim(&q, dim).unwrap()
                );
                let order = float::argsort(&x, Some(dim), true).unwrap();
                assert_eq!(order, q8::argsort(&q, Some(dim), true).unwrap());
            }
        }
    }
}

#[test]
fn special_floats_have_their_place() {
    let x = of(
        &[
            0.0,
            NAN,
            -1.0,
            f32::INFINITY,
            -0.0,
            f32::NEG_INFINITY,
            -1e-45,
        ],
        &[7],
    );
    let (values, indices) = float::sort(&x, None, false).unwrap();
    assert_eq!(indices.to_vec(), [5, 2, 6, 0, 4, 3, 1]);
    assert_eq!(
        bits(&values),
        [5, 2, 6, 0, 4, 3, 1].map(|i: usize| x.get(&[i]).unwrap().to_bits())
    );
    assert_eq!(
        float::argsort(&x, Some(0), true).unwrap().to_vec(),
        [1, 3, 0, 4, 6, 2, 5]
    );
    assert!(float::min(&x).unwrap().item().unwrap().is_nan());
    assert!(float::max(&x).unwrap().item().unwrap().is_nan());
    assert_eq!(
        (float::argmin(&x).unwrap(), float::argmax(&x).unwrap()),
        (1, 1)
    );
    assert_eq!(
        float::topk(&x, 3, None, true).unwrap().1.to_vec(),
        [1, 3, 0]
    );
    assert_eq!(float::topk(&x, 0, None, true).unwrap().0.shape(), [0]);
}

#[test]
fn sorting_the_first_dimension() {
    let q = quantized(&[5, 1, 3, 2, 4, 0], &[3, 2], DType::QInt32, 0.5, 1);
    assert_eq!(ints(&q8::msort(&q).unwrap()), [3, 0, 4, 1, 5, 2]);
    let rows =
        make_per_channel_quantized_tensor(q.int_repr().clone(), &[1.0, 2.0], &[0, 1], 1).unwrap();
    let sorted = q8::msort(&rows).unwrap();
    assert_eq!(
        (ints(&sorted), sorted.quantizer()),
        (vec![3, 0, 4, 1, 5, 2], rows.quantizer())
    );
    let columns =
        make_per_channel_quantized_tensor(q.int_repr().clone(), &[1.0; 3], &[0; 3], 0).unwrap();
    let message = q8::msort(&columns).unwrap_err().to_string();
    assert_eq!(
        message,
        "msort: needs a per-tensor quantized tensor, got a per-channel one"
    );
    assert!(q8::msort(&quantized(&[1], &[], DType::QInt8, 1.0, 0)).is_err());
}

#[test]
fn order_mistakes_are_named() {
    let x = Tensor::zeros(&[2, 0]).unwrap();
    for (message, want) in [
        (
            float::min(&x).unwrap_err(),
            "min: needs at least one element",
        ),
        (
            float::max_dim(&x, 1).unwrap_err(),
            "max_dim: needs at least one element",
        ),
        (
            float::sort(&x, Some(2), true).unwrap_err(),
            "sort: dimension 2 does not exist in shape [2, 0] of 2 dimensions",
        ),
        (
            float::topk(&x, 3, Some(0), true).unwrap_err(),
            "topk: k must be at most 2, the length of the dimension, got 3",
        ),
    ] {
        assert_eq!(message.to_string(), want);
    }
    assert_eq!(float::min_dim(&x, 0).unwrap().0.shape(), [0]);
    assert_eq!(float::sort(&x, Some(1), true).unwrap().1.shape(), [2, 0]);
}

#[test]
fn comparisons_are_of_real_values() {
    let a = of(&[1.0, 2.0, NAN, -0.0], &[2, 2]);
    let b = of(&[2.0, 0.0], &[2]);
    assert_eq!(float::eq(&a, &b).unwrap().to_vec(), [0, 0, 0, 1]);
    assert_eq!(float::ne(&a, &b).unwrap().to_vec(), [1, 1, 1, 0]);
    assert_eq!(float::lt(&a, &b).unwrap().to_vec(), [1, 0, 0, 0]);
    assert_eq!(float::le(&a, &b).unwrap().to_vec(), [1, 0, 0, 1]);
    assert_eq!(float::gt(&a, &b).unwrap().to_vec(), [0, 1, 0, 0]);
    assert_eq!(float::ge(&a, &b).unwrap().to_vec(), [0, 1, 0, 1]);
    let message = float::lt(&a, &of(&[0.0; 3], &[3])).unwrap_err().to_string();
    assert_eq!(
        message,
        "lt: shapes [2, 2] and [3] do not broadcast together"
    );

    let mut rng = Rng::new(2);
    type Ints = fn(&qtensor_core::QTensor, &qtensor_core::QTensor) -> qops::Result<Tensor<u8>>;
    type Scalar = fn(&qtensor_core::QTensor, f32) -> qops::Result<Tensor<u8>>;
    type Reals = fn(&Tensor, &Tensor) -> qops::Result<Tensor<u8>>;
    let all: [(Ints, Scalar, Reals); 6] = [
        (q8::eq, q8::eq_scalar, float::eq),
        (q8::ne, q8::ne_scalar, float::ne),
        (q8::lt, q8::lt_scalar, float::lt),
        (q8::le, q8::le_scalar, float::le),
        (q8::gt, q8::gt_scalar, float::gt),
        (q8::ge, q8::ge_scalar, float::ge),
    ];
    let few = |rng: &mut Rng, shape: &[usize], dtype, scale| {
        let n = shape.iter().product();
        let values: Vec<i32> = (0..n).map(|_| rng.int(0, 6)).collect();
        quantized(&values, shape, dtype, scale, 3)
    };
    let a = few(&mut rng, &[2, 3, 4], DType::QUInt8, 0.5);
    let b = few(&mut rng, &[3, 1], DType::QInt8, 0.25);
    let channels = few(&mut rng, &[2, 3, 4], DType::QInt32, 1.0);
    let map = Quantizer::per_channel(&[0.5, 1.0, 0.25], &[1, 0, 3], 1);
    let channels = qtensor_core::QTensor::from_parts(channels.int_repr().clone(), map).unwrap();
    for (of_ints, of_scalar, of_reals) in all {
        for (a, b) in [(&a, &b), (&b, &a), (&a, &channels), (&channels, &channels)] {
            let want = of_reals(&a.dequantize(), &b.dequantize()).unwrap();
            for view in layouts(&a.contiguous())
                .iter()
                .filter(|_| a.qscheme() == b.qscheme())
            {
                assert_eq!(of_ints(view, b).unwrap(), want);
            }
            assert_eq!(of_ints(a, b).unwrap(), want);
        }
        let want = of_reals(&a.dequantize(), &Tensor::scalar(0.5)).unwrap();
        assert_eq!(of_scalar(&a, 0.5).unwrap(), want);
    }
    // What a comparison marks can be taken and filled.
    let mask = q8::gt_scalar(&a, 0.0).unwrap();
    let positive = a.masked_select(&mask).unwrap();
    assert!(positive.dequantize().to_vec().iter().all(|&v| v > 0.0));
    let mut rest = a.clone();
    rest.masked_fill(&mask, 0.0).unwrap();
    assert_eq!(float::max(&rest.dequantize()).unwrap().item().unwrap(), 0.0);
}
