//! The linear layer with weights of 16 bits.

use half::f16;
use half::slice::HalfFloatSliceExt;
use qtensor_core::buffer::Buffer;
use qtensor_core::{MemoryFormat, Tensor};

use super::linear::{check_bias, check_rank};
use super::product::{Mat, product};
use crate::error::{Error, Result};

const OPERATION: &str = "linear with 16-bit weights";

/// Weights that are widened at a time, so that they stay in the second-level cache until they are used.
const BLOCK: usize = 1 << 16;

/// `y = x·Wᵀ + b` with `W` in half precision; products and sums are `f32`.
///
/// Weights beyond ±65504 become that number, the others the nearest 16-bit float. It halves the bytes of a layer and
/// changes results by about `2⁻¹¹` of them.
///
/// ```
/// # use qops::float::HalfLinear;
/// # use qtensor_core::Tensor;
/// let weight = Tensor::from_vec(vec![1.0, 0.1, 1e6], &[1, 3])?;
/// let layer = HalfLinear::new(&weight, None)?;
/// assert_eq!(layer.weight()?.to_vec(), [1.0, 0.099975586, 65504.0]);
/// let y = layer.run(&Tensor::ones(&[2, 3])?)?;
/// assert_eq!((y.shape(), y.get(&[0, 0])?), (&[2, 1][..], 65505.1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "linear_dynamic_fp16")]
#[derive(Clone, Debug)]
pub struct HalfLinear {
    weight: Vec<f16>,
    shape: [usize; 2],
    bias: Option<Tensor>,
}

impl HalfLinear {
    /// Rounds weights `[out, in]`; the bias `[out]` stays as it is.
    ///
    /// # Errors
    /// [`Rank`](qtensor_core::Error::Rank), [`Error::Operands`] for a bias of another length.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<HalfLinear> {
        check_rank("linear (weight)", weight, 2, 2)?;
        let bias = bias
            .map(|bias| check_bias(OPERATION, weight, bias))
            .transpose()?;
        let most = f16::MAX.to_f32();
        let saturated = weight.to_vec().into_iter().map(|w| w.clamp(-most, most));
        Ok(HalfLinear {
            weight: saturated.map(f16::from_f32).collect(),
            shape: [weight.shape()[0], weight.shape()[1]],
            bias,
        })
    }

    /// A layer of weights that are 16-bit floats already, two bytes each, the low one first.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::Length`] if the bytes are not those of `shape`.
    pub fn from_bytes(
        bytes: &[u8],
        shape: [usize; 2],
        bias: Option<&Tensor>,
    ) -> Result<HalfLinear> {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let expected = shape[0].saturating_mul(shape[1]);
        if pairs.len() != expected || !rest.is_empty() {
            return Err(Error::Length {
                operation: OPERATION,
                what: "the number of bytes",
                expected: expected.saturating_mul(2),
                actual: bytes.len(),
            });
        }
        let weight: Vec<f16> = pairs.iter().map(|&pair| f16::from_le_bytes(pair)).collect();
        if let Some(bias) = bias
            && bias.shape() != [shape[0]]
        {
            return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
                operation: OPERATION,
                expected: vec![shape[0]],
                actual: bias.shape().to_vec(),
            }));
        }
        Ok(HalfLinear {
            weight,
            shape,
            bias: bias.map(Tensor::contiguous),
        })
    }

    /// The weights' bytes, as [`from_bytes`](Self::from_bytes) takes them.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.weight.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// The weights as `f32`.
    ///
    /// # Errors
    /// None at present: the shape was checked before.
    pub fn weight(&self) -> Result<Tensor> {
        let values = self.weight.iter().map(|w| w.to_f32()).collect();
        Ok(Tensor::from_vec(values, &self.shape)?)
    }

    /// The bias, if there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The lengths of the output's and the input's last dimension.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The layer on `x`: `[…, in]` to `[…, out]`.
    ///
    /// # Errors
    /// [`Error::Operands`] if the last dimension is not `in`, a rank error for an input without dimensions.
    pub fn run(&self, x: &Tensor) -> Result<Tensor> {
        check_rank(OPERATION, x, 1, usize::MAX)?;
        let [n, k] = self.shape;
        let features = x.shape()[x.rank() - 1];
        if features != k {
            return Err(Error::Operands {
                operation: OPERATION,
                what: "the number of input features",
                expected: k,
                actual: features,
                left: self.shape.to_vec(),
                right: x.shape().to_vec(),
            });
        }
        let m: usize = x.shape()[..x.rank() - 1].iter().product();
        let mut shape = x.shape().to_vec();
        shape[x.rank() - 1] = n;
        let x = x.contiguous();
        let x = x.as_slice().unwrap_or_default();
        let bias = self.bias.as_ref().and_then(Tensor::as_slice);
        Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
            if let Some(bias) = bias.filter(|bias| !bias.is_empty()) {
                out.chunks_exact_mut(n)
                    .for_each(|row| row.copy_from_slice(bias));
            }
            if m == 0 || n == 0 {
                return Ok(());
            }
            let columns = (BLOCK / k.max(1)).max(1);
            let mut wide = Buffer::recycled(columns.min(n) * k * size_of::<f32>());
            for first in (0..n).step_by(columns) {
                let count = columns.min(n - first);
                let wide = &mut wide.as_mut_slice::<f32>()[..count * k];
                self.weight[first * k..][..count * k].convert_to_f32_slice(wide);
                let (rows, weights) = (Mat::rows(x, k), Mat::columns(wide, k));
                let out = &mut out[first..];
                product([m, count, k], rows, weights, out, n, bias.is_some(), true)?;
            }
            Ok(())
        })
    }
}
