//! The scale, zero point and type of a module's output.

use qops::quantized::OutQParams;
use qtensor_core::choose_qparams::{DEFAULT_EPS, QuantRange, calculate_qparams};
use qtensor_core::{DType, QTensor, Quantizer};

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

    /// The map of all given tensors if it is one, else one that covers the reals of all of theirs.
    pub(crate) fn covering(dtype: DType, tensors: &[&QTensor]) -> Result<QParams> {
        let maps = tensors
            .iter()
            .map(|q| Ok(q.per_tensor("cat")?))
            .collect::<Result<Vec<_>>>()?;
        let (mut scale, mut zero_point) = maps.first().copied().unwrap_or((1.0, 0));
        if maps.iter().any(|&map| map != (scale, zero_point)) {
            let (qmin, qmax) = dtype.range();
            let real = |(s, z): (f64, i32), q: i32| ((f64::from(q) - f64::from(z)) * s) as f32;
            let lo = maps.iter().map(|&m| real(m, qmin)).fold(0.0, f32::min);
            let hi = maps.iter().map(|&m| real(m, qmax)).fold(0.0, f32::max);
            let range = QuantRange::of(dtype, false);
            let (s, z) = calculate_qparams(lo, hi, dtype, range, false, DEFAULT_EPS)?;
            (scale, zero_point) = (s.into(), z);
        }
        Ok(QParams {
            scale,
            zero_point,
            dtype,
        })
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
