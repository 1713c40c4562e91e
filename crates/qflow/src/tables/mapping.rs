//! The table of conversions: which float module becomes which int8 one, and how, by type of quantization.
//!
//! `prepare` and `convert` read this table and know no module by name. A module of your own joins with one
//! row, [`Mapping::with`].

use std::any::{Any, TypeId, type_name};

use qnn::quantized::QParams;
use qnn::{
    BatchNorm, Conv, ConvTranspose, DeQuantStub, Embedding, EmbeddingBag, Erased, FloatFunctional,
    Gru, LeakyReLU, Linear, Lstm, Module, Node, QFunctional, QuantStub, Recurrent, RecurrentCell,
    RecurrentKind, Rnn, Tanh, dynamic, erase, intrinsic, qat, quantized,
};
use qobserve::{ObserverFactory, QConfig, QuantType};

use crate::error::Result;

mod activated;
mod quantizable;
mod reference;
mod slopes;
mod sums;

/// What a conversion gets besides the float module.
pub struct Target<'a> {
    /// The observer that finds the weight's qparams.
    pub weight: &'a ObserverFactory,
    /// The calibrated qparams of the output.
    pub output: QParams,
}

type Convert =
    Box<dyn Fn(&dyn Node, &QConfig, Option<&Target<'_>>) -> Result<Option<Erased>> + Send + Sync>;

type Observed = Box<dyn Fn(&dyn Node, &QConfig) -> Result<Option<Erased>> + Send + Sync>;

struct Row {
    from: TypeId,
    name: &'static str,
    quant_type: QuantType,
    observed: bool,
    convert: Convert,
}

/// A module that observes itself, which preparation puts in place of a float one.
struct CustomRow {
    from: TypeId,
    name: &'static str,
    observe: Observed,
}

/// Rows from float module types, and the type of quantization that a place's configuration asks for, to conversions.
pub struct Mapping {
    rows: Vec<Row>,
    customs: Vec<CustomRow>,
    /// The types whose inner places are prepared although they are converted as one.
    observed_within: Vec<TypeId>,
}

impl Mapping {
    /// A table without rows.
    pub fn empty() -> Mapping {
        Mapping {
            rows: Vec::new(),
            customs: Vec::new(),
            observed_within: Vec::new(),
        }
    }

    /// The static int8 table: convolutions, transposed ones too, linear layers and batch norms, plain and fused, functionals, stubs,
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
            .with_sums::<1>()
            .with_sums::<2>()
            .with_sums::<3>()
            .with_activated::<LeakyReLU>()
            .with_activated::<Tanh>()
            .with_slopes()
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
            .with_dynamic(|m: &qat::Linear, q| Ok(erase(m.to_dynamic(q)?)))
            .with_dynamic(|m: &intrinsic::qat::LinearReLU, q| {
                Ok(erase(intrinsic::quantized::Fused::new(
                    m.module().to_dynamic(q)?,
                    m.rectifier(),
                )))
            })
            .with_dynamic_activated::<LeakyReLU>()
            .with_dynamic_activated::<Tanh>()
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
            .with_weight_only(|m: &qat::EmbeddingBag, _| Ok(erase(m.to_quantized()?)))
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
            .with_dynamic(|m: &ConvTranspose<D>, q| {
                Ok(erase(dynamic::ConvTranspose::from_float(m, q)?))
            })
            .with_dynamic(|m: &intrinsic::ConvTransposeReLU<D>, q| {
                let fused = intrinsic::quantized::dynamic::ConvTransposeReLU::from_float(m, q)?;
                Ok(erase(fused))
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
            .with(|m: &ConvTranspose<D>, t| {
                let conv = quantized::ConvTranspose::from_float(m, t.weight, t.output)?;
                Ok(erase(conv))
            })
            .with(|m: &intrinsic::ConvTransposeReLU<D>, t| {
                use intrinsic::quantized::ConvTransposeReLU;
                let fused = ConvTransposeReLU::from_float(m, t.weight, t.output)?;
                Ok(erase(fused))
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
            .with(|m: &qat::ConvTranspose<D>, t| Ok(erase(m.to_quantized(t.output)?)))
            .with(|m: &intrinsic::qat::ConvTransposeReLU<D>, t| {
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
            name: type_name::<M>(),
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
            name: type_name::<M>(),
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

    /// Adds a module of one's own that observes itself: `prepare` puts what `from_float` makes of an `F` in its place, calibration
    /// runs that, and `convert` puts what `from_observed` makes of it there.
    ///
    /// No observer goes to the place. Places within the observed module are prepared as others are, and `from_observed` finds
    /// what calibration gathered in them.
    #[doc(alias = "float_to_observed_custom_module_class")]
    #[doc(alias = "observed_to_quantized_custom_module_class")]
    pub fn with_custom<F: Module, O: Module<Input = F::Input, Output = F::Output>>(
        mut self,
        from_float: impl Fn(&F, &QConfig) -> Result<O> + Send + Sync + 'static,
        from_observed: impl Fn(&O, &QConfig) -> Result<Erased> + Send + Sync + 'static,
    ) -> Mapping {
        self.customs.push(CustomRow {
            from: TypeId::of::<F>(),
            name: type_name::<F>(),
            observe: Box::new(
                move |node, qconfig| match (node as &dyn Any).downcast_ref::<F>() {
                    Some(module) => Ok(Some(erase(from_float(module, qconfig)?))),
                    None => Ok(None),
                },
            ),
        });
        self.with_observed_within(from_observed)
    }

    /// Adds a row: no observer goes to a place with an `M`, but places within it are prepared as others are, and `convert` makes one module
    /// of the whole by what calibration gathered in them.
    pub fn with_observed_within<M: Module>(
        mut self,
        from_observed: impl Fn(&M, &QConfig) -> Result<Erased> + Send + Sync + 'static,
    ) -> Mapping {
        self.observed_within.push(TypeId::of::<M>());
        self.with_row(QuantType::Static, from_observed)
    }

    /// This table with the rows of another, which win.
    #[doc(alias = "get_combined_dict")]
    pub fn combined(mut self, additional: Mapping) -> Mapping {
        self.rows.extend(additional.rows);
        self.customs.extend(additional.customs);
        self.observed_within.extend(additional.observed_within);
        self
    }

    /// The rows: the name of a module's type, the type of quantization, and whether its output is observed for it.
    pub fn rows(&self) -> impl Iterator<Item = (String, QuantType, bool)> {
        let row = |row: &Row| (short_name(row.name), row.quant_type, row.observed);
        self.rows.iter().map(row)
    }

    /// The names of the float types that preparation replaces by modules that observe themselves.
    pub fn customs(&self) -> impl Iterator<Item = String> {
        self.customs.iter().map(|row| short_name(row.name))
    }

    /// Whether a row converts modules of type `M` by that type of quantization.
    #[doc(alias = "get_static_quant_module_class")]
    #[doc(alias = "get_dynamic_quant_module_class")]
    pub fn has<M: Module>(&self, quant_type: QuantType) -> bool {
        let (id, mut rows) = (TypeId::of::<M>(), self.rows.iter());
        rows.any(|row| row.from == id && row.quant_type == quant_type)
    }

    /// The module that observes itself in place of this one, if there is such a row.
    pub(crate) fn custom(&self, node: &dyn Node, qconfig: &QConfig) -> Result<Option<Erased>> {
        let id = node.type_id();
        let row = self.customs.iter().rev().find(|row| row.from == id);
        match row.filter(|_| qconfig.quant_type() == QuantType::Static) {
            Some(row) => (row.observe)(node, qconfig),
            None => Ok(None),
        }
    }

    /// Whether places within this module are prepared although it is converted as one.
    pub(crate) fn observes_within(&self, node: &dyn Node) -> bool {
        self.observed_within.contains(&node.type_id())
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

/// All rows: static, dynamic and weight-only ones, and the quantizable forms of LSTMs and attention.
impl Default for Mapping {
    fn default() -> Mapping {
        Mapping::static_int8()
            .with_all_dynamic()
            .with_all_weight_only()
            .with_quantizable()
    }
}

/// `qnn::float::conv::Conv<2>` becomes `Conv2d`, and `ConvAdd<2, true>` becomes `ConvAddReLU2d`.
pub(crate) fn short_name(full: &str) -> String {
    let (base, inner) = match full.split_once('<') {
        Some((base, inner)) => (base, inner.strip_suffix('>').unwrap_or(inner)),
        None => (full, ""),
    };
    let last = base.rsplit("::").next().unwrap_or(base);
    match inner {
        "" => last.to_string(),
        "1" | "2" | "3" => format!("{last}{inner}d"),
        sum if sum.ends_with(", true") || sum.ends_with(", false") => {
            let (dims, relu) = sum.split_once(", ").unwrap_or((sum, ""));
            format!("{last}{}{dims}d", if relu == "true" { "ReLU" } else { "" })
        }
        module => format!("{last}<{}>", short_name(module)),
    }
}
