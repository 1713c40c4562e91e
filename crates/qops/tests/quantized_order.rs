//! Order statistics against a plain search and a plain stable sort, for every type, layout and dimension.

use crate::common::*;
use qops::Error;
use qops::quantized::*;
use qtensor_core::{DType, QTensor, Quantizer};

/// A tensor of few different integers, so that ties abound.
fn tied(rng: &mut Rng, shape: &[usize], dtype: DType) -> QTensor {
    let n = shape.iter().product();
    let values: Vec<i32> = (0..n)
        .map(|_| rng.int(0, 4) * 13 - 20 * i32::from(dtype.is_signed()))
        .collect();
    quantized(&values, shape, dtype, 0.25, 3)
}

/// The lanes along `dim` in logical order of the other dimensions.
fn lanes(x: &QTensor, dim: usize) -> Vec<Vec<i32>> {
    let (q, shape) = (ints(x), x.shape());
    let inner: usize = shape[dim + 1..].iter().product();
    let outer: usize = shape[..dim].iter().product();
    (0..outer)
        .flat_map(|o| (0..inner).map(move |n| (o, n)))
        .map(|(o, n)| {
            (0..shape[dim])
                .map(|i| q[(o * shape[dim] + i) * inner + n])
                .collect()
        })
        .collect()
}

/// Positions of a lane in stable order.
fn ordered(lane: &[i32], descending: bool) -> Vec<i64> {
    let mut order: Vec<i64> = (0..lane.len() as i64).collect();
    let key = |i: &i64| lane[*i as usize] * if descending { -1 } else { 1 };
    // Insertion sort: plainly stable.
    for i in 1..order.len() {
        let mut at = i;
        while at > 0 && key(&order[at]) < key(&order[at - 1]) {
            order.swap(at, at - 1);
            at -= 1;
        }
    }
    order
}

/// Indices as lanes, to compare with [`lanes`] of the values.
fn index_lanes(t: &qtensor_core::Tensor<i64>, dim: usize) -> Vec<Vec<i64>> {
    let wide: Vec<i32> = t.to_vec().iter().map(|&i| i as i32).collect();
    lanes(&quantized(&wide, t.shape(), DType::QInt32, 1.0, 0), dim)
        .into_iter()
        .map(|lane| lane.into_iter().map(i64::from).collect())
        .collect()
}

#[test]
fn extremes_are_the_first_of_equal_ones() {
    let mut rng = Rng::new(1);
    for dtype in DType::ALL {
        for shape in [&[9][..], &[4, 6], &[2, 3, 5], &[1, 2, 3, 2], &[]] {
            let x = tied(&mut rng, shape, dtype);
            for x in layouts(&x) {
                let q = ints(&x);
                let (least, most) = (q.iter().min().unwrap(), q.iter().max().unwrap());
                for (got, want) in [(min(&x).unwrap(), least), (max(&x).unwrap(), most)] {
                    assert_eq!((got.shape(), ints(&got)), (&[][..], vec![*want]));
                    assert_eq!((got.quantizer(), got.dtype()), (x.quantizer(), dtype));
                }
                let at = |v: &i32| q.iter().position(|q| q == v).unwrap() as i64;
                assert_eq!(
                    (argmin(&x).unwrap(), argmax(&x).unwrap()),
                    (at(least), at(most))
                );
                for dim in 0..shape.len() {
                    let lanes = lanes(&x, dim);
                    let (low, low_at) = min_dim(&x, dim).unwrap();
                    let (high, high_at) = max_dim(&x, dim).unwrap();
                    let want: Vec<i32> = lanes.iter().map(|l| *l.iter().min().unwrap()).collect();
                    assert_eq!(ints(&low), want);
                    let want: Vec<i64> = lanes.iter().map(|l| ordered(l, false)[0]).collect();
                    assert_eq!(low_at.to_vec(), want);
                    let want: Vec<i32> = lanes.iter().map(|l| *l.iter().max().unwrap()).collect();
                    assert_eq!(ints(&high), want);
                    let want: Vec<i64> = lanes.iter().map(|l| ordered(l, true)[0]).collect();
                    assert_eq!(high_at.to_vec(), want);
                    assert_eq!(argmin_dim(&x, dim).unwrap(), low_at);
                    assert_eq!(argmax_dim(&x, dim).unwrap(), high_at);
                    let mut rest = shape.to_vec();
                    rest.remove(dim);
                    assert_eq!((low.shape(), high_at.shape()), (&rest[..], &rest[..]));
                }
            }
        }
    }
}

