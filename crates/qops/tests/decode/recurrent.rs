//! Calls of recurrent layers: a direction of a layer over sequences of several lengths.

use qops::quantized::Granularity;
use qops::recurrent::{Cell, Direction, DynamicGates, FloatGates, Gates, Scratch, run_direction};
use qtensor_core::Tensor;

use super::layers::{bias, granularity};
use super::{Call, Numbers, is_plain, same_bits};

pub fn check(numbers: &mut Numbers) -> Call {
    call(numbers).unwrap_or(Call::Refused)
}

fn call(numbers: &mut Numbers) -> Option<Call> {
    let cell = numbers.pick(&[Cell::RnnTanh, Cell::RnnRelu, Cell::Lstm, Cell::Gru]);
    let (input, hidden) = (numbers.within(0, 7), numbers.within(0, 6));
    let (gates, rowwise) = gates(numbers, cell, input, hidden)?;
    let batches = batches(numbers);
    let all = batches.iter().fold(0usize, |all, &n| all.saturating_add(n));
    let mut shape = vec![all, input];
    if numbers.one_in(24) {
        shape = numbers.shape(0, 3);
    }
    let x = numbers.tensor(&shape)?;
    let states = if numbers.one_in(16) {
        numbers.within(0, 24)
    } else {
        batches.first()?.saturating_mul(hidden)
    };
    let h = numbers.tensor(&[states])?.to_vec();
    let c = match cell.has_cell_state() {
        true => h.iter().map(|h| h / 2.0).collect(),
        false => Vec::new(),
    };
    let layer = Layer {
        gates: &*gates,
        cell,
        stride: match numbers.byte() % 16 {
            0 => numbers.size(0, 9),
            1 => hidden + 2,
            _ => hidden,
        },
        reverse: numbers.one_in(2),
    };
    let before = State { h, c };
    let Some((out, after)) = layer.run(&x, &batches, before.clone()) else {
        return Some(Call::Refused);
    };
    // Without states nothing is computed, however many steps there are.
    if all == 0 || gates.width() == 0 {
        return Some(Call::Computed);
    }
    assert_eq!(gates.width(), hidden * cell.gates(), "a width of no cell");
    // The products with several inputs at once are then, bit for bit, those with each of them.
    if !(rowwise && is_plain(&x)) {
        return Some(Call::Computed);
    }
    let (want_out, want) = layer.step_by_step(&x, &batches, before);
    assert!(same_bits(&out, &want_out), "{cell:?} over {batches:?}");
    assert!(same_bits(&after.h, &want.h), "{cell:?} over {batches:?}");
    assert!(same_bits(&after.c, &want.c), "{cell:?} over {batches:?}");
    Some(Call::Compared)
}

/// Weights of either kind, and whether they treat each input by itself.
fn gates(
    numbers: &mut Numbers,
    cell: Cell,
    input: usize,
    hidden: usize,
) -> Option<(Box<dyn Gates>, bool)> {
    let width = if numbers.one_in(16) {
        numbers.within(0, 24)
    } else {
        hidden * cell.gates()
    };
    let rows = width + usize::from(numbers.one_in(24));
    let [b, c] = [bias(numbers, width)?, bias(numbers, rows)?];
    let (b, c) = (b.as_ref(), c.as_ref());
    if numbers.one_in(2) {
        let (w, u) = (
            numbers.weight(&[width, input])?,
            numbers.weight(&[rows, hidden])?,
        );
        let quant = granularity(numbers);
        let gates = DynamicGates::new(&w, &u, b, c, quant).ok()?;
        return Some((Box::new(gates), quant.granularity == Granularity::PerRow));
    }
    let (w, u) = (
        numbers.tensor(&[width, input])?,
        numbers.tensor(&[rows, hidden])?,
    );
    let plain = is_plain(&w) && b.is_none_or(is_plain);
    Some((Box::new(FloatGates::new(&w, &u, b, c).ok()?), plain))
}

/// How many sequences have a first, a second, … element; mostly fewer and fewer.
fn batches(numbers: &mut Numbers) -> Vec<usize> {
    if numbers.one_in(16) {
        let count = numbers.within(0, 3);
        return numbers.sizes(count, 0, 3);
    }
    let mut active = numbers.within(0, 4);
    let mut batches = vec![active];
    for _ in 0..numbers.within(0, 4) {
        active -= usize::from(numbers.one_in(3)).min(active);
        batches.push(active);
    }
    batches
}

