//! Convolution and its adjoints against seven nested loops in `f64`.

use qops::ConvSpec;
use qops::float::{conv, conv_input_gradient, conv_weight_gradient};
use qtensor_core::{MemoryFormat, Tensor};

use super::testing::{Values, assert_close, three};

/// Shape of input and weights, then stride, padding, dilation (one value for all axes) and groups.
type Case = (&'static [usize], &'static [usize], [usize; 3], usize);

const CASES: &[Case] = &[
    // Pointwise, pointwise with a stride, pointwise with padding.
    (&[2, 5, 6, 7], &[9, 5, 1, 1], [1, 0, 1], 1),
    (&[1, 4, 7, 7], &[6, 4, 1, 1], [2, 0, 1], 1),
    (&[1, 4, 3, 3], &[6, 4, 1, 1], [1, 1, 1], 1),
    // Dense, in all ranks.
    (&[3, 4, 9, 8], &[5, 4, 3, 3], [1, 1, 1], 1),
    (&[1, 3, 17, 19], &[8, 3, 7, 7], [2, 3, 1], 1),
    (&[2, 3, 11, 9], &[4, 3, 3, 2], [2, 2, 3], 1),
    (&[2, 3, 20], &[4, 3, 5], [3, 2, 2], 1),
    (&[1, 2, 5, 6, 7], &[3, 2, 3, 2, 3], [2, 1, 1], 1),
    // Windows that lie in the padding altogether.
    (&[1, 2, 2, 2], &[3, 2, 1, 1], [2, 3, 1], 1),
    (&[1, 2, 1, 1], &[3, 2, 2, 2], [3, 4, 5], 1),
    // Groups, and groups with one channel (depthwise) with multipliers 1 to 3.
    (&[2, 6, 7, 7], &[4, 3, 3, 3], [1, 1, 1], 2),
    (&[2, 6, 7, 7], &[6, 2, 1, 1], [1, 0, 1], 3),
    (&[2, 5, 9, 40], &[5, 1, 3, 3], [1, 1, 1], 5),
    (&[2, 3, 9, 75], &[6, 1, 3, 5], [2, 2, 1], 3),
    (&[1, 4, 14, 11], &[4, 1, 5, 3], [3, 1, 2], 4),
    (&[1, 2, 33], &[6, 1, 4], [2, 3, 3], 2),
    (&[2, 3, 4, 5, 6], &[3, 1, 2, 3, 3], [1, 1, 1], 3),
    (&[1, 3, 2, 2], &[3, 1, 1, 1], [2, 3, 1], 3),
    // Padding and stride so large that a padded plane would not fit into memory.
    (&[1, 3, 2, 2], &[3, 1, 2, 2], [1 << 40, 1 << 40, 1], 3),
    (&[1, 2, 2, 2], &[3, 2, 2, 2], [1 << 40, 1 << 40, 1], 1),
    (&[1, 3, 2, 2], &[3, 1, 1, 1], [1 << 40, 0, 1], 3),
    // Enough work for several threads and several blocks of columns.
    (&[1, 16, 66, 70], &[20, 16, 3, 3], [1, 1, 1], 1),
    (&[4, 8, 20, 20], &[8, 8, 3, 3], [1, 1, 1], 1),
    (&[1, 40, 30, 30], &[40, 1, 3, 3], [2, 1, 1], 40),
    // Nothing to do.
    (&[0, 3, 8, 8], &[4, 3, 3, 3], [1, 1, 1], 1),
    (&[1, 3, 8, 8], &[0, 3, 3, 3], [1, 1, 1], 1),
    (&[1, 0, 8, 8], &[4, 0, 3, 3], [1, 1, 1], 1),
];

fn spec_of(case: &Case) -> ConvSpec {
    let (rank, [stride, padding, dilation]) = (case.0.len() - 2, case.2);
    let all = |value: usize| vec![value; rank];
    ConvSpec::new(&all(stride), &all(padding), &all(dilation), case.3).unwrap()
}

/// Calls `f(output element, input element, weight element)` for every product of a convolution.
fn products(x: &[usize], w: &[usize], spec: &ConvSpec, mut f: impl FnMut(usize, usize, usize)) {
    let (input, kernel) = (three(&x[2..]), three(&w[2..]));
    let output = spec.output(input, kernel).unwrap();
    let volume = |size: [usize; 3]| size.iter().product::<usize>();
    let index = |size: [usize; 3], at: [usize; 3]| (at[0] * size[1] + at[1]) * size[2] + at[2];
    let point =
        |size: [usize; 3], i: usize| [i / size[2] / size[1], i / size[2] % size[1], i % size[2]];
    let per_group = w[0] / spec.groups;
    for n in 0..x[0] {
        for o in 0..w[0] {
            for p in 0..volume(output) {
                for c in 0..w[1] {
                    for k in 0..volume(kernel) {
                        let (out, tap) = (point(output, p), point(kernel, k));
                        let at: [Option<usize>; 3] = std::array::from_fn(|d| {
                            (out[d] * spec.stride[d] + tap[d] * spec.dilation[d])
                                .checked_sub(spec.padding[d])
                                .filter(|&i| i < input[d])
                        });
                        let [Some(d), Some(h), Some(v)] = at else {
                            continue;
                        };
                        let channel = o / per_group * w[1] + c;
                        f(
                            (n * w[0] + o) * volume(output) + p,
                            (n * x[1] + channel) * volume(input) + index(input, [d, h, v]),
                            (o * w[1] + c) * volume(kernel) + k,
                        );
                    }
                }
            }
        }
    }
}

