//! Observers: calibration data in, scales and zero points out. This file is the map of the crate.
#![doc = include_str!("../README.md")]

mod builder;
mod error;
mod factory;
mod fake_quant;
mod fixed;
mod histogram;
mod min_max;
mod observer;
mod passive;
pub mod presets;
mod qconfig;
mod ranges;
mod run_time;
mod scan;
mod settings;
mod state;

pub use builder::{Buildable, ObserverBuilder};
pub use error::{Error, Result};
pub use factory::ObserverFactory;
pub use fake_quant::{
    FakeQuant, FakeQuantize, FixedQParamsFakeQuantize, FloatQParamsFakeQuantize,
    FusedMovingAvgObsFakeQuantize, LearnableFakeQuantize, fake_quantize,
};
pub use fixed::FixedQParamsObserver;
pub use histogram::{
    BinnedObserver, Clip, Greedy, HistogramObserver, LeastSquares, MseObserver, PercentileObserver,
    Tails,
};
pub use min_max::{
    MinMaxObserver, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver,
    PerChannelMinMaxObserver,
};
pub use observer::Observer;
pub use passive::{NoopObserver, PlaceholderObserver, RecordingObserver};
pub use qconfig::{ENGINES, QConfig, get_default_qat_qconfig, get_default_qconfig, qconfig_equals};
pub use run_time::{DynamicQuantObserver, Float16Observer, FloatQParamsObserver, QuantType};
pub use settings::Settings;
