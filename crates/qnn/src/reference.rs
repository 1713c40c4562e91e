//! Reference modules: float arithmetic with the weights that integers stand for.
//!
//! A reference module keeps the integers of its weight and computes, in float, with what they stand for; its inputs and outputs are float
//! and not rounded. So it shows what rounding the weights alone does to a model, and says what an int8 module has to compute, whatever
//! computes it. `quantized::Linear::from_reference` and its neighbours make the int8 module, with the same integers.
//!
//! `qflow::ConvertOptions::reference` puts these modules into a model.

mod embedding;
mod make;
mod recurrent;
mod weighted;

pub use embedding::{Embedding, EmbeddingBag};
pub use make::ToReference;
pub use recurrent::{GRU, GRUCell, LSTM, LSTMCell, RNN, RNNCell, Recurrent, RecurrentCell};
pub use weighted::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
    Linear, Reference, Referenced,
};
