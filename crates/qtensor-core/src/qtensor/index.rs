//! Reading and writing chosen elements of a quantized tensor. Written values are real numbers, quantized with the map that
//! the tensor has.

use super::QTensor;
use crate::affine::{inverse_scale, quantize_value};
use crate::error::{Error, Result};
use crate::indexing::{Fate, Index, Indexed};
use crate::int_tensor::IntTensor;
use crate::quantizer::Quantizer;
use crate::tensor::{Tensor, expanded};

impl QTensor {
    /// The elements that an index expression takes; see [`Tensor::index`].
    ///
    /// A per-channel tensor's axis may be kept, cut by a range, dropped at an index (which gives a per-tensor map), or indexed by
    /// one tensor of one dimension or a mask of its own; its scales and zero points go along.
    ///
    /// # Errors
    /// Those of [`Tensor::index`]; [`Error::ChannelAxisLost`] if channels would come to lie in several dimensions or to share one
    /// with others.
    #[doc(alias = "getitem")]
    pub fn index(&self, indices: &[Index<'_>]) -> Result<QTensor> {
        let indexed = Indexed::new("index", self.layout(), indices)?;
        let quantizer = self.indexed_map("index", &indexed)?;
        Ok(self.rebuilt(self.ints.indexed(&indexed)?, quantizer))
    }

    /// The map of the elements that an expression takes.
    fn indexed_map(&self, operation: &'static str, indexed: &Indexed) -> Result<Quantizer> {
        let Quantizer::PerChannel {
            scales,
            zero_points,
            axis,
        } = &self.quantizer
        else {
            return Ok(self.quantizer.clone());
        };
        Ok(match &indexed.fates[*axis] {
            Fate::Dropped(index) => Quantizer::per_tensor(scales[*index], zero_points[*index]),
            Fate::Kept {
                to,
                range: (start, end, step),
            } => {
                let cut = self.quantizer.sliced(*axis, *start, *end, *step);
                cut.moved_to(*to)
            }
            Fate::Gathered { to, indices } => self.quantizer.gathered(*axis, indices).moved_to(*to),
            Fate::Mixed => {
                return Err(Error::ChannelAxisLost {
                    operation,
                    axis: *axis,
                    from: self.shape().to_vec(),
                    to: indexed.shape()?,
                });
            }
        })
    }

    /// Quantizes `values`, expanded to the shape of the result of [`index`](Self::index), with this tensor's map, and writes
    /// them to the elements that an index expression takes. Where it takes an element several times, the last value stays.
    ///
    /// # Errors
    /// Those of [`Tensor::index`]; [`Error::ShapeMismatch`] if `values` do not expand to that shape.
    #[doc(alias = "setitem")]
    #[doc(alias = "index_put_")]
    pub fn index_put(&mut self, indices: &[Index<'_>], values: &Tensor) -> Result<()> {
        let operation = "index_put";
        let shape = Indexed::new(operation, self.layout(), indices)?.shape()?;
        let values = expanded(operation, values, &shape)?.to_vec();
        let channels = self.channels()?.index(indices)?.to_vec();
        let dtype = self.dtype();
        let ints = channels.into_iter().zip(values).map(|(channel, value)| {
            let (inverse, zero_point) = self.grid(channel as usize);
            quantize_value(value, inverse, zero_point, dtype)
        });
        let ints: Vec<i32> = ints.collect();
        let ints = IntTensor::from_i32(&ints, &shape, dtype)?;
        self.ints.index_put(indices, &ints)
    }

    /// The elements where `mask` is not 0, in logical order, after both were expanded to one shape.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the shapes do not broadcast together; [`Error::QSchemeMismatch`] for a per-channel tensor, whose
    /// channels would lie in one dimension.
    pub fn masked_select(&self, mask: &Tensor<u8>) -> Result<QTensor> {
        self.per_tensor("masked_select")?;
        let ints = self.ints.masked_select(mask)?;
        Ok(self.rebuilt(ints, self.quantizer.clone()))
    }

    /// Quantizes `value` with this tensor's map and writes it where `mask`, which expands to the tensor's shape, is not 0.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if `mask` does not expand to the shape.
    #[doc(alias = "masked_fill_")]
    pub fn masked_fill(&mut self, mask: &Tensor<u8>, value: f32) -> Result<()> {
        let mask = expanded("masked_fill", mask, self.shape())?;
        if let Quantizer::PerTensor { .. } = self.quantizer {
            let (inverse, zero_point) = self.grid(0);
            let q = quantize_value(value, inverse, zero_point, self.dtype());
            return self.ints.masked_fill(&mask, q);
        }
        let mut filled = self.clone();
        filled.fill(value)?;
        let kept = self
            .ints
            .to_i32_vec()
            .into_iter()
            .zip(filled.ints.to_i32_vec());
        let marked = kept.zip(mask.to_vec());
        let ints: Vec<i32> = marked
            .map(|((old, new), m)| if m == 0 { old } else { new })
            .collect();
        self.ints = IntTensor::from_i32(&ints, self.shape(), self.dtype())?;
        Ok(())
    }

    /// The channel of each element; 0 for a per-tensor map. A view of one number for each channel.
    fn channels(&self) -> Result<Tensor<i32>> {
        let Quantizer::PerChannel { axis, scales, .. } = &self.quantizer else {
            return Tensor::scalar(0).expand(self.shape());
        };
        let mut shape = vec![1; self.rank()];
        shape[*axis] = scales.len();
        Tensor::from_vec((0..scales.len() as i32).collect(), &shape)?.expand(self.shape())
    }

    /// `1/s` and `z` of a channel.
    fn grid(&self, channel: usize) -> (f32, i32) {
        let (scale, zero_point) = self
            .quantizer
            .channel(channel)
            .expect("channels of elements that exist");
        (inverse_scale(scale), zero_point)
    }
}
