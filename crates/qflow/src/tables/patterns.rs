//! The table of fusions: which chains of modules become which fused module.

use std::any::{Any, TypeId, type_name};

use qnn::intrinsic::{
    Activated, ConvBn, Curve, Fused, LinearBn1d, Rectified, Rectifier, fold_conv,
    fold_conv_transpose, fold_linear,
};
use qnn::{
    BatchNorm, Conv, ConvTranspose, Erased, LeakyReLU, Linear, Module, Node, ReLU, ReLU6, Tanh,
    Value, erase,
};

use crate::error::{Error, Result};
use crate::tables::mapping::short_name;

type Fuse = Box<dyn Fn(&[&dyn Node]) -> Result<Option<Erased>> + Send + Sync>;

/// One chain of module types and the function that fuses it.
pub(crate) struct Pattern {
    types: Vec<TypeId>,
    /// The chain in words, `Conv2d + BatchNorm2d + ReLU`.
    pub(crate) name: String,
    /// The channels that the first module gives and that the second one is for, if the second is a batch norm.
    channels: fn(&[&dyn Node]) -> Option<[usize; 2]>,
    fuse: Fuse,
}

impl Pattern {
    /// Whether the chain computes its fused module for values of this rank between its first two modules.
    ///
    /// A batch norm behind a linear layer normalizes dimension 1, which holds the features of a `(N, C)` value only.
    pub(crate) fn holds_for(&self, rank: usize) -> bool {
        self.types[..2] != [TypeId::of::<Linear>(), TypeId::of::<BatchNorm<1>>()] || rank == 2
    }

    /// The number of modules in the chain.
    pub(crate) fn len(&self) -> usize {
        self.types.len()
    }

    /// True if the chain consists of modules of these types.
    pub(crate) fn matches(&self, nodes: &[&dyn Node]) -> bool {
        nodes.len() == self.types.len()
            && nodes
                .iter()
                .zip(&self.types)
                .all(|(&n, t)| n.type_id() == *t)
    }

    /// The fused module; `places` name the chain in errors.
    pub(crate) fn fuse(&self, nodes: &[&dyn Node], places: &[String]) -> Result<Erased> {
        let not_fusable = || Error::NotFusable {
            places: places.to_vec(),
            kinds: nodes.iter().map(|n| n.kind().to_string()).collect(),
            patterns: vec![self.name.clone()],
        };
        if let Some([expected, actual]) = (self.channels)(nodes)
            && expected != actual
        {
            return Err(Error::FuseChannels {
                first: places[0].clone(),
                expected,
                second: places[1].clone(),
                actual,
            });
        }
        (self.fuse)(nodes)?.ok_or_else(not_fusable)
    }
}

/// What fusion is for: batch norms are folded for inference, and kept for training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Inference,
    Training,
}

/// All fusion patterns for a purpose, longest first.
#[doc(alias = "get_fuser_method")]
pub(crate) fn patterns(purpose: Purpose) -> Vec<Pattern> {
    let mut all = Vec::new();
    rectified::<Linear>(&mut all);
    activated::<LeakyReLU>(&mut all);
    activated::<Tanh>(&mut all);
    dims::<1>(&mut all, purpose);
    dims::<2>(&mut all, purpose);
    dims::<3>(&mut all, purpose);
    match purpose {
        Purpose::Inference => {
            normed::<Linear, BatchNorm<1>, Linear>(&mut all, |l, n| Ok(fold_linear(l, n)?))
        }
        Purpose::Training => normed::<Linear, BatchNorm<1>, LinearBn1d>(&mut all, |l, n| {
            Ok(LinearBn1d::new(l.clone(), n.clone())?)
        }),
    }
    all.sort_by_key(|p| std::cmp::Reverse(p.len()));
    all
}

/// `Linear + A`.
fn activated<A: Curve>(all: &mut Vec<Pattern>) {
    all.push(Pattern {
        types: vec![TypeId::of::<Linear>(), TypeId::of::<A>()],
        name: name(&[type_name::<Linear>(), type_name::<A>()]),
        channels: |_| None,
        fuse: Box::new(|nodes| match nodes {
            [linear, activation] => Ok(both::<Linear, A>(*linear, *activation)
                .map(|(linear, a)| erase(Activated::new(linear.clone(), a.clone())))),
            _ => Ok(None),
        }),
    });
}

fn dims<const D: usize>(all: &mut Vec<Pattern>, purpose: Purpose) {
    rectified::<Conv<D>>(all);
    rectified::<ConvTranspose<D>>(all);
    rectified::<BatchNorm<D>>(all);
    match purpose {
        Purpose::Inference => {
            normed::<Conv<D>, BatchNorm<D>, Conv<D>>(all, |c, n| Ok(fold_conv(c, n)?));
            normed::<ConvTranspose<D>, BatchNorm<D>, ConvTranspose<D>>(all, |c, n| {
                Ok(fold_conv_transpose(c, n)?)
            });
        }
        // A transposed convolution and its batch norm are trained as two places, which PyTorch does not fuse either.
        Purpose::Training => normed::<Conv<D>, BatchNorm<D>, ConvBn<D>>(all, |c, n| {
            Ok(ConvBn::new(c.clone(), n.clone())?)
        }),
    }
}

