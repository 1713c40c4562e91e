//! Checked float and quantized tensor operations.

mod error;
pub mod float;
mod spec;

pub use error::{Error, Result};
pub use spec::{ConvSpec, PoolSpec};
