//! The run of a recurrent module: layers one after the other, directions side by side.

use qops::recurrent::{Cell, Direction, Gates, run_direction};
use qtensor_core::{MemoryFormat, Tensor, checked_lengths};

use super::{PackedSequence, RecurrentConfig, RecurrentKind, Sequence};
use crate::error::{Error, Result};
use crate::module::Module;
use crate::value::{Flow, Value};

/// The everyday ways to call a recurrent module, or a place of one: with a padded batch, from a state, with a packed
/// batch. Outputs hold `h` of every step of the last layer, states `h` (and `c`) after the last step.
///
/// ```
/// use qnn::{LSTM, Layer, PackedSequence, RunSequence};
/// use qtensor_core::Tensor;
///
/// let lstm: Layer<LSTM> = LSTM::config(4, 8).num_layers(2).build()?.into();
/// let x = Tensor::ones(&[5, 3, 4])?; // (time, batch, features)
/// let (y, (h, c)) = lstm.run(&x.clone().into())?;
/// assert_eq!((y.shape(), h.shape(), c.shape()), (&[5, 3, 8][..], &[2, 3, 8][..], &[2, 3, 8][..]));
/// // Go on from where the first run ended.
/// let (_, (h, _)) = lstm.run_from(&x.clone().into(), &(h, c))?;
/// assert_eq!(h.shape(), [2, 3, 8]);
/// // Sequences of lengths 5, 2 and 1.
/// let (y, _) = lstm.run_packed(&PackedSequence::pack(&x, &[5, 2, 1], false)?, None)?;
/// assert_eq!(y.lengths(), [5, 2, 1]);
/// # Ok::<(), qnn::Error>(())
/// ```
pub trait RunSequence<S> {
    /// Runs over a padded batch, or one sequence, from a state of zeros.
    ///
    /// # Errors
    /// [`Error::InputShape`] for an empty sequence, another number of features, or a state of another shape; those of
    /// the products.
    fn run(&self, x: &Value) -> Result<(Value, S)>;

    /// As [`run`](Self::run), from a given state: `(layers · directions, batch, hidden)` each.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_from(&self, x: &Value, state: &S) -> Result<(Value, S)>;

    /// Runs over a packed batch, whose states are in the order of the batch.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_packed(&self, x: &PackedSequence, state: Option<&S>) -> Result<(PackedSequence, S)>;
}

impl<S: Flow + Clone, M> RunSequence<S> for M
where
    M: Module<Input = (Sequence, Option<S>), Output = (Sequence, S)>,
{
    fn run(&self, x: &Value) -> Result<(Value, S)> {
        let (y, state) = self.forward(&(x.clone().into(), None))?;
        Ok((y.data().clone(), state))
    }

    fn run_from(&self, x: &Value, state: &S) -> Result<(Value, S)> {
        let (y, state) = self.forward(&(x.clone().into(), Some(state.clone())))?;
        Ok((y.data().clone(), state))
    }

    fn run_packed(&self, x: &PackedSequence, state: Option<&S>) -> Result<(PackedSequence, S)> {
        let (y, state) = self.forward(&(x.clone().into(), state.cloned()))?;
        Ok((x.with_data(y.data().clone()), state))
    }
}

/// A batch in the order of its steps.
struct Steps {
    /// `[all elements, features]`.
    data: Tensor,
    batch_sizes: Vec<usize>,
    batch: usize,
}

