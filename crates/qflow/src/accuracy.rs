//! Finding out what int8 costs a model, place by place, and repairing it.
//!
//! All tools work on a fused model between calibration and conversion, or compare such a model with its converted twin.
//!
//! | question | tool |
//! |---|---|
//! | How far are the quantized weights from the float ones? | [`compare_weights`] |
//! | Where do the outputs of both models part? | [`compare_model_outputs`] (errors add up), [`compare_model_stub`] (each place alone), [`get_matching_activations`] (the numbers) |
//! | Which place costs the most accuracy? | [`rank_sensitivity`] |
//! | Which places must stay float? | [`quantize_within`] |
//! | Can channels share their grids more evenly? | [`equalize`], before preparation |
//! | Do errors average out? | [`correct_bias`], after calibration |
//! | Which way should each weight be rounded? | [`adaround`], after preparation |
//! | What does all that look like? | [`HtmlReport`] |

mod adaround;
mod automatic;
mod bias;
mod compare;
mod equalize;
mod html;
mod measure;
mod outputs;
mod sensitivity;
mod switchboard;
mod weighted;

pub use adaround::{AdaRoundOptions, Rounding, adaround};
pub use automatic::{Automatic, Bound, Trial, quantize_within};
pub use bias::{BiasCorrection, correct_bias};
pub use compare::{WeightError, compare_weights};
pub use equalize::equalize;
pub use html::HtmlReport;
pub use measure::{Measure, Score};
pub use outputs::{
    Logger, PlaceError, compare_model_outputs, compare_model_stub, get_matching_activations,
    get_shadow_activations,
};
pub use sensitivity::{PlaceSensitivity, Sensitivity, rank_sensitivity};
