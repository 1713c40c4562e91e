//! How a product is cut into blocks, tiles and pieces for threads. Only speed depends on it.

use core::ops::Range;

/// Products below which a fork costs more than it saves, among workers that are awake: about a microsecond.
pub(crate) const SERIAL_BELOW: u64 = 500_000;

/// Up to this many rows, threads share out columns: every weight is then read by one core only.
pub(crate) const FEW_ROWS: usize = 8;

/// Bytes of activations that a block may hold, so that they stay in the second-level cache while all
/// panels of weights pass by.
const BLOCK_BYTES: usize = 256 << 10;

/// Bytes of a cache line.
pub(crate) const CACHE_LINE: usize = 64;

/// Cuts `0..total` into the fewest ranges of at most `most`, whose lengths differ by at most one.
pub(crate) fn balanced(total: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = total.div_ceil(most.max(1));
    (0..parts).map(move |part| total * part / parts..total * (part + 1) / parts)
}

/// Neighbouring panels of a tile, if tiles of 1, 2, ... panels have up to `heights` rows: those of the
/// greatest tile, and among equals of one that takes all rows, so that weights are read once.
pub(crate) fn tile_panels(heights: &[usize], rows: usize) -> usize {
    let worth = |panels: &usize| {
        let height = heights[panels - 1];
        (height.min(rows) * panels, height >= rows)
    };
    (1..=heights.len()).max_by_key(worth).unwrap_or(1)
}

/// Rows of a block whose rows have `bytes` activations each.
///
/// At least 48, so that work done once per block and panel is shared by many rows, and a multiple of 24,
/// which every tile height above four divides.
pub(crate) fn block_rows(bytes: usize) -> usize {
    (BLOCK_BYTES / bytes.max(1)).clamp(48, 384) / 24 * 24
}

/// As [`block_rows`], where the results of a block wait in memory, of so many bytes for each row.
pub(crate) fn waiting_rows(rows: usize, bytes: usize) -> usize {
    rows.min(block_rows(bytes))
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
    fn tiles_are_as_great_as_the_rows_allow() {
        let zmm = |rows| tile_panels(&[8, 8, 8, 6], rows);
        assert_eq!([1, 4, 6, 7, 100].map(zmm), [4; 5]);
        let ymm = |rows| tile_panels(&[6, 3, 1, 1], rows);
        assert_eq!([1, 2, 3, 4, 5, 6, 100].map(ymm), [4, 2, 2, 2, 2, 1, 2]);
        assert_eq!(tile_panels(&[4], 9), 1);
    }

    #[test]
    fn blocks_that_wait_shrink_with_their_results() {
        assert_eq!(waiting_rows(384, 256), 384);
        assert_eq!(waiting_rows(384, 2048), 120);
        assert_eq!(waiting_rows(48, 2048), 48);
        assert_eq!(waiting_rows(384, 65_000), 48);
    }

    #[test]
    fn blocks_shrink_with_the_reduction() {
        assert_eq!(
            (block_rows(1), block_rows(1024), block_rows(65_000)),
            (384, 240, 48)
        );
    }
}
