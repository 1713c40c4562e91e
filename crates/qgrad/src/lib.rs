//! Reverse-mode autograd over f32 tensors, readable at a sitting.