/// Runs a module of the given weights, one for each layer and direction.
pub(crate) fn run<K: RecurrentKind>(
    module: &'static str,
    config: &RecurrentConfig,
    weights: &[&dyn Gates],
    input: &Sequence,
    state: Option<&K::State>,
) -> Result<(Sequence, K::State)> {
    let value = input.data();
    let x = value.float(module)?.tensor();
    let steps = steps(module, config, input, x)?;
    let single = matches!(input, Sequence::Padded(_)) && x.rank() == 2;
    let order = match input {
        Sequence::Padded(_) => None,
        Sequence::Packed(packed) => Some(packed.order()),
    };
    let hidden = config.hidden_size;
    let (slots, batch) = (config.num_layers * config.directions(), steps.batch);
    let given = state.map(K::split);
    let cell = K::cell(config.relu);
    let mut h = initial(
        module,
        "the state h",
        [slots, batch, hidden],
        single,
        order,
        given.map(|g| g.0),
    )?;
    let mut c = if cell.has_cell_state() {
        let c = given.and_then(|g| g.1);
        initial(
            module,
            "the state c",
            [slots, batch, hidden],
            single,
            order,
            c,
        )?
    } else {
        Vec::new()
    };

    let rows = steps.data.shape()[0];
    let width = config.output_size();
    let mut data = steps.data;
    let per_slot = batch * hidden;
    for layer in 0..config.num_layers {
        data = Tensor::build(&[rows, width], MemoryFormat::Contiguous, |out| {
            for direction in 0..config.directions() {
                let slot = layer * config.directions() + direction;
                let out = out.get_mut(direction * hidden..).unwrap_or_default();
                let c = c.get_mut(slot * per_slot..).unwrap_or_default();
                let cells = per_slot.min(c.len());
                let run = Direction {
                    cell,
                    batch_sizes: &steps.batch_sizes,
                    reverse: direction == 1,
                    h: &mut h[slot * per_slot..][..per_slot],
                    c: &mut c[..cells],
                    out,
                    stride: width,
                };
                run_direction(weights[slot], &data, run)?;
            }
            Ok::<(), Error>(())
        })?;
    }

    let shape = [slots, batch, hidden];
    let h = last(h, shape, single, order)?;
    let c = if cell.has_cell_state() {
        Some(last(c, shape, single, order)?)
    } else {
        None
    };
    let output = match input {
        Sequence::Packed(packed) => packed.with_data(data.into()).into(),
        Sequence::Padded(_) => Sequence::Padded(padded(config, data, batch, single)?.into()),
    };
    Ok((output, K::join(h, c)?))
}

/// The elements in the order of steps.
fn steps(
    module: &'static str,
    config: &RecurrentConfig,
    input: &Sequence,
    x: &Tensor,
) -> Result<Steps> {
    let features = config.input_size;
    if let Sequence::Packed(packed) = input {
        packed.check_shape(module, x.shape(), features)?;
        return Ok(Steps {
            data: x.contiguous(),
            batch_sizes: packed.batch_sizes().to_vec(),
            batch: packed.batch_sizes().first().copied().unwrap_or(0),
        });
    }
    let (time, batch) = time_and_batch(module, config, x.shape())?;
    let x = if config.batch_first && x.rank() == 3 {
        x.transpose(0, 1)?
    } else {
        x.clone()
    };
    Ok(Steps {
        data: x.contiguous().reshape(&[time * batch, features])?,
        batch_sizes: vec![batch; time],
        batch,
    })
}

/// The steps and the sequences of a padded batch of that shape.
pub(crate) fn time_and_batch(
    module: &'static str,
    config: &RecurrentConfig,
    shape: &[usize],
) -> Result<(usize, usize)> {
    let features = config.input_size;
    let (time, batch, actual) = match *shape {
        [time, features] => (time, 1, features),
        [batch, time, features] if config.batch_first => (time, batch, features),
        [time, batch, features] => (time, batch, features),
        _ => (0, 0, 0),
    };
    if actual == features && time > 0 {
        // Without sequences there may be more steps than there is memory for a list of them.
        checked_lengths(module, shape)?;
        return Ok((time, batch));
    }
    let order = if config.batch_first {
        "batch, time"
    } else {
        "time, batch"
    };
    Err(Error::InputShape {
        module,
        what: "the input",
        expected: format!("({order}, {features}) or (time, {features}), with at least one step"),
        actual: shape.to_vec(),
    })
}

/// The state to begin with: the given one in the order of packing, or zeros.
fn initial(
    module: &'static str,
    what: &'static str,
    shape: [usize; 3],
    single: bool,
    order: Option<&[usize]>,
    given: Option<&Value>,
) -> Result<Vec<f32>> {
    let [slots, batch, hidden] = shape;
    let Some(given) = given else {
        return Ok(vec![0.0; slots * batch * hidden]);
    };
    let tensor = given.float(module)?.tensor();
    check_state(module, what, tensor.shape(), shape, single)?;
    let values = tensor.to_vec();
    let Some(order) = order else {
        return Ok(values);
    };
    let mut sorted = Vec::with_capacity(values.len());
    for slot in values.chunks_exact((batch * hidden).max(1)) {
        for &at in order {
            sorted.extend_from_slice(&slot[at * hidden..][..hidden]);
        }
    }
    Ok(sorted)
}

