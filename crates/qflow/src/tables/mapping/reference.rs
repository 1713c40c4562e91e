//! The rows from float modules to reference modules.

use qnn::intrinsic::{self, Activated, Curve, Fused, Rectified};
use qnn::reference::{self, Reference, ToReference};
use qnn::{
    Conv, ConvTranspose, Embedding, EmbeddingBag, Gru, LeakyReLU, Linear, Lstm, Module, Recurrent,
    RecurrentCell, RecurrentKind, Rnn, Tanh, Value, erase, qat,
};
use qobserve::{QConfig, QuantType};

use super::Mapping;
use crate::error::Result;

impl Mapping {
    /// The table of reference modules: float arithmetic with the weights that integers stand for, for static and dynamic
    /// configurations alike, and tables of embeddings for weight-only ones.
    ///
    /// No output is observed for it. Stubs, functionals and modules without weights stay as they are, and values stay float.
    #[doc(alias = "get_default_static_quant_reference_module_mappings")]
    pub fn reference() -> Mapping {
        Mapping::empty()
            .with_reference::<Linear>()
            .with_reference::<qat::Linear>()
            .with_reference::<intrinsic::qat::LinearBn1d>()
            .with_reference_dims::<1>()
            .with_reference_dims::<2>()
            .with_reference_dims::<3>()
            .with_reference_activated::<LeakyReLU>()
            .with_reference_activated::<Tanh>()
            .with_reference_recurrent::<Rnn>()
            .with_reference_recurrent::<Lstm>()
            .with_reference_recurrent::<Gru>()
            .with_weight_only(|m: &Embedding, q| Ok(erase(reference::Embedding::from_float(m, q)?)))
            .with_weight_only(|m: &qat::Embedding, _| {
                let int8 = m.to_quantized()?;
                Ok(erase(reference::Embedding::from_quantized(int8)?))
            })
            .with_weight_only(|m: &qat::EmbeddingBag, _| {
                let int8 = m.to_quantized()?;
                Ok(erase(reference::EmbeddingBag::from_quantized(int8)?))
            })
            .with_weight_only(|m: &EmbeddingBag, q| {
                Ok(erase(reference::EmbeddingBag::from_float(m, q)?))
            })
    }

    fn with_reference_dims<const D: usize>(self) -> Mapping {
        self.with_reference::<Conv<D>>()
            .with_reference::<ConvTranspose<D>>()
            .with_reference::<qat::Conv<D>>()
            .with_reference::<qat::ConvTranspose<D>>()
            .with_reference::<intrinsic::qat::ConvBn<D>>()
    }

    /// A module, alone and with a rectifier.
    fn with_reference<M>(self) -> Mapping
    where
        M: ToReference + Rectified + Module<Input = Value, Output = Value>,
        Reference<M::Float>: Rectified,
    {
        self.in_both_types(|m: &M, q| Ok(erase(m.to_reference(&q.weight)?)))
            .in_both_types(|m: &Fused<M>, q| {
                let module = m.module().to_reference(&q.weight)?;
                Ok(erase(Fused::new(module, m.rectifier())))
            })
    }

    fn with_reference_activated<A: Curve>(self) -> Mapping {
        self.in_both_types(|m: &Activated<Linear, A>, q| {
            let linear = m.module().to_reference(&q.weight)?;
            Ok(erase(Activated::new(linear, m.activation().clone())))
        })
        .in_both_types(|m: &Activated<qat::Linear, A>, q| {
            let linear = m.module().to_reference(&q.weight)?;
            Ok(erase(Activated::new(linear, m.activation().clone())))
        })
    }

    fn with_reference_recurrent<K: RecurrentKind>(self) -> Mapping {
        self.in_both_types(|m: &Recurrent<K>, q| {
            Ok(erase(reference::Recurrent::from_float(m, &q.weight)?))
        })
        .in_both_types(|m: &RecurrentCell<K>, q| {
            Ok(erase(reference::RecurrentCell::from_float(m, &q.weight)?))
        })
    }

    /// One row for static and one for dynamic configurations.
    fn in_both_types<M: Module>(self, convert: fn(&M, &QConfig) -> Result<qnn::Erased>) -> Mapping {
        self.with_row(QuantType::Static, convert)
            .with_row(QuantType::Dynamic, convert)
    }
}
