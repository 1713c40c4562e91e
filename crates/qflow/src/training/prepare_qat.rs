//! Preparation for training: float modules become those with rounded weights, outputs get fake-quants.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;

use qnn::{
    Conv, ConvTranspose, Embedding, EmbeddingBag, Erased, LeakyReLU, Linear, Module, Node, Tanh,
    erase, intrinsic, name_places, qat, walk,
};
use qobserve::{ObserverFactory, QConfig, QuantType};

use crate::error::Result;
use crate::passes::prepare::{prepare_with, put_customs};
use crate::passes::swap::put_all;
use crate::spec::{QConfigSpec, resolve_qconfig};
use crate::tables::mapping::Mapping;

type Swap = Box<dyn Fn(&dyn Node, &ObserverFactory) -> Option<Erased> + Send + Sync>;

struct Row {
    from: TypeId,
    quant_type: QuantType,
    swap: Swap,
}

/// Rows from float module types to modules for training. `prepare_qat` reads this table and knows no module by name.
pub struct QatMapping {
    rows: Vec<Row>,
}

impl QatMapping {
    /// The table of convolutions and linear layers, plain and fused, and of embeddings.
    #[doc(alias = "get_default_qat_module_mappings")]
    pub fn int8() -> QatMapping {
        let rows = QatMapping { rows: Vec::new() };
        rows.with(|m: &Linear, w| erase(qat::Linear::from_float(m, w)))
            .with(|m: &intrinsic::LinearReLU, w| {
                let linear = qat::Linear::from_float(m.module(), w);
                erase(intrinsic::Fused::new(linear, m.rectifier()))
            })
            .with(|m: &intrinsic::LinearBn1d, w| {
                erase(intrinsic::qat::LinearBn1d::from_float(m, w))
            })
            .with(|m: &intrinsic::Fused<intrinsic::LinearBn1d>, w| {
                let linear = intrinsic::qat::LinearBn1d::from_float(m.module(), w);
                erase(intrinsic::Fused::new(linear, m.rectifier()))
            })
            .with_row(QuantType::Dynamic, |m: &Linear, w| {
                erase(qat::Linear::from_float(m, w))
            })
            .with_row(QuantType::Dynamic, |m: &intrinsic::LinearReLU, w| {
                let linear = qat::Linear::from_float(m.module(), w);
                erase(intrinsic::Fused::new(linear, m.rectifier()))
            })
            .with_activated::<LeakyReLU>()
            .with_activated::<Tanh>()
            .with_row(QuantType::WeightOnly, |m: &Embedding, w| {
                erase(qat::Embedding::from_float(m, w))
            })
            .with_row(QuantType::WeightOnly, |m: &EmbeddingBag, w| {
                erase(qat::EmbeddingBag::from_float(m, w))
            })
            .with_dims::<1>()
            .with_dims::<2>()
            .with_dims::<3>()
    }

    /// The rows of linear layers with the activation `A`.
    fn with_activated<A: intrinsic::Curve>(self) -> QatMapping {
        fn swap<A: intrinsic::Curve>(
            m: &intrinsic::Activated<Linear, A>,
            w: &ObserverFactory,
        ) -> Erased {
            let linear = qat::Linear::from_float(m.module(), w);
            erase(intrinsic::Activated::new(linear, m.activation().clone()))
        }
        self.with(swap::<A>).with_row(QuantType::Dynamic, swap::<A>)
    }

    /// The rows of the modules over `D` spatial dimensions.
    fn with_dims<const D: usize>(self) -> QatMapping {
        self.with(|m: &Conv<D>, w| erase(qat::Conv::from_float(m, w)))
            .with(|m: &intrinsic::ConvReLU<D>, w| {
                let conv = qat::Conv::from_float(m.module(), w);
                erase(intrinsic::Fused::new(conv, m.rectifier()))
            })
            .with(|m: &ConvTranspose<D>, w| erase(qat::ConvTranspose::from_float(m, w)))
            .with(|m: &intrinsic::ConvTransposeReLU<D>, w| {
                let conv = qat::ConvTranspose::from_float(m.module(), w);
                erase(intrinsic::Fused::new(conv, m.rectifier()))
            })
            .with(|m: &intrinsic::ConvBn<D>, w| erase(intrinsic::qat::ConvBn::from_float(m, w)))
            .with(|m: &intrinsic::Fused<intrinsic::ConvBn<D>>, w| {
                let conv = intrinsic::qat::ConvBn::from_float(m.module(), w);
                erase(intrinsic::Fused::new(conv, m.rectifier()))
            })
    }