/// Refuses a state that is not `[slots, batch, hidden]`, or `[slots, hidden]` for a single sequence.
pub(crate) fn check_state(
    module: &'static str,
    what: &'static str,
    actual: &[usize],
    shape: [usize; 3],
    single: bool,
) -> Result<()> {
    let [slots, batch, hidden] = shape;
    if actual == shape || (single && actual == [slots, hidden]) {
        return Ok(());
    }
    Err(Error::InputShape {
        module,
        what,
        expected: format!("({slots}, {batch}, {hidden})"),
        actual: actual.to_vec(),
    })
}

/// The state at the end, in the order of the batch.
fn last(
    values: Vec<f32>,
    shape: [usize; 3],
    single: bool,
    order: Option<&[usize]>,
) -> Result<Value> {
    let [slots, batch, hidden] = shape;
    let values = match order {
        None => values,
        Some(order) => {
            let mut unsorted = vec![0.0; values.len()];
            for slot in 0..slots {
                for (rank, &at) in order.iter().enumerate() {
                    let (from, to) = ((slot * batch + rank) * hidden, (slot * batch + at) * hidden);
                    unsorted[to..to + hidden].copy_from_slice(&values[from..from + hidden]);
                }
            }
            unsorted
        }
    };
    let tensor = if single {
        Tensor::from_vec(values, &[slots, hidden])?
    } else {
        Tensor::from_vec(values, &shape)?
    };
    Ok(tensor.into())
}

/// The output in the layout of the input.
fn padded(config: &RecurrentConfig, data: Tensor, batch: usize, single: bool) -> Result<Tensor> {
    if single {
        return Ok(data);
    }
    let (rows, width) = (data.shape()[0], data.shape()[1]);
    let time = rows.checked_div(batch).unwrap_or(0);
    let y = data.reshape(&[time, batch, width])?;
    if config.batch_first {
        return Ok(y.transpose(0, 1)?.contiguous());
    }
    Ok(y)
}

/// One step of a cell: `(batch, input)` and a state to the state after it; or without the batch.
pub(crate) fn run_cell<K: RecurrentKind>(
    module: &'static str,
    [input_size, hidden]: [usize; 2],
    cell: Cell,
    weights: &dyn Gates,
    x: &Value,
    state: Option<&K::State>,
) -> Result<K::State> {
    let x = x.float(module)?.tensor();
    let (single, batch) = match *x.shape() {
        [features] if features == input_size => (true, 1),
        [batch, features] if features == input_size => (false, batch),
        _ => {
            return Err(Error::InputShape {
                module,
                what: "the input",
                expected: format!("(batch, {input_size}) or ({input_size})"),
                actual: x.shape().to_vec(),
            });
        }
    };
    let given = state.map(K::split);
    let shape = if single {
        vec![hidden]
    } else {
        vec![batch, hidden]
    };
    let begin = |what: &'static str, given: Option<&Value>| -> Result<Vec<f32>> {
        let Some(given) = given else {
            return Ok(vec![0.0; batch * hidden]);
        };
        let tensor = given.float(module)?.tensor();
        if tensor.shape() == shape {
            return Ok(tensor.to_vec());
        }
        Err(Error::InputShape {
            module,
            what,
            expected: format!("{shape:?}"),
            actual: tensor.shape().to_vec(),
        })
    };
    let mut h = begin("the state h", given.map(|g| g.0))?;
    let mut c = if cell.has_cell_state() {
        begin("the state c", given.and_then(|g| g.1))?
    } else {
        Vec::new()
    };
    // The output of a cell is its state, so this one is not looked at.
    let mut out = vec![0.0; h.len()];
    let run = Direction {
        cell,
        batch_sizes: &[batch],
        reverse: false,
        h: &mut h,
        c: &mut c,
        out: &mut out,
        stride: hidden,
    };
    run_direction(weights, &x.reshape(&[batch, input_size])?, run)?;
    let h = Tensor::from_vec(h, &shape)?.into();
    let c = if cell.has_cell_state() {
        Some(Tensor::from_vec(c, &shape)?.into())
    } else {
        None
    };
    K::join(h, c)
}
