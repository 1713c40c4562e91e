//! Float modules: what a model is declared and trained with.

mod act;
pub(crate) mod conv;
mod linear;
mod norm;
mod pool;
mod shape;

pub use act::{ReLU, ReLU6};
pub use conv::{Conv, Conv1d, Conv2d, Conv3d};
pub use linear::Linear;
pub use norm::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d};
pub use pool::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AvgPool, AvgPool1d,
    AvgPool2d, AvgPool3d, MaxPool, MaxPool1d, MaxPool2d, MaxPool3d,
};
pub use shape::{Dropout, Flatten, Identity};
