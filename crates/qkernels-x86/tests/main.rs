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
mod pooling;
mod sums;
mod transposed;
