//! The loops over observed data: extremes with a check for NaN and infinities, per tensor and per channel.
//!
//! They are written in lanes without branches, which the compiler turns into vector code on every
//! target; calibration of a large net runs them over every activation.

use qtensor_core::{MemoryFormat, Tensor};

use crate::error::{Error, Result};

const LANES: usize = 16;

/// Calls `f` with all elements, in memory order where the tensor is dense (min, max and counts do not
/// depend on the order), else in logical order.
pub(crate) fn with_values<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> R) -> R {
    let dense = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast]
        .into_iter()
        .find_map(|format| x.dense_slice(format));
    match dense {
        Some(values) => f(values),
        None => f(&x.to_vec()),
    }
}

/// Least and greatest of at least one value; `None` if any value is NaN or infinite.
pub(crate) fn extremes(values: &[f32]) -> Option<(f32, f32)> {
    let mut lo = [f32::INFINITY; LANES];
    let mut hi = [f32::NEG_INFINITY; LANES];
    // 0 · v is a zero for every finite v and NaN for all others, and NaN stays in a sum.
    let mut taint = [0.0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &v) in chunk.iter().enumerate() {
            lo[lane] = if v < lo[lane] { v } else { lo[lane] };
            hi[lane] = if v > hi[lane] { v } else { hi[lane] };
            taint[lane] += v * 0.0;
        }
    }
    let mut bad: f32 = taint.iter().sum();
    let mut min = lo.into_iter().fold(f32::INFINITY, f32::min);
    let mut max = hi.into_iter().fold(f32::NEG_INFINITY, f32::max);
    for &v in rest {
        min = min.min(v);
        max = max.max(v);
        bad += v * 0.0;
    }
    (bad == 0.0).then_some((min, max))
}

/// The error for data that [`extremes`] refused.
pub(crate) fn not_finite(observer: &'static str, x: &Tensor) -> Error {
    let values = x.to_vec();
    let total = values.len();
    let locate = |test: fn(f32) -> bool| {
        let mut places = (0..total).filter(|&i| test(values[i]));
        let first = places.next();
        (
            places.count() + usize::from(first.is_some()),
            first.unwrap_or(0),
        )
    };
    let (count, first) = locate(f32::is_nan);
    if count > 0 {
        return Error::NaN {
            observer,
            count,
            total,
            first,
        };
    }
    let (count, first) = locate(f32::is_infinite);
    Error::Infinite {
        observer,
        count,
        total,
        first,
    }
}

/// Extremes of the whole tensor, which is not empty.
///
/// # Errors
/// [`Error::NaN`], [`Error::Infinite`].
pub(crate) fn tensor_extremes(observer: &'static str, x: &Tensor) -> Result<(f32, f32)> {
    with_values(x, extremes).ok_or_else(|| not_finite(observer, x))
}

/// Extremes of each index along `axis`: the mins, then the maxs. The tensor is not empty.
///
/// # Errors
/// [`Error::NaN`], [`Error::Infinite`].
pub(crate) fn channel_extremes(
    observer: &'static str,
    x: &Tensor,
    axis: usize,
) -> Result<(Vec<f32>, Vec<f32>)> {
    tensor_extremes(observer, x)?;
    let channels = x.shape()[axis];
    let mut mins = vec![f32::INFINITY; channels];
    let mut maxs = vec![f32::NEG_INFINITY; channels];
    let channels_last = (axis == 1)
        .then(|| x.dense_slice(MemoryFormat::ChannelsLast))
        .flatten();
    let (values, inner) = match channels_last {
        Some(values) => (values.to_vec(), 1),
        None => (x.to_vec(), x.shape()[axis + 1..].iter().product()),
    };
    if inner == 1 {
        for row in values.chunks_exact(channels) {
            for ((min, max), &v) in mins.iter_mut().zip(&mut maxs).zip(row) {
                *min = if v < *min { v } else { *min };
                *max = if v > *max { v } else { *max };
            }
        }
        return Ok((mins, maxs));
    }
    for (i, run) in values.chunks_exact(inner).enumerate() {
        let c = i % channels;
        for &v in run {
            mins[c] = mins[c].min(v);
            maxs[c] = maxs[c].max(v);
        }
    }
    Ok((mins, maxs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_of_every_length_and_place() {
        for n in 1..70usize {
            for at in 0..n {
                let mut values = vec![1.0f32; n];
                values[at] = -3.0;
                assert_eq!(
                    extremes(&values),
                    Some((-3.0, if n > 1 { 1.0 } else { -3.0 }))
                );
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    values[at] = bad;
                    assert_eq!(extremes(&values), None, "{bad} at {at} of {n}");
                }
            }
        }
        assert_eq!(extremes(&[f32::MAX, f32::MIN]), Some((f32::MIN, f32::MAX)));
    }

    #[test]
    fn channel_extremes_do_not_depend_on_the_layout() {
        let values: Vec<f32> = (0..2 * 3 * 2 * 2).map(|i| ((i * 7) % 24) as f32).collect();
        let x = Tensor::from_vec(values, &[2, 3, 2, 2]).unwrap();
        let last = x.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
        for axis in 0..4 {
            let want: Vec<(f32, f32)> = (0..x.shape()[axis])
                .map(|c| extremes(&x.select(axis, c).unwrap().to_vec()).unwrap())
                .collect();
            for t in [&x, &last] {
                let (mins, maxs) = channel_extremes("test", t, axis).unwrap();
                let got: Vec<(f32, f32)> = mins.into_iter().zip(maxs).collect();
                assert_eq!(got, want, "axis {axis}");
            }
        }
    }
}
