//! `Weighted`: the weight and bias of a place, whatever module holds them, read and written back.

use std::any::Any;

use qgrad::{Var, ops};
use qnn::{Conv, Entry, Linear, Node, intrinsic, walk, walk_mut};
use qtensor_core::Tensor;

use crate::error::{Error, Result};

/// A linear layer's or convolution's numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weighted {
    pub(crate) path: String,
    pub(crate) kind: &'static str,
    /// `(C_out, C_in / groups, kernel…)`.
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) groups: usize,
}

impl Weighted {
    /// Reads those of a place.
    pub(crate) fn read(model: &dyn Node, operation: &'static str, path: &str) -> Result<Weighted> {
        let (mut found, mut known) = (None, Vec::new());
        walk(model, &mut |name, node| {
            let Some(place) = node.as_place() else { return };
            known.push(name.to_string());
            if name == path {
                found = Some(Weighted::of(name, place.held()).ok_or(node.kind()));
            }
        });
        match found {
            Some(Ok(weighted)) => Ok(weighted),
            Some(Err(kind)) => Err(Error::Repair {
                operation,
                what: format!(
                    "{path} holds a {kind}, expected a float convolution or linear layer"
                ),
            }),
            None => Err(Error::UnknownPlaces {
                operation,
                names: vec![path.into()],
                known,
            }),
        }
    }

    /// Those of a module, if it is a float convolution or linear layer, plain or with an activation.
    pub(crate) fn of(path: &str, held: &dyn Node) -> Option<Weighted> {
        product(held).map(drop)?;
        let (state, config) = (held.state(), held.config());
        let groups = match config.get("groups") {
            Some(Entry::Ints(groups)) => usize::try_from(*groups.first()?).ok()?,
            _ => 1,
        };
        let tensor = |key: &str| match state.get(key) {
            Some(Entry::Tensor(tensor)) => Some(tensor.clone()),
            _ => None,
        };
        Some(Weighted {
            path: path.into(),
            kind: held.kind(),
            weight: tensor("weight")?,
            bias: tensor("bias"),
            groups,
        })
    }

    /// Writes weight and bias back into the place.
    pub(crate) fn write(&self, model: &mut dyn Node) -> Result<()> {
        let mut result = Ok(());
        walk_mut(model, &mut |path, node| {
            if path == self.path {
                let mut state = qnn::State::default()
                    .with_tensor("weight", Some(&self.weight))
                    .with_tensor("bias", self.bias.as_ref());
                result = node.load_state(&mut state);
            }
        });
        Ok(result?)
    }

    pub(crate) fn out_channels(&self) -> usize {
        self.weight.shape().first().copied().unwrap_or(0)
    }

    pub(crate) fn in_channels(&self) -> usize {
        self.weight.shape().get(1).copied().unwrap_or(0) * self.groups
    }

    /// For each element of the weight, in order: its index, its output channel and its input channel.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let shape = self.weight.shape();
        let (out, per_group) = (self.out_channels(), shape.get(1).copied().unwrap_or(1));
        let kernel: usize = shape.iter().skip(2).product();
        let (rows, per_out) = (out / self.groups.max(1), per_group * kernel);
        (0..out * per_out).map(move |i| {
            let (o, j) = (i / per_out, i % per_out / kernel);
            (i, o, o / rows.max(1) * per_group + j)
        })
    }
}

/// What a module computes from its input and a weight, before bias and activation.
pub(crate) type Product = Box<dyn Fn(&Var, &Var) -> Result<Var>>;

/// The product of a float convolution or linear layer, plain or with an activation behind it.
pub(crate) fn product(held: &dyn Node) -> Option<Product> {
    fn conv<const D: usize>(any: &dyn Any) -> Option<Product> {
        let fused = any.downcast_ref::<intrinsic::ConvReLU<D>>();
        let conv = any
            .downcast_ref::<Conv<D>>()
            .or(fused.map(|f| f.module()))?;
        let geometry = *conv.geometry();
        Some(Box::new(move |x, w| {
            Ok(ops::conv(x, w, None, &geometry.spec()?)?)
        }))
    }
    let any = held as &dyn Any;
    let linear = any.is::<Linear>()
        || any.is::<intrinsic::LinearReLU>()
        || any.is::<intrinsic::LinearLeakyReLU>()
        || any.is::<intrinsic::LinearTanh>();
    if linear {
        return Some(Box::new(|x, w| Ok(ops::linear(x, w, None)?)));
    }
    conv::<1>(any)
        .or_else(|| conv::<2>(any))
        .or_else(|| conv::<3>(any))
}
