//! The small residual network of the `flow` cases, under the names of its PyTorch original.

use qtensor::prelude::*;

/// Two convolutions with a connection around them.
#[derive(Module)]
struct Block {
    conv1: Layer<Conv2d>,
    bn1: Layer<BatchNorm2d>,
    relu1: Layer<ReLU>,
    conv2: Layer<Conv2d>,
    bn2: Layer<BatchNorm2d>,
    add: Layer<FloatFunctional>,
}

/// Stem, block, average, classifier: `(N, 3, H, W)` to `(N, 10)`.
#[derive(Module)]
pub struct Net {
    quant: Layer<QuantStub>,
    stem: Layer<Conv2d>,
    bn: Layer<BatchNorm2d>,
    relu: Layer<ReLU>,
    block: Block,
    pool: Layer<AdaptiveAvgPool2d>,
    fc: Layer<Linear>,
    dequant: Layer<DeQuantStub>,
}

/// The chains that are fused before preparation.
pub const CHAINS: [&[&str]; 3] = [
    &["stem", "bn", "relu"],
    &["block.conv1", "block.bn1", "block.relu1"],
    &["block.conv2", "block.bn2"],
];

impl Block {
    fn new(channels: usize) -> qnn::Result<Block> {
        let conv = Conv2d::config(channels, channels, 3).padding(1).bias(false);
        Ok(Block {
            conv1: conv.build()?.into(),
            bn1: BatchNorm2d::new(channels)?.into(),
            relu1: ReLU.into(),
            conv2: conv.groups(channels).build()?.into(),
            bn2: BatchNorm2d::new(channels)?.into(),
            add: FloatFunctional.into(),
        })
    }

    fn forward(&self, x: &Value) -> qnn::Result<Value> {
        let y = self.bn1.forward(&self.conv1.forward(x)?)?;
        let y = self.conv2.forward(&self.relu1.forward(&y)?)?;
        self.add.add_relu(x, &self.bn2.forward(&y)?)
    }
}

impl Net {
    /// With drawn weights, to be replaced by those of a case.
    pub fn new() -> qnn::Result<Net> {
        let stem = Conv2d::config(3, 16, 3).stride(2).padding(1).bias(false);
        Ok(Net {
            quant: QuantStub.into(),
            stem: stem.build()?.into(),
            bn: BatchNorm2d::new(16)?.into(),
            relu: ReLU.into(),
            block: Block::new(16)?,
            pool: AdaptiveAvgPool2d::new(1).into(),
            fc: Linear::new(16, 10)?.into(),
            dequant: DeQuantStub.into(),
        })
    }

    /// The scores of each image.
    pub fn forward(&self, x: &Value) -> qnn::Result<Value> {
        let x = self.stem.forward(&self.quant.forward(x)?)?;
        let x = self.relu.forward(&self.bn.forward(&x)?)?;
        let x = self.pool.forward(&self.block.forward(&x)?)?;
        self.dequant.forward(&self.fc.forward(&x.flatten(1)?)?)
    }
}
