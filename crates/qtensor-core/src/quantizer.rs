//! `Quantizer`: the affine map of a quantized tensor, per tensor or per channel, and how views carry it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dtype::DType;
use crate::error::{Error, Result};

/// `x = (q − z) · s`: the scale and zero point of a whole tensor, or of each channel.
///
/// Scales are held in `f64` and used in `f32`, as PyTorch holds and uses them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Quantizer {
    /// One scale and zero point.
    PerTensor {
        /// The real distance between neighbouring integers.
        scale: f64,
        /// The integer that stands for real zero.
        zero_point: i32,
    },
    /// One scale and zero point for each index along `axis`.
    PerChannel {
        /// A scale for each channel.
        #[serde(deserialize_with = "crate::grown::shared")]
        scales: Arc<[f64]>,
        /// A zero point for each channel.
        #[serde(deserialize_with = "crate::grown::shared")]
        zero_points: Arc<[i32]>,
        /// The channel axis.
        axis: usize,
    },
}

impl Quantizer {
    /// One scale and zero point for the whole tensor.
    pub fn per_tensor(scale: f64, zero_point: i32) -> Quantizer {
        Quantizer::PerTensor { scale, zero_point }
    }

    /// A scale and a zero point for each index along `axis`.
    pub fn per_channel(scales: &[f64], zero_points: &[i32], axis: usize) -> Quantizer {
        Quantizer::PerChannel {
            scales: scales.into(),
            zero_points: zero_points.into(),
            axis,
        }
    }

    /// `per-tensor` or `per-channel`, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Quantizer::PerTensor { .. } => "per-tensor",
            Quantizer::PerChannel { .. } => "per-channel",
        }
    }

    /// The scale and zero point of channel `c` (any `c` for a per-tensor map), scale in `f32`.
    pub fn channel(&self, c: usize) -> Option<(f32, i32)> {
        match self {
            Quantizer::PerTensor { scale, zero_point } => Some((*scale as f32, *zero_point)),
            Quantizer::PerChannel {
                scales,
                zero_points,
                ..
            } => Some((*scales.get(c)? as f32, *zero_points.get(c)?)),
        }
    }

    /// Checks the map for a shape and storage type.
    ///
    /// PyTorch accepts any scale and then divides by zero or produces NaN; here scales are finite and positive
    /// (and stay so as `f32`).
    ///
    /// # Errors
    /// [`Error::InvalidScale`], [`Error::InvalidZeroPoint`], [`Error::ChannelCount`], [`Error::NoSuchDim`].
    pub fn validate(&self, operation: &'static str, dtype: DType, shape: &[usize]) -> Result<()> {
        let check = |scale: f64, zero_point: i32, channel: Option<usize>| {
            let used = scale as f32;
            if !(used.is_finite() && used > 0.0 && (1.0 / used).is_finite()) {
                return Err(Error::InvalidScale {
                    operation,
                    scale,
                    channel,
                });
            }
            let (lo, hi) = dtype.range();
            if !(lo..=hi).contains(&zero_point) {
                return Err(Error::InvalidZeroPoint {
                    operation,
                    zero_point: zero_point.into(),
                    dtype,
                    lo: lo.into(),
                    hi: hi.into(),
                    channel,
                });
            }
            Ok(())
        };
        match self {
            Quantizer::PerTensor { scale, zero_point } => check(*scale, *zero_point, None),
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } => {
                let Some(&channels) = shape.get(*axis) else {
                    return Err(Error::NoSuchDim {
                        operation,
                        dim: *axis,
                        rank: shape.len(),
                        shape: shape.to_vec(),
                    });
                };
                if scales.len() != channels || zero_points.len() != channels {
                    return Err(Error::ChannelCount {
                        operation,
                        axis: *axis,
                        channels,
                        scales: scales.len(),
                        zero_points: zero_points.len(),
                    });
                }
                (0..channels).try_for_each(|c| check(scales[c], zero_points[c], Some(c)))
            }
        }
    }

    /// The map after dimensions were reordered.
    pub(crate) fn permuted(&self, order: &[usize]) -> Quantizer {
        self.with_axis(|axis| order.iter().position(|&d| d == axis).unwrap_or(axis))
    }

    /// The map after channels `start, start + step, …` below `end` of dimension `dim` were taken.
    pub(crate) fn sliced(&self, dim: usize, start: usize, end: usize, step: usize) -> Quantizer {
        match self {
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } if *axis == dim => Quantizer::PerChannel {
                scales: scales[start..end].iter().step_by(step).copied().collect(),
                zero_points: zero_points[start..end]
                    .iter()
                    .step_by(step)
                    .copied()
                    .collect(),
                axis: *axis,
            },
            other => other.clone(),
        }
    }

    /// The map after the slices at `indices` of dimension `dim` were taken.
    pub(crate) fn gathered(&self, dim: usize, indices: &[usize]) -> Quantizer {
        match self {
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } if *axis == dim => Quantizer::PerChannel {
                scales: indices.iter().map(|&i| scales[i]).collect(),
                zero_points: indices.iter().map(|&i| zero_points[i]).collect(),
                axis: *axis,
            },
            other => other.clone(),
        }
    }

    /// The map after dimension `dim` was dropped at `index`. A selected channel becomes per tensor.
    pub(crate) fn selected(&self, dim: usize, index: usize) -> Quantizer {
        match self {
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } if *axis == dim => Quantizer::PerTensor {
                scale: scales[index],
                zero_point: zero_points[index],
            },
            other => other.with_axis(|axis| if axis > dim { axis - 1 } else { axis }),
        }
    }

    /// The map after a dimension was inserted before `dim`.
    pub(crate) fn unsqueezed(&self, dim: usize) -> Quantizer {
        self.with_axis(|axis| if axis >= dim { axis + 1 } else { axis })
    }

    /// The map after an expansion to `rank` dimensions, and over `channels` copies of a single channel.
    pub(crate) fn expanded(&self, old_rank: usize, shape: &[usize]) -> Quantizer {
        let moved = self.with_axis(|axis| axis + shape.len() - old_rank);
        match moved {
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } if scales.len() == 1 => Quantizer::PerChannel {
                scales: vec![scales[0]; shape[axis]].into(),
                zero_points: vec![zero_points[0]; shape[axis]].into(),
                axis,
            },
            other => other,
        }
    }

    /// The map after a reshape, if the channel axis survives: some new dimension must have the
    /// axis's length with the same product of lengths before it (and hence behind it).
    pub(crate) fn reshaped(
        &self,
        operation: &'static str,
        from: &[usize],
        to: &[usize],
    ) -> Result<Quantizer> {
        let Quantizer::PerChannel { axis, .. } = self else {
            return Ok(self.clone());
        };
        let before: usize = from[..*axis].iter().product();
        (0..to.len())
            .find(|&d| to[d] == from[*axis] && to[..d].iter().product::<usize>() == before)
            .map(|d| self.with_axis(|_| d))
            .ok_or_else(|| Error::ChannelAxisLost {
                operation,
                axis: *axis,
                from: from.to_vec(),
                to: to.to_vec(),
            })
    }

    /// The same channels along another axis.
    pub(crate) fn moved_to(&self, axis: usize) -> Quantizer {
        self.with_axis(|_| axis)
    }

    fn with_axis(&self, f: impl FnOnce(usize) -> usize) -> Quantizer {
        match self {
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } => Quantizer::PerChannel {
                scales: scales.clone(),
                zero_points: zero_points.clone(),
                axis: f(*axis),
            },
            other => other.clone(),
        }
    }
}
