//! Which elements padding repeats: the indices of a padded dimension.

use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::spec::argument;

/// What padding puts beyond the ends, besides a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PadMode {
    /// The elements mirrored at the first and the last one, which are not repeated: `c b | a b c | b a`.
    Reflect,
    /// The first and the last element: `a a | a b c | c c`.
    #[doc(alias = "edge")]
    Replicate,
    /// The elements from the other end on: `b c | a b c | a b`.
    #[doc(alias = "wrap")]
    Circular,
}

/// One pair of lengths for each dimension.
pub(crate) fn check_pairs(
    operation: &'static str,
    rank: usize,
    padding: &[(usize, usize)],
) -> Result<()> {
    if padding.len() == rank {
        return Ok(());
    }
    let expected = format!("one pair for each of {rank} dimensions");
    Err(argument(operation, "padding", expected, padding.len()))
}

/// For each dimension that is padded, the index of the input at each index of the result.
pub(crate) fn padded_indices(
    operation: &'static str,
    shape: &[usize],
    padding: &[(usize, usize)],
    mode: PadMode,
) -> Result<Vec<(usize, Vec<usize>)>> {
    check_pairs(operation, shape.len(), padding)?;
    let mut result = shape.to_vec();
    for (len, &(before, after)) in result.iter_mut().zip(padding) {
        *len = len.saturating_add(before).saturating_add(after);
    }
    qtensor_core::checked_lengths(operation, &result)?;
    let mut dims = Vec::new();
    for (dim, (&len, &(before, after))) in shape.iter().zip(padding).enumerate() {
        if (before, after) == (0, 0) {
            continue;
        }
        let most = match mode {
            PadMode::Reflect => len.saturating_sub(1),
            PadMode::Circular => len,
            PadMode::Replicate if len == 0 => 0,
            PadMode::Replicate => usize::MAX,
        };
        let widest = before.max(after);
        if widest > most {
            return Err(Error::Argument {
                operation,
                argument: "padding",
                expected: format!(
                    "at most {most} along dimension {dim} of length {len} ({mode:?})"
                ),
                actual: widest.to_string(),
            });
        }
        let source = |at: usize| match (at.checked_sub(before), mode) {
            (Some(inside), _) if inside < len => inside,
            (None, PadMode::Reflect) => before - at,
            (None, PadMode::Replicate) => 0,
            (None, PadMode::Circular) => len - (before - at),
            (Some(beyond), PadMode::Reflect) => 2 * (len - 1) - beyond,
            (Some(_), PadMode::Replicate) => len - 1,
            (Some(beyond), PadMode::Circular) => beyond - len,
        };
        dims.push((dim, (0..before + len + after).map(source).collect()));
    }
    Ok(dims)
}

/// Puts elements of `x` beyond both ends of each dimension; one pair of lengths for each dimension, first to last.
pub(crate) fn padded(x: &Tensor, padding: &[(usize, usize)], mode: PadMode) -> Result<Tensor> {
    let dims = padded_indices("pad", x.shape(), padding, mode)?;
    let padded = dims
        .iter()
        .try_fold(x.clone(), |x, (dim, indices)| x.index_select(*dim, indices));
    Ok(padded?)
}
