//! `dynamic`, the recurrent part: whole modules and single cells against PyTorch's int8 and float outputs.

use qflow::load_state_dict;
use qobserve::{DynamicQuantObserver, ObserverFactory};
use qtensor::prelude::*;
use qtensor::qnn::{Gru, Lstm, Recurrent, RecurrentCell, RecurrentKind, Rnn, dynamic};

use crate::compare::greatest_distance;
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// How a case may deviate: sigmoid and tanh differ in their last bits, and so do integers of states now and then.
pub const RULE: &str =
    "within 2e-3 of PyTorch's int8 output; nearer to the float output without reduce_range";

/// How far our int8 output may be from PyTorch's.
const INT8_TOLERANCE: f32 = 2e-3;
/// How far our float output may be from PyTorch's.
const FLOAT_TOLERANCE: f32 = 1e-5;

/// PyTorch's configuration with all the integers, which need no spare bit here.
fn full_range() -> QConfig {
    let observer = DynamicQuantObserver {
        per_tensor: true,
        reduce_range: false,
    };
    QConfig {
        activation: ObserverFactory::new("full range", move || Box::new(observer)),
        ..QConfig::default_dynamic_qconfig()
    }
}

/// The outputs of a case by name, from the float module and from int8 ones of three configurations.
struct Outputs {
    float: Vec<(&'static str, Tensor)>,
    /// As PyTorch does it, with all the integers, and ours.
    int8: [Vec<(&'static str, Tensor)>; 3],
    /// The output whose float form is recorded.
    judged: &'static str,
    recorded: &'static str,
}

/// Compares a recurrent module or cell.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let outputs = match case.text("module")? {
        "LSTM" => module::<Lstm>(case)?,
        "GRU" => module::<Gru>(case)?,
        "RNNCell" => cell::<Rnn>(case)?,
        "LSTMCell" => cell::<Lstm>(case)?,
        "GRUCell" => cell::<Gru>(case)?,
        other => return Err(format!("unknown module {other}").into()),
    };
    let Outputs {
        float,
        int8,
        judged,
        recorded,
    } = outputs;
    let float_want = case.float(recorded)?;
    let of = |outputs: &[(&'static str, Tensor)]| {
        let found = outputs.iter().find(|(name, _)| *name == judged);
        found.map(|(_, tensor)| tensor.clone())
    };
    let ours = of(&float).ok_or("no float output")?;
    within("float", &ours, &float_want, FLOAT_TOLERANCE)?;
    let mut greatest = 0f32;
    for (name, y) in &int8[0] {
        greatest = greatest.max(within(name, y, &case.float(name)?, INT8_TOLERANCE)?);
    }
    let error = |y: &Tensor| -> f64 {
        let pairs = y.to_vec().into_iter().zip(float_want.to_vec());
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
    };
    let theirs = error(&case.float(judged)?);
    for (what, outputs) in ["full range", "per row"].iter().zip(&int8[1..]) {
        let ours = error(&of(outputs).ok_or("no int8 output")?);
        if ours >= theirs {
            return Err(
                format!("{what}: the squared error is {ours:e}, PyTorch's is {theirs:e}").into(),
            );
        }
    }
    if greatest == 0.0 {
        return Ok(Verdict::Equal);
    }
    Ok(Verdict::Accepted(format!("by {greatest:e} at most")))
}

fn within(what: &str, ours: &Tensor, theirs: &Tensor, tolerance: f32) -> Fallible<f32> {
    let distance = greatest_distance(what, ours, theirs)?;
    if distance <= tolerance {
        return Ok(distance);
    }
    Err(format!("{what}: {distance:e} apart, allowed are {tolerance:e}").into())
}

fn configurations() -> [QConfig; 3] {
    [
        QConfig::default_dynamic_qconfig(),
        full_range(),
        QConfig::dynamic(),
    ]
}

fn module<K: RecurrentKind>(case: &Case) -> Fallible<Outputs> {
    let mut float: Recurrent<K> = Recurrent::config(case.size("input")?, case.size("hidden")?)
        .num_layers(case.size("layers")?)
        .bidirectional(case.flag("bidirectional")?)
        .batch_first(case.flag("batch_first")?)
        .build()?;
    load_state_dict(&mut float, case.floats_below("state.")?)?;
    let x: Value = case.float("x")?.into();
    let named = |(y, state): (Value, K::State)| {
        let (h, c) = K::split(&state);
        let mut all = vec![("y", y.to_tensor()), ("h", h.to_tensor())];
        all.extend(c.map(|c| ("c", c.to_tensor())));
        all
    };
    let int8 = |qconfig: &QConfig| -> Fallible<Vec<(&'static str, Tensor)>> {
        let module = dynamic::Recurrent::from_float(&float, qconfig)?;
        Ok(named(module.run(&x)?))
    };
    let [pytorch, full, ours] = configurations();
    Ok(Outputs {
        float: named(float.run(&x)?),
        int8: [int8(&pytorch)?, int8(&full)?, int8(&ours)?],
        judged: "y",
        recorded: "y_float",
    })
}

fn cell<K: RecurrentKind>(case: &Case) -> Fallible<Outputs> {
    let mut float: RecurrentCell<K> =
        RecurrentCell::new(case.size("input")?, case.size("hidden")?)?;
    load_state_dict(&mut float, case.floats_below("state.")?)?;
    let state = K::join(
        case.float("h0")?.into(),
        case.optional_float("c0")?.map(Value::from),
    )?;
    let input = (case.float("x")?.into(), Some(state));
    let named = |state: K::State| {
        let (h, c) = K::split(&state);
        let mut all = vec![("h", h.to_tensor())];
        all.extend(c.map(|c| ("c", c.to_tensor())));
        all
    };
    let int8 = |qconfig: &QConfig| -> Fallible<Vec<(&'static str, Tensor)>> {
        let module = dynamic::RecurrentCell::from_float(&float, qconfig)?;
        Ok(named(module.forward(&input)?))
    };
    let [pytorch, full, ours] = configurations();
    Ok(Outputs {
        float: named(float.forward(&input)?),
        int8: [int8(&pytorch)?, int8(&full)?, int8(&ours)?],
        judged: "h",
        recorded: "h_float",
    })
}
