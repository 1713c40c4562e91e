//! Quantizable modules: forms of float modules that compute with modules and functionals that can be observed.
//!
//! An LSTM or an attention layer computes intermediate values that need integers of their own. The form here gives each
//! of them a place; `qflow::prepare` puts it where a float module with a static configuration stands, calibration
//! watches it, and `qflow::convert` makes an int8 module of it
//! ([`quantized::LSTM`](crate::quantized::LSTM), [`quantized::LSTMCell`](crate::quantized::LSTMCell),
//! [`quantized::MultiheadAttention`](crate::quantized::MultiheadAttention)).

mod attention;
mod lstm;
mod observed;

pub use attention::MultiheadAttention;
pub use lstm::{LSTM, LSTMCell};
pub(crate) use observed::{observed_conv, observed_functional, observed_linear};
