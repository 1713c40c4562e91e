//! The integration tests of this crate, as modules of one executable that is linked once.

mod fake_quant;
mod histogram;
mod min_max;
mod others;
mod presets;
mod run_time;
mod state;
