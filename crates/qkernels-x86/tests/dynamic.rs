//! Rows quantized by ranges of their own, on every tier and thread count.

use crate::common::{Data, isas};
use qkernels_x86::{Context, Error, RowParams, min_max, quantize_rows_u8, quantize_u8};
use qtensor_core::choose_qparams::{ChooseOptions, choose_quantization_params};

const NONE: RowParams = RowParams {
    scale: f32::NAN,
    zero_point: 7,
};

/// The same, one step after the other.
fn expected(x: &[f32], rows: usize, reduce_range: bool) -> (Vec<RowParams>, Vec<u8>) {
    let ctx = Context::with(isas()[0], 1);
    let (mut params, mut out) = (Vec::new(), vec![0; x.len()]);
    let length = x.len() / rows;
    for (x, out) in x.chunks(length).zip(out.chunks_mut(length)) {
        let seen = min_max(&ctx, x).expect("rows have elements");
        let options = ChooseOptions {
            qmin: 0,
            qmax: 255,
            preserve_sparsity: false,
            reduce_range,
        };
        let (scale, z) = choose_quantization_params(seen.min, seen.max, options).expect("finite");
        let scale = scale as f32;
        quantize_u8(&ctx, x, 1.0 / scale, z, out).expect("the lengths agree");
        params.push(RowParams {
            scale,
            zero_point: z as u8,
        });
    }
    (params, out)
}

#[test]
fn rows_have_the_parameters_and_integers_of_their_own_range() {
    let mut data = Data::new(1);
    // The last ones are worth a fork.
    for (rows, length) in [
        (1, 1),
        (1, 77),
        (2, 1),
        (3, 40),
        (5, 31),
        (7, 33),
        (2, 70_000),
        (9, 20_000),
        (1, 150_001),
    ] {
        let mut x: Vec<f32> = (0..rows * length)
            .map(|i| ((data.next() >> 40) as f32 / 8e6 - 0.7) * (1 + i / length) as f32)
            .collect();
        if rows > 2 {
            x[length..2 * length].fill(0.0);
            x[2 * length..3 * length].fill(1e-6);
        }
        for reduce_range in [false, true] {
            let want = expected(&x, rows, reduce_range);
            for isa in isas() {
                for threads in [1, 2, 3, 7] {
                    let ctx = Context::with(isa, threads);
                    let (mut params, mut out) = (vec![NONE; rows], vec![9; x.len()]);
                    let done = quantize_rows_u8(&ctx, &x, reduce_range, &mut params, &mut out);
                    assert_eq!(done, Ok(()));
                    assert!((params, out) == want, "{rows} x {length}, {ctx:?}");
                }
            }
        }
    }
}

#[test]
fn rows_without_elements_count_as_zeros() {
    let ctx = Context::with(isas()[0], 1);
    let mut params = [NONE; 2];
    let done = quantize_rows_u8(&ctx, &[], false, &mut params, &mut []);
    assert_eq!(done, Ok(()));
    let zeros = RowParams {
        scale: 0.1,
        zero_point: 0,
    };
    assert_eq!(params, [zeros; 2]);
    let done = quantize_rows_u8(&ctx, &[], false, &mut [], &mut []);
    assert_eq!(done, Ok(()));
}

#[test]
fn the_first_element_that_is_not_finite_is_named() {
    for isa in isas() {
        for threads in [1, 3] {
            for (rows, length) in [(1, 200_000), (4, 50_000), (4, 60)] {
                let ctx = Context::with(isa, threads);
                for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                    let mut x = vec![1.0; rows * length];
                    let first = length / 2 + 1;
                    x[first] = bad;
                    x[rows * length - 1] = f32::NAN;
                    let (mut params, mut out) = (vec![NONE; rows], vec![0; x.len()]);
                    let done = quantize_rows_u8(&ctx, &x, false, &mut params, &mut out);
                    let Err(Error::Parameter { actual, index, .. }) = done else {
                        panic!("{bad} was taken: {done:?}");
                    };
                    assert_eq!((actual.to_bits(), index), (bad.to_bits(), first));
                }
            }
        }
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let ctx = Context::with(isas()[0], 1);
    let run = |x: usize, rows: usize, out: usize| {
        let (mut params, mut bytes) = (vec![NONE; rows], vec![0; out]);
        quantize_rows_u8(&ctx, &vec![0.0; x], false, &mut params, &mut bytes)
    };
    let length = |buffer, expected, actual| {
        Err(Error::Length {
            operation: "quantize_rows_u8",
            buffer,
            expected,
            actual,
        })
    };
    assert_eq!(run(6, 3, 6), Ok(()));
    assert_eq!(run(5, 3, 6), length("input", 6, 5));
    assert_eq!(run(6, 0, 6), length("output of no rows", 0, 6));
    let uneven = Error::Indivisible {
        operation: "quantize_rows_u8",
        what: "number of elements",
        actual: 6,
        divisor: 4,
    };
    assert_eq!(run(6, 4, 6), Err(uneven));
}
