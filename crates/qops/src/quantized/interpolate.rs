//! Quantized images in another size, with the map that they have.

use qtensor_core::affine::quantize_value;
use qtensor_core::{IntTensor, QTensor};

use super::bytes::natural_format;
use crate::error::Result;
use crate::resampling::{Interpolation, ResizeTo, axes, bilinear};

/// Images `[N, C, …]` in another size, with the map and in the memory order of `x`; formulas at [`Interpolation`] and [`ResizeTo`].
///
/// The nearest pixel is a copy of an integer, and works per channel too. The bilinear result is
/// `clamp(rne(f32(Σ w · q) − z) + z)`, the weighted sum of the integers in `f32`.
///
/// ```
/// # use qops::{Interpolation, ResizeTo, quantized::{OutQParams, interpolate, quantize}};
/// # use qtensor_core::{DType, Tensor};
/// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], &[1, 1, 2, 2])?;
/// let x = quantize(&x, OutQParams::new(0.5, 10), DType::QUInt8)?;
/// let y = interpolate(&x, ResizeTo::Size(&[2, 3]), Interpolation::Bilinear { align_corners: true })?;
/// assert_eq!(y.int_repr().to_i32_vec(), [12, 13, 14, 16, 17, 18]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// As [`float::interpolate`](crate::float::interpolate); [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch) for a bilinear
/// interpolation of a per-channel tensor.
#[doc(alias = "upsample")]
pub fn interpolate(x: &QTensor, to: ResizeTo<'_>, mode: Interpolation) -> Result<QTensor> {
    let axes = axes(x.shape(), to, mode)?;
    let Interpolation::Bilinear { align_corners } = mode else {
        let dims = axes.iter().enumerate();
        let mut dims = dims.map(|(at, axis)| (at + 2, axis.nearest()));
        return Ok(dims.try_fold(x.clone(), |x, (dim, indices)| x.index_select(dim, &indices))?);
    };
    let (_, zero_point) = x.per_tensor("interpolate")?;
    let planes: Vec<f32> = x
        .int_repr()
        .to_i32_vec()
        .iter()
        .map(|&q| q as f32)
        .collect();
    let mut ints = Vec::new();
    bilinear(&planes, [&axes[0], &axes[1]], align_corners, |value| {
        ints.push(quantize_value(
            value - zero_point as f32,
            1.0,
            zero_point,
            x.dtype(),
        ));
    });
    let shape = [x.shape()[0], x.shape()[1], axes[0].output, axes[1].output];
    let ints = IntTensor::from_i32(&ints, &shape, x.dtype())?;
    let y = QTensor::from_parts(ints, x.quantizer().clone())?;
    Ok(y.to_memory_format(natural_format(x.layout()))?)
}
