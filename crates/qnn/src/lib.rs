//! Modules and the places that hold them.
#![doc = include_str!("../README.md")]

// The derive macro names this crate by its own name, in here too.
extern crate self as qnn;

mod attention;
mod bridge;
mod config;
pub mod dynamic;
mod error;
pub mod float;
mod functional;
mod geometry;
mod hooks;
mod init;
pub mod intrinsic;
mod layer;
mod module;
mod parameter;
mod place;
mod prepared;
pub mod probe;
pub mod profile;
pub mod qat;
pub mod quantizable;
pub mod quantized;
mod recurrent;
pub mod reference;
mod residual;
mod sequential;
mod state;
mod stubs;
pub mod tap;
mod training;
mod value;
mod watch;
mod wrapper;

pub use attention::AttentionInput;
pub use bridge::Bridge;
pub use config::{
    ConvConfig, ConvGeometry, ConvTransposeConfig, ConvTransposeGeometry, PoolConfig, Sizes,
};
pub use error::{Error, Result};
pub use float::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AvgPool, AvgPool1d,
    AvgPool2d, AvgPool3d, Bags, BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv, Conv1d,
    Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Dropout, ELU,
    Embedding, EmbeddingBag, Flatten, GELU, GRU, GRUCell, GroupNorm, Hardsigmoid, Hardswish,
    Identity, InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LSTM, LSTMCell,
    LayerNorm, LeakyReLU, Linear, MaxPool, MaxPool1d, MaxPool2d, MaxPool3d, MultiheadAttention,
    PReLU, RNN, RNNCell, ReLU, ReLU6, Recurrent, RecurrentBuilder, RecurrentCell, Sigmoid, Softmax,
    Tanh, Upsample, UpsamplingBilinear2d, UpsamplingNearest2d,
};
pub use functional::{Call, FloatFunctional, Operation, QFunctional};
pub use hooks::{HookHandle, Hooked, Hooks, Replaced};
pub use init::manual_seed;
pub use layer::Layer;
pub use module::{Module, Node, describe, is_leaf, join, name_places, paths, walk, walk_mut};
pub use parameter::Parameter;
pub use place::{Erased, Held, Place, QConfigSetting, erase};
pub use prepared::Prepared;
pub use qnn_derive::Module;
pub use qops::quantized::BagMode;
pub use recurrent::{
    Gru, Lstm, PackedSequence, RecurrentConfig, RecurrentKind, Rnn, RunSequence, Sequence,
};
pub use residual::Link;
pub use sequential::Sequential;
pub use state::{Entry, PackedTensor, State};
pub use stubs::{DeQuantStub, QuantStub};
pub use training::{
    Parameters, eval, for_each_fake_quant, freeze_bn_stats, parameters, set_observing,
    set_quantizing, train, update_bn_stats,
};
pub use value::{Flow, Value, ValueKind};
pub use wrapper::QuantWrapper;

/// The page of the derive macro's crate, which cannot depend on this one to compile it.
#[cfg(doctest)]
#[doc = include_str!("../../qnn-derive/README.md")]
struct DerivePage;
