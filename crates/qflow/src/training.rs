//! Training for int8: preparation, the loop, all of it in one line, and the int8 model beside the trained one.

pub(crate) mod prepare_qat;
pub(crate) mod quantize_qat;
pub(crate) mod steps;
pub(crate) mod train;
pub(crate) mod twin;
