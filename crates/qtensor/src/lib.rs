//! int8 quantization of neural networks on x86 CPUs, in pure Rust.
#![doc = include_str!("../README.md")]

// The derive macro names this crate by its own name, in here too.
extern crate self as qtensor;

pub mod prelude;

pub use qflow;
pub use qgrad;
pub use qkernels_x86;
pub use qmodels as models;
pub use qnn;
pub use qobserve;
pub use qops;
pub use qtensor_core;
