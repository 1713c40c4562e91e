//! Average pooling against plain loops in `f64`.

use qops::PoolSpec;
use qops::float::{adaptive_avg_pool, adaptive_avg_pool_backward, avg_pool, avg_pool_backward};
use qtensor_core::Tensor;

use super::testing::{Values, assert_close, three};

fn spec(kernel: &[usize], stride: &[usize], padding: &[usize]) -> PoolSpec {
    PoolSpec::new(kernel, stride, padding).unwrap()
}

/// Calls `f(output element, input element, divisor)` for every real element of every window.
fn fixed_products(shape: &[usize], spec: &PoolSpec, mut f: impl FnMut(usize, usize, f64)) {
    let input = three(&shape[2..]);
    let output = spec.output("avg_pool", input).unwrap();
    let outputs: usize = output.iter().product();
    let plane: usize = input.iter().product();
    for at in 0..shape[0] * shape[1] * outputs {
        let p = at % outputs;
        let out = [
            p / output[2] / output[1],
            p / output[2] % output[1],
            p % output[2],
        ];
        // The window in padded coordinates, which `ceil_mode` may let stick out.
        let start: [usize; 3] = std::array::from_fn(|d| out[d] * spec.stride[d]);
        let end: [usize; 3] = std::array::from_fn(|d| {
            (start[d] + spec.kernel[d]).min(input[d] + 2 * spec.padding[d])
        });
        let mut real = Vec::new();
        let mut padded = 0;
        for d in start[0]..end[0] {
            for h in start[1]..end[1] {
                for w in start[2]..end[2] {
                    padded += 1;
                    let point = [d, h, w];
                    let inside = |axis: usize| {
                        let i = point[axis].checked_sub(spec.padding[axis])?;
                        (i < input[axis]).then_some(i)
                    };
                    if let (Some(d), Some(h), Some(w)) = (inside(0), inside(1), inside(2)) {
                        real.push((d * input[1] + h) * input[2] + w);
                    }
                }
            }
        }
        let count = if spec.count_include_pad {
            padded
        } else {
            real.len()
        };
        let divisor = spec.divisor_override.unwrap_or(count) as f64;
        real.iter()
            .for_each(|i| f(at, at / outputs * plane + i, divisor));
    }
}

#[test]
fn fixed_windows_and_their_adjoint_agree_with_plain_loops() {
    let mut values = Values::new(1);
    let base = [
        (&[2, 3, 8, 9][..], spec(&[2, 2], &[], &[])),
        (&[2, 3, 9, 9], spec(&[3, 3], &[2, 2], &[1, 1])),
        (&[1, 2, 7, 10], spec(&[3, 2], &[2, 3], &[1, 0])),
        (&[2, 3, 17], spec(&[4], &[3], &[2])),
        (&[1, 2, 5, 6, 7], spec(&[2, 3, 2], &[2, 1, 2], &[1, 1, 0])),
        (&[8, 32, 20, 20], spec(&[3, 3], &[2, 2], &[1, 1])),
    ];
    for (shape, base) in base {
        for variant in 0..8 {
            let spec = PoolSpec {
                ceil_mode: variant & 1 != 0,
                count_include_pad: variant & 2 != 0,
                divisor_override: (variant & 4 != 0).then_some(5),
                ..base
            };
            let x = values.tensor(shape);
            let y = avg_pool(&x, &spec).unwrap();
            let output = spec.output("avg_pool", three(&shape[2..])).unwrap();
            let expected = [&shape[..2], &output[5 - shape.len()..]].concat();
            let dy = values.tensor(&expected);
            let (mut want, mut dx) = (vec![0f64; y.numel()], vec![0f64; x.numel()]);
            let (xs, dys) = (x.to_vec(), dy.to_vec());
            fixed_products(shape, &spec, |o, i, divisor| {
                want[o] += f64::from(xs[i]) / divisor;
                dx[i] += f64::from(dys[o]) / divisor;
            });
            assert_close(&y, &expected, &want, 1e-6);
            let got = avg_pool_backward(&dy, shape, &spec).unwrap();
            assert_close(&got, shape, &dx, 1e-6);
        }
    }
}

