//! `Geometry`: what tells int8 convolutions and transposed ones apart, so that the rest of their modules is written once.

use qops::quantized::{Activation, DynamicQuant, OutQParams, PackedConv, PackedConvTranspose};
use qtensor_core::{QTensor, Tensor};

use crate::config::{ConvGeometry, ConvTransposeGeometry};
use crate::error::Result;
use crate::float;
use crate::float::conv::{by_dims, check_rank};
use crate::float::conv_transpose::check_by_channel;
use crate::reference::Referenced;
use crate::state::State;

/// How a convolution of one kind, over some number of dimensions, is packed, run and described.
///
/// Weights are `[out, in / groups, kernel…]` for both kinds.
pub trait Geometry: Copy + Send + Sync + 'static {
    /// The float module.
    type Float: Referenced;
    /// Weights, packed for the kernels.
    type Packed: PackedWeight;
    /// The kind of the module with calibrated qparams.
    const QUANTIZED: &'static str;
    /// The kind of the module that chooses the integers of its input in every call.
    const DYNAMIC: &'static str;

    /// The geometry of a float module.
    fn of(float: &Self::Float) -> Self;
    /// Refuses a weight and a bias that contradict the geometry, and packs the others.
    fn pack(
        &self,
        module: &'static str,
        w: &QTensor,
        bias: Option<&Tensor>,
    ) -> Result<Self::Packed>;
    /// Refuses inputs of another rank.
    fn check_rank(module: &'static str, x: &[usize]) -> Result<()>;
    /// Input and output channels, of a weight of this shape.
    fn channels(&self, weight: &[usize]) -> [usize; 2];
    /// The configuration of a module with such a weight.
    fn saved(&self, weight: &[usize]) -> State;
    /// The geometry that [`saved`](Self::saved) described.
    fn restored(module: &'static str, state: &mut State, weight: &[usize]) -> Result<Self>;
    /// The geometry in a line.
    fn described(&self) -> String;
}

/// Packed weights of either kind, under the names that both have.
pub trait PackedWeight: Send + Sync + 'static {
    /// The integers.
    fn weight(&self) -> &QTensor;
    /// The bias.
    fn bias(&self) -> Option<&Tensor>;
    /// On integers.
    fn run(&self, x: &QTensor, out: OutQParams, activation: Activation) -> Result<QTensor>;
    /// On floats, which are quantized as they come.
    fn run_dynamic(&self, x: &Tensor, quant: DynamicQuant, act: Activation) -> Result<Tensor>;
}

macro_rules! packed_weight {
    ($($packed:ty),*) => {$(
        impl PackedWeight for $packed {
            fn weight(&self) -> &QTensor {
                self.weight()
            }

            fn bias(&self) -> Option<&Tensor> {
                self.bias()
            }

            fn run(&self, x: &QTensor, out: OutQParams, activation: Activation) -> Result<QTensor> {
                Ok(self.run(x, out, activation)?)
            }

            fn run_dynamic(&self, x: &Tensor, quant: DynamicQuant, act: Activation) -> Result<Tensor> {
                Ok(self.run_dynamic(x, quant, act)?)
            }
        }
    )*};
}
packed_weight!(PackedConv, PackedConvTranspose);

impl<const D: usize> Geometry for ConvGeometry<D> {
    type Float = float::Conv<D>;
    type Packed = PackedConv;
    const QUANTIZED: &'static str =
        by_dims::<D>(["QuantizedConv1d", "QuantizedConv2d", "QuantizedConv3d"]);
    const DYNAMIC: &'static str = by_dims::<D>([
        "DynamicQuantizedConv1d",
        "DynamicQuantizedConv2d",
        "DynamicQuantizedConv3d",
    ]);

    fn of(float: &float::Conv<D>) -> ConvGeometry<D> {
        *float.geometry()
    }

    fn pack(&self, _: &'static str, w: &QTensor, bias: Option<&Tensor>) -> Result<PackedConv> {
        float::Conv::check_parts(w.shape(), bias, self)?;
        Ok(PackedConv::new(w, bias, &self.spec()?)?)
    }

    fn check_rank(module: &'static str, x: &[usize]) -> Result<()> {
        check_rank::<D>(module, x)
    }

    fn channels(&self, weight: &[usize]) -> [usize; 2] {
        [weight[1] * self.groups, weight[0]]
    }

    fn saved(&self, _: &[usize]) -> State {
        self.save(State::default())
    }

    fn restored(module: &'static str, state: &mut State, weight: &[usize]) -> Result<Self> {
        ConvGeometry::load(module, state, weight)
    }

    fn described(&self) -> String {
        self.repr()
    }
}

impl<const D: usize> Geometry for ConvTransposeGeometry<D> {
    type Float = float::ConvTranspose<D>;
    type Packed = PackedConvTranspose;
    const QUANTIZED: &'static str = by_dims::<D>([
        "QuantizedConvTranspose1d",
        "QuantizedConvTranspose2d",
        "QuantizedConvTranspose3d",
    ]);
    const DYNAMIC: &'static str = by_dims::<D>([
        "DynamicQuantizedConvTranspose1d",
        "DynamicQuantizedConvTranspose2d",
        "DynamicQuantizedConvTranspose3d",
    ]);

    fn of(float: &float::ConvTranspose<D>) -> ConvTransposeGeometry<D> {
        *float.geometry()
    }

    fn pack(
        &self,
        module: &'static str,
        w: &QTensor,
        bias: Option<&Tensor>,
    ) -> Result<PackedConvTranspose> {
        check_by_channel(module, w.shape(), bias, self)?;
        Ok(PackedConvTranspose::by_channel(w, bias, &self.spec()?)?)
    }

    fn check_rank(module: &'static str, x: &[usize]) -> Result<()> {
        check_rank::<D>(module, x)
    }

    fn channels(&self, weight: &[usize]) -> [usize; 2] {
        self.conv.channels(weight)
    }

    fn saved(&self, weight: &[usize]) -> State {
        self.save(State::default(), self.channels(weight))
    }

    fn restored(module: &'static str, state: &mut State, weight: &[usize]) -> Result<Self> {
        ConvTransposeGeometry::load(module, state, weight)
    }

    fn described(&self) -> String {
        self.repr()
    }
}
