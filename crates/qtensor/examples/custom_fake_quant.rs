//! An observer and a fake-quant of one's own, through the same traits and the same `QConfig` as the built-in ones.
//!
//! The observer keeps powers of two as scales, which a device with shifts and no multipliers wants. The fake-quant adds
//! noise of at most half a step in training instead of rounding, so that its gradients are exact.
//!
//! `cargo run --release -p qtensor --example custom_fake_quant`

use std::any::Any;
use std::error::Error;

use qtensor::prelude::*;
use qtensor::qgrad::{Var, ops, optim::Sgd};
use qtensor::qobserve::{self, FakeQuant, MinMaxObserver, ObserverFactory, fake_quantize};

/// Running extremes, and the least power of two that represents them as a scale.
#[derive(Clone, Debug, Default)]
struct PowerOfTwo(MinMaxObserver);

impl Observer for PowerOfTwo {
    fn name(&self) -> &'static str {
        "PowerOfTwo"
    }

    fn observe(&mut self, x: &Tensor) -> qobserve::Result<()> {
        self.0.observe(x)
    }

    fn calculate_qparams(&self) -> qobserve::Result<Quantizer> {
        let (min, max) = self.0.range().ok_or(qobserve::Error::NeverObserved {
            observer: "PowerOfTwo",
        })?;
        let (min, max) = (f64::from(min.min(0.0)), f64::from(max.max(0.0)));
        let scale = ((max - min).max(1e-6) / 255.0).log2().ceil().exp2();
        // Zero lies on the grid; the range has room on either side of it.
        let zero_point = (-min / scale).ceil().min(255.0) as i32;
        Ok(Quantizer::per_tensor(scale, zero_point))
    }

    fn has_observed(&self) -> bool {
        self.0.has_observed()
    }

    fn dtype(&self) -> DType {
        DType::QUInt8
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn clone_box(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Noise of up to half a step in training, rounding in evaluation.
#[derive(Clone, Debug)]
struct Noisy {
    observer: PowerOfTwo,
    observing: bool,
    quantizing: bool,
    training: bool,
    seed: u64,
}

impl Observer for Noisy {
    fn name(&self) -> &'static str {
        "Noisy"
    }

    fn observe(&mut self, x: &Tensor) -> qobserve::Result<()> {
        self.observer.observe(x)
    }

    fn forward(&mut self, x: &Var) -> qobserve::Result<Var> {
        if self.observing {
            self.observe(x.untraced())?;
        }
        let quantizer = self.calculate_qparams()?;
        if !self.quantizing {
            return Ok(x.clone());
        }
        if !self.training {
            return fake_quantize(x, &quantizer, self.quant_range());
        }
        // Dropout of ±1 with probability one half is noise with two values, from a seed.
        self.seed += 1;
        let (step, _) = quantizer.channel(0).unwrap_or((1.0, 0));
        let ones = Var::from(Tensor::ones(x.shape())?);
        let noise = ops::add_scalar(&ops::dropout(&ones, 0.5, self.seed)?, -1.0)?;
        Ok(ops::add(x, &ops::mul_scalar(&noise, 0.5 * step)?)?)
    }

    fn calculate_qparams(&self) -> qobserve::Result<Quantizer> {
        self.observer.calculate_qparams()
    }

    fn has_observed(&self) -> bool {
        self.observer.has_observed()
    }

    fn dtype(&self) -> DType {
        self.observer.dtype()
    }

    fn reset(&mut self) {
        self.observer.reset();
    }

    fn clone_box(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_fake_quant(&self) -> Option<&dyn FakeQuant> {
        Some(self)
    }

    fn as_fake_quant_mut(&mut self) -> Option<&mut dyn FakeQuant> {
        Some(self)
    }
}

impl FakeQuant for Noisy {
    fn is_observing(&self) -> bool {
        self.observing
    }

    fn set_observing(&mut self, on: bool) {
        self.observing = on;
    }

    fn is_quantizing(&self) -> bool {
        self.quantizing
    }

    fn set_quantizing(&mut self, on: bool) {
        self.quantizing = on;
    }

    fn set_training(&mut self, training: bool) {
        self.training = training;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let noisy = ObserverFactory::new("Noisy", || {
        Box::new(Noisy {
            observer: PowerOfTwo::default(),
            observing: true,
            quantizing: true,
            training: false,
            seed: 0,
        })
    });
    let qconfig = QConfig {
        activation: noisy,
        ..QConfig::x86_qat()
    };

    // Learn the exclusive or of two bits, from the training set itself.
    let mut net = Sequential::new()
        .push(QuantStub)
        .push(Linear::new(2, 16)?)
        .push(ReLU)
        .push(Linear::new(16, 2)?)
        .push(DeQuantStub);
    let bits = vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let x: Value = Tensor::from_vec(bits, &[4, 2])?.into();
    let data = vec![(x.clone(), vec![0, 1, 1, 0]); 100];
    let train = TrainOptions::new(6, Sgd::config(0.1).momentum(0.9).build()?).freeze_observers(5);
    let options = QatOptions {
        qconfig: qconfig.into(),
        train,
    };
    let report = quantize_qat_with(
        &mut net,
        options,
        |net, (x, labels): &(Value, Vec<usize>)| {
            Ok(ops::cross_entropy(
                net.forward(x)?.float("loss")?,
                labels,
                0.0,
            )?)
        },
        &data,
    )?;
    println!("{report}\n");
    let right = metrics::accuracy(&net.forward(&x)?.to_tensor(), &data[0].1)?;
    println!(
        "{:.0} % of the int8 net's answers are right.",
        100.0 * right
    );
    Ok(())
}
