//! Linear layers with an activation that is no clamp of integers: it is applied to the sums, in float.

use qkernels_x86::{Context, Curve, RowParams, curve_f32, quantize_u8};
use qtensor_core::affine::inverse_scale;
use qtensor_core::{MemoryFormat, QTensor};

use super::PackedLinear;
use crate::error::Result;
use crate::quantized::bytes::{Bytes, build};
use crate::quantized::params::{OutQParams, byte_zero_point};
use crate::quantized::unary::leaky_function;

impl PackedLinear {
    /// `leaky(x · wᵀ + b)`, where `leaky(v)` is `v` where it is positive, else `negative_slope · v`: the order of
    /// [`run_tanh`](Self::run_tanh), with one rounding to integers.
    ///
    /// # Errors
    /// As [`run`](Self::run) without [`Error::BiasTooLarge`](crate::Error::BiasTooLarge);
    /// [`Error::Argument`](crate::Error::Argument) unless the slope is finite.
    ///
    /// ```
    /// # use qops::quantized::{OutQParams, PackedLinear, quantize};
    /// # use qtensor_core::{DType, Tensor, quantize_per_tensor};
    /// let weight = Tensor::from_vec(vec![1.0, -1.0], &[2, 1])?;
    /// let layer = PackedLinear::new(&quantize_per_tensor(&weight, 0.5, 0, DType::QInt8)?, None)?;
    /// let x = quantize(&Tensor::full(&[1, 1], 4.0)?, OutQParams::new(0.5, 0), DType::QUInt8)?;
    /// let y = layer.run_leaky_relu(&x, 0.25, OutQParams::new(0.5, 10))?;
    /// assert_eq!(y.dequantize().to_vec(), [4.0, -1.0]);
    /// # Ok::<(), qops::Error>(())
    /// ```
    #[doc(alias = "linear_leaky_relu")]
    pub fn run_leaky_relu(
        &self,
        x: &QTensor,
        negative_slope: f32,
        out: OutQParams,
    ) -> Result<QTensor> {
        const OPERATION: &str = "linear_leaky_relu";
        leaky_function(OPERATION, negative_slope)?;
        self.run_curved(OPERATION, x, out, |_, mut values| {
            for v in &mut values {
                // A sum beyond the range of `f32` would make a NaN of a slope of 0.
                *v = if *v > 0.0 {
                    *v
                } else {
                    v.max(f32::MIN) * negative_slope
                };
            }
            Ok(values)
        })
    }

    /// `tanh(x · wᵀ + b)`.
    ///
    /// With the exact sum `acc = Σ (q_x − z_x) · q_w`: `v = f32(acc) · (s_x · s_w[c]) + b[c]` and
    /// `q_y = clamp(rne(tanh(v) · (1 / s_y)) + z_y)`. So integers are rounded to once, where [`run`](Self::run) and an activation of
    /// its result round twice; and `b` stays in `f32`, where `run` brings it onto the grid of the sums. This is the order of
    /// oneDNN (sums, scales, bias, post-operation, scale of the result), on which PyTorch's `quantized::linear_tanh` runs.
    /// The kernels' formula of the tangent has the same bits on every instruction set, hence so have results.
    ///
    /// # Errors
    /// As [`run`](Self::run) without [`Error::BiasTooLarge`](crate::Error::BiasTooLarge).
    #[doc(alias = "linear_tanh")]
    pub fn run_tanh(&self, x: &QTensor, out: OutQParams) -> Result<QTensor> {
        self.run_curved("linear_tanh", x, out, |context, values| {
            let mut curved = vec![0.0; values.len()];
            curve_f32(context, Curve::Tanh, &values, &mut curved)?;
            Ok(curved)
        })
    }

    fn run_curved(
        &self,
        operation: &'static str,
        x: &QTensor,
        out: OutQParams,
        curve: impl FnOnce(&Context, Vec<f32>) -> Result<Vec<f32>>,
    ) -> Result<QTensor> {
        let (rows, shape) = self.check_shape(x.shape())?;
        let format = MemoryFormat::Contiguous;
        let bytes = Bytes::new(operation, x, format)?;
        out.validate(operation, bytes.dtype)?;
        let (scale, out_scale) = (bytes.scale as f32, out.scale as f32);
        self.packed.check_scales(scale, out_scale)?;
        let params = [RowParams {
            scale,
            zero_point: bytes.zero_point as u8,
        }];
        let zero_point = byte_zero_point(bytes.dtype, out.zero_point);
        build(operation, &shape, format, bytes.dtype, out, |y| {
            if rows == 0 {
                return Ok(());
            }
            let context = Context::new()?;
            let mut values = vec![0.0; y.len()];
            let (x, sums) = (
                bytes.slice(format),
                self.packed.float_output(&params, false),
            );
            qkernels_x86::linear_f32(&context, x, rows, self.packed.weights(), &sums, &mut values)?;
            let values = curve(&context, values)?;
            Ok(quantize_u8(
                &context,
                &values,
                inverse_scale(out_scale),
                zero_point,
                y,
            )?)
        })
    }
}
