//! Channels and pixels of float tensors, rearranged.

use qtensor_core::Tensor;

use crate::error::Result;

crate::shuffle::shuffles!(Tensor);
