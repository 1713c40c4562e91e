//! The integration tests of this crate, as modules of one executable that is linked once.

mod common;

mod cells;
mod conv;
mod corpus;
mod decoded;
mod dense;
mod depthwise;
mod dynamic;
mod elementwise;
mod families;
mod grouped;
#[path = "../src/isa/guard.rs"]
mod guard;
mod guarded;
mod pooling;
mod sums;
mod transposed;
