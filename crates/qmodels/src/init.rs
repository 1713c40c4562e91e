//! Where parameters come from before a checkpoint is loaded.

use qnn::{BatchNorm2d, Conv2d, ConvConfig, Linear, Module, Node, Sequential, State, Value};
use qtensor_core::{MemoryFormat, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// How a network's parameters start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Drawn as torchvision draws them; the same seed gives the same network on every machine.
    ///
    /// Convolutions are normal with variance `2 / fan_out` (He et al., <https://arxiv.org/abs/1502.01852>). The running
    /// variance of a batch norm is what a rectified normal input would cause, `fan_in / fan_out` of its convolution, so
    /// that activations keep their size through all layers without training.
    Random {
        /// The generator's seed.
        seed: u64,
    },
    /// Zeros, for a network whose weights are loaded next; drawing millions of numbers takes a while.
    Zeros,
}

impl Default for Init {
    fn default() -> Init {
        Init::Random { seed: 0 }
    }
}

/// Makes modules with parameters of an [`Init`].
pub(crate) struct Source {
    rng: Option<ChaCha8Rng>,
}

impl Source {
    pub(crate) fn new(init: Init) -> Source {
        let rng = match init {
            Init::Random { seed } => Some(ChaCha8Rng::seed_from_u64(seed)),
            Init::Zeros => None,
        };
        Source { rng }
    }

    /// A convolution with weights of variance `2 / fan_out` and a bias of zeros, if there is one.
    pub(crate) fn conv(&mut self, config: ConvConfig<2>) -> qnn::Result<Conv2d> {
        let shape = config.weight_shape();
        let (_, fan_out) = fans(&shape);
        let weight = self.normal(&shape, (2.0 / fan_out).sqrt())?;
        let bias = config.bias.then(|| Tensor::zeros(&[config.out_channels]));
        Conv2d::from_parts(weight, bias.transpose()?, config.geometry)
    }

    /// A convolution without bias, its batch norm, and `rectifier`, in places `0`, `1` and `2`.
    pub(crate) fn conv_norm_act(
        &mut self,
        config: ConvConfig<2>,
        rectifier: impl Module<Input = Value, Output = Value>,
    ) -> qnn::Result<Sequential> {
        let (conv, norm) = self.conv_norm(config)?;
        Ok(Sequential::new().push(conv).push(norm).push(rectifier))
    }

    /// A convolution without bias and its batch norm.
    pub(crate) fn conv_norm(
        &mut self,
        config: ConvConfig<2>,
    ) -> qnn::Result<(Conv2d, BatchNorm2d)> {
        let conv = self.conv(config.bias(false))?;
        let norm = self.norm(&conv)?;
        Ok((conv, norm))
    }

    /// The batch norm behind `conv`.
    pub(crate) fn norm(&self, conv: &Conv2d) -> qnn::Result<BatchNorm2d> {
        let shape = conv.weight().shape();
        let mut norm = BatchNorm2d::new(shape[0])?;
        if self.rng.is_some() {
            let (fan_in, fan_out) = fans(shape);
            let variance = Tensor::full(&[shape[0]], fan_in / fan_out)?;
            let mut state = norm
                .state()
                .merged(State::default().with_tensor("running_var", Some(&variance)));
            norm.load_state(&mut state)?;
        }
        Ok(norm)
    }

    /// A linear layer of uniform numbers below `1 / √inputs`, PyTorch's default.
    pub(crate) fn linear_uniform(&mut self, inputs: usize, outputs: usize) -> qnn::Result<Linear> {
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        let mut draw =
            |shape: &[usize]| self.tensor(shape, |rng| (rng.random::<f32>() * 2.0 - 1.0) * bound);
        let (weight, bias) = (draw(&[outputs, inputs])?, draw(&[outputs])?);
        Linear::from_parts(weight, Some(bias))
    }

    /// A linear layer of normal numbers with deviation 0.01, and a bias of zeros.
    pub(crate) fn linear_normal(&mut self, inputs: usize, outputs: usize) -> qnn::Result<Linear> {
        let weight = self.normal(&[outputs, inputs], 0.01)?;
        Linear::from_parts(weight, Some(Tensor::zeros(&[outputs])?))
    }

    fn normal(&mut self, shape: &[usize], deviation: f32) -> qnn::Result<Tensor> {
        self.tensor(shape, |rng| {
            rng.sample::<f32, _>(StandardNormal) * deviation
        })
    }

    fn tensor(
        &mut self,
        shape: &[usize],
        mut draw: impl FnMut(&mut ChaCha8Rng) -> f32,
    ) -> qnn::Result<Tensor> {
        Ok(Tensor::build(shape, MemoryFormat::Contiguous, |out| {
            match &mut self.rng {
                Some(rng) => out.iter_mut().for_each(|v| *v = draw(rng)),
                None => out.fill(0.0),
            }
            Ok::<(), qtensor_core::Error>(())
        })?)
    }
}

/// Products that end in one output, and outputs that one input reaches, of a weight `(out, in / groups, kernel…)`.
///
/// As in PyTorch, groups do not divide the second number.
fn fans(weight: &[usize]) -> (f32, f32) {
    let taps: usize = weight[2..].iter().product();
    (
        (weight[1] * taps).max(1) as f32,
        (weight[0] * taps).max(1) as f32,
    )
}
