//! Pooling. It takes float and quantized values alike; a quantized one keeps its scale and zero point.

use qops::quantized;

use crate::config::{PoolConfig, Sizes};
use crate::error::Result;
use crate::float::conv::{by_dims, check_rank};
use crate::module::{Module, Node};
use crate::state::State;
use crate::value::Value;

/// The maximum of each window; padding never wins.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool<const D: usize>(PoolConfig<D>);
/// Maximum pooling of `(N, C, L)`.
pub type MaxPool1d = MaxPool<1>;
/// Maximum pooling of `(N, C, H, W)`.
pub type MaxPool2d = MaxPool<2>;
/// Maximum pooling of `(N, C, D, H, W)`.
pub type MaxPool3d = MaxPool<3>;

/// The mean of each window.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool<const D: usize>(PoolConfig<D>);
/// Average pooling of `(N, C, L)`.
pub type AvgPool1d = AvgPool<1>;
/// Average pooling of `(N, C, H, W)`.
pub type AvgPool2d = AvgPool<2>;
/// Average pooling of `(N, C, D, H, W)`.
pub type AvgPool3d = AvgPool<3>;

/// The mean of each of a fixed number of windows that cover the input.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool<const D: usize>([usize; D]);
/// Adaptive average pooling of `(N, C, L)`.
pub type AdaptiveAvgPool1d = AdaptiveAvgPool<1>;
/// Adaptive average pooling of `(N, C, H, W)`.
pub type AdaptiveAvgPool2d = AdaptiveAvgPool<2>;
/// Adaptive average pooling of `(N, C, D, H, W)`.
pub type AdaptiveAvgPool3d = AdaptiveAvgPool<3>;

impl<const D: usize> MaxPool<D> {
    const KIND: &'static str = by_dims::<D>(["MaxPool1d", "MaxPool2d", "MaxPool3d"]);

    /// Windows side by side.
    pub fn new(kernel_size: impl Into<Sizes<D>>) -> MaxPool<D> {
        MaxPool(PoolConfig::new(kernel_size))
    }

    /// Any window.
    pub fn with_config(config: PoolConfig<D>) -> MaxPool<D> {
        MaxPool(config)
    }
}

impl<const D: usize> AvgPool<D> {
    const KIND: &'static str = by_dims::<D>(["AvgPool1d", "AvgPool2d", "AvgPool3d"]);

    /// Windows side by side.
    pub fn new(kernel_size: impl Into<Sizes<D>>) -> AvgPool<D> {
        AvgPool(PoolConfig::new(kernel_size))
    }

    /// Any window.
    pub fn with_config(config: PoolConfig<D>) -> AvgPool<D> {
        AvgPool(config)
    }
}

impl<const D: usize> AdaptiveAvgPool<D> {
    const KIND: &'static str = by_dims::<D>([
        "AdaptiveAvgPool1d",
        "AdaptiveAvgPool2d",
        "AdaptiveAvgPool3d",
    ]);

    /// `output_size` windows along each dimension; 1 is the global average.
    pub fn new(output_size: impl Into<Sizes<D>>) -> AdaptiveAvgPool<D> {
        AdaptiveAvgPool(output_size.into().0)
    }
}

/// The two poolings with a window differ in their operations alone.
macro_rules! window_pool {
    ($pool:ident, $operation:ident) => {
        impl<const D: usize> Node for $pool<D> {
            fn kind(&self) -> &'static str {
                Self::KIND
            }

            fn extra_repr(&self) -> String {
                self.0.repr()
            }

            fn config(&self) -> State {
                self.0.save(State::default())
            }
        }

        impl<const D: usize> Module for $pool<D> {
            type Input = Value;
            type Output = Value;

            fn forward(&self, input: &Value) -> Result<Value> {
                check_rank::<D>(Self::KIND, input.shape())?;
                Ok(match input {
                    Value::Float(x) => qgrad::ops::$operation(x, &self.0.spec())?.into(),
                    Value::Quantized(q) => quantized::$operation(q, &self.0.spec())?.into(),
                })
            }
        }
    };
}
window_pool!(MaxPool, max_pool);
window_pool!(AvgPool, avg_pool);

impl<const D: usize> Node for AdaptiveAvgPool<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("output_size={:?}", self.0)
    }

    fn config(&self) -> State {
        State::default().with_sizes("output_size", &self.0)
    }
}

impl<const D: usize> Module for AdaptiveAvgPool<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        check_rank::<D>(Self::KIND, input.shape())?;
        Ok(match input {
            Value::Float(x) => qgrad::ops::adaptive_avg_pool(x, &self.0)?.into(),
            Value::Quantized(q) => quantized::adaptive_avg_pool(q, &self.0)?.into(),
        })
    }
}
