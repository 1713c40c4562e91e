//! From a float model to int8: fuse, prepare, calibrate, convert, save.
#![doc = include_str!("../README.md")]

pub mod accuracy;
mod calibrate;
mod calibration;
mod check;
mod convert;
mod error;
mod fit;
mod fuse;
mod fuser;
mod hooks;
mod loaders;
mod mapping;
mod mappings;
pub mod metrics;
mod model_file;
mod observers;
mod patterns;
mod prepare;
mod pytorch;
mod qat;
mod qat_flow;
mod quantize_dynamic;
mod report;
mod spec;
mod steps;
mod swap;
mod train;
mod twin;
mod weights;
mod wrap;

pub use calibrate::{calibrate, quantize};
pub use check::check;
pub use convert::{ConvertOptions, convert, convert_with, swap_module};
pub use error::{Error, Result};
pub use fuse::{fuse_all, fuse_all_qat, fuse_modules, fuse_modules_qat};
pub use fuser::{FuserMethod, fuse_known_modules, get_fuser_method};
pub use hooks::{register_forward_hook, register_forward_pre_hook};
pub use mapping::{Mapping, Target};
pub use mappings::{
    get_default_dynamic_quant_module_mappings, get_default_qat_module_mappings,
    get_default_qconfig_propagation_list, get_default_static_quant_module_mappings,
    get_default_static_quant_reference_module_mappings, get_embedding_static_quant_module_mappings,
    no_observer_set,
};
pub use model_file::{from_bytes, load, save, to_bytes};
pub use observers::{get_observer_state_dict, load_observer_state_dict};
pub use prepare::{prepare, prepare_with};
pub use pytorch::{load_quantized_safetensors, load_quantized_safetensors_bytes};
pub use qat::{QatMapping, prepare_qat, prepare_qat_with};
pub use qat_flow::{QatOptions, quantize_qat, quantize_qat_with};
pub use qnn::probe::Misfit;
pub use qobserve::{
    QConfig, QuantType, get_default_qat_qconfig, get_default_qconfig, qconfig_equals,
};
pub use quantize_dynamic::quantize_dynamic;
pub use report::{Outcome, Report, Row};
pub use spec::{
    QConfigSpec, get_default_qat_qconfig_mapping, get_default_qconfig_mapping, propagate_qconfig,
};
pub use steps::{PlaceSteps, step_differences};
pub use train::{TrainOptions, fit};
pub use twin::convert_into;
pub use weights::{
    load_safetensors, load_safetensors_bytes, load_state_dict, read_safetensors, save_safetensors,
    state_dict,
};
pub use wrap::add_quant_dequant;
