//! Operations on `f32` tensors against plain loops, mostly in `f64`.

mod testing;

mod activation;
mod attention;
mod average;
mod batch_norm;
mod broadcast;
mod cat;
mod conv;
mod conv_transpose;
mod elementwise;
mod embedding;
mod fake_quant;
mod fused;
mod half;
mod layer_norm;
mod linear;
mod max_pool;
mod pad;
mod rectified;
mod reduce;
mod softmax;
mod spread;
