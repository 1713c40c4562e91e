//! The comparisons: integers exactly, scales within 1e-6, each failure with the first difference.

use qtensor_core::{IntTensor, MemoryFormat, QTensor, Quantizer, Tensor};

use crate::store::{Case, Fallible};

/// How far two scales may be apart, relatively.
const SCALE_TOLERANCE: f64 = 1e-6;

/// True if both scales are the same within 1e-6.
pub fn same_scale(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= SCALE_TOLERANCE * theirs.abs()
}

/// Requires equal shapes and equal elements.
pub fn equal<T: PartialEq + std::fmt::Display>(
    what: &str,
    ours: (&[usize], &[T]),
    theirs: (&[usize], &[T]),
) -> Fallible<()> {
    differences(what, ours, theirs, |a, b| a == b)
}

/// Requires equal shapes, and elements of which `same` holds.
pub fn differences<T: std::fmt::Display>(
    what: &str,
    (shape, ours): (&[usize], &[T]),
    (their_shape, theirs): (&[usize], &[T]),
    same: impl Fn(&T, &T) -> bool,
) -> Fallible<()> {
    if shape != their_shape || ours.len() != theirs.len() {
        return Err(format!("{what}: shape {shape:?} and not {their_shape:?}").into());
    }
    let mut pairs = ours.iter().zip(theirs).enumerate();
    let unequal = pairs.clone().filter(|(_, (a, b))| !same(a, b)).count();
    match pairs.find(|(_, (a, b))| !same(a, b)) {
        None => Ok(()),
        Some((at, (a, b))) => Err(format!(
            "{what}: {unequal} of {} elements differ, first at {:?}: {a} and not {b}",
            ours.len(),
            index(at, shape)
        )
        .into()),
    }
}

/// The index of element `at` of a row-major tensor.
fn index(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, &len) in index.iter_mut().zip(shape).rev() {
        (*i, at) = (at % len, at / len);
    }
    index
}

/// Requires equal integers, and qparams that are the same.
pub fn equal_quantized(what: &str, ours: &QTensor, theirs: &QTensor) -> Fallible<()> {
    equal_ints(what, ours, theirs)?;
    same_quantizer(what, ours.quantizer(), theirs.quantizer())
}

/// Requires equal storage types and equal integers.
pub fn equal_ints(what: &str, ours: &QTensor, theirs: &QTensor) -> Fallible<()> {
    if ours.dtype() != theirs.dtype() {
        return Err(format!("{what}: {} and not {}", ours.dtype(), theirs.dtype()).into());
    }
    let (a, b) = (ours.int_repr().to_i32_vec(), theirs.int_repr().to_i32_vec());
    equal(what, (ours.shape(), &a), (theirs.shape(), &b))
}

/// Requires equal zero points and axes, and scales within 1e-6.
pub fn same_quantizer(what: &str, ours: &Quantizer, theirs: &Quantizer) -> Fallible<()> {
    let (our_axis, our_scales, our_zero_points) = parts(ours);
    let (their_axis, their_scales, their_zero_points) = parts(theirs);
    if our_axis != their_axis {
        return Err(format!("{what}: channel axis {our_axis:?} and not {their_axis:?}").into());
    }
    let shapes = ([our_scales.len()], [their_scales.len()]);
    differences(
        &format!("{what}, scales"),
        (&shapes.0, &our_scales),
        (&shapes.1, &their_scales),
        |&a, &b| same_scale(a, b),
    )?;
    equal(
        &format!("{what}, zero points"),
        (&shapes.0, &our_zero_points),
        (&shapes.1, &their_zero_points),
    )
}

/// Channel axis, scales and zero points; a per-tensor map has no axis and one of each.
pub fn parts(quantizer: &Quantizer) -> (Option<usize>, Vec<f64>, Vec<i32>) {
    match quantizer {
        Quantizer::PerTensor { scale, zero_point } => (None, vec![*scale], vec![*zero_point]),
        Quantizer::PerChannel {
            scales,
            zero_points,
            axis,
        } => (Some(*axis), scales.to_vec(), zero_points.to_vec()),
    }
}

/// Requires the stored integers under `name`, whatever their width.
pub fn equal_to_stored(
    case: &Case,
    name: &str,
    shape: &[usize],
    ours: impl IntoIterator<Item = impl Into<i64>>,
) -> Fallible<()> {
    let ours: Vec<i64> = ours.into_iter().map(Into::into).collect();
    let (their_shape, theirs) = case.ints(name)?;
    equal(name, (shape, &ours), (their_shape, &theirs))
}

/// How many representable numbers lie between two floats; `None` if either is NaN.
pub fn ulps_apart(a: f32, b: f32) -> Option<u64> {
    if a.is_nan() || b.is_nan() {
        return None;
    }
    // Signed magnitude made ordered, so that −0 and +0 coincide.
    let ordered = |x: f32| {
        let magnitude = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() {
            -magnitude
        } else {
            magnitude
        }
    };
    Some(ordered(a).abs_diff(ordered(b)))
}

/// The same tensor in each memory format that its rank allows.
pub fn in_each_format(x: &QTensor) -> Fallible<Vec<(&'static str, QTensor)>> {
    let mut all = vec![("row-major input", x.clone())];
    if x.rank() >= 3 {
        let moved = x.to_memory_format(MemoryFormat::ChannelsLast)?;
        all.push(("channels-last input", moved));
    }
    Ok(all)
}

/// The integers as a row-major vector of `i64`.
pub fn widened(ints: &IntTensor) -> Vec<i64> {
    ints.to_i32_vec().into_iter().map(i64::from).collect()
}

/// The greatest distance between elements of two tensors of one shape.
pub fn greatest_distance(what: &str, ours: &Tensor, theirs: &Tensor) -> Fallible<f32> {
    if ours.shape() != theirs.shape() {
        let (a, b) = (ours.shape(), theirs.shape());
        return Err(format!("{what}: shape {a:?} and not {b:?}").into());
    }
    let (a, b) = (ours.to_vec(), theirs.to_vec());
    let distances = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
    // `max` would drop a NaN, which must not pass.
    Ok(distances.fold(0.0, |worst: f32, d| if d <= worst { worst } else { d }))
}

/// Requires equal shapes, and elements within `tolerance` of the greatest of theirs.
pub fn within(what: &str, ours: &Tensor, theirs: &Tensor, tolerance: f32) -> Fallible<()> {
    let greatest = theirs
        .to_vec()
        .iter()
        .fold(0f32, |most, v| most.max(v.abs()));
    let distance = greatest_distance(what, ours, theirs)?;
    if distance <= tolerance * greatest {
        return Ok(());
    }
    Err(format!(
        "{what}: {distance} apart, more than {tolerance} of the greatest value, {greatest}"
    )
    .into())
}
