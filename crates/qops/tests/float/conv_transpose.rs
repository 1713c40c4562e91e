//! Transposed convolution and its adjoints against nested loops in `f64`.

use qops::ConvTransposeSpec;
use qops::float::{conv_transpose, conv_transpose_input_gradient, conv_transpose_weight_gradient};
use qtensor_core::Tensor;

use super::testing::{Values, assert_close, three};

/// Shape of input and weights; stride, padding, output padding, dilation (one value for all axes) and groups.
type Case = (&'static [usize], &'static [usize], [usize; 4], usize);

const CASES: &[Case] = &[
    // Pointwise, pointwise with a stride (positions without products), pointwise with padding.
    (&[2, 5, 6, 7], &[5, 9, 1, 1], [1, 0, 0, 1], 1),
    (&[1, 4, 5, 4], &[4, 6, 1, 1], [3, 0, 2, 1], 1),
    (&[1, 4, 5, 6], &[4, 3, 1, 1], [2, 1, 1, 1], 1),
    // The layers of decoders.
    (&[2, 6, 5, 7], &[6, 4, 4, 4], [2, 1, 0, 1], 1),
    (&[1, 6, 5, 7], &[6, 4, 3, 3], [2, 1, 1, 1], 1),
    (&[1, 6, 5, 4], &[6, 4, 2, 2], [2, 0, 0, 1], 1),
    (&[1, 3, 9, 8], &[3, 5, 3, 3], [1, 1, 0, 1], 1),
    (&[2, 3, 11], &[3, 4, 16], [8, 4, 0, 1], 1),
    (&[1, 2, 3, 4, 3], &[2, 3, 3, 2, 3], [2, 1, 1, 1], 1),
    // Dilation, common factors of it with the stride, and more output padding than the stride.
    (&[1, 2, 5, 6], &[2, 3, 3, 3], [2, 2, 1, 2], 1),
    (&[1, 2, 5, 6], &[2, 3, 3, 3], [3, 2, 2, 2], 1),
    (&[1, 2, 4, 5], &[2, 3, 3, 2], [1, 1, 2, 3], 1),
    (&[2, 2, 5], &[2, 3, 3], [2, 1, 3, 4], 1),
    // Padding that cuts away whole windows.
    (&[1, 2, 7, 6], &[2, 3, 1, 1], [1, 2, 0, 1], 1),
    (&[1, 2, 7, 6], &[2, 3, 2, 2], [2, 3, 1, 1], 1),
    // Groups, depthwise without and with a stride, several outputs to a channel.
    (&[2, 6, 5, 5], &[6, 2, 3, 3], [2, 1, 1, 1], 3),
    (&[2, 5, 7, 9], &[5, 1, 3, 3], [1, 1, 0, 1], 5),
    (&[1, 5, 7, 9], &[5, 1, 3, 3], [1, 2, 1, 2], 5),
    (&[1, 4, 6, 5], &[4, 1, 4, 4], [2, 1, 0, 1], 4),
    (&[1, 4, 6, 5], &[4, 2, 3, 3], [2, 1, 0, 1], 4),
    // One element, and enough work for several threads and several blocks of columns.
    (&[1, 1, 1, 1], &[1, 1, 1, 1], [1, 0, 0, 1], 1),
    (&[1, 20, 33, 70], &[20, 8, 4, 4], [2, 1, 0, 1], 1),
    (&[4, 8, 9, 9], &[8, 8, 3, 3], [2, 1, 1, 1], 2),
    // Nothing to do.
    (&[0, 3, 8, 8], &[3, 4, 3, 3], [2, 1, 1, 1], 1),
    (&[1, 3, 8, 8], &[3, 0, 3, 3], [2, 1, 1, 1], 1),
    (&[1, 0, 3, 3], &[0, 4, 3, 3], [1, 1, 0, 1], 1),
];

