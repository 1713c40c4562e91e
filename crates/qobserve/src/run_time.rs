//! Stand-ins for observers: what a `QConfig` says where nothing is watched, and the presets made of them.
//!
//! A dynamically quantized layer finds the qparams of its input anew in every call, and an embedding keeps its
//! activations in float. Their configurations hold one of these instead of an observer, and tools tell the kinds of
//! quantization apart by them ([`QConfig::quant_type`]).

use std::any::Any;

use qtensor_core::{DType, Quantizer, Tensor};

use crate::error::{Error, Result};
use crate::factory::ObserverFactory;
use crate::fake_quant::FloatQParamsFakeQuantize;
use crate::observer::Observer;
use crate::qconfig::QConfig;

/// When and of what the qparams of a place are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuantType {
    /// Activations by calibration, weights at conversion.
    Static,
    /// Activations in every call, weights at conversion.
    Dynamic,
    /// Weights alone; activations stay float.
    WeightOnly,
}

impl std::fmt::Display for QuantType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            QuantType::Static => "static",
            QuantType::Dynamic => "dynamic",
            QuantType::WeightOnly => "weight-only",
        })
    }
}

/// Stands for activations whose qparams are chosen in every call, from the least and the greatest element.
#[doc(alias = "default_dynamic_quant_observer")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DynamicQuantObserver {
    /// One scale and zero point for the whole input, as in PyTorch, instead of one for each row of a matrix product.
    pub per_tensor: bool,
    /// Uses the integers `0..=127` alone.
    pub reduce_range: bool,
}

/// Stands for weights that are stored as 16-bit floats, ±65504 at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Float16Observer;

/// Stands for the weights of embeddings: unsigned integers with a real scale and zero point for each row.
#[doc(alias = "default_float_qparams_observer")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatQParamsObserver {
    /// Two integers share a byte: 4 bits each instead of 8.
    pub four_bits: bool,
}

macro_rules! watches_nothing {
    ($type:ty, $name:literal, $dtype:expr) => {
        impl Observer for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn observe(&mut self, _: &Tensor) -> Result<()> {
                Ok(())
            }

            fn calculate_qparams(&self) -> Result<Quantizer> {
                Err(Error::Unsupported {
                    observer: $name,
                    operation: "calculate_qparams",
                })
            }

            fn has_observed(&self) -> bool {
                false
            }

            fn dtype(&self) -> DType {
                $dtype
            }

            fn merge(&mut self, other: &dyn Observer) -> Result<()> {
                crate::observer::same_kind::<$type>("merge", $name, other).map(|_| ())
            }

            fn reset(&mut self) {}

            fn clone_box(&self) -> Box<dyn Observer> {
                Box::new(*self)
            }

            fn as_any(&self) -> &dyn Any {
                self
            }
        }
    };
}
watches_nothing!(DynamicQuantObserver, "DynamicQuantObserver", DType::QUInt8);
watches_nothing!(Float16Observer, "Float16Observer", DType::QInt8);
watches_nothing!(FloatQParamsObserver, "FloatQParamsObserver", DType::QUInt8);

impl DynamicQuantObserver {
    pub(crate) fn factory(self) -> ObserverFactory {
        let name = format!(
            "DynamicQuantObserver: per_tensor={}, reduce_range={}",
            self.per_tensor, self.reduce_range
        );
        ObserverFactory::new(name, move || Box::new(self))
    }
}

impl Float16Observer {
    pub(crate) fn factory() -> ObserverFactory {
        ObserverFactory::new("Float16Observer", || Box::new(Float16Observer))
    }
}

impl FloatQParamsObserver {
    pub(crate) fn factory(self) -> ObserverFactory {
        let name = format!("FloatQParamsObserver: four_bits={}", self.four_bits);
        ObserverFactory::new(name, move || Box::new(self))
    }
}

impl QConfig {
    /// Dynamic quantization at its best: int8 weights per channel, activations per row over all integers.
    ///
    /// ```
    /// use qobserve::{QConfig, QuantType};
    /// assert_eq!(QConfig::dynamic().quant_type(), QuantType::Dynamic);
    /// assert_eq!(QConfig::x86().quant_type(), QuantType::Static);
    /// ```
    pub fn dynamic() -> QConfig {
        QConfig {
            activation: DynamicQuantObserver::default().factory(),
            weight: QConfig::x86().weight,
        }
    }

    /// PyTorch's default for dynamic quantization: int8 weights per tensor, one scale for the whole input, 0..127.
    pub fn default_dynamic_qconfig() -> QConfig {
        QConfig {
            weight: QConfig::default_qconfig().weight,
            ..QConfig::per_channel_dynamic_qconfig()
        }
    }

    /// PyTorch's `per_channel_dynamic_qconfig`: int8 weights per channel, one scale for the whole input, 0..127.
    pub fn per_channel_dynamic_qconfig() -> QConfig {
        let activation = DynamicQuantObserver {
            per_tensor: true,
            reduce_range: true,
        };
        QConfig {
            activation: activation.factory(),
            weight: QConfig::x86().weight,
        }
    }

    /// Linear layers with 16-bit float weights; activations and sums stay `f32`.
    pub fn float16_dynamic_qconfig() -> QConfig {
        QConfig {
            activation: DynamicQuantObserver::default().factory(),
            weight: Float16Observer::factory(),
        }
    }

    /// Embeddings in 8 bits, each row with a real scale and zero point.
    pub fn float_qparams_weight_only_qconfig() -> QConfig {
        weight_only(FloatQParamsObserver { four_bits: false })
    }

    /// Embeddings in 4 bits, each row with a real scale and zero point.
    pub fn float_qparams_weight_only_qconfig_4bit() -> QConfig {
        weight_only(FloatQParamsObserver { four_bits: true })
    }

    /// When and of what the qparams are found with this configuration.
    pub fn quant_type(&self) -> QuantType {
        if self.float_qparams().is_some() {
            QuantType::WeightOnly
        } else if self.dynamic_quant().is_some() || self.is_float16() {
            QuantType::Dynamic
        } else {
            QuantType::Static
        }
    }

    /// How activations are quantized in every call, if they are.
    pub fn dynamic_quant(&self) -> Option<DynamicQuantObserver> {
        stands_in(&self.activation)
    }

    /// How an embedding's rows are stored, if this configuration is for embeddings.
    pub fn float_qparams(&self) -> Option<FloatQParamsObserver> {
        let observer = self.weight.build();
        if let Some(rows) = observer.as_any().downcast_ref::<FloatQParamsFakeQuantize>() {
            let four_bits = rows.bits() == 4;
            return Some(FloatQParamsObserver { four_bits });
        }
        stands_in(&self.weight)
    }

    /// Whether weights are stored as 16-bit floats.
    pub fn is_float16(&self) -> bool {
        stands_in::<Float16Observer>(&self.weight).is_some()
    }
}

fn stands_in<O: Copy + 'static>(factory: &ObserverFactory) -> Option<O> {
    factory.build().as_any().downcast_ref().copied()
}

fn weight_only(observer: FloatQParamsObserver) -> QConfig {
    QConfig {
        activation: QConfig::dynamic().activation,
        weight: observer.factory(),
    }
}
