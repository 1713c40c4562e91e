//! The integration tests of this crate, as modules of one executable that is linked once.

mod int8;
mod state_dict;
