//! Float, quantized and intrinsic neural-network modules in swappable places.