#[test]
fn sorting_is_stable_in_both_directions() {
    let mut rng = Rng::new(2);
    for dtype in DType::ALL {
        for shape in [&[17][..], &[4, 6], &[2, 3, 5], &[3, 0, 2]] {
            let x = tied(&mut rng, shape, dtype);
            for x in layouts(&x) {
                for descending in [false, true] {
                    for dim in 0..shape.len() {
                        let (values, indices) = sort(&x, Some(dim), descending).unwrap();
                        assert_eq!((values.shape(), indices.shape()), (shape, shape));
                        assert_eq!((values.quantizer(), values.dtype()), (x.quantizer(), dtype));
                        assert_eq!(argsort(&x, Some(dim), descending).unwrap(), indices);
                        let lanes_of_x = lanes(&x, dim);
                        let want: Vec<Vec<i64>> =
                            lanes_of_x.iter().map(|l| ordered(l, descending)).collect();
                        assert_eq!(index_lanes(&indices, dim), want);
                        let want: Vec<Vec<i32>> = lanes_of_x
                            .iter()
                            .map(|l| {
                                ordered(l, descending)
                                    .iter()
                                    .map(|&i| l[i as usize])
                                    .collect()
                            })
                            .collect();
                        assert_eq!(lanes(&values, dim), want);
                        for k in [0, 1, shape[dim]] {
                            if k > shape[dim] {
                                continue;
                            }
                            let (top, at) = topk(&x, k, Some(dim), descending).unwrap();
                            assert_eq!(top, values.slice(dim, 0, k, 1).unwrap());
                            assert_eq!(at, indices.slice(dim, 0, k, 1).unwrap());
                        }
                    }
                    let (values, indices) = sort(&x, None, descending).unwrap();
                    let want = ordered(&ints(&x), descending);
                    assert_eq!(indices.to_vec(), want);
                    assert_eq!(values.shape(), [x.numel()]);
                    assert_eq!(argsort(&x, None, descending).unwrap().to_vec(), want);
                }
            }
        }
    }
}

#[test]
fn channels_are_ordered_within_and_never_compared() {
    let mut rng = Rng::new(3);
    let w = weights(&mut rng, &[3, 4, 5], true);
    let (values, at) = max_dim(&w, 1).unwrap();
    assert_eq!(
        (values.shape(), values.quantizer()),
        (&[3, 5][..], w.quantizer())
    );
    for c in 0..3 {
        let (want, indices) = max_dim(&w.select(0, c).unwrap(), 0).unwrap();
        assert_eq!(values.select(0, c).unwrap(), want);
        assert_eq!(at.select(0, c).unwrap(), indices);
    }
    let (sorted, _) = sort(&w, Some(2), false).unwrap();
    assert_eq!(sorted.quantizer(), w.quantizer());
    // The axis moves along when a dimension before it disappears.
    let moved = w.permute(&[1, 0, 2]).unwrap();
    let (values, _) = min_dim(&moved, 0).unwrap();
    assert!(matches!(
        values.quantizer(),
        Quantizer::PerChannel { axis: 0, .. }
    ));
    for message in [
        max_dim(&w, 0).unwrap_err().to_string(),
        sort(&w, Some(0), false).unwrap_err().to_string(),
        sort(&w, None, false).unwrap_err().to_string(),
        min(&w).unwrap_err().to_string(),
        argmax(&w).unwrap_err().to_string(),
    ] {
        assert!(
            message.contains("per-tensor") && message.contains("per-channel"),
            "{message}"
        );
    }
}

#[test]
fn missing_elements_and_dimensions_are_refused() {
    let none = quantized(&[], &[2, 0], DType::QUInt8, 0.1, 0);
    assert!(matches!(max(&none), Err(Error::Empty { .. })));
    assert!(matches!(argmin(&none), Err(Error::Empty { .. })));
    assert!(matches!(min_dim(&none, 1), Err(Error::Empty { .. })));
    let (values, at) = min_dim(&none, 0).unwrap();
    assert_eq!((values.shape(), at.shape()), (&[0][..], &[0][..]));
    let x = quantized(&[1, 2, 3], &[3], DType::QUInt8, 0.1, 0);
    for error in [
        max_dim(&x, 1).unwrap_err(),
        sort(&x, Some(1), true).unwrap_err(),
    ] {
        assert!(matches!(
            error,
            Error::Tensor(qtensor_core::Error::NoSuchDim {
                dim: 1,
                rank: 1,
                ..
            })
        ));
    }
    let message = topk(&x, 4, Some(0), true).unwrap_err().to_string();
    assert!(message.contains('3') && message.contains('4'), "{message}");
}
