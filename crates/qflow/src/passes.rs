//! The passes over a model, in their order: fuse, prepare, calibrate, check, convert; and what they share.

pub(crate) mod calibrate;
pub(crate) mod check;
pub(crate) mod convert;
pub(crate) mod fuse;
pub(crate) mod fuser;
pub(crate) mod prepare;
pub(crate) mod quantize_dynamic;
pub(crate) mod swap;
pub(crate) mod wrap;
