//! Configurations of layers: sizes per dimension, and the builder of convolutions.

mod transposed;

pub use transposed::{ConvTransposeConfig, ConvTransposeGeometry};

use qops::{ConvSpec, PoolSpec};

use crate::error::{Error, Result};
use crate::float::Conv;
use crate::state::State;

/// A size for each of `D` dimensions; a single number stands for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes<const D: usize>(pub [usize; D]);

impl<const D: usize> From<usize> for Sizes<D> {
    fn from(size: usize) -> Sizes<D> {
        Sizes([size; D])
    }
}

impl<const D: usize> From<[usize; D]> for Sizes<D> {
    fn from(sizes: [usize; D]) -> Sizes<D> {
        Sizes(sizes)
    }
}

/// How a convolution moves over its input; everything but the channel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry<const D: usize> {
    /// The window's lengths.
    pub kernel_size: [usize; D],
    /// The step between windows.
    pub stride: [usize; D],
    /// Real zeros added at both ends of each dimension.
    pub padding: [usize; D],
    /// The distance between taps.
    pub dilation: [usize; D],
    /// Independent groups of channels.
    pub groups: usize,
}

impl<const D: usize> ConvGeometry<D> {
    /// The form that operations take.
    ///
    /// # Errors
    /// A zero stride, dilation or group count.
    pub fn spec(&self) -> Result<ConvSpec> {
        Ok(ConvSpec::new(
            &self.stride,
            &self.padding,
            &self.dilation,
            self.groups,
        )?)
    }

    pub(crate) fn save(&self, state: State) -> State {
        state
            .with_sizes("stride", &self.stride)
            .with_sizes("padding", &self.padding)
            .with_sizes("dilation", &self.dilation)
            .with_sizes("groups", &[self.groups])
    }

    pub(crate) fn load(
        module: &'static str,
        state: &mut State,
        weight: &[usize],
    ) -> Result<ConvGeometry<D>> {
        let Some(kernel_size) = weight.get(2..).and_then(|k| <[usize; D]>::try_from(k).ok()) else {
            return Err(Error::Config {
                module,
                what: format!(
                    "a weight of shape {weight:?} is none of a {D}-dimensional convolution"
                ),
            });
        };
        let [groups] = state.take_sizes(module, "groups")?;
        Ok(ConvGeometry {
            kernel_size,
            stride: state.take_sizes(module, "stride")?,
            padding: state.take_sizes(module, "padding")?,
            dilation: state.take_sizes(module, "dilation")?,
            groups,
        })
    }

    /// `kernel_size=[3, 3], stride=…`, leaving out what has its default.
    pub(crate) fn repr(&self) -> String {
        let mut out = format!("kernel_size={:?}", self.kernel_size);
        let mut add = |name: &str, sizes: [usize; D], default: usize| {
            if sizes != [default; D] {
                out.push_str(&format!(", {name}={sizes:?}"));
            }
        };
        add("stride", self.stride, 1);
        add("padding", self.padding, 0);
        add("dilation", self.dilation, 1);
        if self.groups != 1 {
            out.push_str(&format!(", groups={}", self.groups));
        }
        out
    }
}

/// The builder of a convolution: `Conv2d::config(in, out, kernel).padding(1).bias(false).build()?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvConfig<const D: usize> {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// Everything else.
    pub geometry: ConvGeometry<D>,
}

