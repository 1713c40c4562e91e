//! `MobileNetV2` (Sandler et al., <https://arxiv.org/abs/1801.04381>), with torchvision's names.

use qnn::{
    AdaptiveAvgPool2d, Conv2d, DeQuantStub, Dropout, FloatFunctional, Layer, Link, Module,
    QuantStub, ReLU6, Sequential, Value,
};

use crate::error::{Error, Result};
use crate::init::{Init, Source};

const MODEL: &str = "MobileNetV2";

/// Channels are multiples of this.
const DIVISOR: usize = 8;

/// Places of a projection, the last ones of a block: a convolution and its batch norm.
const PROJECTION: usize = 2;

/// Neighbouring blocks of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Channels inside a block for each of its input channels.
    pub expansion: usize,
    /// Output channels at width 1.
    pub channels: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Stride of the first block.
    pub stride: usize,
}

/// What a [`MobileNetV2`] is built from.
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNetV2Config {
    /// Factor of all channel counts; below 1 the last layer keeps its channels.
    pub width: f64,
    /// The stages between stem and last convolution.
    pub stages: Vec<Stage>,
    /// Channels of the last convolution at width 1.
    pub last_channels: usize,
    /// Outputs.
    pub num_classes: usize,
    /// How parameters start.
    pub init: Init,
}

impl MobileNetV2Config {
    /// Factor of all channel counts.
    pub fn width(mut self, width: f64) -> MobileNetV2Config {
        self.width = width;
        self
    }

    /// The stages between stem and last convolution.
    pub fn stages(mut self, stages: Vec<Stage>) -> MobileNetV2Config {
        self.stages = stages;
        self
    }

    /// Channels of the last convolution at width 1.
    pub fn last_channels(mut self, last_channels: usize) -> MobileNetV2Config {
        self.last_channels = last_channels;
        self
    }

    /// Outputs.
    pub fn num_classes(mut self, num_classes: usize) -> MobileNetV2Config {
        self.num_classes = num_classes;
        self
    }

    /// How parameters start.
    pub fn init(mut self, init: Init) -> MobileNetV2Config {
        self.init = init;
        self
    }

    /// The network.
    ///
    /// # Errors
    /// [`Error::Config`] for a width that is not positive and finite, or a count of zero.
    pub fn build(self) -> Result<MobileNetV2> {
        let refuse = |what| Err(Error::Config { model: MODEL, what });
        if !(self.width > 0.0 && self.width.is_finite()) {
            return refuse(format!(
                "a width of {}, which is not positive and finite",
                self.width
            ));
        }
        if self.last_channels == 0 || self.num_classes == 0 {
            return refuse(format!(
                "{} last channels and {} classes must not be zero",
                self.last_channels, self.num_classes
            ));
        }
        let empty = |s: &&Stage| [s.expansion, s.channels, s.blocks, s.stride].contains(&0);
        if let Some(stage) = self.stages.iter().find(empty) {
            return refuse(format!("{stage:?} must not hold a zero"));
        }
        Ok(MobileNetV2::new(&self)?)
    }

    /// `channels` at this width: the nearest multiple of [`DIVISOR`], or the next one if that took more than a tenth away.
    fn channels(&self, channels: usize, width: f64) -> usize {
        let exact = channels as f64 * width;
        let nearest = (exact + DIVISOR as f64 / 2.0) as usize / DIVISOR * DIVISOR;
        let nearest = nearest.max(DIVISOR);
        if (nearest as f64) < 0.9 * exact {
            nearest + DIVISOR
        } else {
            nearest
        }
    }
}

/// A network of inverted residuals from images `(N, 3, H, W)` to logits `(N, num_classes)`, for any `H` and `W`.
///
/// ```
/// use qmodels::MobileNetV2;
/// use qnn::Value;
/// use qtensor_core::Tensor;
///
/// let net = MobileNetV2::config().width(0.25).num_classes(10).build()?;
/// let image: Value = Tensor::zeros(&[1, 3, 32, 32])?.into();
/// assert_eq!(net.forward(&image)?.shape(), [1, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module)]
pub struct MobileNetV2 {
    quant: Layer<QuantStub>,
    features: Sequential,
    pool: Layer<AdaptiveAvgPool2d>,
    classifier: Sequential,
    dequant: Layer<DeQuantStub>,
}

