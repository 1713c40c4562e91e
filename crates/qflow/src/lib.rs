//! From a float model to int8: fuse, prepare, calibrate, convert, save.
#![doc = include_str!("../README.md")]

pub mod accuracy;
mod error;
mod files;
mod hooks;
pub mod metrics;
mod passes;
mod report;
mod spec;
mod tables;
mod training;

pub use error::{Error, Result};
pub use files::model_file::{from_bytes, load, save, to_bytes};
pub use files::observers::{get_observer_state_dict, load_observer_state_dict};
pub use files::pytorch::{load_quantized_safetensors, load_quantized_safetensors_bytes};
pub use files::weights::{
    load_safetensors, load_safetensors_bytes, load_state_dict, read_safetensors, save_safetensors,
    state_dict,
};
pub use hooks::{register_forward_hook, register_forward_pre_hook};
pub use passes::calibrate::{calibrate, quantize};
pub use passes::check::check;
pub use passes::convert::{ConvertOptions, convert, convert_with, swap_module};
pub use passes::fuse::{fuse_all, fuse_all_qat, fuse_modules, fuse_modules_qat};
pub use passes::fuser::{FuserMethod, fuse_known_modules, get_fuser_method};
pub use passes::prepare::{prepare, prepare_with};
pub use passes::quantize_dynamic::quantize_dynamic;
pub use passes::wrap::add_quant_dequant;
pub use qnn::probe::Misfit;
pub use qobserve::{
    QConfig, QuantType, get_default_qat_qconfig, get_default_qconfig, qconfig_equals,
};
pub use report::{Outcome, Report, Row};
pub use spec::{
    QConfigSpec, get_default_qat_qconfig_mapping, get_default_qconfig_mapping, propagate_qconfig,
};
pub use tables::defaults::{
    get_default_dynamic_quant_module_mappings, get_default_qat_module_mappings,
    get_default_qconfig_propagation_list, get_default_static_quant_module_mappings,
    get_default_static_quant_reference_module_mappings, get_embedding_static_quant_module_mappings,
    no_observer_set,
};
pub use tables::mapping::{Mapping, Target};
pub use training::prepare_qat::{QatMapping, prepare_qat, prepare_qat_with};
pub use training::quantize_qat::{QatOptions, quantize_qat, quantize_qat_with};
pub use training::steps::{PlaceSteps, step_differences};
pub use training::train::{TrainOptions, fit};
pub use training::twin::convert_into;
