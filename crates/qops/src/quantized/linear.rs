//! The linear layer on integers: `y = x · wᵀ + b`.

use qkernels_x86::{Context, PackedWeights, RowParams};
use qtensor_core::{MemoryFormat, QTensor, Tensor};

use super::bytes::{Bytes, build};
use super::dynamic::{DynamicQuant, NONE, Quantized, SLACK};
use super::packed::Packed;
use super::params::{Activation, OutQParams};
use crate::error::{Error, Result};

mod curved;

const OPERATION: &str = "linear";

/// A linear layer's weights, packed for the kernels: `y = x · wᵀ + b`, clamped by a fused activation.
///
/// With `acc = Σ (q_x − z_x) · q_w` exact in `i32`, `b_q = rne(b / (s_x · s_w[c]))` and
/// `M = (s_x · s_w[c]) / s_y`: `q_y = clamp(rne(f32(acc + b_q) · M) + z_y)`.
///
/// A channel whose `b_q` would leave `i32` computes with coarser weights of the same results, where there are some.
///
/// `Send + Sync`; cloning shares the weights. Bias and multipliers depend on the qparams of input and output and
/// are kept for the four pairs of them seen last.
#[doc(alias = "linear_prepack")]
#[derive(Clone, Debug)]
pub struct PackedLinear {
    packed: Packed,
    in_features: usize,
    out_features: usize,
}

impl PackedLinear {
    /// Packs `qint8` weights `[out, in]` (per tensor, or per channel along axis 0, zero points 0) and an
    /// `f32` bias `[out]`.
    ///
    /// # Errors
    /// [`Rank`](qtensor_core::Error::Rank), [`Error::UnsupportedDType`], [`Error::WeightAxis`],
    /// [`Error::WeightZeroPoint`], [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) for the bias,
    /// [`Error::Argument`] if it is not finite, [`Error::Kernel`] if `in` is 0 or beyond 65 000.
    pub fn new(weight: &QTensor, bias: Option<&Tensor>) -> Result<PackedLinear> {
        let &[out_features, in_features] = weight.shape() else {
            return Err(rank_error("linear weight", "2 (out, in)", weight.shape()));
        };
        let packed = Packed::new(OPERATION, weight, bias, |ints| {
            PackedWeights::linear(ints, out_features, in_features)
        })?;
        Ok(PackedLinear {
            packed,
            in_features,
            out_features,
        })
    }

    /// The layer on `x`: `[…, in]` to `[…, out]`, any number of leading dimensions, none included.
    ///
    /// A strided or channels-last `x` is copied into row-major order first.
    ///
    /// # Errors
    /// [`Error::Operands`] if the last dimension is not `in`; [`Error::UnsupportedDType`];
    /// [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch) for a per-channel `x`; bad `out` parameters;
    /// [`Error::BiasTooLarge`] and [`Error::Multiplier`] for scales that do not go together.
    pub fn run(&self, x: &QTensor, out: OutQParams, activation: Activation) -> Result<QTensor> {
        let (rows, shape) = self.check_shape(x.shape())?;
        let format = MemoryFormat::Contiguous;
        let bytes = Bytes::new(OPERATION, x, format)?;
        let prepared = self.packed.prepare(&bytes, out, activation)?;
        build(OPERATION, &shape, format, bytes.dtype, out, |y| {
            if rows > 0 {
                let (context, x) = (Context::new()?, bytes.slice(format));
                qkernels_x86::linear(&context, x, rows, &prepared.weights, &prepared.requant, y)?;
            }
            Ok(())
        })
    }

