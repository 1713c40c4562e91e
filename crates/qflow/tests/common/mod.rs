//! A small net with every kind of place, and seeded data for it.

pub mod decode;
pub mod edits;
pub mod shrunk;

use qnn::{
    AdaptiveAvgPool2d, BatchNorm2d, Conv2d, DeQuantStub, Flatten, FloatFunctional, Layer, Linear,
    MaxPool2d, Module, QuantStub, ReLU, ReLU6, Result, Value, manual_seed,
};
use qtensor_core::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// conv + bn + relu6, a residual addition, pools, linear + relu, linear.
#[derive(Module)]
pub struct Net {
    pub quant: Layer<QuantStub>,
    pub conv1: Layer<Conv2d>,
    pub bn1: Layer<BatchNorm2d>,
    pub act1: Layer<ReLU6>,
    pub conv2: Layer<Conv2d>,
    pub bn2: Layer<BatchNorm2d>,
    pub add: Layer<FloatFunctional>,
    pub pool: Layer<MaxPool2d>,
    pub average: Layer<AdaptiveAvgPool2d>,
    pub flatten: Layer<Flatten>,
    pub fc1: Layer<Linear>,
    pub act2: Layer<ReLU>,
    pub fc2: Layer<Linear>,
    pub dequant: Layer<DeQuantStub>,
}

impl Net {
    pub fn new() -> Net {
        manual_seed(7);
        let make = || -> Result<Net> {
            Ok(Net {
                quant: QuantStub.into(),
                conv1: Conv2d::config(3, 8, 3)
                    .padding(1)
                    .bias(false)
                    .build()?
                    .into(),
                bn1: norm(8)?.into(),
                act1: ReLU6.into(),
                conv2: Conv2d::config(8, 8, 3).padding(1).groups(8).build()?.into(),
                bn2: norm(8)?.into(),
                add: FloatFunctional.into(),
                pool: MaxPool2d::new(2).into(),
                average: AdaptiveAvgPool2d::new(2).into(),
                flatten: Flatten::new().into(),
                fc1: Linear::new(32, 16)?.into(),
                act2: ReLU.into(),
                fc2: Linear::new(16, 5)?.into(),
                dequant: DeQuantStub.into(),
            })
        };
        make().expect("the sizes fit each other")
    }

    pub fn forward(&self, x: &Value) -> Result<Value> {
        let x = self.quant.forward(x)?;
        let x = self
            .act1
            .forward(&self.bn1.forward(&self.conv1.forward(&x)?)?)?;
        let y = self.bn2.forward(&self.conv2.forward(&x)?)?;
        let x = self.add.add(&x, &y)?;
        let x = self.average.forward(&self.pool.forward(&x)?)?;
        let x = self
            .act2
            .forward(&self.fc1.forward(&self.flatten.forward(&x)?)?)?;
        self.dequant.forward(&self.fc2.forward(&x)?)
    }
}

/// A batch norm whose statistics are not the identity.
pub fn norm(channels: usize) -> Result<BatchNorm2d> {
    use qnn::{Entry, Node, State};
    let mut rng = ChaCha8Rng::seed_from_u64(channels as u64);
    let mut draw = |lo: f32, hi: f32| {
        let values = (0..channels)
            .map(|_| lo + rng.random::<f32>() * (hi - lo))
            .collect();
        Ok::<_, qnn::Error>(Entry::Tensor(Tensor::from_vec(values, &[channels])?))
    };
    let mut state = State::default()
        .with("weight", draw(0.5, 1.5)?)
        .with("bias", draw(-0.3, 0.3)?)
        .with("running_mean", draw(-0.2, 0.2)?)
        .with("running_var", draw(0.5, 2.0)?);
    let mut bn = BatchNorm2d::new(channels)?;
    bn.load_state(&mut state)?;
    Ok(bn)
}

/// Uniform numbers in −2..2.
pub fn batch(seed: u64, shape: &[usize]) -> Value {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values = (0..count)
        .map(|_| rng.random::<f32>() * 4.0 - 2.0)
        .collect();
    Tensor::from_vec(values, shape)
        .expect("as many values as the shape holds")
        .into()
}

/// A batch of two images for [`Net`].
pub fn images(seed: u64) -> Value {
    batch(seed, &[2, 3, 8, 8])
}

/// Calibration batches for [`Net`].
pub fn calibration() -> Vec<Value> {
    (0..6).map(images).collect()
}

/// [`Net`] after fusion, calibration and conversion.
pub fn converted() -> Net {
    let mut net = Net::new();
    qflow::quantize(&mut net, qflow::QConfig::x86(), calibration())
        .expect("the net is quantizable");
    net
}

/// The greatest absolute difference.
pub fn distance(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.shape(), b.shape());
    a.to_vec()
        .iter()
        .zip(b.to_vec())
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}
