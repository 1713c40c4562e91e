//! Pools against the formula, byte for byte, in every layout; the result keeps the input's map.

use crate::common::*;
use qops::quantized::{adaptive_avg_pool, avg_pool, max_pool};
use qops::{Error, PoolSpec};
use qtensor_core::{DType, MemoryFormat, QTensor};

/// Maximum, or mean with its divisor, of every window; `None` for the maximum of real elements.
fn windows(x: &QTensor, spec: &PoolSpec, f: impl Fn(&[i32], i64) -> i32) -> Vec<i32> {
    let input = [vec![1; 5 - x.rank()], x.shape()[2..].to_vec()].concat();
    let size = spec.output("test", [input[0], input[1], input[2]]).unwrap();
    let q = ints(x);
    let mut y = Vec::new();
    for plane in q.chunks(input.iter().product()) {
        for position in 0..size.iter().product() {
            let o = [
                position / (size[1] * size[2]),
                position / size[2] % size[1],
                position % size[2],
            ];
            let mut padded = 1;
            let mut along: Vec<Vec<usize>> = Vec::new();
            for a in 0..3 {
                let start = (o[a] * spec.stride[a]) as i64 - spec.padding[a] as i64;
                let limit = (input[a] + spec.padding[a]) as i64;
                let steps = (0..spec.kernel[a]).map(|k| start + (k * spec.dilation[a]) as i64);
                padded *= steps.clone().filter(|p| *p < limit).count() as i64;
                let real = steps.filter(|p| (0..input[a] as i64).contains(p));
                along.push(real.map(|p| p as usize).collect());
            }
            let mut window = Vec::new();
            for d in &along[0] {
                for h in &along[1] {
                    window.extend(
                        along[2]
                            .iter()
                            .map(|w| plane[(d * input[1] + h) * input[2] + w]),
                    );
                }
            }
            y.push(f(&window, padded));
        }
    }
    y
}

/// `clamp(rne(Σ(q − z) · (1 / n)) + z)`.
fn mean(window: &[i32], n: i64, z: i32, dtype: DType) -> i32 {
    let sum: i32 = window.iter().map(|q| q - z).sum();
    let (lo, hi) = dtype.range();
    ((sum as f32 * (1.0 / n as f32)).round_ties_even() as i32 + z).clamp(lo, hi)
}

fn check(y: &QTensor, x: &QTensor, want: &[i32], what: &str) {
    assert_eq!(ints(y), want, "{what}");
    assert_eq!((y.quantizer(), y.dtype()), (x.quantizer(), x.dtype()));
    assert!(y.layout().is_dense_in(MemoryFormat::ChannelsLast));
}

const SHAPES: [&[usize]; 5] = [
    &[2, 5, 11],
    &[1, 3, 8, 8],
    &[2, 67, 7, 9],
    &[1, 1, 3, 3],
    &[1, 4, 4, 5, 6],
];

#[test]
fn windows_follow_the_formula() {
    let mut rng = Rng::new(1);
    for shape in SHAPES {
        let spatial = shape.len() - 2;
        let each = |n: usize| vec![n; spatial];
        for dtype in EIGHT_BIT {
            let x = activation(&mut rng, shape, dtype);
            let z = x.q_zero_point().unwrap();
            for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 1)] {
                for ceil_mode in [false, true] {
                    let what = format!("{shape:?} {dtype} {kernel} {stride} {padding} {ceil_mode}");
                    let mut spec =
                        PoolSpec::new(&each(kernel), &each(stride), &each(padding)).unwrap();
                    spec.ceil_mode = ceil_mode;
                    let most = windows(&x, &spec, |w, _| *w.iter().max().unwrap());
                    let full = windows(&x, &spec, |w, n| mean(w, n, z, dtype));
                    let real = windows(&x, &spec, |w, _| mean(w, w.len() as i64, z, dtype));
                    let fixed = windows(&x, &spec, |w, _| mean(w, 3, z, dtype));
                    for x in layouts(&x) {
                        check(&max_pool(&x, &spec).unwrap(), &x, &most, &what);
                        spec.count_include_pad = true;
                        check(&avg_pool(&x, &spec).unwrap(), &x, &full, &what);
                        spec.count_include_pad = false;
                        check(&avg_pool(&x, &spec).unwrap(), &x, &real, &what);
                        spec.divisor_override = Some(3);
                        check(&avg_pool(&x, &spec).unwrap(), &x, &fixed, &what);
                        spec.divisor_override = None;
                    }
                }
            }
            let mut spec = PoolSpec::new(&each(2), &each(1), &each(0)).unwrap();
            spec.dilation[2] = 2;
            let most = windows(&x, &spec, |w, _| *w.iter().max().unwrap());
            check(&max_pool(&x, &spec).unwrap(), &x, &most, "dilated");
        }
    }
}

