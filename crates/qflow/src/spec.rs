//! Which place gets which `QConfig`: one for the whole model, by type, by dotted name, by place.

use std::any::{Any, TypeId};

use qnn::{Embedding, EmbeddingBag, Node, QConfigSetting, join};
use qobserve::{QConfig, get_default_qat_qconfig, get_default_qconfig};

use crate::error::{Error, Result};

/// The rules from which every place gets its configuration, or stays float.
///
/// Later rules win: the parent's configuration, then a rule for the module's type, then a rule for its dotted
/// name, then the setting of the place itself ([`Layer::with_qconfig`](qnn::Layer::with_qconfig)). A rule for a
/// name holds for everything below it. This is PyTorch's order (`propagate_qconfig_`).
///
/// ```
/// use qflow::{QConfig, QConfigSpec};
/// use qnn::Linear;
///
/// let spec = QConfigSpec::from(QConfig::x86())
///     .with_type::<Linear>(Some(QConfig::minmax())) // all linear layers
///     .with_name("block.expand", None);             // this place stays float
/// # let _ = spec;
/// ```
#[doc(alias = "qconfig_dict")]
#[doc(alias = "QConfigMapping")]
#[derive(Clone, Debug, Default)]
pub struct QConfigSpec {
    global: Option<QConfig>,
    types: Vec<(TypeId, Option<QConfig>)>,
    names: Vec<(String, Option<QConfig>)>,
}

impl QConfigSpec {
    /// Everything stays float until rules say otherwise.
    pub fn float() -> QConfigSpec {
        QConfigSpec::default()
    }

    /// A rule for all modules declared as, or at present of, type `M`; `None` leaves them float.
    pub fn with_type<M: Node>(mut self, qconfig: Option<QConfig>) -> QConfigSpec {
        self.types.push((TypeId::of::<M>(), qconfig));
        self
    }

    /// A rule for a dotted name and everything below it; `None` leaves it float.
    pub fn with_name(mut self, name: &str, qconfig: Option<QConfig>) -> QConfigSpec {
        self.names.push((name.to_string(), qconfig));
        self
    }

    fn resolve(&self, path: &str, node: &dyn Node, parent: Option<&QConfig>) -> Option<QConfig> {
        let mut chosen = parent.cloned();
        let mut types = vec![(node as &dyn Any).type_id()];
        if let Some(place) = node.as_place() {
            types = vec![(place.held() as &dyn Any).type_id(), place.declared().0];
        }
        if let Some((_, qconfig)) = self.types.iter().rev().find(|(t, _)| types.contains(t)) {
            chosen = qconfig.clone();
        }
        if let Some((_, qconfig)) = self.names.iter().rev().find(|(n, _)| n == path) {
            chosen = qconfig.clone();
        }
        match node.as_place().map(|p| p.qconfig()) {
            Some(QConfigSetting::Float) => None,
            Some(QConfigSetting::Use(qconfig)) => Some(qconfig.clone()),
            Some(QConfigSetting::Inherit) | None => chosen,
        }
    }
}

/// The rules of an engine for a whole model: its configuration, and tables of embeddings in 8 bits.
///
/// # Errors
/// An engine that [`get_default_qconfig`] does not know, with the known ones.
///
/// ```
/// let spec = qflow::get_default_qconfig_mapping("fbgemm")?.with_name("head", None);
/// # let _ = spec;
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn get_default_qconfig_mapping(engine: &str) -> Result<QConfigSpec> {
    let tables = Some(QConfig::float_qparams_weight_only_qconfig());
    let spec = QConfigSpec::from(get_default_qconfig(engine)?);
    Ok(spec
        .with_type::<Embedding>(tables.clone())
        .with_type::<EmbeddingBag>(tables))
}

/// The rules of an engine for training a whole model; version 0 has plain fake-quants, version 1 fused ones.
///
/// # Errors
/// As [`get_default_qat_qconfig`].
pub fn get_default_qat_qconfig_mapping(engine: &str, version: u32) -> Result<QConfigSpec> {
    let spec = QConfigSpec::from(get_default_qat_qconfig(engine, version)?);
    let tables = Some(QConfig::default_embedding_qat_qconfig());
    Ok(spec
        .with_type::<Embedding>(tables.clone())
        .with_type::<EmbeddingBag>(tables))
}

impl From<QConfig> for QConfigSpec {
    fn from(qconfig: QConfig) -> QConfigSpec {
        QConfigSpec {
            global: Some(qconfig),
            ..QConfigSpec::default()
        }
    }
}

impl From<&QConfig> for QConfigSpec {
    fn from(qconfig: &QConfig) -> QConfigSpec {
        qconfig.clone().into()
    }
}

impl From<&QConfigSpec> for QConfigSpec {
    fn from(spec: &QConfigSpec) -> QConfigSpec {
        spec.clone()
    }
}

/// The configuration of every place, in the order of the walk; `None` for places that stay float.
///
/// # Errors
/// [`Error::UnknownPlaces`] for rules with names that the model does not have.
#[doc(alias = "propagate_qconfig_")]
pub fn propagate_qconfig(
    model: &dyn Node,
    spec: &QConfigSpec,
) -> Result<Vec<(String, Option<QConfig>)>> {
    let (names, out) = resolve(model, spec);
    let unknown: Vec<String> = spec
        .names
        .iter()
        .map(|(n, _)| n.clone())
        .filter(|n| !names.contains(n))
        .collect();
    if !unknown.is_empty() {
        return Err(Error::UnknownPlaces {
            operation: "qconfig by name",
            names: unknown,
            known: names,
        });
    }
    Ok(out)
}

/// As [`propagate_qconfig`]; rules for names that the model does not have are for nothing.
pub(crate) fn resolve_qconfig(
    model: &dyn Node,
    spec: &QConfigSpec,
) -> Vec<(String, Option<QConfig>)> {
    resolve(model, spec).1
}

/// The names of all nodes, and the configuration of every place.
fn resolve(model: &dyn Node, spec: &QConfigSpec) -> (Vec<String>, Vec<(String, Option<QConfig>)>) {
    fn below(
        spec: &QConfigSpec,
        path: &str,
        node: &dyn Node,
        inherited: Option<&QConfig>,
        names: &mut Vec<String>,
        out: &mut Vec<(String, Option<QConfig>)>,
    ) {
        node.children(&mut |name, child| {
            let path = join(path, name);
            let chosen = spec.resolve(&path, child, inherited);
            names.push(path.clone());
            if child.as_place().is_some() {
                out.push((path.clone(), chosen.clone()));
            }
            below(spec, &path, child, chosen.as_ref(), names, out);
        });
    }
    let (mut names, mut out) = (Vec::new(), Vec::new());
    let root = spec.resolve("", model, spec.global.as_ref());
    if model.as_place().is_some() {
        out.push((String::new(), root.clone()));
    }
    below(spec, "", model, root.as_ref(), &mut names, &mut out);
    (names, out)
}