    /// Adds a row: modules of type `M` become what `swap` makes of them and of the factory of weight fake-quants. A later
    /// row for the same type wins.
    pub fn with<M: Module>(
        self,
        swap: impl Fn(&M, &ObserverFactory) -> Erased + Send + Sync + 'static,
    ) -> QatMapping {
        self.with_row(QuantType::Static, swap)
    }

    /// A row for configurations of one type.
    fn with_row<M: Module>(
        mut self,
        quant_type: QuantType,
        swap: impl Fn(&M, &ObserverFactory) -> Erased + Send + Sync + 'static,
    ) -> QatMapping {
        let swap: Swap = Box::new(move |node, weight| {
            let module = (node as &dyn Any).downcast_ref::<M>()?;
            Some(swap(module, weight))
        });
        self.rows.push(Row {
            from: TypeId::of::<M>(),
            quant_type,
            swap,
        });
        self
    }

    fn swap(&self, node: &dyn Node, qconfig: &QConfig) -> Option<Erased> {
        let (id, quant_type) = (node.type_id(), qconfig.quant_type());
        // A dynamic configuration without a fake-quant is for weights that are not trained.
        let trained = || qconfig.weight.build().as_fake_quant().is_some();
        if quant_type == QuantType::Dynamic && !trained() {
            return None;
        }
        let fits = |row: &&Row| row.from == id && row.quant_type == quant_type;
        let row = self.rows.iter().rev().find(fits)?;
        (row.swap)(node, &qconfig.weight)
    }
}

impl Default for QatMapping {
    fn default() -> QatMapping {
        QatMapping::int8()
    }
}

/// Makes a model ready for quantization-aware training, and switches it to training.
///
/// Modules with weights that have a configuration become those that compute with rounded weights; places that
/// conversion will quantize get the configuration's activation fake-quant at their output. Fuse before
/// ([`fuse_modules_qat`](crate::fuse_modules_qat) or [`fuse_all_qat`](crate::fuse_all_qat)), train after, then
/// [`convert`](crate::convert).
///
/// # Errors
/// Names in the rules that the model does not have; nothing has changed then.
///
/// ```
/// use qflow::{QConfig, convert, fuse_all_qat, prepare_qat};
/// use qgrad::optim::{Optimizer, Sgd};
/// use qnn::{BatchNorm2d, Conv2d, DeQuantStub, Module, QuantStub, ReLU, Sequential, Value, parameters};
/// use qtensor_core::Tensor;
///
/// let mut net = Sequential::new()
///     .push(QuantStub)
///     .push(Conv2d::config(1, 4, 3).bias(false).build()?)
///     .push(BatchNorm2d::new(4)?)
///     .push(ReLU)
///     .push(DeQuantStub);
/// let x: Value = Tensor::ones(&[2, 1, 8, 8])?.into();
/// fuse_all_qat(&mut net, &x)?;
/// prepare_qat(&mut net, QConfig::x86_qat())?;
/// let mut optimizer = Sgd::config(0.01).build()?;
/// for _ in 0..3 {
///     let y = net.forward(&x)?;
///     qgrad::ops::mse_loss(y.float("loss")?, &Tensor::ones(&[2, 4, 6, 6])?)?.backward()?;
///     optimizer.step(&mut parameters(&mut net))?;
/// }
/// let report = convert(&mut net)?;
/// assert_eq!(report.row("1").map(|r| r.after.as_str()), Some("QuantizedConvReLU2d"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn prepare_qat(model: &mut dyn Node, qconfig: impl Into<QConfigSpec>) -> Result<()> {
    prepare_qat_with(model, qconfig, &QatMapping::default(), &Mapping::default())
}

/// As [`prepare_qat`], with tables of one's own: the first says what is trained, the second what conversion will observe.
///
/// # Errors
/// As [`prepare_qat`].
pub fn prepare_qat_with(
    model: &mut dyn Node,
    qconfig: impl Into<QConfigSpec>,
    qat: &QatMapping,
    mapping: &Mapping,
) -> Result<()> {
    name_places(model);
    let spec = qconfig.into();
    put_customs(model, &spec, mapping)?;
    let chosen: BTreeMap<_, _> = resolve_qconfig(model, &spec).into_iter().collect();
    let mut swaps = BTreeMap::new();
    walk(&*model, &mut |path, node| {
        let (Some(place), Some(Some(qconfig))) = (node.as_place(), chosen.get(path)) else {
            return;
        };
        if let Some(module) = qat.swap(place.held(), qconfig) {
            swaps.insert(path.to_string(), module);
        }
    });
    // Rules by type are for the modules that were declared, so the spec still means the same places.
    put_all(model, swaps)?;
    prepare_with(model, spec, mapping)?;
    qnn::train(model);
    Ok(())
}