impl<const D: usize> ConvConfig<D> {
    /// Stride 1, no padding, no dilation, one group, with a bias.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: impl Into<Sizes<D>>,
    ) -> ConvConfig<D> {
        let geometry = ConvGeometry {
            kernel_size: kernel_size.into().0,
            stride: [1; D],
            padding: [0; D],
            dilation: [1; D],
            groups: 1,
        };
        ConvConfig {
            in_channels,
            out_channels,
            bias: true,
            geometry,
        }
    }

    /// The step between windows.
    pub fn stride(mut self, stride: impl Into<Sizes<D>>) -> ConvConfig<D> {
        self.geometry.stride = stride.into().0;
        self
    }

    /// Real zeros at both ends of each dimension.
    pub fn padding(mut self, padding: impl Into<Sizes<D>>) -> ConvConfig<D> {
        self.geometry.padding = padding.into().0;
        self
    }

    /// The distance between taps.
    pub fn dilation(mut self, dilation: impl Into<Sizes<D>>) -> ConvConfig<D> {
        self.geometry.dilation = dilation.into().0;
        self
    }

    /// Independent groups of channels; as many as input channels makes a depthwise convolution.
    pub fn groups(mut self, groups: usize) -> ConvConfig<D> {
        self.geometry.groups = groups;
        self
    }

    /// Whether there is a bias.
    pub fn bias(mut self, bias: bool) -> ConvConfig<D> {
        self.bias = bias;
        self
    }

    /// The weight's shape: output channels, input channels of one group, kernel.
    pub fn weight_shape(&self) -> Vec<usize> {
        let per_group = self.in_channels / self.geometry.groups.max(1);
        [self.out_channels, per_group]
            .into_iter()
            .chain(self.geometry.kernel_size)
            .collect()
    }

    /// The module, its parameters drawn from the seeded generator of [`crate::manual_seed`].
    ///
    /// # Errors
    /// [`Error::Config`] if the groups do not divide the channels or a size is zero.
    pub fn build(self) -> Result<Conv<D>> {
        Conv::new(self)
    }

    pub(crate) fn validate(&self, module: &'static str) -> Result<()> {
        check_channels(
            module,
            [self.in_channels, self.out_channels],
            &self.geometry,
        )
    }
}

/// Refuses numbers of input and output channels and a geometry that contradict each other.
fn check_channels<const D: usize>(
    module: &'static str,
    [inputs, outputs]: [usize; 2],
    g: &ConvGeometry<D>,
) -> Result<()> {
    let refuse = |what: String| Err(Error::Config { module, what });
    if g.groups == 0 || !inputs.is_multiple_of(g.groups) || !outputs.is_multiple_of(g.groups) {
        return refuse(format!(
            "{} groups do not divide {inputs} input and {outputs} output channels",
            g.groups
        ));
    }
    if inputs == 0 || outputs == 0 {
        return refuse(format!("{inputs} input and {outputs} output channels"));
    }
    if g.kernel_size.contains(&0) || g.stride.contains(&0) || g.dilation.contains(&0) {
        return refuse(format!(
            "kernel {:?}, stride {:?} and dilation {:?} must not hold a zero",
            g.kernel_size, g.stride, g.dilation
        ));
    }
    Ok(())
}

/// The window of a pooling layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig<const D: usize> {
    /// The window's lengths.
    pub kernel_size: [usize; D],
    /// The step between windows; the window's own length unless set.
    pub stride: [usize; D],
    /// Padding at both ends of each dimension.
    pub padding: [usize; D],
    /// The distance between taps (maximum pooling only).
    pub dilation: [usize; D],
    /// Whether a last, partly covered window counts.
    pub ceil_mode: bool,
    /// Whether padding counts in an average.
    pub count_include_pad: bool,
}

impl<const D: usize> PoolConfig<D> {
    /// Windows side by side.
    pub fn new(kernel_size: impl Into<Sizes<D>>) -> PoolConfig<D> {
        let kernel_size = kernel_size.into().0;
        PoolConfig {
            kernel_size,
            stride: kernel_size,
            padding: [0; D],
            dilation: [1; D],
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    /// The form that operations take: three dimensions, leading ones of length 1.
    pub fn spec(&self) -> PoolSpec {
        let widen = |sizes: [usize; D], fill: usize| {
            let mut out = [fill; 3];
            out[3 - D..].copy_from_slice(&sizes);
            out
        };
        PoolSpec {
            kernel: widen(self.kernel_size, 1),
            stride: widen(self.stride, 1),
            padding: widen(self.padding, 0),
            dilation: widen(self.dilation, 1),
            ceil_mode: self.ceil_mode,
            count_include_pad: self.count_include_pad,
            divisor_override: None,
        }
    }

    pub(crate) fn save(&self, state: State) -> State {
        state
            .with_sizes("kernel_size", &self.kernel_size)
            .with_sizes("stride", &self.stride)
            .with_sizes("padding", &self.padding)
            .with_sizes("dilation", &self.dilation)
            .with_sizes(
                "flags",
                &[
                    usize::from(self.ceil_mode),
                    usize::from(self.count_include_pad),
                ],
            )
    }

    pub(crate) fn repr(&self) -> String {
        let PoolConfig {
            kernel_size,
            stride,
            padding,
            ..
        } = self;
        format!("kernel_size={kernel_size:?}, stride={stride:?}, padding={padding:?}")
    }
}
