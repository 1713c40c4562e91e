//! Images in another size. Modules take float and quantized values alike; a quantized one keeps its scale and zero point.

use qops::{Interpolation, ResizeTo, quantized};

use crate::error::Result;
use crate::float::conv::check_rank;
use crate::module::{Module, Node};
use crate::state::{Entry, State};
use crate::value::Value;

/// How large the result is.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    Size(Vec<usize>),
    Factor(Vec<f64>),
}

/// Images `(N, C, …)` in another size: formulas at [`Interpolation`] and [`ResizeTo`].
///
/// Nearest pixels for one to three spatial dimensions, bilinear results for two. Integers in give integers out, with the same scale
/// and zero point: conversion leaves the module as it is.
///
/// # Errors
/// `forward` returns those of [`qops::float::interpolate`].
///
/// ```
/// use qnn::{Module, Upsample};
/// use qops::Interpolation;
/// use qtensor_core::Tensor;
///
/// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], &[1, 1, 2, 2])?;
/// let twice = Upsample::by(&[2.0], Interpolation::Nearest);
/// assert_eq!(twice.forward(&x.clone().into())?.shape(), [1, 1, 4, 4]);
/// let wide = Upsample::to(&[1, 3], Interpolation::Bilinear { align_corners: true });
/// assert_eq!(wide.forward(&x.into())?.to_tensor().to_vec(), [1.0, 1.5, 2.0]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Upsample {
    target: Target,
    mode: Interpolation,
}

/// [`Upsample`] of `(N, C, H, W)` by nearest pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct UpsamplingNearest2d(Upsample);

/// [`Upsample`] of `(N, C, H, W)` by bilinear interpolation with aligned corners.
#[derive(Clone, Debug, PartialEq)]
pub struct UpsamplingBilinear2d(Upsample);

impl Upsample {
    const KIND: &'static str = "Upsample";

    /// To these lengths of the spatial dimensions; a single one is for all of them.
    pub fn to(size: &[usize], mode: Interpolation) -> Upsample {
        Upsample {
            target: Target::Size(size.to_vec()),
            mode,
        }
    }

    /// By these factors of the spatial dimensions; a single one is for all of them.
    #[doc(alias = "scale_factor")]
    pub fn by(scale_factor: &[f64], mode: Interpolation) -> Upsample {
        Upsample {
            target: Target::Factor(scale_factor.to_vec()),
            mode,
        }
    }

    /// The mode.
    pub fn mode(&self) -> Interpolation {
        self.mode
    }

    fn run(&self, input: &Value) -> Result<Value> {
        let dims = input.shape().len().saturating_sub(2);
        let (size, factor);
        let to = match &self.target {
            Target::Size(given) => {
                size = for_all(given, dims);
                ResizeTo::Size(&size)
            }
            Target::Factor(given) => {
                factor = for_all(given, dims);
                ResizeTo::Factor(&factor)
            }
        };
        Ok(match input {
            Value::Float(x) => qgrad::ops::interpolate(x, to, self.mode)?.into(),
            Value::Quantized(q) => quantized::interpolate(q, to, self.mode)?.into(),
        })
    }

    fn target_repr(&self) -> String {
        match &self.target {
            Target::Size(size) => format!("size={size:?}"),
            Target::Factor(factor) => format!("scale_factor={factor:?}"),
        }
    }
}

/// A single number for each of so many dimensions; several as they are.
fn for_all<T: Copy>(given: &[T], dims: usize) -> Vec<T> {
    match given {
        &[one] => vec![one; dims],
        several => several.to_vec(),
    }
}

macro_rules! in_two_dimensions {
    ($($module:ident, $mode:expr;)*) => {$(
        impl $module {
            const KIND: &'static str = stringify!($module);

            /// To this height and width; a single length is for both.
            pub fn to(size: &[usize]) -> $module {
                $module(Upsample::to(size, $mode))
            }

            /// By these factors of height and width; a single one is for both.
            #[doc(alias = "scale_factor")]
            pub fn by(scale_factor: &[f64]) -> $module {
                $module(Upsample::by(scale_factor, $mode))
            }
        }

        impl Node for $module {
            fn kind(&self) -> &'static str {
                Self::KIND
            }

            fn extra_repr(&self) -> String {
                self.0.target_repr()
            }

            fn config(&self) -> State {
                self.0.config()
            }
        }

        impl Module for $module {
            type Input = Value;
            type Output = Value;

            fn forward(&self, input: &Value) -> Result<Value> {
                check_rank::<2>(Self::KIND, input.shape())?;
                self.0.run(input)
            }
        }
    )*};
}
in_two_dimensions! {
    UpsamplingNearest2d, Interpolation::Nearest;
    UpsamplingBilinear2d, Interpolation::Bilinear { align_corners: true };
}

impl Node for Upsample {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{}, mode={:?}", self.target_repr(), self.mode)
    }

    fn config(&self) -> State {
        let mode = match self.mode {
            Interpolation::Nearest => "nearest",
            Interpolation::Bilinear {
                align_corners: false,
            } => "bilinear",
            Interpolation::Bilinear {
                align_corners: true,
            } => "bilinear, align_corners",
        };
        let state = State::default().with("mode", Entry::Text(mode.into()));
        match &self.target {
            Target::Size(size) => state.with_sizes("size", size),
            Target::Factor(factor) => factor.iter().enumerate().fold(state, |state, (i, &f)| {
                state.with(&format!("scale_factor.{i}"), Entry::Real(f))
            }),
        }
    }
}

impl Module for Upsample {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.run(input)
    }
}