#[test]
fn adaptive_windows_follow_the_formula() {
    let mut rng = Rng::new(2);
    for shape in SHAPES {
        let spatial = shape.len() - 2;
        for dtype in EIGHT_BIT {
            let x = activation(&mut rng, shape, dtype);
            let (z, q) = (x.q_zero_point().unwrap(), ints(&x));
            for output in [[1, 1, 1], [2, 3, 2], [3, 1, 13]] {
                let output = &output[3 - spatial..];
                let out = [vec![1; 3 - spatial], output.to_vec()].concat();
                let input = [vec![1; 3 - spatial], shape[2..].to_vec()].concat();
                let range = |a: usize, o: usize| {
                    o * input[a] / out[a]..((o + 1) * input[a]).div_ceil(out[a])
                };
                let mut want = Vec::new();
                for plane in q.chunks(input.iter().product()) {
                    for position in 0..out.iter().product() {
                        let mut window = Vec::new();
                        for d in range(0, position / (out[1] * out[2])) {
                            for h in range(1, position / out[2] % out[1]) {
                                let columns = range(2, position % out[2]);
                                window.extend(
                                    columns.map(|w| plane[(d * input[1] + h) * input[2] + w]),
                                );
                            }
                        }
                        want.push(mean(&window, window.len() as i64, z, dtype));
                    }
                }
                for x in layouts(&x) {
                    let y = adaptive_avg_pool(&x, output).unwrap();
                    check(&y, &x, &want, &format!("{shape:?} to {output:?}"));
                    assert_eq!(y.shape(), [&shape[..2], output].concat());
                }
            }
        }
    }
}

#[test]
fn empty_batches_have_empty_results() {
    let none = quantized(&[], &[0, 3, 8, 8], DType::QInt8, 0.1, 3);
    let spec = PoolSpec::new(&[2, 2], &[], &[]).unwrap();
    assert_eq!(max_pool(&none, &spec).unwrap().shape(), [0, 3, 4, 4]);
    assert_eq!(avg_pool(&none, &spec).unwrap().shape(), [0, 3, 4, 4]);
    assert_eq!(
        adaptive_avg_pool(&none, &[1, 1]).unwrap().shape(),
        [0, 3, 1, 1]
    );
}

#[test]
fn mistakes_are_refused_with_both_numbers() {
    let mut rng = Rng::new(3);
    let x = activation(&mut rng, &[1, 2, 4, 4], DType::QUInt8);
    let spec = PoolSpec::new(&[5, 5], &[], &[]).unwrap();
    let error = max_pool(&x, &spec).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Window {
                window: 5,
                input: 4,
                ..
            }
        ),
        "{error}"
    );
    let cube = PoolSpec::new(&[2, 2, 2], &[], &[]).unwrap();
    assert!(matches!(
        avg_pool(&x, &cube),
        Err(Error::Argument {
            argument: "kernel",
            ..
        })
    ));
    let mut dilated = PoolSpec::new(&[2, 2], &[], &[]).unwrap();
    dilated.dilation = [1, 2, 2];
    assert!(matches!(
        avg_pool(&x, &dilated),
        Err(Error::Argument {
            argument: "dilation",
            ..
        })
    ));
    let mut divided = PoolSpec::new(&[2, 2], &[], &[]).unwrap();
    divided.divisor_override = Some(1 << 40);
    let error = avg_pool(&x, &divided).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Argument {
                argument: "divisor_override",
                ..
            }
        ),
        "{error}"
    );
    for output in [&[1][..], &[1, 1, 1], &[0, 2]] {
        let error = adaptive_avg_pool(&x, output).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Argument {
                    argument: "output",
                    ..
                }
            ),
            "{error}"
        );
    }
    let flat = x.reshape(&[2, 16]).unwrap();
    let half = PoolSpec::new(&[2, 2], &[], &[]).unwrap();
    assert!(matches!(max_pool(&flat, &half), Err(Error::Tensor(_))));
    let words = quantized(&[0; 16], &[1, 1, 4, 4], DType::QInt32, 0.1, 0);
    assert!(matches!(
        max_pool(&words, &half),
        Err(Error::UnsupportedDType {
            actual: DType::QInt32,
            ..
        })
    ));
    let channels = weights(&mut rng, &[2, 2, 4, 4], true);
    assert!(matches!(max_pool(&channels, &half), Err(Error::Tensor(_))));
}
