//! The integration tests of this crate, as modules of one executable that is linked once.

mod bridge;
mod dynamic;
mod modules;
mod profile;
mod quantized;
mod recurrent;
mod tap;
mod transposed;
