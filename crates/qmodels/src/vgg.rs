//! VGG (Simonyan and Zisserman, <https://arxiv.org/abs/1409.1556>), with torchvision's names.

use qnn::{
    AdaptiveAvgPool2d, Conv2d, DeQuantStub, Dropout, Layer, MaxPool2d, Module, QuantStub, ReLU,
    Sequential, Value,
};

use crate::error::{Error, Result};
use crate::init::{Init, Source};

const MODEL: &str = "VGG";

/// What a [`Vgg`] is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VggConfig {
    /// Output channels of the 3×3 convolutions of each stage; a 2×2 maximum pool ends a stage.
    pub stages: Vec<Vec<usize>>,
    /// Whether a batch norm follows each convolution.
    pub batch_norm: bool,
    /// Side of the square that the classifier sees, after an adaptive average pool.
    pub pool: usize,
    /// Features between the classifier's layers.
    pub hidden: usize,
    /// Outputs.
    pub num_classes: usize,
    /// How parameters start.
    pub init: Init,
}

impl VggConfig {
    fn published(convs: [usize; 5]) -> VggConfig {
        let stage = |(&count, channels)| vec![channels; count];
        VggConfig {
            stages: convs
                .iter()
                .zip([64, 128, 256, 512, 512])
                .map(stage)
                .collect(),
            batch_norm: false,
            pool: 7,
            hidden: 4096,
            num_classes: 1000,
            init: Init::default(),
        }
    }

    /// Output channels of the convolutions of each stage.
    pub fn stages(mut self, stages: Vec<Vec<usize>>) -> VggConfig {
        self.stages = stages;
        self
    }

    /// Whether a batch norm follows each convolution.
    pub fn batch_norm(mut self, batch_norm: bool) -> VggConfig {
        self.batch_norm = batch_norm;
        self
    }

    /// Side of the square that the classifier sees.
    pub fn pool(mut self, pool: usize) -> VggConfig {
        self.pool = pool;
        self
    }

    /// Features between the classifier's layers.
    pub fn hidden(mut self, hidden: usize) -> VggConfig {
        self.hidden = hidden;
        self
    }

    /// Outputs.
    pub fn num_classes(mut self, num_classes: usize) -> VggConfig {
        self.num_classes = num_classes;
        self
    }

    /// How parameters start.
    pub fn init(mut self, init: Init) -> VggConfig {
        self.init = init;
        self
    }

    /// The network.
    ///
    /// # Errors
    /// [`Error::Config`] without convolutions, or for a count of zero.
    pub fn build(self) -> Result<Vgg> {
        let VggConfig {
            stages,
            pool,
            hidden,
            num_classes,
            ..
        } = &self;
        let channels = || stages.iter().flatten();
        if channels().next().is_none()
            || channels().any(|&c| c == 0)
            || [*pool, *hidden, *num_classes].contains(&0)
        {
            return Err(Error::Config {
                model: MODEL,
                what: format!(
                    "stages {stages:?}, a pool of {pool}, {hidden} hidden features and {num_classes} classes: there must \
                     be a convolution, and no zero"
                ),
            });
        }
        Ok(Vgg::new(&self)?)
    }
}

/// Stages of 3×3 convolutions, then three linear layers: images `(N, 3, H, W)` to logits `(N, num_classes)`.
///
/// `H` and `W` are at least 2 for each stage's pool, 32 for the published networks.
///
/// ```
/// use qmodels::Vgg;
/// use qnn::Value;
/// use qtensor_core::Tensor;
///
/// let stages = vec![vec![8], vec![16, 16]];
/// let net = Vgg::vgg11().stages(stages).batch_norm(true).pool(2).hidden(32).num_classes(10).build()?;
/// let image: Value = Tensor::zeros(&[1, 3, 16, 16])?.into();
/// assert_eq!(net.forward(&image)?.shape(), [1, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module)]
pub struct Vgg {
    quant: Layer<QuantStub>,
    features: Sequential,
    avgpool: Layer<AdaptiveAvgPool2d>,
    classifier: Sequential,
    dequant: Layer<DeQuantStub>,
}

impl Vgg {
    /// 11 layers (configuration A).
    pub fn vgg11() -> VggConfig {
        VggConfig::published([1, 1, 2, 2, 2])
    }

    /// 13 layers (configuration B).
    pub fn vgg13() -> VggConfig {
        VggConfig::published([2, 2, 2, 2, 2])
    }

    /// 16 layers (configuration D).
    pub fn vgg16() -> VggConfig {
        VggConfig::published([2, 2, 3, 3, 3])
    }

    /// 19 layers (configuration E).
    pub fn vgg19() -> VggConfig {
        VggConfig::published([2, 2, 4, 4, 4])
    }

    fn new(config: &VggConfig) -> qnn::Result<Vgg> {
        let mut source = Source::new(config.init);
        let mut channels = 3;
        let mut features = Sequential::new();
        for stage in &config.stages {
            for &outputs in stage {
                let conv = source.conv(Conv2d::config(channels, outputs, 3).padding(1))?;
                let norm = config.batch_norm.then(|| source.norm(&conv)).transpose()?;
                features = features.push(conv);
                if let Some(norm) = norm {
                    features = features.push(norm);
                }
                features = features.push(ReLU);
                channels = outputs;
            }
            features = features.push(MaxPool2d::new(2));
        }
        let inputs = channels * config.pool * config.pool;
        let hidden = config.hidden;
        Ok(Vgg {
            quant: QuantStub.into(),
            features,
            avgpool: AdaptiveAvgPool2d::new(config.pool).into(),
            classifier: Sequential::new()
                .push(source.linear_normal(inputs, hidden)?)
                .push(ReLU)
                .push(Dropout::new(0.5))
                .push(source.linear_normal(hidden, hidden)?)
                .push(ReLU)
                .push(Dropout::new(0.5))
                .push(source.linear_normal(hidden, config.num_classes)?),
            dequant: DeQuantStub.into(),
        })
    }

    /// Logits of a batch of images.
    ///
    /// # Errors
    /// Those of its modules, with the place: also for an image that a pool shrinks to nothing.
    pub fn forward(&self, x: &Value) -> qnn::Result<Value> {
        let x = self.features.forward(&self.quant.forward(x)?)?;
        let x = self.avgpool.forward(&x)?.flatten(1)?;
        self.dequant.forward(&self.classifier.forward(&x)?)
    }
}
