//! Residual networks (He et al., <https://arxiv.org/abs/1512.03385>), with torchvision's names and its version 1.5 of the
//! bottleneck, whose stride is in the 3×3 convolution.

use qnn::{
    AdaptiveAvgPool2d, BatchNorm2d, Conv2d, DeQuantStub, FloatFunctional, Layer, Linear, MaxPool2d,
    Module, PoolConfig, QuantStub, ReLU, Sequential, Value,
};

use crate::error::{Error, Result};
use crate::init::{Init, Source};

const MODEL: &str = "ResNet";

/// The residual block that a network repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResNetBlock {
    /// [`BasicBlock`].
    Basic,
    /// [`Bottleneck`].
    Bottleneck,
}

impl ResNetBlock {
    /// Output channels for each unit of width.
    fn expansion(self) -> usize {
        match self {
            ResNetBlock::Basic => 1,
            ResNetBlock::Bottleneck => 4,
        }
    }
}

/// What a [`ResNet`] is built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetConfig {
    /// The block.
    pub block: ResNetBlock,
    /// Blocks in each of the four stages.
    pub layers: [usize; 4],
    /// Channels of the stem and of the first stage; each later stage doubles them.
    pub width: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Outputs.
    pub num_classes: usize,
    /// How parameters start.
    pub init: Init,
}

impl ResNetConfig {
    fn new(block: ResNetBlock, layers: [usize; 4]) -> ResNetConfig {
        ResNetConfig {
            block,
            layers,
            width: 64,
            in_channels: 3,
            num_classes: 1000,
            init: Init::default(),
        }
    }

    /// Blocks in each of the four stages.
    pub fn layers(mut self, layers: [usize; 4]) -> ResNetConfig {
        self.layers = layers;
        self
    }

    /// Channels of the stem and of the first stage.
    pub fn width(mut self, width: usize) -> ResNetConfig {
        self.width = width;
        self
    }

    /// Outputs.
    pub fn num_classes(mut self, num_classes: usize) -> ResNetConfig {
        self.num_classes = num_classes;
        self
    }

    /// How parameters start.
    pub fn init(mut self, init: Init) -> ResNetConfig {
        self.init = init;
        self
    }

    /// The network.
    ///
    /// # Errors
    /// [`Error::Config`] for a stage without blocks, no channels or no classes.
    pub fn build(self) -> Result<ResNet> {
        let sizes = [self.width, self.in_channels, self.num_classes];
        if self.layers.contains(&0) || sizes.contains(&0) {
            let ResNetConfig {
                layers,
                width,
                in_channels,
                num_classes,
                ..
            } = self;
            return Err(Error::Config {
                model: MODEL,
                what: format!(
                    "{layers:?} blocks, {width} channels of {in_channels} and {num_classes} classes must not hold a zero"
                ),
            });
        }
        Ok(ResNet::new(self)?)
    }
}

/// A residual network from images `(N, 3, H, W)` to logits `(N, num_classes)`, for any `H` and `W`.
///
/// ```
/// use qmodels::ResNet;
/// use qnn::Value;
/// use qtensor_core::Tensor;
///
/// let net = ResNet::resnet18().width(8).num_classes(10).build()?;
/// let image: Value = Tensor::zeros(&[1, 3, 32, 32])?.into();
/// assert_eq!(net.forward(&image)?.shape(), [1, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module)]
pub struct ResNet {
    quant: Layer<QuantStub>,
    conv1: Layer<Conv2d>,
    bn1: Layer<BatchNorm2d>,
    relu: Layer<ReLU>,
    maxpool: Layer<MaxPool2d>,
    layer1: Sequential,
    layer2: Sequential,
    layer3: Sequential,
    layer4: Sequential,
    avgpool: Layer<AdaptiveAvgPool2d>,
    fc: Layer<Linear>,
    dequant: Layer<DeQuantStub>,
}

