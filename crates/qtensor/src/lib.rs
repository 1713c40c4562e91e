//! int8 quantization of neural networks on x86 CPUs, in pure Rust.
