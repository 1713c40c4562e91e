//! Channels and pixels of quantized tensors, rearranged.

use qtensor_core::QTensor;

use crate::error::Result;

crate::shuffle::shuffles!(QTensor);
