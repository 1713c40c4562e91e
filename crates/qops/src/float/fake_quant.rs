//! Fake quantization: floats rounded to the values that integers would have, and its adjoints.
//!
//! The rounded, unclamped integer `r` of a value decides everything: results clamp it, and gradients pass where it
//! needs no clamp. It is `z + rne(x / s)` for integer zero points and `rne(z + x / s)` for float ones, which differ
//! on ties; the quotient is a product with `1 / s` in `f32`, as in quantization proper.

use qtensor_core::rounding::{round_half_even, round_half_even_small};
use qtensor_core::{MemoryFormat, Tensor};

use super::parallel;
use crate::error::{Error, Result};
use crate::spec::argument;

/// Below this magnitude integers are rounded by the fast path, which is exact up to `2^22`.
const SMALL: i32 = 1 << 20;
/// Products are clamped to this before they are rounded: beyond every integer of the fast path.
const BEYOND: f32 = (1 << 21) as f32;

/// Zero points, one or one a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ZeroPoints<'a> {
    /// Added behind the rounding.
    Integer(&'a [i32]),
    /// Added before the rounding: the float qparams of embeddings.
    Float(&'a [f32]),
}

/// The grid that values are rounded to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FakeQuantGrid<'a> {
    /// One scale, or one for each index along `axis`.
    pub scales: &'a [f32],
    /// As many zero points.
    pub zero_points: ZeroPoints<'a>,
    /// The channel axis; `None` for one scale.
    pub axis: Option<usize>,
    /// The least integer.
    pub quant_min: i32,
    /// The greatest integer.
    pub quant_max: i32,
}

/// `y = (clamp(r, Qmin, Qmax) − z) · s` with `r = z + rne(x · (1 / s))`. NaN stays NaN, infinities saturate.
///
/// ```
/// # use qops::float::{FakeQuantGrid, ZeroPoints, fake_quantize};
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![-1.0, 0.3, 0.9, 100.0], &[4])?;
/// let grid = FakeQuantGrid {
///     scales: &[0.5],
///     zero_points: ZeroPoints::Integer(&[1]),
///     axis: None,
///     quant_min: 0,
///     quant_max: 15,
/// };
/// assert_eq!(fake_quantize(&x, &grid)?.to_vec(), [-0.5, 0.5, 1.0, 7.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for an empty integer range, a scale that is not positive and finite, a zero point outside the
/// range; [`Error::Length`] for another number of scales or zero points than channels; a channel axis that does not
/// exist.
pub fn fake_quantize(x: &Tensor, grid: &FakeQuantGrid<'_>) -> Result<Tensor> {
    let runs = Runs::new("fake_quantize", x, grid)?;
    let (x, format) = runs.dense(x)?;
    let values = x.dense_slice(format).unwrap_or_default();
    Tensor::build(x.shape(), format, |out| {
        runs.each(out, |channel, at, out| {
            let values = &values[at..at + out.len()];
            channel.for_each(values, out, |c, x, r| {
                let clamped = r.max(c.lo).min(c.hi);
                let y = (clamped - c.z) * c.s;
                // The comparison is false for NaN alone, whose rounding means nothing.
                #[allow(clippy::eq_op)]
                if x == x { y } else { x }
            });
        });
        Ok(())
    })
}

/// The straight-through adjoint of [`fake_quantize`]: `dx = dy` where `Qmin ≤ r ≤ Qmax`, else 0.
///
/// The rounded integer decides: with `Qmax = 127`, `x / s = 127.4` passes and 127.5 does not.
///
/// # Errors
/// As [`fake_quantize`], and [`Error::Tensor`] if `grad` does not have the shape of `x`.
pub fn fake_quantize_backward(
    grad: &Tensor,
    x: &Tensor,
    grid: &FakeQuantGrid<'_>,
) -> Result<Tensor> {
    let runs = Runs::new("fake_quantize_backward", x, grid)?;
    runs.check_grad(grad)?;
    let (x, format) = runs.dense(x)?;
    let grad = grad.to_memory_format(format)?;
    let values = x.dense_slice(format).unwrap_or_default();
    let grads = grad.dense_slice(format).unwrap_or_default();
    Tensor::build(x.shape(), format, |out| {
        runs.each(out, |channel, at, out| {
            let (values, grads) = (&values[at..at + out.len()], &grads[at..at + out.len()]);
            out.copy_from_slice(grads);
            channel.for_each_in_place(
                values,
                out,
                |c, r, dy| {
                    if r >= c.lo && r <= c.hi { dy } else { 0.0 }
                },
            );
        });
        Ok(())
    })
}

