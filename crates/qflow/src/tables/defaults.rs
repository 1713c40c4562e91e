//! The default tables under PyTorch's names (`torch.ao.quantization.quantization_mappings`).

use std::collections::BTreeSet;

use qobserve::QuantType;

use crate::tables::mapping::Mapping;
use crate::training::prepare_qat::QatMapping;

/// The rows of static quantization: observed modules, and the stubs between float and int8.
pub fn get_default_static_quant_module_mappings() -> Mapping {
    Mapping::static_int8()
}

/// The rows of reference modules, which compute in float with the weights that integers stand for: for
/// [`ConvertOptions::reference`](crate::ConvertOptions::reference). PyTorch's has stubs too, which give integers that its float modules do
/// not take; here stubs pass floats on.
pub fn get_default_static_quant_reference_module_mappings() -> Mapping {
    Mapping::reference()
}

/// The rows of dynamic quantization. PyTorch leaves convolutions out; a configuration decides about them here.
pub fn get_default_dynamic_quant_module_mappings() -> Mapping {
    Mapping::empty().with_all_dynamic()
}

/// The rows of weight-only quantization: tables of embeddings.
pub fn get_embedding_static_quant_module_mappings() -> Mapping {
    Mapping::empty().with_all_weight_only()
}

/// The rows from float modules to those for training, embeddings included.
#[doc(alias = "get_embedding_qat_module_mappings")]
pub fn get_default_qat_module_mappings() -> QatMapping {
    QatMapping::int8()
}

/// The names of the types that get a configuration in [`prepare`](crate::prepare): those with a row in the default table.
///
/// ```
/// let list = qflow::get_default_qconfig_propagation_list();
/// assert!(list.contains("Conv2d") && list.contains("FloatFunctional") && !list.contains("MaxPool2d"));
/// ```
pub fn get_default_qconfig_propagation_list() -> BTreeSet<String> {
    Mapping::default().rows().map(|(name, ..)| name).collect()
}

/// The names of the types that static quantization converts without an observer at their output.
///
/// ```
/// assert!(qflow::no_observer_set().contains("DeQuantStub"));
/// ```
pub fn no_observer_set() -> BTreeSet<String> {
    let table = Mapping::default();
    let unobserved = |(name, quant_type, observed): (String, QuantType, bool)| {
        (quant_type == QuantType::Static && !observed).then_some(name)
    };
    table.rows().filter_map(unobserved).collect()
}
