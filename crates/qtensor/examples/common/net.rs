//! DigitsNet: a small residual CNN with a depthwise convolution, for 8 × 8 images.

use qtensor::prelude::*;

/// Expand 1×1, depthwise 3×3, project 1×1, and the input added to the result.
#[derive(Module)]
pub struct Block {
    expand: Layer<Conv2d>,
    bn1: Layer<BatchNorm2d>,
    relu1: Layer<ReLU>,
    depthwise: Layer<Conv2d>,
    bn2: Layer<BatchNorm2d>,
    relu2: Layer<ReLU>,
    project: Layer<Conv2d>,
    bn3: Layer<BatchNorm2d>,
    add: Layer<FloatFunctional>,
}

/// The whole network, from images `(N, 1, 8, 8)` to logits `(N, 10)`.
#[derive(Module)]
pub struct DigitsNet {
    quant: Layer<QuantStub>,
    stem: Layer<Conv2d>,
    bn: Layer<BatchNorm2d>,
    relu: Layer<ReLU>,
    block: Block,
    pool: Layer<MaxPool2d>,
    conv: Layer<Conv2d>,
    bn_conv: Layer<BatchNorm2d>,
    relu_conv: Layer<ReLU>,
    average: Layer<AdaptiveAvgPool2d>,
    flatten: Layer<Flatten>,
    fc: Layer<Linear>,
    dequant: Layer<DeQuantStub>,
}

impl Block {
    fn new(channels: usize, inner: usize) -> Result<Block> {
        Ok(Block {
            expand: Conv2d::config(channels, inner, 1)
                .bias(false)
                .build()?
                .into(),
            bn1: BatchNorm2d::new(inner)?.into(),
            relu1: ReLU.into(),
            depthwise: Conv2d::config(inner, inner, 3)
                .padding(1)
                .groups(inner)
                .bias(false)
                .build()?
                .into(),
            bn2: BatchNorm2d::new(inner)?.into(),
            relu2: ReLU.into(),
            project: Conv2d::config(inner, channels, 1)
                .bias(false)
                .build()?
                .into(),
            bn3: BatchNorm2d::new(channels)?.into(),
            add: FloatFunctional.into(),
        })
    }

    fn forward(&self, x: &Value) -> Result<Value> {
        let y = self
            .relu1
            .forward(&self.bn1.forward(&self.expand.forward(x)?)?)?;
        let y = self
            .relu2
            .forward(&self.bn2.forward(&self.depthwise.forward(&y)?)?)?;
        let y = self.bn3.forward(&self.project.forward(&y)?)?;
        self.add.add(x, &y)
    }
}

impl DigitsNet {
    /// The network with drawn parameters.
    pub fn new() -> Result<DigitsNet> {
        Ok(DigitsNet {
            quant: QuantStub.into(),
            stem: Conv2d::config(1, 24, 3)
                .padding(1)
                .bias(false)
                .build()?
                .into(),
            bn: BatchNorm2d::new(24)?.into(),
            relu: ReLU.into(),
            block: Block::new(24, 96)?,
            pool: MaxPool2d::new(2).into(),
            conv: Conv2d::config(24, 64, 3)
                .padding(1)
                .bias(false)
                .build()?
                .into(),
            bn_conv: BatchNorm2d::new(64)?.into(),
            relu_conv: ReLU.into(),
            average: AdaptiveAvgPool2d::new(1).into(),
            flatten: Flatten::new().into(),
            fc: Linear::new(64, 10)?.into(),
            dequant: DeQuantStub.into(),
        })
    }

    /// Logits of a batch of images.
    pub fn forward(&self, x: &Value) -> Result<Value> {
        let x = self.quant.forward(x)?;
        let x = self
            .relu
            .forward(&self.bn.forward(&self.stem.forward(&x)?)?)?;
        let x = self.pool.forward(&self.block.forward(&x)?)?;
        let x = self
            .relu_conv
            .forward(&self.bn_conv.forward(&self.conv.forward(&x)?)?)?;
        let x = self.flatten.forward(&self.average.forward(&x)?)?;
        self.dequant.forward(&self.fc.forward(&x)?)
    }
}