    /// The layer on float rows, which are quantized as they come: `[…, in]` to `[…, out]` in floats.
    ///
    /// `y = f32(Σ (q_x − z_x) · q_w) · (s_x · s_w[c]) + b[c]`, with the integers `q_x` that `quant` makes of `x`:
    /// see [`DynamicQuant`]. The fused activation is applied to `y`.
    ///
    /// ```
    /// # use qops::quantized::{Activation, DynamicQuant, PackedLinear};
    /// # use qtensor_core::{DType, Tensor, quantize_per_tensor};
    /// let weight = quantize_per_tensor(&Tensor::ones(&[2, 3])?, 0.5, 0, DType::QInt8)?;
    /// let layer = PackedLinear::new(&weight, None)?;
    /// let x = Tensor::from_vec(vec![51.0, 0.0, 20.0, -0.5, 0.5, 0.25], &[2, 3])?;
    /// let y = layer.run_dynamic(&x, DynamicQuant::default(), Activation::Relu)?;
    /// assert_eq!(y.shape(), [2, 2]);
    /// assert!((y.get(&[0, 1])? - 71.0).abs() < 0.1 && (y.get(&[1, 0])? - 0.25).abs() < 0.01);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run) for the shape; [`Error::NotFinite`] for NaN or infinity in `x`.
    #[doc(alias = "linear_dynamic")]
    pub fn run_dynamic(
        &self,
        x: &Tensor,
        quant: DynamicQuant,
        activation: Activation,
    ) -> Result<Tensor> {
        let (rows, shape) = self.check_shape(x.shape())?;
        let format = MemoryFormat::Contiguous;
        let input = Quantized::new(OPERATION, x, quant, rows, format)?;
        Tensor::build(&shape, format, |y| {
            if rows > 0 {
                let output = (self.packed).float_output(&input.params, activation.is_rectified());
                let (context, x) = (Context::new()?, input.slice(format));
                qkernels_x86::linear_f32(&context, x, rows, self.packed.weights(), &output, y)?;
                activation.limit(y);
            }
            Ok(())
        })
    }

    /// [`run_dynamic`](Self::run_dynamic) over slices, without allocation once the scratch is large enough.
    pub(crate) fn run_rows(
        &self,
        x: &[f32],
        rows: usize,
        quant: DynamicQuant,
        (bytes, params): (&mut Vec<u8>, &mut Vec<RowParams>),
        y: &mut [f32],
    ) -> Result<()> {
        let context = Context::new()?;
        // Kernels read past the last row, which costs a copy unless there is something to read.
        bytes.resize(x.len() + SLACK, 0);
        params.resize(quant.parameters(rows), NONE);
        let integers = &mut bytes[..x.len()];
        qkernels_x86::quantize_rows_u8(&context, x, quant.reduce_range, params, integers).map_err(
            |error| match x.iter().position(|value| !value.is_finite()) {
                Some(at) => Error::NotFinite {
                    operation: OPERATION,
                    index: vec![at / self.in_features, at % self.in_features],
                    value: x[at],
                },
                None => error.into(),
            },
        )?;
        let output = self.packed.float_output(params, false);
        qkernels_x86::linear_f32(&context, bytes, rows, self.packed.weights(), &output, y)?;
        Ok(())
    }

    /// The quantized weights, as given to [`new`](Self::new).
    pub fn weight(&self) -> &QTensor {
        self.packed.weight()
    }

    /// The bias, as given to [`new`](Self::new).
    pub fn bias(&self) -> Option<&Tensor> {
        self.packed.bias()
    }

    /// The number of rows and the output's shape for an input of shape `x`.
    fn check_shape(&self, x: &[usize]) -> Result<(usize, Vec<usize>)> {
        let Some((&last, leading)) = x.split_last() else {
            let weight = self.weight().shape();
            let expected = format!("at least 1 beside a weight of shape {weight:?}");
            return Err(rank_error(OPERATION, &expected, x));
        };
        if last != self.in_features {
            return Err(Error::Operands {
                operation: OPERATION,
                what: "the number of input features",
                expected: self.in_features,
                actual: last,
                left: self.weight().shape().to_vec(),
                right: x.to_vec(),
            });
        }
        let shape = leading.iter().copied().chain([self.out_features]);
        Ok((leading.iter().product(), shape.collect()))
    }

    /// The length of the input's last dimension.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// The length of the output's last dimension.
    pub fn out_features(&self) -> usize {
        self.out_features
    }
}

/// [`PackedLinear`] for a single call; packing costs about as much as one row's work.
///
/// # Errors
/// Those of [`PackedLinear::new`] and [`PackedLinear::run`].
pub fn linear(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    PackedLinear::new(weight, bias)?.run(x, out, activation)
}

/// A tensor of the wrong rank.
pub(crate) fn rank_error(operation: &'static str, expected: &str, shape: &[usize]) -> Error {
    Error::Tensor(qtensor_core::Error::Rank {
        operation,
        expected: expected.into(),
        actual: shape.len(),
        shape: shape.to_vec(),
    })
}
