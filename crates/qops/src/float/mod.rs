//! Operations on `f32` tensors: the baseline of the quantized ones, and what training runs on.
