//! The integration tests of this crate, as modules of one executable that is linked once.
//! `golden/` is one of its own, so that users can run it by its name.

#[path = "../examples/common/mod.rs"]
mod common;

mod digits;
mod digits_qat;
mod parity;
mod qconfigs;
mod sensitivity;
mod sentences;
mod speech;
mod threads;
