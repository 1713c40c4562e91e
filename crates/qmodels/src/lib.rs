//! Reference networks: `ResNet`, `MobileNetV2`, `Vgg`, and the products of two others.
#![doc = include_str!("../README.md")]

mod error;
mod init;
mod mobilenet;
mod resnet;
pub mod shapes;
mod vgg;

pub use error::{Error, Result};
pub use init::Init;
pub use mobilenet::{InvertedResidual, MobileNetV2, MobileNetV2Config, Stage};
pub use resnet::{BasicBlock, Bottleneck, ResNet, ResNetBlock, ResNetConfig};
pub use vgg::{Vgg, VggConfig};
