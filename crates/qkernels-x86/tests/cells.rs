//! Recurrent cells, softmax, layer normalization and curves: near their definitions in `f64`, and the same bits on every
//! instruction set and with any number of threads.

use crate::common::{self, Data};
use qkernels_x86::{
    AttentionScratch, AttentionShape, Cell, CellState, Context, Curve, Error, Isa, Tier,
    attention_f32, cell_step, curve_f32, layer_norm_f32, softmax_f32,
};

const CELLS: [Cell; 4] = [Cell::RnnTanh, Cell::RnnRelu, Cell::Lstm, Cell::Gru];

fn floats(rng: &mut Data, len: usize, limit: f32) -> Vec<f32> {
    (0..len)
        .map(|_| ((rng.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * limit)
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Every instruction set with one and with several threads, the portable code first.
fn contexts() -> Vec<Context> {
    let isas = common::isas();
    let portable = Isa::available()[0];
    assert_eq!(portable.tier(), Tier::Scalar);
    let all = isas
        .into_iter()
        .flat_map(|isa| [1, 2, 3, 7].map(|threads| Context::with(isa, threads)));
    [Context::with(portable, 1)]
        .into_iter()
        .chain(all)
        .collect()
}

/// Runs `f` in every context; all results must have the bits of the first.
fn everywhere(what: &str, f: impl Fn(&Context) -> Vec<f32>) -> Vec<f32> {
    let mut first: Option<Vec<f32>> = None;
    for context in contexts() {
        let result = f(&context);
        match &first {
            None => first = Some(result),
            Some(first) => assert_eq!(bits(&result), bits(first), "{what} {context:?}"),
        }
    }
    first.expect("there is at least one context")
}

#[test]
fn curves_are_the_same_bits_everywhere() {
    let mut rng = Data::new(1);
    for len in [0, 1, 15, 16, 17, 63, 1000, 40_000] {
        let mut x = floats(&mut rng, len, 12.0);
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-30];
        x.iter_mut().zip(special).for_each(|(x, s)| *x = s);
        for curve in [Curve::Sigmoid, Curve::Tanh, Curve::Gelu, Curve::GeluTanh] {
            everywhere(&format!("{curve:?} {len}"), |context| {
                let mut out = vec![9.0; len];
                curve_f32(context, curve, &x, &mut out).expect("the lengths fit");
                // Which NaN it is may differ.
                out.iter_mut().filter(|y| y.is_nan()).for_each(|y| *y = 1e9);
                out
            });
        }
    }
}

#[test]
fn gelus_are_near_their_formulas() {
    let x: Vec<f32> = (-600..=600).map(|i| i as f32 / 100.0).collect();
    let context = Context::new().expect("an instruction set");
    let mut exact = vec![0.0; x.len()];
    let mut approximate = exact.clone();
    curve_f32(&context, Curve::Gelu, &x, &mut exact).expect("the lengths fit");
    curve_f32(&context, Curve::GeluTanh, &x, &mut approximate).expect("the lengths fit");
    let at = |curve: &[f32], x: f32| curve[(x * 100.0) as usize + 600];
    // Φ(1) and Φ(2) to the digits of f32.
    assert!((at(&exact, 1.0) - 0.841_344_8).abs() < 1e-6);
    assert!((at(&exact, 2.0) - 2.0 * 0.977_249_86).abs() < 1e-6);
    for (&x, (&y, &e)) in x.iter().zip(approximate.iter().zip(&exact)) {
        let x = f64::from(x);
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        let want = 0.5 * x * (1.0 + inner.tanh());
        assert!((f64::from(y) - want).abs() < 2e-6, "{x}: {y} {want}");
        assert!((y - e).abs() < 1e-3, "{x}: {y} {e}");
    }
}

/// The state after a step, by definition and in `f64`.
fn expected(cell: Cell, n: usize, x: &[f32], g: &[f32], h: f32, c: f32, u: usize) -> [f64; 2] {
    let sigma = |v: f64| 1.0 / (1.0 + (-v).exp());
    let part = |values: &[f32], gate: usize| f64::from(values[gate * n + u]);
    let sum = |gate: usize| part(x, gate) + part(g, gate);
    let (h, c) = (f64::from(h), f64::from(c));
    match cell {
        Cell::RnnTanh => [sum(0).tanh(), 0.0],
        Cell::RnnRelu => [sum(0).max(0.0), 0.0],
        Cell::Lstm => {
            let c = sigma(sum(1)) * c + sigma(sum(0)) * sum(2).tanh();
            [sigma(sum(3)) * c.tanh(), c]
        }
        Cell::Gru => {
            let (r, z) = (sigma(sum(0)), sigma(sum(1)));
            let new = (part(x, 2) + r * part(g, 2)).tanh();
            [(h - new) * z + new, 0.0]
        }
    }
}

#[test]
fn steps_follow_their_formulas_everywhere() {
    let mut rng = Data::new(2);
    for cell in CELLS {
        for (rows, n) in [
            (1, 1),
            (2, 3),
            (3, 16),
            (5, 17),
            (1, 130),
            (40, 150),
            (0, 4),
        ] {
            let width = cell.gates() * n;
            let x = floats(&mut rng, rows * width, 3.0);
            let gates = floats(&mut rng, rows * width, 3.0);
            let h0 = floats(&mut rng, rows * n, 1.0);
            let cells = if cell.has_cell_state() { rows * n } else { 0 };
            let c0 = floats(&mut rng, cells, 1.0);
            let stride = n + 3;
            let result = everywhere(&format!("{cell:?} {rows}x{n}"), |context| {
                let (mut h, mut c) = (h0.clone(), c0.clone());
                let mut out = vec![7.0; rows * stride];
                let state = CellState {
                    h: &mut h,
                    c: &mut c,
                    out: &mut out,
                    stride,
                };
                cell_step(context, cell, rows, n, &x, &mut gates.clone(), state)
                    .expect("the lengths fit");
                for (row, h) in out.chunks(stride).zip(h.chunks(n)) {
                    assert_eq!((&row[..n], &row[n..]), (h, &[7.0; 3][..]));
                }
                h.extend(c);
                h
            });
            let (h, c) = result.split_at(rows * n);
            for at in 0..rows * n {
                let (row, u) = (at / n, at % n);
                let part = row * width..(row + 1) * width;
                let c_before = c0.get(at).copied().unwrap_or(0.0);
                let (x, g) = (&x[part.clone()], &gates[part]);
                let want = expected(cell, n, x, g, h0[at], c_before, u);
                let got = [h[at], c.get(at).copied().unwrap_or(0.0)];
                for (got, want) in got.iter().zip(want) {
                    let error = (f64::from(*got) - want).abs();
                    assert!(error < 3e-6, "{cell:?} {rows}x{n} at {at}: {got} {want}");
                }
            }
        }
    }
}

#[test]
fn rows_are_normalized_everywhere() {
    let mut rng = Data::new(3);
    for (rows, length) in [(1, 1), (3, 5), (2, 16), (7, 33), (1, 384), (60, 300)] {
        let x = floats(&mut rng, rows * length, 5.0);
        let (weight, bias) = (floats(&mut rng, length, 1.0), floats(&mut rng, length, 1.0));
        let soft = everywhere("softmax", |context| {
            let mut out = vec![0.0; x.len()];
            softmax_f32(context, &x, length, &mut out).expect("the lengths fit");
            out
        });
        let normal = everywhere("layer norm", |context| {
            let mut out = vec![0.0; x.len()];
            layer_norm_f32(context, &x, &weight, &bias, 1e-5, &mut out).expect("the lengths fit");
            out
        });
        for row in 0..rows {
            let values: Vec<f64> = x[row * length..][..length]
                .iter()
                .map(|&v| f64::from(v))
                .collect();
            let sum: f64 = values.iter().map(|v| v.exp()).sum();
            let mean = values.iter().sum::<f64>() / length as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / length as f64;
            for (i, v) in values.iter().enumerate() {
                let at = row * length + i;
                assert!((f64::from(soft[at]) - v.exp() / sum).abs() < 1e-6);
                let want = (v - mean) / (variance + 1e-5).sqrt() * f64::from(weight[i])
                    + f64::from(bias[i]);
                assert!((f64::from(normal[at]) - want).abs() < 1e-5, "{want}");
            }
        }
    }
}

#[test]
fn attention_is_the_same_bits_everywhere() {
    let mut rng = Data::new(4);
    for (queries, keys, heads, depth) in
        [(1, 1, 1, 1), (5, 7, 2, 3), (4, 16, 3, 32), (19, 33, 2, 17)]
    {
        let shape = AttentionShape {
            queries,
            keys,
            heads,
            depth,
        };
        let width = heads * depth;
        let q = floats(&mut rng, queries * width, 2.0);
        let (k, v) = (
            floats(&mut rng, keys * width, 2.0),
            floats(&mut rng, keys * width, 2.0),
        );
        let (by_key, by_pair) = (
            floats(&mut rng, keys, 1.0),
            floats(&mut rng, queries * keys, 1.0),
        );
        let y = everywhere(&format!("{shape:?}"), |context| {
            // Memory of another call must not matter.
            let mut scratch = AttentionScratch::default();
            let mut out = vec![0.0; queries * width];
            for _ in 0..2 {
                let masks = [Some(&by_key[..]), Some(&by_pair[..])];
                attention_f32(context, shape, &q, &k, &v, masks, &mut scratch, &mut out)
                    .expect("the lengths fit");
            }
            out
        });
        for head in 0..heads {
            for query in 0..queries {
                let dot = |key: usize| -> f64 {
                    let pairs = (0..depth).map(|d| {
                        let at = head * depth + d;
                        f64::from(q[query * width + at]) * f64::from(k[key * width + at])
                    });
                    pairs.sum::<f64>() / (depth as f64).sqrt()
                        + f64::from(by_key[key])
                        + f64::from(by_pair[query * keys + key])
                };
                let weights: Vec<f64> = (0..keys).map(|key| dot(key).exp()).collect();
                let total: f64 = weights.iter().sum();
                for d in 0..depth {
                    let at = head * depth + d;
                    let values = (0..keys).map(|key| weights[key] * f64::from(v[key * width + at]));
                    let want = values.sum::<f64>() / total;
                    let got = f64::from(y[query * width + at]);
                    assert!((got - want).abs() < 1e-5, "{shape:?}: {got} {want}");
                }
            }
        }
    }
}

#[test]
fn masked_rows_and_nan_keep_their_meaning() {
    let context = Context::new().expect("an instruction set");
    let softmax = |x: &[f32]| {
        let mut out = vec![0.0; x.len()];
        softmax_f32(&context, x, x.len(), &mut out).expect("the lengths fit");
        out
    };
    let none = f32::NEG_INFINITY;
    assert_eq!(softmax(&[none, 2.0, none, 2.0]), [0.0, 0.5, 0.0, 0.5]);
    assert!(softmax(&[none, none]).iter().all(|y| y.is_nan()));
    assert!(softmax(&[1.0, f32::NAN]).iter().all(|y| y.is_nan()));
}

#[test]
fn buffers_that_do_not_fit_are_refused() {
    let context = Context::new().expect("an instruction set");
    let step = |x: usize, gates: usize, h: usize, c: usize, out: usize| {
        let (x, mut gates) = (vec![0.0; x], vec![0.0; gates]);
        let (mut h, mut c, mut out) = (vec![0.0; h], vec![0.0; c], vec![0.0; out]);
        let state = CellState {
            h: &mut h,
            c: &mut c,
            out: &mut out,
            stride: 4,
        };
        cell_step(&context, Cell::Lstm, 2, 3, &x, &mut gates, state)
    };
    assert_eq!(step(24, 24, 6, 6, 7), Ok(()));
    for wrong in [
        step(23, 24, 6, 6, 7),
        step(24, 25, 6, 6, 7),
        step(24, 24, 5, 6, 7),
        step(24, 24, 6, 0, 7),
        step(24, 24, 6, 6, 6),
    ] {
        assert!(matches!(wrong, Err(Error::Length { .. })), "{wrong:?}");
    }
    let mut out = [0.0; 5];
    let odd = softmax_f32(&context, &[0.0; 5], 2, &mut out);
    assert!(matches!(odd, Err(Error::Indivisible { divisor: 2, .. })));
    let zero = layer_norm_f32(&context, &[0.0; 5], &[], &[], 0.0, &mut out);
    assert!(matches!(zero, Err(Error::Indivisible { divisor: 0, .. })));
    assert!(curve_f32(&context, Curve::Tanh, &[0.0; 4], &mut out).is_err());
}
