//! The run of gated cells: layers one after the other, directions side by side, sequences padded or packed.

use qtensor_core::Tensor;

use super::gated::{Arithmetic, GatedCell};
use super::run::{check_state, time_and_batch};
use super::{RecurrentConfig, Sequence};
use crate::error::{Error, Result};
use crate::module::Module;
use crate::value::Value;

/// The output and the state after a run.
pub(crate) type Ran = (Sequence, (Value, Value));

/// Runs cells, one for each layer and direction, over a padded or a packed batch.
pub(crate) fn run_gated<L, F>(
    module: &'static str,
    config: &RecurrentConfig,
    cells: &[GatedCell<L, F>],
    input: &Sequence,
    state: Option<&(Value, Value)>,
) -> Result<Ran>
where
    L: Module<Input = Value, Output = Value>,
    F: Arithmetic,
{
    let x = input.data();
    let (batch_sizes, single) = match input {
        Sequence::Packed(packed) => {
            packed.check_shape(module, x.shape(), config.input_size)?;
            (packed.batch_sizes().to_vec(), false)
        }
        Sequence::Padded(_) => {
            let (time, batch) = time_and_batch(module, config, x.shape())?;
            (vec![batch; time], x.shape().len() == 2)
        }
    };
    let order = match input {
        Sequence::Packed(packed) => packed.order(),
        Sequence::Padded(_) => &[],
    };
    let batch = batch_sizes.first().copied().unwrap_or(0);
    let rows: usize = batch_sizes.iter().sum();
    let transposed = config.batch_first && x.shape().len() == 3;
    let time_first = if transposed {
        x.permute(&[1, 0, 2])?
    } else {
        x.clone()
    };
    let mut data = time_first.reshape(&[rows, config.input_size])?;
    let shape = [cells.len(), batch, config.hidden_size];
    if let Some((h, c)) = state {
        check_state(module, "the state h", h.shape(), shape, single)?;
        check_state(module, "the state c", c.shape(), shape, single)?;
    }
    let (mut last_h, mut last_c) = (Vec::new(), Vec::new());
    for (layer, directions) in cells.chunks(config.directions()).enumerate() {
        let mut outputs = Vec::with_capacity(2);
        for (direction, cell) in directions.iter().enumerate() {
            let slot = layer * config.directions() + direction;
            let begin = begin(state, slot, shape, order)?;
            let (h, c) = cell.adopt(module, (&begin.0, &begin.1))?;
            let projected = cell.project(&data)?;
            let (y, h, c) = run_direction(cell, &projected, &batch_sizes, direction == 1, (h, c))?;
            outputs.push(y);
            last_h.push(unsorted(&h, order)?);
            last_c.push(unsorted(&c, order)?);
        }
        data = Value::cat(&outputs, 1)?;
    }
    let state = (stacked(&last_h, single)?, stacked(&last_c, single)?);
    let output = match input {
        Sequence::Packed(packed) => packed.with_data(data).into(),
        Sequence::Padded(_) if single => Sequence::Padded(data),
        Sequence::Padded(_) => {
            let y = data.reshape(&[batch_sizes.len(), batch, config.output_size()])?;
            Sequence::Padded(if transposed {
                y.permute(&[1, 0, 2])?
            } else {
                y
            })
        }
    };
    Ok((output, state))
}

/// The state of a slot to begin with, one row for each sequence in the order of packing; zeros unless given.
fn begin(
    state: Option<&(Value, Value)>,
    slot: usize,
    [_, batch, hidden]: [usize; 3],
    order: &[usize],
) -> Result<(Value, Value)> {
    let Some((h, c)) = state else {
        let zeros: Value = Tensor::zeros(&[batch, hidden])?.into();
        return Ok((zeros.clone(), zeros));
    };
    let own = |value: &Value| -> Result<Value> {
        let rows = value.slice(0, slot, slot + 1)?.reshape(&[batch, hidden])?;
        picked(&rows, order)
    };
    Ok((own(h)?, own(c)?))
}

/// The rows of those numbers, in that order; all as they are for an empty list.
fn picked(value: &Value, rows: &[usize]) -> Result<Value> {
    if rows.is_empty() {
        return Ok(value.clone());
    }
    let rows = rows.iter().map(|&at| value.slice(0, at, at + 1));
    Value::cat(&rows.collect::<Result<Vec<_>>>()?, 0)
}

/// The rows in the order of the batch: row number `rank` belongs to sequence `order[rank]`.
fn unsorted(value: &Value, order: &[usize]) -> Result<Value> {
    let mut ranks = vec![0; order.len()];
    for (rank, &at) in order.iter().enumerate() {
        ranks[at] = rank;
    }
    picked(value, &ranks)
}

