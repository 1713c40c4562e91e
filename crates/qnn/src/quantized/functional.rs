//! Operations on quantized tensors under the names of PyTorch's `torch.ao.nn.quantized.functional`.
//!
//! They are those of [`qops::quantized`]; the ones here add names and defaults, and compute nothing themselves.
//! Scales and zero points of results are given as [`OutQParams`]; where PyTorch keeps those of the input, so do these.
//!
//! ```
//! use qnn::quantized::functional::{self as qf, OutQParams};
//! use qops::PoolSpec;
//! use qtensor_core::{DType, Tensor};
//!
//! let image = Tensor::from_vec((0..16).map(|i| i as f32 - 8.0).collect(), &[1, 1, 4, 4])?;
//! let x = qops::quantized::quantize(&image, OutQParams::new(0.5, 100), DType::QUInt8)?;
//! let y = qf::relu(&qf::max_pool2d(&x, &PoolSpec::new(&[2, 2], &[2, 2], &[0, 0])?)?)?;
//! assert_eq!(y.dequantize().to_vec(), [0.0, 0.0, 5.0, 7.0]);
//! let y = qf::hardtanh(&y, -1.0, 6.0)?;
//! assert_eq!(y.dequantize().to_vec(), [0.0, 0.0, 5.0, 6.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use qops::quantized::{
    Activation, Gelu, OutQParams, celu, clamp, conv1d, conv2d, conv3d, elu, gelu, group_norm,
    hardsigmoid, hardswish, instance_norm, interpolate, layer_norm, leaky_relu, linear, prelu,
    relu, relu6, sigmoid, softmax, tanh, threshold,
};

use qops::quantized::{adaptive_avg_pool, avg_pool, max_pool};
use qops::{Error, PoolSpec, Result};
pub use qops::{Interpolation, ResizeTo};
use qtensor_core::QTensor;

/// `min(max(x, min_val), max_val)`, between the integers of both: [`clamp`] under its other name.
///
/// # Errors
/// As [`clamp`].
pub fn hardtanh(x: &QTensor, min_val: f32, max_val: f32) -> Result<QTensor> {
    clamp(x, min_val, max_val)
}

/// [`linear`] with the scale and zero point of `x` for the result, as PyTorch's without qparams.
///
/// # Errors
/// As [`linear`].
pub fn linear_like_input(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&qtensor_core::Tensor>,
) -> Result<QTensor> {
    linear(x, weight, bias, OutQParams::of(x)?, Activation::None)
}

/// [`interpolate`] under the name that PyTorch deprecates for it.
///
/// # Errors
/// As [`interpolate`].
pub fn upsample(x: &QTensor, to: ResizeTo<'_>, mode: Interpolation) -> Result<QTensor> {
    interpolate(x, to, mode)
}

/// [`interpolate`] by nearest pixels; qparams are kept.
///
/// # Errors
/// As [`interpolate`].
pub fn upsample_nearest(x: &QTensor, to: ResizeTo<'_>) -> Result<QTensor> {
    interpolate(x, to, Interpolation::Nearest)
}

/// [`interpolate`] between neighbours with aligned corners; qparams are kept.
///
/// # Errors
/// As [`interpolate`].
///
/// ```
/// use qnn::quantized::functional::{self as qf, OutQParams, ResizeTo};
/// use qtensor_core::{DType, Tensor};
///
/// let row = Tensor::from_vec(vec![1.0, 2.0], &[1, 1, 1, 2])?;
/// let x = qops::quantized::quantize(&row, OutQParams::new(0.25, 3), DType::QUInt8)?;
/// let y = qf::upsample_bilinear(&x, ResizeTo::Size(&[1, 3]))?;
/// assert_eq!(y.dequantize().to_vec(), [1.0, 1.5, 2.0]);
/// # Ok::<(), qops::Error>(())
/// ```
pub fn upsample_bilinear(x: &QTensor, to: ResizeTo<'_>) -> Result<QTensor> {
    let mode = Interpolation::Bilinear {
        align_corners: true,
    };
    interpolate(x, to, mode)
}

macro_rules! pools {
    ($($(#[$doc:meta])* $name:ident($spec:ident: $type:ty, $spatial:literal) = $function:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Rank`](qtensor_core::Error::Rank) for another number of dimensions, and those of the operation for any
        /// number of them.
        pub fn $name(x: &QTensor, $spec: $type) -> Result<QTensor> {
            spatial(stringify!($name), x, $spatial)?;
            $function(x, $spec)
        }
    )*};
}

pools! {
    /// The maximum of each window of `(N, C, L)`; qparams are kept.
    max_pool1d(spec: &PoolSpec, 1) = max_pool;
    /// The maximum of each window of `(N, C, H, W)`; qparams are kept.
    max_pool2d(spec: &PoolSpec, 2) = max_pool;
    /// The maximum of each window of `(N, C, D, H, W)`; qparams are kept.
    max_pool3d(spec: &PoolSpec, 3) = max_pool;
    /// The mean of each window of `(N, C, L)`; qparams are kept.
    avg_pool1d(spec: &PoolSpec, 1) = avg_pool;
    /// The mean of each window of `(N, C, H, W)`; qparams are kept.
    avg_pool2d(spec: &PoolSpec, 2) = avg_pool;
    /// The mean of each window of `(N, C, D, H, W)`; qparams are kept.
    avg_pool3d(spec: &PoolSpec, 3) = avg_pool;
    /// The means of `output` windows that cover `(N, C, L)`; qparams are kept.
    adaptive_avg_pool1d(output: &[usize], 1) = adaptive_avg_pool;
    /// The means of `output` windows that cover `(N, C, H, W)`; qparams are kept.
    adaptive_avg_pool2d(output: &[usize], 2) = adaptive_avg_pool;
    /// The means of `output` windows that cover `(N, C, D, H, W)`; qparams are kept.
    adaptive_avg_pool3d(output: &[usize], 3) = adaptive_avg_pool;
}

/// Refuses another number of spatial dimensions.
fn spatial(operation: &'static str, x: &QTensor, expected: usize) -> Result<()> {
    if x.rank() == expected + 2 {
        return Ok(());
    }
    Err(Error::Tensor(qtensor_core::Error::Rank {
        operation,
        expected: format!("{} (batch, channels, {expected} spatial)", expected + 2),
        actual: x.rank(),
        shape: x.shape().to_vec(),
    }))
}