#[test]
fn adaptive_windows_and_their_adjoint_agree_with_plain_loops() {
    let mut values = Values::new(2);
    for (shape, output) in [
        (&[2, 3, 7, 9][..], &[1, 1][..]),
        (&[2, 3, 7, 9], &[3, 4]),
        (&[1, 2, 3, 2], &[5, 7]),
        (&[2, 2, 10], &[4]),
        (&[1, 2, 4, 5, 6], &[2, 3, 4]),
        (&[1, 2, 4, 4], &[0, 2]),
    ] {
        let x = values.tensor(shape);
        let expected = [&shape[..2], output].concat();
        let dy = values.tensor(&expected);
        let (input, lengths) = (three(&shape[2..]), three(output));
        let outputs: usize = lengths.iter().product();
        let plane: usize = input.iter().product();
        let (mut want, mut dx) = (vec![0f64; dy.numel()], vec![0f64; x.numel()]);
        let (xs, dys) = (x.to_vec(), dy.to_vec());
        for at in 0..dy.numel() {
            let p = at % outputs;
            let out = [
                p / lengths[2] / lengths[1],
                p / lengths[2] % lengths[1],
                p % lengths[2],
            ];
            let range = |d: usize| {
                let exact = |i: usize| (i * input[d]) as f64 / lengths[d] as f64;
                exact(out[d]).floor() as usize..exact(out[d] + 1).ceil() as usize
            };
            let n = (range(0).len() * range(1).len() * range(2).len()) as f64;
            for d in range(0) {
                for h in range(1) {
                    for w in range(2) {
                        let i = at / outputs * plane + (d * input[1] + h) * input[2] + w;
                        want[at] += f64::from(xs[i]) / n;
                        dx[i] += f64::from(dys[at]) / n;
                    }
                }
            }
        }
        assert_close(
            &adaptive_avg_pool(&x, output).unwrap(),
            &expected,
            &want,
            1e-6,
        );
        let got = adaptive_avg_pool_backward(&dy, shape).unwrap();
        assert_close(&got, shape, &dx, 1e-6);
    }
}

#[test]
fn mistakes_are_refused() {
    let z = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let plain = spec(&[3, 3], &[1, 1], &[]);
    let dilated = PoolSpec {
        dilation: [1, 2, 1],
        ..plain
    };
    let by_zero = PoolSpec {
        divisor_override: Some(0),
        ..plain
    };
    assert!(avg_pool(&z(&[1, 1, 2, 5]), &plain).is_err());
    assert!(avg_pool(&z(&[1, 1, 5]), &plain).is_err());
    assert!(avg_pool(&z(&[1, 1, 5, 5]), &dilated).is_err());
    assert!(avg_pool(&z(&[1, 1, 5, 5]), &by_zero).is_err());
    let message = avg_pool_backward(&z(&[1, 1, 2, 3]), &[1, 1, 5, 5], &plain)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[1, 1, 3, 3]") && message.contains("[1, 1, 2, 3]"),
        "{message}"
    );
    assert!(adaptive_avg_pool(&z(&[1, 1, 5, 5]), &[2]).is_err());
    assert!(adaptive_avg_pool(&z(&[1, 1, 0, 5]), &[2, 2]).is_err());
    assert!(adaptive_avg_pool(&z(&[5, 5]), &[]).is_err());
    assert!(adaptive_avg_pool(&z(&[1, 1, 5]), &[usize::MAX]).is_err());
    assert!(adaptive_avg_pool_backward(&z(&[1, 2, 2, 2]), &[1, 1, 5, 5]).is_err());
}

#[test]
fn an_empty_result_takes_no_memory_for_its_windows() {
    let z = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let empty = adaptive_avg_pool(&z(&[1, 1, 5, 5]), &[1 << 40, 0]).unwrap();
    assert_eq!(empty.shape(), [1, 1, 1 << 40, 0]);
    let none = adaptive_avg_pool(&z(&[0, 1, 5]), &[1 << 40]).unwrap();
    assert_eq!(none.shape(), [0, 1, 1 << 40]);
    // Windows of padding alone, of which there are none for no images.
    let far = spec(&[1 << 30; 3], &[1; 3], &[1 << 29; 3]);
    assert!(avg_pool(&z(&[0, 1, 5, 5, 5]), &far).is_ok_and(|y| y.shape() == [0, 1, 6, 6, 6]));
}
