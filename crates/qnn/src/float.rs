//! Float modules: what a model is declared and trained with.

mod act;
mod attention;
pub(crate) mod conv;
pub(crate) mod conv_transpose;
mod curves;
pub(crate) mod embedding;
mod group_norm;
mod layer_norm;
mod linear;
mod norm;
mod pool;
pub(crate) mod recurrent;
mod running;
mod shape;
mod slopes;
mod upsample;

pub use act::{ReLU, ReLU6};
pub use attention::MultiheadAttention;
pub use conv::{Conv, Conv1d, Conv2d, Conv3d};
pub use conv_transpose::{ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
pub use curves::{GELU, Hardsigmoid, Sigmoid, Softmax, Tanh};
pub use embedding::{Bags, Embedding, EmbeddingBag};
pub use group_norm::{GroupNorm, InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use norm::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d};
pub use pool::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AvgPool, AvgPool1d,
    AvgPool2d, AvgPool3d, MaxPool, MaxPool1d, MaxPool2d, MaxPool3d,
};
pub use recurrent::{
    GRU, GRUCell, LSTM, LSTMCell, RNN, RNNCell, Recurrent, RecurrentBuilder, RecurrentCell,
};
pub use shape::{Dropout, Flatten, Identity};
pub use slopes::{ELU, Hardswish, LeakyReLU, PReLU};
pub use upsample::{Upsample, UpsamplingBilinear2d, UpsamplingNearest2d};
