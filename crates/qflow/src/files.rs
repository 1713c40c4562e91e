//! Models, weights and calibration in files, ours and PyTorch's.

pub(crate) mod calibration;
pub(crate) mod fit;
pub(crate) mod model_file;
pub(crate) mod observers;
pub(crate) mod pytorch;
pub(crate) mod weights;
