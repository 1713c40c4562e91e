//! The converted borders between float and int8.

use qops::quantized;

use crate::error::Result;
use crate::module::{Module, Node};
use crate::quantized::QParams;
use crate::state::State;
use crate::value::Value;

/// Quantizes float values: `q = clamp(rne(x / s) + z)`. Images leave it in channels-last memory.
#[derive(Clone, Copy, Debug)]
pub struct Quantize {
    output: QParams,
}

impl Quantize {
    const KIND: &'static str = "Quantize";

    /// A border with calibrated qparams.
    pub fn new(output: QParams) -> Quantize {
        Quantize { output }
    }

    /// The qparams of its output.
    pub fn output(&self) -> QParams {
        self.output
    }

    /// Restores one that [`state`](Node::state) described.
    ///
    /// # Errors
    /// A missing entry or one of another type.
    pub fn from_state(state: &mut State) -> Result<Quantize> {
        Ok(Quantize {
            output: QParams::load(Self::KIND, state)?,
        })
    }
}

impl Node for Quantize {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{}, dtype={}", self.output, self.output.dtype)
    }

    fn state(&self) -> State {
        self.output.save(State::default())
    }
}

impl Module for Quantize {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?.tensor();
        Ok(quantized::quantize(x, self.output.out(), self.output.dtype)?.into())
    }
}

/// Turns quantized values into float ones: `x = (q − z) · s`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeQuantize;

impl Node for DeQuantize {
    fn kind(&self) -> &'static str {
        "DeQuantize"
    }
}

impl Module for DeQuantize {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        Ok(quantized::dequantize(input.quantized("DeQuantize")?)?.into())
    }
}
