//! How a product is cut into blocks, tiles and pieces for threads. Only speed depends on it.

use core::ops::Range;

/// Products below which a fork costs more than it saves: waking a sleeping rayon worker takes tens of
/// microseconds.
pub(crate) const SERIAL_BELOW: u64 = 4_000_000;

/// Up to this many rows, threads share out columns: every weight is then read by one core only.
pub(crate) const FEW_ROWS: usize = 8;

/// Bytes of activations that a block may hold, so that they stay in the second-level cache while all
/// panels of weights pass by.
const BLOCK_BYTES: usize = 192 << 10;

/// Cuts `0..total` into the fewest ranges of at most `most`, whose lengths differ by at most one.
pub(crate) fn balanced(total: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = total.div_ceil(most.max(1));
    (0..parts).map(move |part| total * part / parts..total * (part + 1) / parts)
}

/// Rows of a block whose rows have `bytes` activations each.
///
/// At least 48, so that work done once per block and panel is shared by many rows, and a multiple of 24,
/// which every tile height above four divides.
pub(crate) fn block_rows(bytes: usize) -> usize {
    (BLOCK_BYTES / bytes.max(1)).clamp(48, 384) / 24 * 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_and_differ_by_at_most_one() {
        for total in 0..200 {
            for most in 1..20 {
                let parts: Vec<_> = balanced(total, most).collect();
                assert_eq!(parts.len(), total.div_ceil(most));
                assert_eq!(
                    parts.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                    (0..total).collect::<Vec<_>>()
                );
                let (least, greatest) = (
                    total / parts.len().max(1),
                    total.div_ceil(parts.len().max(1)),
                );
                assert!(
                    parts
                        .iter()
                        .all(|part| (least..=greatest).contains(&part.len())),
                    "{total} by {most}"
                );
            }
        }
    }

    #[test]
    fn blocks_shrink_with_the_reduction() {
        assert_eq!(
            (block_rows(1), block_rows(1024), block_rows(65_000)),
            (384, 192, 48)
        );
    }
}
