//! The integration tests of this crate, as modules of one executable that is linked once.
//! `damaged.rs` is one of its own, because its allocator measures the memory of the whole process.

mod common;

mod accuracy;
mod activated;
mod bags;
mod custom;
mod decoded;
mod dynamic;
mod files;
mod fusion;
mod hooks;
mod html_report;
mod mistakes;
mod ptq;
mod pytorch;
mod qat;
mod quantizable;
mod quantizable_attention;
mod reference;
mod repairs;
mod residual;
mod resume;
mod slopes;
mod transposed;
mod upsample;
