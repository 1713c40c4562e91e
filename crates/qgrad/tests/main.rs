//! The integration tests of this crate, as modules of one executable that is linked once.

mod gradcheck;
mod gradients;
mod optimizers;
mod recording;
mod training_rules;
mod values;
