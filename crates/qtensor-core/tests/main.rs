//! The integration tests of this crate, as modules of one executable that is linked once.

mod common;

mod buffer;
mod choose_qparams;
mod container;
mod display;
mod grown;
mod hostile;
mod layout;
mod make;
mod moves;
mod moves_exact;
mod properties;
mod qparams;
mod qtensor;
mod rounding;
mod tensor;
