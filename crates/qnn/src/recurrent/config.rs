//! The numbers of a recurrent module, and the names and shapes of its weights.

use crate::error::{Error, Result};
use crate::state::State;

/// How a recurrent module is built: `LSTM::config(input, hidden).num_layers(2).bidirectional(true).build()?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecurrentConfig {
    /// Elements of an input.
    pub input_size: usize,
    /// Elements of a state.
    pub hidden_size: usize,
    /// Layers, each of which runs over the outputs of the one before.
    pub num_layers: usize,
    /// Whether each layer also runs from the last element to the first; its outputs are both, side by side.
    pub bidirectional: bool,
    /// Whether inputs and outputs are `(batch, time, …)` and not `(time, batch, …)`.
    pub batch_first: bool,
    /// Whether there are biases.
    pub bias: bool,
    /// Whether an RNN has a rectifier and not the hyperbolic tangent.
    pub relu: bool,
}

impl RecurrentConfig {
    /// One layer in one direction with biases, time first.
    pub fn new(input_size: usize, hidden_size: usize) -> RecurrentConfig {
        RecurrentConfig {
            input_size,
            hidden_size,
            num_layers: 1,
            bidirectional: false,
            batch_first: false,
            bias: true,
            relu: false,
        }
    }

    /// 1 or 2.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// Elements of an output.
    pub fn output_size(&self) -> usize {
        self.hidden_size * self.directions()
    }

    pub(crate) fn validate(&self, module: &'static str) -> Result<()> {
        let RecurrentConfig {
            input_size,
            hidden_size,
            num_layers,
            ..
        } = *self;
        if input_size == 0 || hidden_size == 0 || num_layers == 0 {
            let what = format!(
                "{num_layers} layers of {input_size} input and {hidden_size} hidden features"
            );
            return Err(Error::Config { module, what });
        }
        // Files may claim anything; nothing of this size has weights.
        if input_size.max(hidden_size) > 1 << 28 || num_layers > 1 << 16 {
            let what = format!(
                "{num_layers} layers of {input_size} input and {hidden_size} hidden features are beyond 2^16 and 2^28"
            );
            return Err(Error::Config { module, what });
        }
        Ok(())
    }

    /// The names of all weights, layer by layer and direction by direction.
    pub(crate) fn names(&self) -> Vec<WeightNames> {
        let suffixes = ["", "_reverse"];
        (0..self.num_layers)
            .flat_map(|layer| {
                suffixes[..self.directions()]
                    .iter()
                    .map(move |suffix| WeightNames::new(&format!("_l{layer}{suffix}")))
            })
            .collect()
    }

    /// The shapes of `W_ih` and `W_hh` of the weights number `index`.
    pub(crate) fn shapes(&self, index: usize, gates: usize) -> [[usize; 2]; 2] {
        let width = gates * self.hidden_size;
        let input = if index < self.directions() {
            self.input_size
        } else {
            self.output_size()
        };
        [[width, input], [width, self.hidden_size]]
    }

    /// PyTorch's name of the cell number `index` in the order of the states: `layers.0.layer_fw.cell`.
    pub(crate) fn cell_name(&self, index: usize) -> String {
        let (layer, direction) = (index / self.directions(), index % self.directions());
        let direction = if direction == 0 { "fw" } else { "bw" };
        format!("layers.{layer}.layer_{direction}.cell")
    }

    /// `10, 12, num_layers=2`, leaving out what has its default.
    pub(crate) fn repr(&self) -> String {
        let mut out = format!("{}, {}", self.input_size, self.hidden_size);
        if self.num_layers != 1 {
            out.push_str(&format!(", num_layers={}", self.num_layers));
        }
        for (name, value, default) in [
            ("bias", self.bias, true),
            ("batch_first", self.batch_first, false),
            ("bidirectional", self.bidirectional, false),
            ("relu", self.relu, false),
        ] {
            if value != default {
                out.push_str(&format!(", {name}={value}"));
            }
        }
        out
    }

    pub(crate) fn save(&self, state: State) -> State {
        state
            .with_sizes("input_size", &[self.input_size])
            .with_sizes("hidden_size", &[self.hidden_size])
            .with_sizes("num_layers", &[self.num_layers])
            .with_sizes("bidirectional", &[usize::from(self.bidirectional)])
            .with_sizes("batch_first", &[usize::from(self.batch_first)])
            .with_sizes("has_bias", &[usize::from(self.bias)])
            .with_sizes("relu", &[usize::from(self.relu)])
    }

    pub(crate) fn load(module: &'static str, state: &mut State) -> Result<RecurrentConfig> {
        let mut size = |key: &str| state.take_sizes::<1>(module, key).map(|[size]| size);
        let config = RecurrentConfig {
            input_size: size("input_size")?,
            hidden_size: size("hidden_size")?,
            num_layers: size("num_layers")?,
            bidirectional: size("bidirectional")? != 0,
            batch_first: size("batch_first")? != 0,
            bias: size("has_bias")? != 0,
            relu: size("relu")? != 0,
        };
        config.validate(module)?;
        Ok(config)
    }
}

/// The names of the weights of one direction of one layer.
#[derive(Clone, Debug)]
pub(crate) struct WeightNames {
    pub(crate) input: String,
    pub(crate) hidden: String,
    pub(crate) input_bias: String,
    pub(crate) hidden_bias: String,
}

impl WeightNames {
    pub(crate) fn new(suffix: &str) -> WeightNames {
        WeightNames {
            input: format!("weight_ih{suffix}"),
            hidden: format!("weight_hh{suffix}"),
            input_bias: format!("bias_ih{suffix}"),
            hidden_bias: format!("bias_hh{suffix}"),
        }
    }
}

/// Refuses weights of other shapes than the configuration's.
pub(crate) fn check_weights(
    module: &'static str,
    names: &WeightNames,
    expected: [[usize; 2]; 2],
    actual: [&[usize]; 2],
) -> Result<()> {
    for ((key, expected), actual) in [&names.input, &names.hidden]
        .into_iter()
        .zip(expected)
        .zip(actual)
    {
        if expected != actual {
            return Err(Error::StateShape {
                module,
                key: key.clone(),
                expected: expected.to_vec(),
                actual: actual.to_vec(),
            });
        }
    }
    Ok(())
}
