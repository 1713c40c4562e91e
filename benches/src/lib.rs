//! Shared shapes and data of the benches.
//!
//! Every bench compares its result with a reference before it measures, and stops with a message if they
//! differ: a fast wrong kernel never gets a figure. The inputs are drawn from fixed seeds.
//!
//! [`shapes`] lists the layers, [`model`] draws their parameters and knows their right results, and
//! [`run`] fixes how long a measurement takes and on how many threads it runs.
//!
//! ```
//! use qkernels_x86::{Context, Isa, PackedWeights, linear, reference};
//! use qtensor_benches::model::{Model, same};
//!
//! let (m, n, k) = (3, 20, 7);
//! let model = Model::draw(1, n, k);
//! let x = model.input(m * k);
//! let weights = PackedWeights::linear(&model.weight, n, k)?;
//! let mut out = vec![0; m * n];
//! linear(&Context::with(Isa::active()?, 1), &x, m, &weights, &model.requant(&weights)?, &mut out)?;
//! same("linear", &out, &reference::linear(&model.layer(), &x, m, n, k));
//! # Ok::<(), qkernels_x86::Error>(())
//! ```

pub mod model;
pub mod run;
pub mod shapes;
