//! Checked float and quantized tensor operations.