fn spec_of(case: &Case) -> ConvTransposeSpec {
    let (rank, [stride, padding, output_padding, dilation]) = (case.0.len() - 2, case.2);
    let all = |value: usize| vec![value; rank];
    ConvTransposeSpec::new(
        &all(stride),
        &all(padding),
        &all(output_padding),
        &all(dilation),
        case.3,
    )
    .unwrap()
}

/// The output's shape.
fn shape_of(case: &Case) -> Vec<usize> {
    let (x, w, [stride, padding, output_padding, dilation], groups) = *case;
    let mut shape = vec![x[0], w[1] * groups];
    for (x, w) in x.iter().zip(w).skip(2) {
        shape.push((x - 1) * stride + dilation * (w - 1) + output_padding + 1 - 2 * padding);
    }
    shape
}

/// Calls `f(output element, input element, weight element)` for every product, by the definition: each input is
/// multiplied with the whole kernel, and the products are added where they fall.
fn products(case: &Case, mut f: impl FnMut(usize, usize, usize)) {
    let (x, w, [stride, padding, _, dilation], groups) = *case;
    let output = shape_of(case);
    let (input, kernel) = (three(&x[2..]), three(&w[2..]));
    let out = three(&output[2..]);
    // Axes that the tensors lack have neither stride nor padding; with one position, only padding would matter.
    let padding: [usize; 3] = std::array::from_fn(|d| if d + x.len() < 5 { 0 } else { padding });
    let volume = |size: [usize; 3]| size.iter().product::<usize>();
    let point =
        |size: [usize; 3], i: usize| [i / size[2] / size[1], i / size[2] % size[1], i % size[2]];
    let channels = x[1] / groups;
    for n in 0..x[0] {
        for c in 0..x[1] {
            for j in 0..w[1] {
                let o = c / channels.max(1) * w[1] + j;
                for i in 0..volume(input) {
                    for k in 0..volume(kernel) {
                        let (at, tap) = (point(input, i), point(kernel, k));
                        let place: [Option<usize>; 3] = std::array::from_fn(|d| {
                            (at[d] * stride + tap[d] * dilation)
                                .checked_sub(padding[d])
                                .filter(|&q| q < out[d])
                        });
                        let [Some(d), Some(h), Some(v)] = place else {
                            continue;
                        };
                        let q = (d * out[1] + h) * out[2] + v;
                        f(
                            (n * output[1] + o) * volume(out) + q,
                            (n * x[1] + c) * volume(input) + i,
                            (c * w[1] + j) * volume(kernel) + k,
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn outputs_agree_with_nested_loops() {
    let mut values = Values::new(1);
    for case in CASES {
        let spec = spec_of(case);
        let (x, w) = (values.tensor(case.0), values.tensor(case.1));
        let shape = shape_of(case);
        let b = values.tensor(&shape[1..2]);
        let mut want = vec![0f64; shape.iter().product()];
        let (xs, ws) = (x.to_vec(), w.to_vec());
        products(case, |y, i, j| {
            want[y] += f64::from(xs[i]) * f64::from(ws[j]);
        });
        let y = conv_transpose(&x, &w, None, &spec).unwrap();
        assert_close(&y, &shape, &want, 1e-5);
        let plane: usize = shape[2..].iter().product();
        for (i, value) in want.iter_mut().enumerate() {
            *value += f64::from(b.get(&[i / plane % shape[1]]).unwrap());
        }
        let y = conv_transpose(&x, &w, Some(&b), &spec).unwrap();
        assert_close(&y, &shape, &want, 1e-5);
        let last = x
            .to_memory_format(qtensor_core::MemoryFormat::ChannelsLast)
            .unwrap();
        let y = conv_transpose(&last, &w, Some(&b), &spec).unwrap();
        assert_close(&y, &shape, &want, 1e-5);
    }
}

#[test]
fn gradients_agree_with_nested_loops() {
    let mut values = Values::new(2);
    for case in CASES {
        let spec = spec_of(case);
        let (x, w) = (values.tensor(case.0), values.tensor(case.1));
        let dy = values.tensor(&shape_of(case));
        let (mut dx, mut dw) = (vec![0f64; x.numel()], vec![0f64; w.numel()]);
        let (xs, ws, dys) = (x.to_vec(), w.to_vec(), dy.to_vec());
        products(case, |y, i, j| {
            dx[i] += f64::from(dys[y]) * f64::from(ws[j]);
            dw[j] += f64::from(dys[y]) * f64::from(xs[i]);
        });
        let got = conv_transpose_input_gradient(&dy, &w, case.0, &spec).unwrap();
        assert_close(&got, case.0, &dx, 1e-5);
        let got = conv_transpose_weight_gradient(&dy, &x, case.1, &spec).unwrap();
        // Sums over some thousand positions in f32.
        assert_close(&got, case.1, &dw, 1e-4);
    }
}

#[test]
fn small_cases_by_hand() {
    let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape).unwrap();
    // Every pixel becomes a copy of the kernel, side by side.
    let x = tensor(&[1.0, 2.0, 3.0, 4.0], &[1, 1, 2, 2]);
    let w = tensor(&[1.0, 10.0, 100.0, 1000.0], &[1, 1, 2, 2]);
    let spec = ConvTransposeSpec::new(&[2, 2], &[0, 0], &[0, 0], &[1, 1], 1).unwrap();
    let y = conv_transpose(&x, &w, None, &spec).unwrap();
    #[rustfmt::skip]
    assert_eq!(y.to_vec(), [
        1.0, 10.0, 2.0, 20.0,
        100.0, 1000.0, 200.0, 2000.0,
        3.0, 30.0, 4.0, 40.0,
        300.0, 3000.0, 400.0, 4000.0,
    ]);
    // Without a stride the copies overlap: the full product of two polynomials, cut by the padding.
    let x = tensor(&[1.0, 2.0, 3.0], &[1, 1, 3]);
    let w = tensor(&[1.0, 1.0, 2.0], &[1, 1, 3]);
    let full = ConvTransposeSpec::default();
    let y = conv_transpose(&x, &w, None, &full).unwrap();
    assert_eq!(y.to_vec(), [1.0, 3.0, 7.0, 7.0, 6.0]);
    let cut = ConvTransposeSpec {
        padding: [0, 0, 1],
        ..full
    };
    let y = conv_transpose(&x, &w, Some(&tensor(&[0.5], &[1])), &cut).unwrap();
    assert_eq!(y.to_vec(), [3.5, 7.5, 7.5]);
    // Output padding beyond the kernel's reach holds the bias alone.
    let wide = ConvTransposeSpec::new(&[3], &[0], &[2], &[1], 1).unwrap();
    let y = conv_transpose(
        &tensor(&[1.0, 2.0], &[1, 1, 2]),
        &tensor(&[5.0], &[1, 1, 1]),
        Some(&tensor(&[0.25], &[1])),
        &wide,
    );
    assert_eq!(y.unwrap().to_vec(), [5.25, 0.25, 0.25, 10.25, 0.25, 0.25]);
}

/// `i·step + start` modulo `size` for each element, around 0, in steps of `1 / unit`.
fn sequence(shape: &[usize], [step, start, size]: [usize; 3], unit: f32) -> Tensor {
    let n: usize = shape.iter().product();
    let value = |i: usize| ((i * step + start) % size) as f32 - (size / 2) as f32;
    Tensor::from_vec((0..n).map(|i| value(i) / unit).collect(), shape).unwrap()
}

#[test]
fn numbers_are_those_of_pytorch() {
    // `torch.nn.functional.conv_transpose2d` on the same operands; all sums are exact in f32.
    let x = sequence(&[2, 4, 3, 4], [7, 3, 13], 4.0);
    let w = sequence(&[4, 2, 3, 3], [5, 1, 11], 8.0);
    let b = Tensor::from_slice(&[0.5, -0.25, 0.125, 0.75], &[4]).unwrap();
    type Recorded = ([[usize; 2]; 4], [usize; 4], [f32; 12], [f64; 2]);
    let recorded: [Recorded; 2] = [
        (
            [[2, 1], [1, 0], [1, 0], [1, 1]],
            [2, 4, 6, 6],
            [
                22.0, -17.0, 62.0, -21.0, 55.0, 9.0, -17.0, 45.0, -33.0, 62.0, -4.0, 51.0,
            ],
            [78.4375, 12579.03125],
        ),
        (
            [[2, 3], [1, 2], [0, 3], [1, 4]],
            [2, 4, 5, 17],
            [
                16.0, 10.0, -11.0, 16.0, 24.0, 48.0, 22.0, 12.0, -10.0, 9.0, 16.0, 49.0,
            ],
            [201.3125, 76605.1875],
        ),
    ];
    for ([stride, padding, output_padding, dilation], shape, first, sums) in recorded {
        let spec =
            ConvTransposeSpec::new(&stride, &padding, &output_padding, &dilation, 2).unwrap();
        let y = conv_transpose(&x, &w, Some(&b), &spec).unwrap();
        assert_eq!(y.shape(), shape);
        let y = y.to_vec();
        assert_eq!(y[..12].iter().map(|v| v * 32.0).collect::<Vec<_>>(), first);
        let values = y.iter().map(|&v| f64::from(v));
        let weighted = values.clone().enumerate().map(|(i, v)| i as f64 * v);
        assert_eq!([values.sum::<f64>(), weighted.sum()], sums);
    }
}

#[test]
fn mistakes_show_both_shapes() {
    let z = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let spec = ConvTransposeSpec::default();
    let message = conv_transpose(&z(&[1, 4, 8, 8]), &z(&[3, 6, 3, 3]), None, &spec)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[1, 4, 8, 8]") && message.contains("[3, 6, 3, 3]"),
        "{message}"
    );
    let refused = |x: &[usize], w: &[usize], b: Option<&[usize]>, spec: &ConvTransposeSpec| {
        conv_transpose(&z(x), &z(w), b.map(z).as_ref(), spec).is_err()
    };
    let groups = ConvTransposeSpec { groups: 2, ..spec };
    let cube = ConvTransposeSpec::new(&[2, 1, 1], &[0; 3], &[0; 3], &[1; 3], 1).unwrap();
    let padded = ConvTransposeSpec {
        padding: [0, 5, 5],
        ..spec
    };
    assert!(refused(&[1, 5, 8, 8], &[5, 2, 3, 3], None, &groups));
    assert!(refused(&[1, 3, 0, 8], &[3, 6, 3, 3], None, &spec));
    assert!(refused(&[1, 3, 8, 8], &[3, 6, 0, 3], None, &spec));
    assert!(refused(&[1, 3, 8, 8], &[3, 6, 3], None, &spec));
    assert!(refused(&[3, 8], &[3, 6], None, &spec));
    assert!(refused(&[1, 3, 8, 8], &[3, 6, 3, 3], Some(&[3]), &spec));
    assert!(refused(&[1, 3, 8, 8], &[3, 6, 3, 3], None, &cube));
    assert!(refused(&[1, 3, 8, 8], &[3, 6, 3, 3], None, &padded));
    let (dy, w) = (z(&[1, 6, 9, 10]), z(&[3, 6, 3, 3]));
    let message = conv_transpose_input_gradient(&dy, &w, &[1, 3, 8, 8], &spec)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[1, 6, 10, 10]") && message.contains("[1, 6, 9, 10]"),
        "{message}"
    );
    let x = z(&[1, 3, 8, 8]);
    assert!(conv_transpose_weight_gradient(&dy, &x, &[3, 6, 3, 3], &spec).is_err());
}
