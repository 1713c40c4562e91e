//! Operations on 8-bit integers.
//!
//! Every function takes `quint8` or `qint8` activations, quantized per tensor, and answers in the type
//! of its input. Kernels know unsigned activations only: a signed tensor enters as `q ⊕ 0x80` with zero
//! point `z + 128`, which changes no difference `q − z`, and leaves the same way.

mod bytes;
mod cat;
mod cat_channels;
mod compare;
mod conv;
mod conv_transpose;
mod convert;
mod dynamic;
mod elementwise;
mod embedding;
mod forms;
mod group_norm;
mod images;
mod interpolate;
mod linear;
mod matmul;
mod norm;
mod order;
mod packed;
mod pad;
mod params;
mod pool;
mod prelu;
mod product_forms;
mod room;
mod scalar;
mod scalar_forms;
mod shuffle;
mod softmax;
mod spread;
mod table;
mod transposed_weight;
mod unary;
mod unary_out;

pub use cat::{cat, cat_relu};
pub use cat_channels::stack;
pub use compare::{
    eq, eq_scalar, ge, ge_scalar, gt, gt_scalar, le, le_scalar, lt, lt_scalar, ne, ne_scalar,
};
pub use conv::{PackedConv, conv1d, conv2d, conv3d};
pub use conv_transpose::{
    PackedConvTranspose, conv_transpose1d, conv_transpose2d, conv_transpose3d,
};
pub use convert::{dequantize, quantize};
pub use dynamic::{DynamicQuant, Granularity};
pub use elementwise::{add, add_relu, clamp, mul, mul_relu, relu, relu6};
pub use embedding::{BagMode, EmbeddingTable, float_bags, float_bags_backward};
pub use forms::{
    add_like_first, add_out, add_relu_like_first, add_relu_out, cat_out, cat_relu_out,
    mul_like_first, mul_out, mul_relu_like_first, mul_relu_out,
};
pub use group_norm::{group_norm, instance_norm, layer_norm};
pub use interpolate::interpolate;
pub use linear::{PackedLinear, linear};
pub use matmul::matmul;
pub use norm::batch_norm;
pub use order::{
    argmax, argmax_dim, argmin, argmin_dim, argsort, max, max_dim, min, min_dim, msort, sort, topk,
};
pub use packed::max_bias_magnitude;
pub use pad::{pad, pad_with};
pub use params::{Activation, OutQParams};
pub use pool::{adaptive_avg_pool, avg_pool, max_pool};
pub use prelu::prelu;
pub use product_forms::{matmul_like_first, matmul_out, prelu_like_first, prelu_out};
pub use scalar::{add_scalar, mul_scalar};
pub use scalar_forms::{
    add_scalar_out, add_scalar_relu, add_scalar_relu_out, mul_scalar_out, mul_scalar_relu,
    mul_scalar_relu_out,
};
pub use shuffle::{channel_shuffle, pixel_shuffle, pixel_unshuffle};
pub use softmax::{softmax, softmax_out};
pub use spread::{mean, std};
pub use transposed_weight::by_output_channel;
pub use unary::{
    Gelu, celu, elu, gelu, hardsigmoid, hardswish, leaky_relu, requantize, sigmoid, tanh, threshold,
};
pub use unary_out::{
    celu_out, elu_out, hardsigmoid_out, hardswish_out, leaky_relu_out, requantize_out, sigmoid_out,
    tanh_out,
};
