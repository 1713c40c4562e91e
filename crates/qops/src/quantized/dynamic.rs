//! Float activations that layers quantize as they come, by the range of the numbers themselves.

use qkernels_x86::{Context, RowParams};
use qtensor_core::{MemoryFormat, Tensor};

use super::bytes::in_format;
use crate::error::{Error, Result};

/// How much of an input shares a scale and a zero point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// Each row of a matrix product, each image of a convolution, has its own: more accurate, and the result of a
    /// row does not depend on what else is in the batch.
    #[default]
    PerRow,
    /// The whole input has one, as in PyTorch.
    PerTensor,
}

/// How a dynamically quantized layer chooses the integers of its input: anew in each call, from the least and the
/// greatest element.
///
/// Scale `s` and zero point `z` are those of
/// [`choose_quantization_params`](qtensor_core::choose_qparams::choose_quantization_params), and
/// `q = clamp(rne(x · (1/s)) + z, 0, 255)`.
///
/// ```
/// # use qops::quantized::{DynamicQuant, Granularity};
/// assert_eq!(DynamicQuant::default().granularity, Granularity::PerRow);
/// assert!(DynamicQuant::pytorch().reduce_range);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DynamicQuant {
    /// How much of an input shares a scale and a zero point.
    pub granularity: Granularity,
    /// Uses the integers `0..=127` alone, for kernels whose sums saturate; those of this crate do not.
    pub reduce_range: bool,
}

impl DynamicQuant {
    /// PyTorch's choice on x86: one scale for the whole input, half of the integers.
    #[doc(alias = "quantize_dynamic")]
    pub fn pytorch() -> DynamicQuant {
        DynamicQuant {
            granularity: Granularity::PerTensor,
            reduce_range: true,
        }
    }
}

impl DynamicQuant {
    /// Parameters that so many rows have.
    pub(crate) fn parameters(self, rows: usize) -> usize {
        match self.granularity {
            Granularity::PerRow => rows,
            Granularity::PerTensor => 1,
        }
    }
}

/// Bytes behind the last row that kernels may read.
pub(crate) const SLACK: usize = 64;

/// Parameters that have not been chosen yet.
pub(crate) const NONE: RowParams = RowParams {
    scale: 1.0,
    zero_point: 0,
};

/// An input as integers.
pub(crate) struct Quantized {
    data: Tensor<u8>,
    /// The parameters of each row, or of all of them.
    pub params: Vec<RowParams>,
}

impl Quantized {
    /// Quantizes `x`, whose outermost dimensions are `rows` rows, into the memory order `format`.
    pub fn new(
        operation: &'static str,
        x: &Tensor,
        quant: DynamicQuant,
        rows: usize,
        format: MemoryFormat,
    ) -> Result<Quantized> {
        // Rows are the outermost dimension of either order, and bytes are quicker to transpose than floats.
        let source = if x.layout().is_dense_in(MemoryFormat::Contiguous) {
            MemoryFormat::Contiguous
        } else {
            format
        };
        let dense = x.to_memory_format(source)?;
        let values = dense.dense_slice(source).unwrap_or(&[]);
        let mut params = vec![NONE; quant.parameters(rows)];
        let context = Context::new()?;
        let reduce = quant.reduce_range;
        let data = Tensor::build(x.shape(), source, |out| {
            qkernels_x86::quantize_rows_u8(&context, values, reduce, &mut params, out)
                .map_err(|error| not_finite(operation, x).unwrap_or(error.into()))
        })?;
        Ok(Quantized {
            data: in_format(&data, format)?,
            params,
        })
    }

    /// The bytes in the order given to [`new`](Self::new), and the slack behind them.
    pub fn slice(&self, format: MemoryFormat) -> &[u8] {
        self.data
            .dense_slice_with_slack(format)
            .expect("the constructor brought the bytes into this format")
    }
}

/// The complaint about the first element, in the order of indices, that is not finite.
fn not_finite(operation: &'static str, x: &Tensor) -> Option<Error> {
    let values = x.to_vec();
    let mut at = values.iter().position(|value| !value.is_finite())?;
    let value = values[at];
    let mut index = vec![0; x.rank()];
    for (index, &length) in index.iter_mut().zip(x.shape()).rev() {
        (*index, at) = (at % length, at / length);
    }
    Some(Error::NotFinite {
        operation,
        index,
        value,
    })
}
