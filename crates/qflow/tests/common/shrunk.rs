//! A small model of places that are quantized without calibration: a table in 4 bits, an LSTM, a head of 16-bit floats.

use qflow::{QConfig, QConfigSpec};
use qnn::{Embedding, LSTM, Layer, Linear, Module, Result, RunSequence, Value, manual_seed};
use qtensor_core::Tensor;

/// Words to vectors, an LSTM over them, a linear layer and a head.
#[derive(Module)]
#[module(input = Tensor<i64>)]
pub struct Shrunk {
    pub words: Layer<Embedding>,
    pub lstm: Layer<LSTM>,
    pub fc: Layer<Linear>,
    pub head: Layer<Linear>,
}

impl Shrunk {
    pub fn new() -> Shrunk {
        manual_seed(11);
        let make = || -> Result<Shrunk> {
            Ok(Shrunk {
                words: Embedding::new(9, 6)?.into(),
                lstm: LSTM::config(6, 5).bidirectional(true).build()?.into(),
                fc: Linear::new(10, 7)?.into(),
                head: Linear::new(7, 3)?.into(),
            })
        };
        make().expect("the sizes fit each other")
    }

    /// Integers of every kind that a dynamic model may hold.
    pub fn spec() -> QConfigSpec {
        QConfigSpec::from(QConfig::dynamic())
            .with_type::<Embedding>(Some(QConfig::float_qparams_weight_only_qconfig_4bit()))
            .with_name("head", Some(QConfig::float16_dynamic_qconfig()))
    }

    pub fn forward(&self, words: &Tensor<i64>) -> Result<Value> {
        let x = self.words.forward(words)?;
        let (x, _) = self.lstm.run(&x)?;
        self.head.forward(&self.fc.forward(&x)?)
    }

    /// Some sequence through the model.
    pub fn run(&self) -> Result<Value> {
        self.forward(&Tensor::from_vec((0..8).collect(), &[4, 2])?)
    }
}