/// A layer and its batch norm, alone and with a rectifier.
fn normed<A: Channels, N: Channels, F: Rectified + Module<Input = Value, Output = Value>>(
    all: &mut Vec<Pattern>,
    join: fn(&A, &N) -> Result<F>,
) {
    pair::<A, N, F>(all, join);
    rectified_norm::<A, N, F>(all, join);
}

/// `A + B`.
fn pair<A: Channels, B: Channels, F: Module<Input = Value, Output = Value>>(
    all: &mut Vec<Pattern>,
    join: fn(&A, &B) -> Result<F>,
) {
    all.push(Pattern {
        types: vec![TypeId::of::<A>(), TypeId::of::<B>()],
        name: name(&[type_name::<A>(), type_name::<B>()]),
        channels: channels_of::<A, B>,
        fuse: Box::new(move |nodes| match nodes {
            [a, b] => both::<A, B>(*a, *b)
                .map(|(a, b)| join(a, b).map(erase))
                .transpose(),
            _ => Ok(None),
        }),
    });
}

/// `A + ReLU` and `A + ReLU6`.
fn rectified<A: Rectified + Module<Input = Value, Output = Value> + Clone>(all: &mut Vec<Pattern>) {
    for (rectifier, id, label) in rectifiers() {
        all.push(Pattern {
            types: vec![TypeId::of::<A>(), id],
            name: name(&[type_name::<A>(), label]),
            channels: |_| None,
            fuse: Box::new(move |nodes| {
                let first = nodes
                    .first()
                    .and_then(|&n| (n as &dyn Any).downcast_ref::<A>());
                Ok(first.map(|a| erase(Fused::new(a.clone(), rectifier))))
            }),
        });
    }
}

/// `A + N + ReLU` and `A + N + ReLU6`, the first two joined.
fn rectified_norm<
    A: Channels,
    N: Channels,
    F: Rectified + Module<Input = Value, Output = Value>,
>(
    all: &mut Vec<Pattern>,
    join: fn(&A, &N) -> Result<F>,
) {
    for (rectifier, id, label) in rectifiers() {
        all.push(Pattern {
            types: vec![TypeId::of::<A>(), TypeId::of::<N>(), id],
            name: name(&[type_name::<A>(), type_name::<N>(), label]),
            channels: channels_of::<A, N>,
            fuse: Box::new(move |nodes| match nodes {
                [a, n, _] => match both::<A, N>(*a, *n) {
                    Some((a, n)) => Ok(Some(erase(Fused::new(join(a, n)?, rectifier)))),
                    None => Ok(None),
                },
                _ => Ok(None),
            }),
        });
    }
}

fn rectifiers() -> [(Rectifier, TypeId, &'static str); 2] {
    [
        (Rectifier::ReLU, TypeId::of::<ReLU>(), "ReLU"),
        (Rectifier::ReLU6, TypeId::of::<ReLU6>(), "ReLU6"),
    ]
}

fn both<'a, A: Module, B: Module>(a: &'a dyn Node, b: &'a dyn Node) -> Option<(&'a A, &'a B)> {
    Some((
        (a as &dyn Any).downcast_ref()?,
        (b as &dyn Any).downcast_ref()?,
    ))
}

/// The chain in words.
fn name(types: &[&str]) -> String {
    let names: Vec<String> = types.iter().map(|t| short_name(t)).collect();
    names.join(" + ")
}

/// The channels that a layer gives, or that a batch norm is for.
trait Channels: Module {
    fn channels(&self) -> usize;
}

impl Channels for Linear {
    fn channels(&self) -> usize {
        self.weight().shape()[0]
    }
}

impl<const D: usize> Channels for Conv<D> {
    fn channels(&self) -> usize {
        self.weight().shape()[0]
    }
}

impl<const D: usize> Channels for ConvTranspose<D> {
    fn channels(&self) -> usize {
        self.out_channels()
    }
}

impl<const D: usize> Channels for BatchNorm<D> {
    fn channels(&self) -> usize {
        self.weight().numel()
    }
}

/// The channels of a layer and of the batch norm behind it.
fn channels_of<A: Channels, N: Channels>(nodes: &[&dyn Node]) -> Option<[usize; 2]> {
    let [first, second, ..] = nodes else {
        return None;
    };
    let (a, n) = both::<A, N>(*first, *second)?;
    Some([a.channels(), n.channels()])
}