impl MobileNetV2 {
    /// The published network, width 1 and 1000 classes.
    pub fn config() -> MobileNetV2Config {
        let stage = |expansion, channels, blocks, stride| Stage {
            expansion,
            channels,
            blocks,
            stride,
        };
        MobileNetV2Config {
            width: 1.0,
            stages: vec![
                stage(1, 16, 1, 1),
                stage(6, 24, 2, 2),
                stage(6, 32, 3, 2),
                stage(6, 64, 4, 2),
                stage(6, 96, 3, 1),
                stage(6, 160, 3, 2),
                stage(6, 320, 1, 1),
            ],
            last_channels: 1280,
            num_classes: 1000,
            init: Init::default(),
        }
    }

    fn new(config: &MobileNetV2Config) -> qnn::Result<MobileNetV2> {
        let mut source = Source::new(config.init);
        let mut channels = config.channels(32, config.width);
        let stem = Conv2d::config(3, channels, 3).stride(2).padding(1);
        let mut features = Sequential::new().push(source.conv_norm_act(stem, ReLU6)?);
        for stage in &config.stages {
            let outputs = config.channels(stage.channels, config.width);
            for index in 0..stage.blocks {
                let stride = if index == 0 { stage.stride } else { 1 };
                let inner = channels * stage.expansion;
                features = features.push(InvertedResidual::new(
                    [channels, inner, outputs],
                    stride,
                    &mut source,
                )?);
                channels = outputs;
            }
        }
        let last = config.channels(config.last_channels, config.width.max(1.0));
        let head = source.conv_norm_act(Conv2d::config(channels, last, 1), ReLU6)?;
        Ok(MobileNetV2 {
            quant: QuantStub.into(),
            features: features.push(head),
            pool: AdaptiveAvgPool2d::new(1).into(),
            classifier: Sequential::new()
                .push(Dropout::new(0.2))
                .push(source.linear_normal(last, config.num_classes)?),
            dequant: DeQuantStub.into(),
        })
    }

    /// Logits of a batch of images.
    ///
    /// # Errors
    /// Those of its modules, with the place.
    pub fn forward(&self, x: &Value) -> qnn::Result<Value> {
        let x = self.features.forward(&self.quant.forward(x)?)?;
        let x = self.pool.forward(&x)?.flatten(1)?;
        self.dequant.forward(&self.classifier.forward(&x)?)
    }
}

/// Expand 1×1, depthwise 3×3, project 1×1, and the input added where the shapes agree. No activation behind the
/// projection; no expansion where it would be by 1.
#[derive(Module)]
#[module(owned)]
pub struct InvertedResidual {
    conv: Sequential,
    skip_add: Option<Layer<FloatFunctional>>,
}

impl InvertedResidual {
    fn new(
        [channels, inner, outputs]: [usize; 3],
        stride: usize,
        source: &mut Source,
    ) -> qnn::Result<InvertedResidual> {
        let mut conv = Sequential::new();
        if inner != channels {
            conv = conv.push(source.conv_norm_act(Conv2d::config(channels, inner, 1), ReLU6)?);
        }
        let depthwise = Conv2d::config(inner, inner, 3)
            .stride(stride)
            .padding(1)
            .groups(inner);
        let conv = conv.push(source.conv_norm_act(depthwise, ReLU6)?);
        let (project, norm) = source.conv_norm(Conv2d::config(inner, outputs, 1))?;
        Ok(InvertedResidual {
            conv: conv.push(project).push(norm),
            skip_add: (stride == 1 && channels == outputs).then(|| FloatFunctional.into()),
        })
    }

    fn forward(&self, x: Value) -> qnn::Result<Value> {
        let Some(add) = &self.skip_add else {
            return self.conv.forward_owned(x);
        };
        let places: Vec<Link> = self.conv.iter().collect();
        let (inner, projection) = places.split_at(places.len() - PROJECTION);
        let mut y = x.clone();
        for place in inner {
            y = place.forward_owned(y)?;
        }
        add.add_after(projection, &y, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by torchvision's `_make_divisible`.
    #[test]
    fn channels_are_rounded_as_torchvision_rounds_them() {
        let config = MobileNetV2::config();
        for (width, channels, expected) in [
            (1.0, 24, 24),
            (0.75, 24, 24),
            (0.5, 24, 16),
            (0.35, 32, 16),
            (0.1, 160, 16),
            (0.1, 16, 8),
            (1.4, 1280, 1792),
        ] {
            assert_eq!(
                config.channels(channels, width),
                expected,
                "{channels} x {width}"
            );
        }
    }
}