impl ResNet {
    /// 18 layers: two basic blocks in each stage.
    pub fn resnet18() -> ResNetConfig {
        ResNetConfig::new(ResNetBlock::Basic, [2, 2, 2, 2])
    }

    /// 34 layers of basic blocks.
    pub fn resnet34() -> ResNetConfig {
        ResNetConfig::new(ResNetBlock::Basic, [3, 4, 6, 3])
    }

    /// 50 layers of bottlenecks.
    pub fn resnet50() -> ResNetConfig {
        ResNetConfig::new(ResNetBlock::Bottleneck, [3, 4, 6, 3])
    }

    fn new(config: ResNetConfig) -> qnn::Result<ResNet> {
        let ResNetConfig { block, width, .. } = config;
        let mut source = Source::new(config.init);
        let stem = Conv2d::config(config.in_channels, width, 7)
            .stride(2)
            .padding(3);
        let (conv1, bn1) = source.conv_norm(stem)?;
        let mut channels = width;
        let mut stage = |number: usize| {
            let inner = width << number;
            let mut blocks = Sequential::new();
            for index in 0..config.layers[number] {
                let stride = if index == 0 && number > 0 { 2 } else { 1 };
                let sizes = Sizes {
                    channels,
                    inner,
                    stride,
                    expansion: block.expansion(),
                };
                blocks = match block {
                    ResNetBlock::Basic => blocks.push(BasicBlock::new(sizes, &mut source)?),
                    ResNetBlock::Bottleneck => blocks.push(Bottleneck::new(sizes, &mut source)?),
                };
                channels = sizes.outputs();
            }
            Ok::<_, qnn::Error>(blocks)
        };
        let [layer1, layer2, layer3, layer4] = [stage(0)?, stage(1)?, stage(2)?, stage(3)?];
        let maxpool = PoolConfig {
            stride: [2, 2],
            padding: [1, 1],
            ..PoolConfig::new(3)
        };
        Ok(ResNet {
            quant: QuantStub.into(),
            conv1: conv1.into(),
            bn1: bn1.into(),
            relu: ReLU.into(),
            maxpool: MaxPool2d::with_config(maxpool).into(),
            layer1,
            layer2,
            layer3,
            layer4,
            avgpool: AdaptiveAvgPool2d::new(1).into(),
            fc: source.linear_uniform(channels, config.num_classes)?.into(),
            dequant: DeQuantStub.into(),
        })
    }

    /// Logits of a batch of images.
    ///
    /// # Errors
    /// Those of its modules, with the place.
    pub fn forward(&self, x: &Value) -> qnn::Result<Value> {
        let x = self.quant.forward(x)?;
        let x = self
            .relu
            .forward(&self.bn1.forward(&self.conv1.forward(&x)?)?)?;
        let mut x = self.maxpool.forward(&x)?;
        for stage in [&self.layer1, &self.layer2, &self.layer3, &self.layer4] {
            x = stage.forward_owned(x)?;
        }
        let x = self.avgpool.forward(&x)?.flatten(1)?;
        self.dequant.forward(&self.fc.forward(&x)?)
    }
}

/// The numbers of one block.
#[derive(Clone, Copy)]
struct Sizes {
    channels: usize,
    inner: usize,
    stride: usize,
    expansion: usize,
}

impl Sizes {
    fn outputs(self) -> usize {
        self.inner * self.expansion
    }

    /// The projection of the shortcut, where its shape changes.
    fn downsample(self, source: &mut Source) -> qnn::Result<Option<Sequential>> {
        if self.stride == 1 && self.channels == self.outputs() {
            return Ok(None);
        }
        let config = Conv2d::config(self.channels, self.outputs(), 1).stride(self.stride);
        let (conv, norm) = source.conv_norm(config)?;
        Ok(Some(Sequential::new().push(conv).push(norm)))
    }
}

