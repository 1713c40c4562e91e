//! The integration tests of this crate, as modules of one executable that is linked once.

mod common;

mod decode;
mod decoded;
mod float;
mod hostile;
mod order_and_comparison;
mod quantized_bias;
mod quantized_conv;
mod quantized_conv_transpose;
mod quantized_convert;
mod quantized_dynamic;
mod quantized_elementwise;
mod quantized_embedding;
mod quantized_forms;
mod quantized_group_norm;
mod quantized_linear;
mod quantized_order;
mod quantized_pool;
mod quantized_softmax;
mod quantized_spread;
mod quantized_unary;
mod resizing;
mod spec;
