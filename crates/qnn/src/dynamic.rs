//! Dynamically quantized modules: float in, float out, integers in between.
//!
//! Weights are quantized once, at conversion. The integers of an input are chosen anew in every call, from the least
//! and the greatest element of each row (or of all of it, as in PyTorch: [`DynamicQuant::pytorch`]). So there is
//! nothing to calibrate, and no border for stubs to mark.

mod conv;
mod linear;
mod recurrent;
mod settings;

pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
    Convolution,
};
pub use linear::Linear;
pub use qops::quantized::{DynamicQuant, Granularity};
pub use recurrent::{GRU, GRUCell, LSTM, LSTMCell, RNN, RNNCell, Recurrent, RecurrentCell};

pub(crate) use settings::{load_quant, quant_of, repr, save_quant};
