//! From a float model to int8: fuse, prepare, calibrate, convert, save.
#![doc = include_str!("../README.md")]

mod calibrate;
mod check;
mod convert;
mod error;
mod fit;
mod fuse;
mod loaders;
mod mapping;
pub mod metrics;
mod model_file;
mod patterns;
mod prepare;
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

pub use calibrate::{calibrate, quantize};
pub use check::check;
pub use convert::{ConvertOptions, convert, convert_with};
pub use error::{Error, Result};
pub use fuse::{fuse_all, fuse_all_qat, fuse_modules, fuse_modules_qat};
pub use mapping::{Mapping, Target};
pub use model_file::{from_bytes, load, save, to_bytes};
pub use prepare::{prepare, prepare_with};
pub use qat::{QatMapping, prepare_qat, prepare_qat_with};
pub use qat_flow::{QatOptions, quantize_qat, quantize_qat_with};
pub use qnn::probe::Misfit;
pub use qobserve::{QConfig, QuantType};
pub use quantize_dynamic::quantize_dynamic;
pub use report::{Outcome, Report, Row};
pub use spec::{QConfigSpec, propagate_qconfig};
pub use steps::{PlaceSteps, step_differences};
pub use train::{TrainOptions, fit};
pub use twin::convert_into;
pub use weights::{
    load_safetensors, load_safetensors_bytes, load_state_dict, read_safetensors, save_safetensors,
    state_dict,
};
