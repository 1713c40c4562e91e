//! Maxima, their positions and their gradients against plain loops.

use qops::PoolSpec;
use qops::float::{max_pool, max_pool_backward, max_pool_with_indices};
use qtensor_core::Tensor;

use super::testing::{Values, three};

fn spec(
    kernel: &[usize],
    stride: &[usize],
    padding: &[usize],
    dilation: [usize; 3],
    ceil_mode: bool,
) -> PoolSpec {
    PoolSpec {
        dilation,
        ceil_mode,
        ..PoolSpec::new(kernel, stride, padding).unwrap()
    }
}

#[test]
fn maxima_and_positions_agree_with_plain_loops() {
    let mut values = Values::new(1);
    for (shape, spec) in [
        (&[2, 3, 8, 9][..], spec(&[2, 2], &[], &[], [1; 3], false)),
        (
            &[2, 3, 9, 9],
            spec(&[3, 3], &[2, 2], &[1, 1], [1; 3], false),
        ),
        (
            &[1, 2, 7, 10],
            spec(&[3, 2], &[2, 3], &[1, 0], [1; 3], true),
        ),
        (
            &[1, 2, 11, 12],
            spec(&[3, 2], &[1, 2], &[2, 1], [1, 2, 3], false),
        ),
        (&[2, 3, 17], spec(&[4], &[3], &[2], [1; 3], true)),
        (
            &[1, 2, 5, 6, 7],
            spec(&[2, 3, 2], &[2, 1, 2], &[1, 1, 0], [1; 3], true),
        ),
        (&[1, 1, 1], spec(&[2], &[1], &[1], [1, 1, 2], false)),
        (
            &[4, 32, 30, 30],
            spec(&[3, 3], &[2, 2], &[1, 1], [1; 3], false),
        ),
    ] {
        let x = values.tensor(shape);
        let (y, indices) = max_pool_with_indices(&x, &spec).unwrap();
        assert_eq!(y, max_pool(&x, &spec).unwrap());
        let input = three(&shape[2..]);
        let output = spec.output("max_pool", input).unwrap();
        assert_eq!(y.shape()[2..], output[5 - shape.len()..]);
        let (plane, outputs): (usize, usize) = (input.iter().product(), output.iter().product());
        let (xs, is) = (x.to_vec(), indices.to_vec());
        for (at, &got) in y.to_vec().iter().enumerate() {
            let p = at % outputs;
            let out = [
                p / output[2] / output[1],
                p / output[2] % output[1],
                p % output[2],
            ];
            let [kd, kh, kw] = spec.kernel;
            let mut best = f32::NEG_INFINITY;
            for k in 0..kd * kh * kw {
                let tap = [k / kw / kh, k / kw % kh, k % kw];
                let axis = |d: usize| {
                    (out[d] * spec.stride[d] + tap[d] * spec.dilation[d])
                        .checked_sub(spec.padding[d])
                        .filter(|&i| i < input[d])
                };
                if let (Some(d), Some(h), Some(w)) = (axis(0), axis(1), axis(2)) {
                    let i = (d * input[1] + h) * input[2] + w;
                    best = best.max(xs[at / outputs * plane + i]);
                }
            }
            assert_eq!(got, best, "{shape:?} {spec:?} {at}");
            match usize::try_from(is[at]) {
                Ok(i) => assert_eq!(xs[at / outputs * plane + i], best),
                Err(_) => assert_eq!(best, f32::NEG_INFINITY),
            }
        }
    }
}

#[test]
fn nan_wins_and_the_first_of_equals_is_taken() {
    let x = Tensor::from_vec(vec![1.0, f32::NAN, 3.0, 4.0, 4.0, 2.0], &[1, 1, 6]).unwrap();
    let spec = PoolSpec::new(&[3], &[], &[]).unwrap();
    let (y, indices) = max_pool_with_indices(&x, &spec).unwrap();
    assert!(y.to_vec()[0].is_nan() && y.to_vec()[1] == 4.0);
    assert_eq!(indices.to_vec(), [1, 3]);
    let grad = Tensor::from_vec(vec![5.0, 7.0], &[1, 1, 2]).unwrap();
    let dx = max_pool_backward(&grad, &indices, &[1, 1, 6]).unwrap();
    assert_eq!(dx.to_vec(), [0.0, 5.0, 0.0, 7.0, 0.0, 0.0]);
}

#[test]
fn overlapping_windows_add_their_gradients() {
    let x = Tensor::from_vec(vec![0.0, 9.0, 1.0], &[1, 1, 3]).unwrap();
    let spec = PoolSpec::new(&[2], &[1], &[]).unwrap();
    let (_, indices) = max_pool_with_indices(&x, &spec).unwrap();
    let grad = Tensor::from_vec(vec![2.0, 3.0], &[1, 1, 2]).unwrap();
    let dx = max_pool_backward(&grad, &indices, &[1, 1, 3]).unwrap();
    assert_eq!(dx.to_vec(), [0.0, 5.0, 0.0]);
}

#[test]
fn mistakes_are_refused() {
    let z = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let spec = PoolSpec::new(&[3, 3], &[1, 1], &[]).unwrap();
    assert!(max_pool(&z(&[1, 1, 2, 5]), &spec).is_err());
    assert!(max_pool(&z(&[1, 1, 5]), &spec).is_err());
    assert!(max_pool(&z(&[5, 5]), &spec).is_err());
    let (_, indices) = max_pool_with_indices(&z(&[1, 2, 4, 4]), &spec).unwrap();
    let grad = z(&[1, 2, 2, 2]);
    assert!(max_pool_backward(&z(&[1, 2, 2, 1]), &indices, &[1, 2, 4, 4]).is_err());
    assert!(max_pool_backward(&grad, &indices, &[1, 3, 4, 4]).is_err());
    let wrong = Tensor::<i64>::full(&[1, 2, 2, 2], 16).unwrap();
    let message = max_pool_backward(&grad, &wrong, &[1, 2, 4, 4])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("16") && message.contains("15"),
        "{message}"
    );
}