#[derive(Clone)]
struct State {
    h: Vec<f32>,
    c: Vec<f32>,
}

struct Layer<'a> {
    gates: &'a dyn Gates,
    cell: Cell,
    stride: usize,
    reverse: bool,
}

impl Layer<'_> {
    /// Where outputs go; not all of it where a stride is absurd, which a single row may have.
    fn unwritten(&self, batches: &[usize]) -> Vec<f32> {
        let rows = batches.iter().fold(0usize, |all, &n| all.saturating_add(n));
        vec![7.0; rows.saturating_mul(self.stride).min(1000)]
    }

    /// The outputs, with their gaps, and the states after the last element of each sequence.
    fn run(&self, x: &Tensor, batches: &[usize], mut state: State) -> Option<(Vec<f32>, State)> {
        let mut out = self.unwritten(batches);
        let direction = Direction {
            cell: self.cell,
            batch_sizes: batches,
            reverse: self.reverse,
            h: &mut state.h,
            c: &mut state.c,
            out: &mut out,
            stride: self.stride,
        };
        run_direction(self.gates, x, direction).ok()?;
        Some((out, state))
    }

    /// The same, as a call for each step, each of which follows the formula.
    fn step_by_step(&self, x: &Tensor, batches: &[usize], mut state: State) -> (Vec<f32>, State) {
        let hidden = self.gates.width() / self.cell.gates();
        let mut out = self.unwritten(batches);
        let mut steps = Vec::new();
        let mut first = 0;
        for &active in batches {
            steps.push((first, active));
            first += active;
        }
        if self.reverse {
            steps.reverse();
        }
        for (first, active) in steps.into_iter().filter(|&(_, active)| active > 0) {
            let x = x.slice(0, first, first + active, 1).unwrap();
            let part = |all: &[f32]| all.iter().take(active * hidden).copied().collect();
            let before = State {
                h: part(&state.h),
                c: part(&state.c),
            };
            let (y, after) = self.run(&x, &[active], before.clone()).unwrap();
            self.follows_formula(&x, &before, &after);
            state.h[..after.h.len()].copy_from_slice(&after.h);
            state.c[..after.c.len()].copy_from_slice(&after.c);
            out[first * self.stride..][..y.len()].copy_from_slice(&y);
        }
        (out, state)
    }

    /// One step, from the products that the weights give.
    fn follows_formula(&self, x: &Tensor, before: &State, after: &State) {
        let (rows, width) = (x.shape()[0], self.gates.width());
        let hidden = width / self.cell.gates();
        let from_x = self.gates.input(x).unwrap().to_vec();
        let mut from_h = vec![0.0; rows * width];
        let mut scratch = Scratch::default();
        if hidden > 0 {
            let hidden = self
                .gates
                .hidden(&before.h, rows, &mut scratch, &mut from_h);
            hidden.unwrap();
        }
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        for at in 0..rows * hidden {
            let gate = |products: &[f32], gate: usize| {
                f64::from(products[at / hidden * width + gate * hidden + at % hidden])
            };
            let both = |index| gate(&from_x, index) + gate(&from_h, index);
            let h = f64::from(before.h[at]);
            let want = match self.cell {
                Cell::RnnTanh => both(0).tanh(),
                // A maximum would lose NaN.
                Cell::RnnRelu if both(0) < 0.0 => 0.0,
                Cell::RnnRelu => both(0),
                Cell::Gru => {
                    let n = gate(&from_x, 2) + sigmoid(both(0)) * gate(&from_h, 2);
                    (h - n.tanh()) * sigmoid(both(1)) + n.tanh()
                }
                Cell::Lstm => {
                    let kept = sigmoid(both(1)) * f64::from(before.c[at]);
                    let c = kept + sigmoid(both(0)) * both(2).tanh();
                    near(after.c[at], c);
                    sigmoid(both(3)) * c.tanh()
                }
            };
            near(after.h[at], want);
        }
    }
}

/// Exponentials are within some units of the last place, of what may be no number.
fn near(got: f32, want: f64) {
    let difference = (f64::from(got) - want).abs();
    let ordinary = want.is_finite() && want.abs() < 1e30;
    assert!(
        !ordinary || difference <= 1e-5 * (1.0 + want.abs()),
        "{got} where the formula gives {want}"
    );
}
