//! The scale, zero point and type of a module's output.

use qops::quantized::OutQParams;
use qtensor_core::{DType, Quantizer};

use crate::error::{Error, Result};
use crate::state::{Entry, State};

/// Scale, zero point and storage type of an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QParams {
    /// The real distance between neighbouring integers.
    pub scale: f64,
    /// The integer of real zero.
    pub zero_point: i32,
    /// The storage type.
    pub dtype: DType,
}

impl QParams {
    /// The per-tensor map of an observer.
    ///
    /// # Errors
    /// [`Error::Config`] for a per-channel map: activations are quantized per tensor.
    pub fn from_quantizer(
        module: &'static str,
        quantizer: &Quantizer,
        dtype: DType,
    ) -> Result<QParams> {
        match *quantizer {
            Quantizer::PerTensor { scale, zero_point } => Ok(QParams {
                scale,
                zero_point,
                dtype,
            }),
            Quantizer::PerChannel { .. } => Err(Error::Config {
                module,
                what: "activations are quantized per tensor, but the observer is per channel"
                    .into(),
            }),
        }
    }

    /// The scale with six decimals, or with an exponent where those would hide it.
    pub fn scale_text(&self) -> String {
        if self.scale < 1e-3 {
            format!("{:.4e}", self.scale)
        } else {
            format!("{:.6}", self.scale)
        }
    }

    pub(crate) fn out(self) -> OutQParams {
        OutQParams {
            scale: self.scale,
            zero_point: self.zero_point,
        }
    }

    pub(crate) fn save(self, state: State) -> State {
        state
            .with("scale", Entry::Real(self.scale))
            .with("zero_point", Entry::Ints(vec![self.zero_point.into()]))
            .with("dtype", Entry::Text(self.dtype.name().into()))
    }

    pub(crate) fn load(module: &'static str, state: &mut State) -> Result<QParams> {
        let name = state.take_text(module, "dtype")?;
        let dtype = DType::from_name(&name).ok_or_else(|| Error::Config {
            module,
            what: format!("unknown storage type {name:?}"),
        })?;
        let (scale, zero_point) = (
            state.take_real(module, "scale")?,
            state.take_i32(module, "zero_point")?,
        );
        Quantizer::per_tensor(scale, zero_point).validate(module, dtype, &[])?;
        Ok(QParams {
            scale,
            zero_point,
            dtype,
        })
    }

    /// Refuses an input of another storage type than the output's, which would change the type silently.
    pub(crate) fn check_input(self, module: &'static str, actual: DType) -> Result<()> {
        if actual == self.dtype {
            return Ok(());
        }
        Err(qtensor_core::Error::DTypeMismatch {
            operation: module,
            expected: self.dtype,
            actual,
        }
        .into())
    }
}

impl std::fmt::Display for QParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "scale={}, zero_point={}",
            self.scale_text(),
            self.zero_point
        )
    }
}
