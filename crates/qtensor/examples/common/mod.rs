//! What the examples and the tests share: the embedded digits and the network for them.

pub mod digits;
pub mod net;