/// The adjoint with respect to scale and zero point (LSQ), each with one element a channel.
///
/// With `g` = `grad_factor`, in range: `ds = dy · (y − x) / s · g`, `dz = 0`; below: `ds = dy · (Qmin − z) · g`,
/// above: `ds = dy · (Qmax − z) · g`, both `dz = −dy · s · g`; summed in `f64` over the elements of each channel.
///
/// # Errors
/// As [`fake_quantize_backward`].
pub fn fake_quantize_qparams_backward(
    grad: &Tensor,
    x: &Tensor,
    grid: &FakeQuantGrid<'_>,
    grad_factor: f32,
) -> Result<(Tensor, Tensor)> {
    let runs = Runs::new("fake_quantize_qparams_backward", x, grid)?;
    runs.check_grad(grad)?;
    let (x, grad) = (x.contiguous(), grad.contiguous());
    let values = x.as_slice().unwrap_or_default();
    let grads = grad.as_slice().unwrap_or_default();
    let mut sums = vec![[0f64; 2]; grid.scales.len()];
    let inner = runs.inner.max(1);
    for (run, (values, grads)) in values.chunks(inner).zip(grads.chunks(inner)).enumerate() {
        let c = run % runs.channels.len();
        let channel = &runs.channels[c];
        let [ds, dz] = &mut sums[c];
        for (&x, &dy) in values.iter().zip(grads) {
            let r = channel.rounded(x);
            if r >= channel.lo && r <= channel.hi {
                let y = (r - channel.z) * channel.s;
                *ds += f64::from(dy * (y - x) * channel.inverse * grad_factor);
            } else {
                let end = if r < channel.lo {
                    channel.lo
                } else {
                    channel.hi
                };
                *ds += f64::from(dy * (end - channel.z) * grad_factor);
                *dz += f64::from(-dy * channel.s * grad_factor);
            }
        }
    }
    let column = |i: usize| {
        let values = sums.iter().map(|s| s[i] as f32).collect();
        Tensor::from_vec(values, &[sums.len()])
    };
    Ok((column(0)?, column(1)?))
}

/// The numbers of one channel.
struct Channel {
    s: f32,
    inverse: f32,
    z: f32,
    lo: f32,
    hi: f32,
    small: bool,
    float_zero: bool,
}

impl Channel {
    /// `r`, for any value and range; infinite beyond `f32`, NaN for NaN.
    #[inline(always)]
    fn rounded(&self, x: f32) -> f32 {
        let product = x * self.inverse;
        if self.float_zero {
            round_half_even(self.z + product)
        } else {
            self.z + round_half_even(product)
        }
    }

    /// As [`rounded`](Self::rounded) where the range is small: values far beyond it are beyond it.
    #[inline(always)]
    fn rounded_small(&self, x: f32) -> f32 {
        let product = x * self.inverse;
        let product = if self.float_zero {
            self.z + product
        } else {
            product
        };
        let low = if product > -BEYOND { product } else { -BEYOND };
        let bounded = if low < BEYOND { low } else { BEYOND };
        let r = round_half_even_small(bounded) as f32;
        if self.float_zero { r } else { self.z + r }
    }

    /// `out = f(channel, x, r)`.
    #[inline(always)]
    fn for_each(&self, values: &[f32], out: &mut [f32], f: impl Fn(&Channel, f32, f32) -> f32) {
        if self.small {
            for (o, &x) in out.iter_mut().zip(values) {
                *o = f(self, x, self.rounded_small(x));
            }
        } else {
            for (o, &x) in out.iter_mut().zip(values) {
                *o = f(self, x, self.rounded(x));
            }
        }
    }

    /// `out = f(channel, r, out)`.
    #[inline(always)]
    fn for_each_in_place(
        &self,
        values: &[f32],
        out: &mut [f32],
        f: impl Fn(&Channel, f32, f32) -> f32,
    ) {
        if self.small {
            for (o, &x) in out.iter_mut().zip(values) {
                *o = f(self, self.rounded_small(x), *o);
            }
        } else {
            for (o, &x) in out.iter_mut().zip(values) {
                *o = f(self, self.rounded(x), *o);
            }
        }
    }
}