/// `relu(x' + conv3×3(relu(conv3×3(x))))`, each convolution with its batch norm, `x'` being `x` or its projection.
#[derive(Module)]
#[module(owned)]
pub struct BasicBlock {
    conv1: Layer<Conv2d>,
    bn1: Layer<BatchNorm2d>,
    relu: Layer<ReLU>,
    conv2: Layer<Conv2d>,
    bn2: Layer<BatchNorm2d>,
    downsample: Option<Sequential>,
    add_relu: Layer<FloatFunctional>,
}

impl BasicBlock {
    fn new(sizes: Sizes, source: &mut Source) -> qnn::Result<BasicBlock> {
        let Sizes {
            channels,
            inner,
            stride,
            ..
        } = sizes;
        let (conv1, bn1) =
            source.conv_norm(Conv2d::config(channels, inner, 3).stride(stride).padding(1))?;
        let (conv2, bn2) = source.conv_norm(Conv2d::config(inner, inner, 3).padding(1))?;
        Ok(BasicBlock {
            conv1: conv1.into(),
            bn1: bn1.into(),
            relu: ReLU.into(),
            conv2: conv2.into(),
            bn2: bn2.into(),
            downsample: sizes.downsample(source)?,
            add_relu: FloatFunctional.into(),
        })
    }

    fn forward(&self, x: Value) -> qnn::Result<Value> {
        let y = self
            .relu
            .forward(&self.bn1.forward(&self.conv1.forward(&x)?)?)?;
        let shortcut = shortcut(&self.downsample, x)?;
        (self.add_relu).add_relu_after(&[&self.conv2, &self.bn2], &y, shortcut)
    }
}

/// `relu(x' + conv1×1(relu(conv3×3(relu(conv1×1(x))))))`, each convolution with its batch norm, `x'` being `x` or its
/// projection.
#[derive(Module)]
#[module(owned)]
pub struct Bottleneck {
    conv1: Layer<Conv2d>,
    bn1: Layer<BatchNorm2d>,
    relu1: Layer<ReLU>,
    conv2: Layer<Conv2d>,
    bn2: Layer<BatchNorm2d>,
    relu2: Layer<ReLU>,
    conv3: Layer<Conv2d>,
    bn3: Layer<BatchNorm2d>,
    downsample: Option<Sequential>,
    skip_add_relu: Layer<FloatFunctional>,
}

impl Bottleneck {
    fn new(sizes: Sizes, source: &mut Source) -> qnn::Result<Bottleneck> {
        let Sizes {
            channels,
            inner,
            stride,
            ..
        } = sizes;
        let (conv1, bn1) = source.conv_norm(Conv2d::config(channels, inner, 1))?;
        let (conv2, bn2) =
            source.conv_norm(Conv2d::config(inner, inner, 3).stride(stride).padding(1))?;
        let (conv3, bn3) = source.conv_norm(Conv2d::config(inner, sizes.outputs(), 1))?;
        Ok(Bottleneck {
            conv1: conv1.into(),
            bn1: bn1.into(),
            relu1: ReLU.into(),
            conv2: conv2.into(),
            bn2: bn2.into(),
            relu2: ReLU.into(),
            conv3: conv3.into(),
            bn3: bn3.into(),
            downsample: sizes.downsample(source)?,
            skip_add_relu: FloatFunctional.into(),
        })
    }

    fn forward(&self, x: Value) -> qnn::Result<Value> {
        let y = self
            .relu1
            .forward(&self.bn1.forward(&self.conv1.forward(&x)?)?)?;
        let y = self
            .relu2
            .forward(&self.bn2.forward(&self.conv2.forward(&y)?)?)?;
        let shortcut = shortcut(&self.downsample, x)?;
        (self.skip_add_relu).add_relu_after(&[&self.conv3, &self.bn3], &y, shortcut)
    }
}

/// What a block adds; its input itself is given away, for sums to take its place.
fn shortcut(downsample: &Option<Sequential>, x: Value) -> qnn::Result<Value> {
    match downsample {
        Some(projection) => projection.forward(&x),
        None => Ok(x),
    }
}
