//! Exact int8 kernels for x86 with run-time dispatch and a scalar path for every target.

mod context;
mod error;
mod isa;
mod shape;

pub use context::Context;
pub use error::{Error, Result};
pub use isa::{ISA_VARIABLE, Isa, Tier, Work};
pub use shape::ConvShape;
