//! Operations on `f32` tensors: the baseline of the quantized ones, and what training runs on.
//!
//! Shapes are logical (`[N, C, …]`); a strided or channels-last operand is copied to row-major order
//! first, and results are row-major. Matrix products run on the `gemm` crate through
//! [`qkernels_x86::sgemm`]; sums outside of them are accumulated in `f64`. Results may differ in the last bits
//! between CPUs and thread counts, as those of any `f32` matrix product do.
//!
//! The functions named `…_gradient` and `…_backward` are the adjoints that automatic differentiation needs.

mod activation;
mod attention;
mod average;
mod broadcast;
mod cat;
mod compare;
mod conv;
mod conv_grad;
mod conv_transpose;
mod depthwise;
mod elementwise;
mod embedding;
mod fake_quant;
mod fused;
mod geometry;
mod half;
mod im2col;
mod interpolate;
mod layer_norm;
mod linear;
mod max_pool;
mod norm;
mod norm_train;
mod order;
mod pad;
mod parallel;
mod product;
mod rectified;
mod reduce;
mod shuffle;
mod softmax;
mod spread;

pub use activation::{
    gelu, gelu_backward, gelu_tanh, hardswish, hardswish_backward, relu6, relu6_backward, sigmoid,
    sigmoid_backward, tanh, tanh_backward,
};
pub use attention::{AttentionMask, attention};
pub use average::{adaptive_avg_pool, adaptive_avg_pool_backward, avg_pool, avg_pool_backward};
pub use broadcast::{broadcast_shape, sum_to};
pub use cat::{cat, stack};
pub use compare::{eq, ge, gt, le, lt, ne};
pub use conv::conv;
pub use conv_grad::{conv_input_gradient, conv_weight_gradient};
pub use conv_transpose::{
    conv_transpose, conv_transpose_input_gradient, conv_transpose_weight_gradient,
};
pub use elementwise::{
    add, add_scalar, clamp, clamp_backward, div, mul, mul_scalar, relu, relu_backward, sub,
};
pub use embedding::{embedding, embedding_backward};
pub use fake_quant::{
    FakeQuantGrid, ZeroPoints, fake_quantize, fake_quantize_backward,
    fake_quantize_qparams_backward,
};
pub use fused::{add_relu, add_scalar_relu, cat_relu, mul_relu, mul_scalar_relu};
pub use half::HalfLinear;
pub use interpolate::{interpolate, interpolate_backward};
pub use layer_norm::{layer_norm, layer_norm_backward};
pub use linear::{linear, matmul};
pub use max_pool::{max_pool, max_pool_backward, max_pool_with_indices};
pub use norm::batch_norm;
pub use norm_train::{BatchNormOutput, batch_norm_train, batch_norm_train_backward};
pub use order::{
    argmax, argmax_dim, argmin, argmin_dim, argsort, max, max_dim, min, min_dim, msort, sort, topk,
};
pub use pad::{pad, pad_with, slice_backward};
pub use rectified::{celu, elu, hardsigmoid, leaky_relu, prelu, threshold};
pub use reduce::{mean, sum};
pub use shuffle::{channel_shuffle, pixel_shuffle, pixel_unshuffle};
pub use softmax::{log_softmax, log_softmax_backward, softmax, softmax_backward};
pub use spread::{std, var};
