//! Configurations of transposed convolutions.

use qops::ConvTransposeSpec;

use super::{ConvGeometry, Sizes};
use crate::error::{Error, Result};
use crate::float::ConvTranspose;
use crate::state::State;

/// How a transposed convolution spreads its input; everything but the channel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTransposeGeometry<const D: usize> {
    /// Kernel, stride, padding, dilation and groups of the convolution that this is the adjoint of: the stride is that of
    /// the output, and the padding is cut off it.
    pub conv: ConvGeometry<D>,
    /// What is added at the far end of each dimension of the output.
    pub output_padding: [usize; D],
}

impl<const D: usize> ConvTransposeGeometry<D> {
    /// The form that operations take.
    ///
    /// # Errors
    /// A zero stride, dilation or group count, or an output padding that is neither less than its stride nor less than its
    /// dilation.
    pub fn spec(&self) -> Result<ConvTransposeSpec> {
        Ok(ConvTransposeSpec::new(
            &self.conv.stride,
            &self.conv.padding,
            &self.output_padding,
            &self.conv.dilation,
            self.conv.groups,
        )?)
    }

    /// The geometry, and what the shape of a weight says: its order differs between the forms of a layer.
    pub(crate) fn save(&self, state: State, channels: [usize; 2]) -> State {
        self.conv
            .save(state)
            .with_sizes("output_padding", &self.output_padding)
            .with_sizes("kernel_size", &self.conv.kernel_size)
            .with_sizes("channels", &channels)
    }

    /// The geometry beside a weight `[out, in / groups, kernel…]`.
    pub(crate) fn load(
        module: &'static str,
        state: &mut State,
        weight: &[usize],
    ) -> Result<ConvTransposeGeometry<D>> {
        let conv = ConvGeometry::load(module, state, weight)?;
        let geometry = ConvTransposeGeometry {
            conv,
            output_padding: state.take_sizes(module, "output_padding")?,
        };
        let kernel_size: [usize; D] = state.take_sizes(module, "kernel_size")?;
        let channels: [usize; 2] = state.take_sizes(module, "channels")?;
        let held = [weight[1].saturating_mul(conv.groups), weight[0]];
        if kernel_size != conv.kernel_size || channels != held {
            let what = format!(
                "a weight of shape {weight:?} is none of {channels:?} channels and a kernel of {kernel_size:?}"
            );
            return Err(Error::Config { module, what });
        }
        Ok(geometry)
    }

    /// As that of a convolution, with the output padding if there is one.
    pub(crate) fn repr(&self) -> String {
        let conv = self.conv.repr();
        if self.output_padding == [0; D] {
            return conv;
        }
        format!("{conv}, output_padding={:?}", self.output_padding)
    }
}

/// The builder of a transposed convolution: `ConvTranspose2d::config(in, out, kernel).stride(2).padding(1).build()?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTransposeConfig<const D: usize> {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// Everything else.
    pub geometry: ConvTransposeGeometry<D>,
}

impl<const D: usize> ConvTransposeConfig<D> {
    /// Stride 1, no padding of either kind, no dilation, one group, with a bias.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: impl Into<Sizes<D>>,
    ) -> ConvTransposeConfig<D> {
        let conv = ConvGeometry {
            kernel_size: kernel_size.into().0,
            stride: [1; D],
            padding: [0; D],
            dilation: [1; D],
            groups: 1,
        };
        ConvTransposeConfig {
            in_channels,
            out_channels,
            bias: true,
            geometry: ConvTransposeGeometry {
                conv,
                output_padding: [0; D],
            },
        }
    }

    /// The step between the windows of neighbouring inputs in the output.
    pub fn stride(mut self, stride: impl Into<Sizes<D>>) -> ConvTransposeConfig<D> {
        self.geometry.conv.stride = stride.into().0;
        self
    }

    /// What is cut off at both ends of each dimension of the output.
    pub fn padding(mut self, padding: impl Into<Sizes<D>>) -> ConvTransposeConfig<D> {
        self.geometry.conv.padding = padding.into().0;
        self
    }

    /// What is added at the far end of each dimension of the output.
    pub fn output_padding(mut self, padding: impl Into<Sizes<D>>) -> ConvTransposeConfig<D> {
        self.geometry.output_padding = padding.into().0;
        self
    }

    /// The distance between taps.
    pub fn dilation(mut self, dilation: impl Into<Sizes<D>>) -> ConvTransposeConfig<D> {
        self.geometry.conv.dilation = dilation.into().0;
        self
    }

    /// Independent groups of channels; as many as input channels makes a depthwise layer.
    pub fn groups(mut self, groups: usize) -> ConvTransposeConfig<D> {
        self.geometry.conv.groups = groups;
        self
    }

    /// Whether there is a bias.
    pub fn bias(mut self, bias: bool) -> ConvTransposeConfig<D> {
        self.bias = bias;
        self
    }

    /// The weight's shape: input channels, output channels of one group, kernel.
    pub fn weight_shape(&self) -> Vec<usize> {
        let per_group = self.out_channels / self.geometry.conv.groups.max(1);
        [self.in_channels, per_group]
            .into_iter()
            .chain(self.geometry.conv.kernel_size)
            .collect()
    }

    /// The module, its parameters drawn from the seeded generator of [`crate::manual_seed`].
    ///
    /// # Errors
    /// [`Error::Config`] if the groups do not divide the channels, a size is zero or an output padding too large.
    pub fn build(self) -> Result<ConvTranspose<D>> {
        ConvTranspose::new(self)
    }

    pub(crate) fn validate(&self, module: &'static str) -> Result<()> {
        super::check_channels(
            module,
            [self.in_channels, self.out_channels],
            &self.geometry.conv,
        )?;
        let conv = &self.geometry.conv;
        for axis in 0..D {
            let padding = self.geometry.output_padding[axis];
            let (stride, dilation) = (conv.stride[axis], conv.dilation[axis]);
            if padding >= stride.max(dilation) {
                let what = format!(
                    "output_padding {padding} must be less than stride {stride} or dilation {dilation}"
                );
                return Err(Error::Config { module, what });
            }
        }
        Ok(())
    }
}
