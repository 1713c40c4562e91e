//! The table of conversions: which float module becomes which int8 one, and how, by type of quantization.
//!
//! `prepare` and `convert` read this table and know no module by name. A module of your own joins with one
//! row, [`Mapping::with`].

use std::any::{Any, TypeId};

use qnn::quantized::QParams;
use qnn::{
    BatchNorm, Conv, DeQuantStub, Embedding, EmbeddingBag, Erased, FloatFunctional, Gru, Linear,
    Lstm, Module, Node, QFunctional, QuantStub, Recurrent, RecurrentCell, RecurrentKind, Rnn,
    dynamic, erase, intrinsic, qat, quantized,
};
use qobserve::{ObserverFactory, QConfig, QuantType};

use crate::error::Result;

/// What a conversion gets besides the float module.
pub struct Target<'a> {
    /// The observer that finds the weight's qparams.
    pub weight: &'a ObserverFactory,
    /// The calibrated qparams of the output.
    pub output: QParams,
}

type Convert =
    Box<dyn Fn(&dyn Node, &QConfig, Option<&Target<'_>>) -> Result<Option<Erased>> + Send + Sync>;

struct Row {
    from: TypeId,
    quant_type: QuantType,
    observed: bool,
    convert: Convert,
}

/// Rows from float module types, and the type of quantization that a place's configuration asks for, to conversions.
pub struct Mapping {
    rows: Vec<Row>,
}

impl Mapping {
    /// A table without rows.
    pub fn empty() -> Mapping {
        Mapping { rows: Vec::new() }
    }

    /// The static int8 table: convolutions, linear layers and batch norms, plain and fused, functionals, stubs,
    /// and the modules of quantization-aware training.
    #[doc(alias = "get_default_static_quant_module_mappings")]
    pub fn static_int8() -> Mapping {
        let rows = Mapping::empty()
            .with(|_: &QuantStub, t| Ok(erase(quantized::Quantize::new(t.output))))
            .with_unobserved(|_: &DeQuantStub| Ok(erase(quantized::DeQuantize)))
            .with(|_: &FloatFunctional, t| Ok(erase(QFunctional::new(t.output))))
            .with(|m: &Linear, t| Ok(erase(quantized::Linear::from_float(m, t.weight, t.output)?)))
            .with(|m: &intrinsic::LinearReLU, t| {
                Ok(erase(intrinsic::quantized::LinearReLU::from_float(
                    m, t.weight, t.output,
                )?))
            });
        rows.with(|m: &qat::Linear, t| Ok(erase(m.to_quantized(t.output)?)))
            .with(|m: &intrinsic::qat::LinearReLU, t| {
                let linear = m.module().to_quantized(t.output)?;
                Ok(erase(intrinsic::quantized::Fused::new(
                    linear,
                    m.rectifier(),
                )))
            })
            .with(|m: &intrinsic::qat::LinearBn1d, t| Ok(erase(m.to_quantized(t.output)?)))
            .with(|m: &intrinsic::qat::LinearBnReLU1d, t| {
                let linear = m.module().to_quantized(t.output)?;
                Ok(erase(intrinsic::quantized::Fused::new(
                    linear,
                    m.rectifier(),
                )))
            })
            .with_dims::<1>()
            .with_dims::<2>()
            .with_dims::<3>()
    }

    /// This table with the rows of dynamic quantization: linear, recurrent and convolutional modules.
    #[doc(alias = "get_default_dynamic_quant_module_mappings")]
    pub fn with_all_dynamic(self) -> Mapping {
        self.with_dynamic(|m: &Linear, q| Ok(erase(dynamic::Linear::from_float(m, q)?)))
            .with_dynamic(|m: &intrinsic::LinearReLU, q| {
                Ok(erase(
                    intrinsic::quantized::dynamic::LinearReLU::from_float(m, q)?,
                ))
            })
            .with_recurrent::<Rnn>()
            .with_recurrent::<Lstm>()
            .with_recurrent::<Gru>()
            .with_dynamic_dims::<1>()
            .with_dynamic_dims::<2>()
            .with_dynamic_dims::<3>()
    }

    /// This table with the rows of weight-only quantization: tables of embeddings.
    #[doc(alias = "get_embedding_static_quant_module_mappings")]
    pub fn with_all_weight_only(self) -> Mapping {
        self.with_weight_only(|m: &Embedding, q| Ok(erase(quantized::Embedding::from_float(m, q)?)))
            .with_weight_only(|m: &EmbeddingBag, q| {
                Ok(erase(quantized::EmbeddingBag::from_float(m, q)?))
            })
            .with_weight_only(|m: &qat::Embedding, _| Ok(erase(m.to_quantized()?)))
    }

    /// The rows of a kind of recurrent modules.
    fn with_recurrent<K: RecurrentKind>(self) -> Mapping {
        self.with_dynamic(|m: &Recurrent<K>, q| Ok(erase(dynamic::Recurrent::from_float(m, q)?)))
            .with_dynamic(|m: &RecurrentCell<K>, q| {
                Ok(erase(dynamic::RecurrentCell::from_float(m, q)?))
            })
    }

    /// The dynamic rows of the modules over `D` spatial dimensions.
    fn with_dynamic_dims<const D: usize>(self) -> Mapping {
        self.with_dynamic(|m: &Conv<D>, q| Ok(erase(dynamic::Conv::from_float(m, q)?)))
            .with_dynamic(|m: &intrinsic::ConvReLU<D>, q| {
                Ok(erase(intrinsic::quantized::dynamic::ConvReLU::from_float(
                    m, q,
                )?))
            })
    }

    /// The rows of the modules over `D` spatial dimensions.
    fn with_dims<const D: usize>(self) -> Mapping {
        self.with(|m: &Conv<D>, t| Ok(erase(quantized::Conv::from_float(m, t.weight, t.output)?)))
            .with(|m: &intrinsic::ConvReLU<D>, t| {
                Ok(erase(intrinsic::quantized::ConvReLU::from_float(
                    m, t.weight, t.output,
                )?))
            })
            .with(|m: &BatchNorm<D>, t| Ok(erase(quantized::BatchNorm::from_float(m, t.output))))
            .with(|m: &intrinsic::BNReLU<D>, t| {
                Ok(erase(intrinsic::quantized::BNReLU::from_float(m, t.output)))
            })
            .with(|m: &qat::Conv<D>, t| Ok(erase(m.to_quantized(t.output)?)))
            .with(|m: &intrinsic::qat::ConvReLU<D>, t| {
                let conv = m.module().to_quantized(t.output)?;
                Ok(erase(intrinsic::quantized::Fused::new(conv, m.rectifier())))
            })
            .with(|m: &intrinsic::qat::ConvBn<D>, t| Ok(erase(m.to_quantized(t.output)?)))
            .with(|m: &intrinsic::qat::ConvBnReLU<D>, t| {
                let conv = m.module().to_quantized(t.output)?;
                Ok(erase(intrinsic::quantized::Fused::new(conv, m.rectifier())))
            })
    }

    /// Adds a row: modules of type `M` are observed at their output and become what `convert` makes of them.
    /// A later row for the same type wins.
    pub fn with<M: Module>(
        mut self,
        convert: impl Fn(&M, &Target<'_>) -> Result<Erased> + Send + Sync + 'static,
    ) -> Mapping {
        self.rows.push(Row {
            from: TypeId::of::<M>(),
            quant_type: QuantType::Static,
            observed: true,
            convert: Box::new(move |node, _, target| {
                match ((node as &dyn Any).downcast_ref::<M>(), target) {
                    (Some(module), Some(target)) => Ok(Some(convert(module, target)?)),
                    _ => Ok(None),
                }
            }),
        });
        self
    }

    /// As [`with`](Mapping::with), for modules whose output needs no observer.
    pub fn with_unobserved<M: Module>(
        self,
        convert: impl Fn(&M) -> Result<Erased> + Send + Sync + 'static,
    ) -> Mapping {
        self.with_row(QuantType::Static, move |module, _| convert(module))
    }

    /// Adds a row for places with a dynamic configuration: modules of type `M` become what `convert` makes of them and
    /// that configuration, without calibration.
    pub fn with_dynamic<M: Module>(
        self,
        convert: impl Fn(&M, &QConfig) -> Result<Erased> + Send + Sync + 'static,
    ) -> Mapping {
        self.with_row(QuantType::Dynamic, convert)
    }

    /// As [`with_dynamic`](Mapping::with_dynamic), for places with a weight-only configuration.
    pub fn with_weight_only<M: Module>(
        self,
        convert: impl Fn(&M, &QConfig) -> Result<Erased> + Send + Sync + 'static,
    ) -> Mapping {
        self.with_row(QuantType::WeightOnly, convert)
    }

    fn with_row<M: Module>(
        mut self,
        quant_type: QuantType,
        convert: impl Fn(&M, &QConfig) -> Result<Erased> + Send + Sync + 'static,
    ) -> Mapping {
        self.rows.push(Row {
            from: TypeId::of::<M>(),
            quant_type,
            observed: false,
            convert: Box::new(move |node, qconfig, _| {
                match (node as &dyn Any).downcast_ref::<M>() {
                    Some(module) => Ok(Some(convert(module, qconfig)?)),
                    None => Ok(None),
                }
            }),
        });
        self
    }

    fn row(&self, node: &dyn Node, quant_type: QuantType) -> Option<&Row> {
        let id = node.type_id();
        let fits = |row: &&Row| row.from == id && row.quant_type == quant_type;
        self.rows.iter().rev().find(fits)
    }

    /// Whether modules like this one are converted by that type of quantization, and whether their output is observed
    /// for it.
    pub(crate) fn observes(&self, node: &dyn Node, quant_type: QuantType) -> Option<bool> {
        self.row(node, quant_type).map(|row| row.observed)
    }

    /// Whether modules like this one are converted by any type of quantization.
    pub(crate) fn converts(&self, node: &dyn Node) -> bool {
        let id = node.type_id();
        self.rows.iter().any(|row| row.from == id)
    }

    /// Converts one module; `None` if there is no row for it.
    pub(crate) fn convert(
        &self,
        node: &dyn Node,
        qconfig: &QConfig,
        target: Option<&Target<'_>>,
    ) -> Result<Option<Erased>> {
        match self.row(node, qconfig.quant_type()) {
            Some(row) => (row.convert)(node, qconfig, target),
            None => Ok(None),
        }
    }
}

/// All rows: static, dynamic and weight-only ones.
impl Default for Mapping {
    fn default() -> Mapping {
        Mapping::static_int8()
            .with_all_dynamic()
            .with_all_weight_only()
    }
}