/// The states of all slots as one.
fn stacked(slots: &[Value], single: bool) -> Result<Value> {
    if single {
        return Value::cat(slots, 0);
    }
    let as_slots = slots.iter().map(|value| {
        let shape = [&[1], value.shape()].concat();
        value.reshape(&shape)
    });
    Value::cat(&as_slots.collect::<Result<Vec<_>>>()?, 0)
}

/// Runs one direction: the outputs in the order of steps, and the state after the last step of each sequence.
///
/// Sequences are sorted, longest first, so the active ones are the first rows. Forward, those that end leave the state
/// from behind; backward, they join it there.
fn run_direction<L, F>(
    cell: &GatedCell<L, F>,
    projected: &[Value],
    batch_sizes: &[usize],
    reverse: bool,
    begin: (Value, Value),
) -> Result<(Value, Value, Value)>
where
    L: Module<Input = Value, Output = Value>,
    F: Arithmetic,
{
    let steps = batch_sizes.len();
    let mut starts = Vec::with_capacity(steps);
    let mut start = 0;
    for &active in batch_sizes {
        starts.push(start);
        start += active;
    }
    let first = if reverse { steps.saturating_sub(1) } else { 0 };
    let mut active = batch_sizes.get(first).copied().unwrap_or(0);
    let part = |value: &Value, from, to| value.slice(0, from, to);
    let (mut h, mut c) = (part(&begin.0, 0, active)?, part(&begin.1, 0, active)?);
    let mut ended: Vec<(Value, Value)> = Vec::new();
    let mut outputs = Vec::with_capacity(steps);
    for at in 0..steps {
        let step = if reverse { steps - 1 - at } else { at };
        let now = batch_sizes[step];
        if now < active {
            ended.push((part(&h, now, active)?, part(&c, now, active)?));
            (h, c) = (part(&h, 0, now)?, part(&c, 0, now)?);
        } else if now > active {
            h = Value::cat(&[h, part(&begin.0, active, now)?], 0)?;
            c = Value::cat(&[c, part(&begin.1, active, now)?], 0)?;
        }
        active = now;
        let rows = projected
            .iter()
            .map(|value| part(value, starts[step], starts[step] + now));
        (h, c) = cell.step(&rows.collect::<Result<Vec<_>>>()?, (&h, &c))?;
        outputs.push(h.clone());
    }
    if reverse {
        outputs.reverse();
    }
    let ended = ended.into_iter().rev();
    let (hs, cs): (Vec<_>, Vec<_>) = std::iter::once((h, c)).chain(ended).unzip();
    Ok((
        Value::cat(&outputs, 0)?,
        Value::cat(&hs, 0)?,
        Value::cat(&cs, 0)?,
    ))
}

/// One step of a cell: `(batch, input)` and a state to the state after it; or without the batch.
pub(crate) fn run_gated_cell<L, F>(
    module: &'static str,
    [input_size, hidden]: [usize; 2],
    cell: &GatedCell<L, F>,
    x: &Value,
    state: Option<&(Value, Value)>,
) -> Result<(Value, Value)>
where
    L: Module<Input = Value, Output = Value>,
    F: Arithmetic,
{
    let batch = match *x.shape() {
        [features] if features == input_size => None,
        [batch, features] if features == input_size => Some(batch),
        _ => {
            return Err(Error::InputShape {
                module,
                what: "the input",
                expected: format!("(batch, {input_size}) or ({input_size})"),
                actual: x.shape().to_vec(),
            });
        }
    };
    let rows = batch.unwrap_or(1);
    let shape: Vec<usize> = batch.into_iter().chain([hidden]).collect();
    let begin = |what: &'static str, given: Option<&Value>| -> Result<Value> {
        match given {
            None => Ok(Tensor::zeros(&[rows, hidden])?.into()),
            Some(given) if given.shape() == shape => given.reshape(&[rows, hidden]),
            Some(given) => Err(Error::InputShape {
                module,
                what,
                expected: format!("{shape:?}"),
                actual: given.shape().to_vec(),
            }),
        }
    };
    let h = begin("the state h", state.map(|s| &s.0))?;
    let c = begin("the state c", state.map(|s| &s.1))?;
    let (h, c) = cell.adopt(module, (&h, &c))?;
    let projected = cell.project(&x.reshape(&[rows, input_size])?)?;
    let (h, c) = cell.step(&projected, (&h, &c))?;
    Ok((h.reshape(&shape)?, c.reshape(&shape)?))
}