fn output_shape(case: &Case, spec: &ConvSpec) -> Vec<usize> {
    let (x, w) = (case.0, case.1);
    let spatial = spec.output(three(&x[2..]), three(&w[2..])).unwrap();
    [&[x[0], w[0]], &spatial[5 - x.len()..]].concat()
}

#[test]
fn outputs_agree_with_nested_loops() {
    let mut values = Values::new(1);
    for case in CASES {
        let spec = spec_of(case);
        let (x, w) = (values.tensor(case.0), values.tensor(case.1));
        let b = values.tensor(&case.1[..1]);
        let shape = output_shape(case, &spec);
        let mut want = vec![0f64; shape.iter().product()];
        let (xs, ws) = (x.to_vec(), w.to_vec());
        products(case.0, case.1, &spec, |y, i, j| {
            want[y] += f64::from(xs[i]) * f64::from(ws[j]);
        });
        let tolerance = 1e-5;
        assert_close(
            &conv(&x, &w, None, &spec).unwrap(),
            &shape,
            &want,
            tolerance,
        );
        let plane: usize = shape[2..].iter().product();
        for (i, value) in want.iter_mut().enumerate() {
            *value += f64::from(b.get(&[i / plane % case.1[0]]).unwrap());
        }
        assert_close(
            &conv(&x, &w, Some(&b), &spec).unwrap(),
            &shape,
            &want,
            tolerance,
        );
        let last = x.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
        assert_close(
            &conv(&last, &w, Some(&b), &spec).unwrap(),
            &shape,
            &want,
            tolerance,
        );
    }
}

#[test]
fn gradients_agree_with_nested_loops() {
    let mut values = Values::new(2);
    for case in CASES {
        let spec = spec_of(case);
        let (x, w) = (values.tensor(case.0), values.tensor(case.1));
        let dy = values.tensor(&output_shape(case, &spec));
        let (mut dx, mut dw) = (vec![0f64; x.numel()], vec![0f64; w.numel()]);
        let (xs, ws, dys) = (x.to_vec(), w.to_vec(), dy.to_vec());
        products(case.0, case.1, &spec, |y, i, j| {
            dx[i] += f64::from(dys[y]) * f64::from(ws[j]);
            dw[j] += f64::from(dys[y]) * f64::from(xs[i]);
        });
        let got = conv_input_gradient(&dy, &w, case.0, &spec).unwrap();
        assert_close(&got, case.0, &dx, 1e-5);
        let got = conv_weight_gradient(&dy, &x, case.1, &spec).unwrap();
        // Sums over up to 4620 positions in f32.
        assert_close(&got, case.1, &dw, 1e-4);
    }
}

#[test]
fn mistakes_show_both_shapes() {
    let z = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let spec = ConvSpec::default();
    let message = conv(&z(&[1, 4, 8, 8]), &z(&[6, 3, 3, 3]), None, &spec)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[1, 4, 8, 8]") && message.contains("[6, 3, 3, 3]"),
        "{message}"
    );
    let refused = |x: &[usize], w: &[usize], b: Option<&[usize]>, spec: &ConvSpec| {
        conv(&z(x), &z(w), b.map(z).as_ref(), spec).is_err()
    };
    let groups = ConvSpec::new(&[1, 1], &[0, 0], &[1, 1], 2).unwrap();
    let cube = ConvSpec::new(&[2, 1, 1], &[0; 3], &[1; 3], 1).unwrap();
    assert!(refused(&[1, 4, 8, 8], &[5, 2, 3, 3], None, &groups));
    assert!(refused(&[1, 3, 2, 8], &[6, 3, 3, 3], None, &spec));
    assert!(refused(&[1, 3, 8, 8], &[6, 3, 0, 3], None, &spec));
    assert!(refused(&[1, 3, 8, 8], &[6, 3, 3], None, &spec));
    assert!(refused(&[3, 8], &[6, 3], None, &spec));
    assert!(refused(&[1, 3, 8, 8], &[6, 3, 3, 3], Some(&[3]), &spec));
    assert!(refused(&[1, 3, 8, 8], &[6, 3, 3, 3], None, &cube));
    let (dy, w) = (z(&[1, 6, 5, 6]), z(&[6, 3, 3, 3]));
    let message = conv_input_gradient(&dy, &w, &[1, 3, 8, 8], &spec)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[1, 6, 6, 6]") && message.contains("[1, 6, 5, 6]"),
        "{message}"
    );
    assert!(conv_weight_gradient(&dy, &z(&[1, 3, 8, 8]), &[6, 3, 3, 3], &spec).is_err());
}