/// A tensor as runs of elements of one channel: `outer × channels × inner`.
struct Runs {
    operation: &'static str,
    shape: Vec<usize>,
    channels: Vec<Channel>,
    per_channel: bool,
    inner: usize,
}

impl Runs {
    fn new(operation: &'static str, x: &Tensor, grid: &FakeQuantGrid<'_>) -> Result<Runs> {
        let expected = match grid.axis {
            None => 1,
            Some(axis) => x.size(axis)?,
        };
        let zero_points: Vec<f32> = match grid.zero_points {
            ZeroPoints::Integer(z) => z.iter().map(|&z| z as f32).collect(),
            ZeroPoints::Float(z) => z.to_vec(),
        };
        for (what, actual) in [
            ("the number of scales", grid.scales.len()),
            ("the number of zero points", zero_points.len()),
        ] {
            if actual != expected {
                return Err(Error::Length {
                    operation,
                    what,
                    expected,
                    actual,
                });
            }
        }
        let (min, max) = (grid.quant_min, grid.quant_max);
        if min >= max {
            let expected = "an integer range with quant_min < quant_max";
            return Err(argument(
                operation,
                "range",
                expected,
                format!("{min}..={max}"),
            ));
        }
        let float_zero = matches!(grid.zero_points, ZeroPoints::Float(_));
        let small = min >= -SMALL && max <= SMALL;
        let mut channels = Vec::with_capacity(expected);
        for (c, (&s, &z)) in grid.scales.iter().zip(&zero_points).enumerate() {
            if !(s > 0.0 && s.is_finite() && (1.0 / s).is_finite()) {
                let expected = "positive and finite, with a finite reciprocal";
                return Err(argument(
                    operation,
                    "scale",
                    expected,
                    format!("{s} (number {c})"),
                ));
            }
            let inside = z >= min as f32 && z <= max as f32;
            if !(inside || (float_zero && z.is_finite())) {
                let expected = format!("in {min}..={max}");
                let actual = format!("{z} (number {c})");
                return Err(argument(operation, "zero point", expected, actual));
            }
            channels.push(Channel {
                s,
                inverse: 1.0 / s,
                z,
                lo: min as f32,
                hi: max as f32,
                // A float zero point moves the products, and must not move them out of the fast path.
                small: small && z.abs() <= SMALL as f32,
                float_zero,
            });
        }
        let inner = match grid.axis {
            None => x.numel(),
            Some(axis) => x.shape()[axis + 1..].iter().product(),
        };
        Ok(Runs {
            operation,
            shape: x.shape().to_vec(),
            channels,
            per_channel: grid.axis.is_some(),
            inner,
        })
    }

    fn check_grad(&self, grad: &Tensor) -> Result<()> {
        if grad.shape() == self.shape {
            return Ok(());
        }
        Err(qtensor_core::Error::ShapeMismatch {
            operation: self.operation,
            expected: self.shape.clone(),
            actual: grad.shape().to_vec(),
        }
        .into())
    }

    /// The tensor dense in memory. Per tensor a channels-last one may stay as it is.
    fn dense(&self, x: &Tensor) -> Result<(Tensor, MemoryFormat)> {
        let last = MemoryFormat::ChannelsLast;
        if !self.per_channel && x.as_slice().is_none() && x.dense_slice(last).is_some() {
            return Ok((x.clone(), last));
        }
        Ok((x.contiguous(), MemoryFormat::Contiguous))
    }

    /// Calls `f(channel, start, run)` for all runs, in parallel.
    fn each(&self, out: &mut [f32], f: impl Fn(&Channel, usize, &mut [f32]) + Sync) {
        if !self.per_channel {
            parallel::runs(out, |start, part| f(&self.channels[0], start, part));
            return;
        }
        let (inner, work) = (self.inner.max(1), out.len());
        let image = inner * self.channels.len();
        parallel::chunks(out, image, work, |number, part| {
            for (c, run) in part.chunks_mut(inner).enumerate() {
                f(&self.channels[c], number * image + c * inner, run);
            }
        });
    }
}
