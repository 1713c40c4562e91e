//! Int8 batch normalization, for the ones that no convolution in front has absorbed.

use qops::quantized::{self, Activation};

use crate::error::Result;
use crate::float;
use crate::float::conv::by_dims;
use crate::module::{Module, Node};
use crate::quantized::QParams;
use crate::state::{Entry, State};
use crate::value::Value;

/// Batch normalization from integers to integers with the running statistics.
pub struct BatchNorm<const D: usize> {
    norm: float::BatchNorm<D>,
    output: QParams,
}

/// Int8 batch normalization of `(N, C)` or `(N, C, L)`.
pub type BatchNorm1d = BatchNorm<1>;
/// Int8 batch normalization of `(N, C, H, W)`.
pub type BatchNorm2d = BatchNorm<2>;
/// Int8 batch normalization of `(N, C, D, H, W)`.
pub type BatchNorm3d = BatchNorm<3>;

impl<const D: usize> BatchNorm<D> {
    const KIND: &'static str = by_dims::<D>([
        "QuantizedBatchNorm1d",
        "QuantizedBatchNorm2d",
        "QuantizedBatchNorm3d",
    ]);

    /// The counterpart of a float batch norm, with calibrated output qparams.
    pub fn from_float(norm: &float::BatchNorm<D>, output: QParams) -> BatchNorm<D> {
        BatchNorm {
            norm: norm.clone(),
            output,
        }
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or shapes that contradict each other.
    pub fn from_state(state: &mut State) -> Result<BatchNorm<D>> {
        let weight = state.take_tensor(Self::KIND, "weight")?;
        let eps = state.take_real(Self::KIND, "eps")? as f32;
        let mut norm = float::BatchNorm::new(weight.numel())?.with_eps(eps);
        state.insert("weight", Entry::Tensor(weight));
        norm.load_state(state)?;
        Ok(BatchNorm {
            norm,
            output: QParams::load(Self::KIND, state)?,
        })
    }

    /// The qparams of the output.
    pub fn output(&self) -> QParams {
        self.output
    }

    /// Runs with a fused activation; the intrinsic modules share it.
    pub(crate) fn run(
        &self,
        module: &'static str,
        input: &Value,
        activation: Activation,
    ) -> Result<Value> {
        let x = input.quantized(module)?;
        self.output.check_input(module, x.dtype())?;
        let n = &self.norm;
        let y = quantized::batch_norm(
            x,
            &n.running_mean(),
            &n.running_var(),
            Some(n.weight()),
            Some(n.bias()),
            n.eps(),
            self.output.out(),
            activation,
        )?;
        Ok(y.into())
    }
}

impl<const D: usize> Node for BatchNorm<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{}, {}", self.norm.extra_repr(), self.output)
    }

    fn state(&self) -> State {
        self.output.save(self.norm.state())
    }

    fn config(&self) -> State {
        self.norm.config()
    }
}

impl<const D: usize> Module for BatchNorm<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.run(Self::KIND, input, Activation::None)
    }
}
