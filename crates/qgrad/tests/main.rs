//! The integration tests of this crate, as modules of one executable that is linked once.

mod gradients;
mod optimizers;
mod training_rules;
