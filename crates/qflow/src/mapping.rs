//! The table of conversions: which float module becomes which int8 one, and how.
//!
//! `prepare` and `convert` read this table and know no module by name. A module of your own joins with one
//! row, [`Mapping::with`].

use std::any::{Any, TypeId};

use qnn::quantized::QParams;
use qnn::{
    BatchNorm, Conv, DeQuantStub, Erased, FloatFunctional, Linear, Module, Node, QFunctional,
    QuantStub, erase, intrinsic, quantized,
};
use qobserve::ObserverFactory;

use crate::error::Result;

/// What a conversion gets besides the float module.
pub struct Target<'a> {
    /// The observer that finds the weight's qparams.
    pub weight: &'a ObserverFactory,
    /// The calibrated qparams of the output.
    pub output: QParams,
}

type Convert = Box<dyn Fn(&dyn Node, Option<&Target<'_>>) -> Result<Option<Erased>> + Send + Sync>;

struct Row {
    from: TypeId,
    observed: bool,
    convert: Convert,
}

/// Rows from float module types to conversions.
pub struct Mapping {
    rows: Vec<Row>,
}

impl Mapping {
    /// The static int8 table: convolutions, linear layers and batch norms, plain and fused, functionals, stubs.
    #[doc(alias = "get_default_static_quant_module_mappings")]
    pub fn static_int8() -> Mapping {
        let rows = Mapping { rows: Vec::new() }
            .with(|_: &QuantStub, t| Ok(erase(quantized::Quantize::new(t.output))))
            .with_unobserved(|_: &DeQuantStub| Ok(erase(quantized::DeQuantize)))
            .with(|_: &FloatFunctional, t| Ok(erase(QFunctional::new(t.output))))
            .with(|m: &Linear, t| Ok(erase(quantized::Linear::from_float(m, t.weight, t.output)?)))
            .with(|m: &intrinsic::LinearReLU, t| {
                Ok(erase(intrinsic::quantized::LinearReLU::from_float(
                    m, t.weight, t.output,
                )?))
            });
        rows.with_dims::<1>().with_dims::<2>().with_dims::<3>()
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
    }

    /// Adds a row: modules of type `M` are observed at their output and become what `convert` makes of them.
    /// A later row for the same type wins.
    pub fn with<M: Module>(
        mut self,
        convert: impl Fn(&M, &Target<'_>) -> Result<Erased> + Send + Sync + 'static,
    ) -> Mapping {
        self.rows.push(Row {
            from: TypeId::of::<M>(),
            observed: true,
            convert: Box::new(move |node, target| {
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
        mut self,
        convert: impl Fn(&M) -> Result<Erased> + Send + Sync + 'static,
    ) -> Mapping {
        self.rows.push(Row {
            from: TypeId::of::<M>(),
            observed: false,
            convert: Box::new(
                move |node, _| match (node as &dyn Any).downcast_ref::<M>() {
                    Some(module) => Ok(Some(convert(module)?)),
                    None => Ok(None),
                },
            ),
        });
        self
    }

    fn row(&self, node: &dyn Node) -> Option<&Row> {
        let id = node.type_id();
        self.rows.iter().rev().find(|row| row.from == id)
    }

    /// Whether modules like this one are converted, and whether their output is observed for it.
    pub(crate) fn observes(&self, node: &dyn Node) -> Option<bool> {
        self.row(node).map(|row| row.observed)
    }

    /// Converts one module; `None` if there is no row for it.
    pub(crate) fn convert(
        &self,
        node: &dyn Node,
        target: Option<&Target<'_>>,
    ) -> Result<Option<Erased>> {
        match self.row(node) {
            Some(row) => (row.convert)(node, target),
            None => Ok(None),
        }
    }
}

impl Default for Mapping {
    fn default() -> Mapping {
        Mapping::static_int8()
    }
}
