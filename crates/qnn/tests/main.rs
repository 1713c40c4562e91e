//! The integration tests of this crate, as modules of one executable that is linked once.

mod dynamic;
mod modules;
mod quantized;
mod recurrent;
mod transposed;
