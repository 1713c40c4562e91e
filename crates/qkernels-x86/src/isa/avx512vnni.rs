//! AVX-512 with VNNI: `vpdpbusd` adds four products of a `u8` and an `i8` quad to each of sixteen `i32`.
//!
//! Tiles are 6 rows by 4 panels, or 8 by fewer, and half as many for short sums: 24 accumulators hide the latency of the instruction on
//! every core, the rows' pointers still fit the general registers, and few enough rows are read at
//! once that strides of 4096 bytes do not exceed the associativity of the first-level cache. The k-loop
//! and the epilogue are one function, because accumulators that are passed on by reference would be
//! written to the stack at every step.
#![allow(unsafe_code)]

pub(crate) mod add;
mod finish;

use core::arch::x86_64::*;
use core::ops::Range;

use self::finish::{added, bytes, each_row, factors, requant, store};
use super::tile::{Extent, Output, Tile};
use super::{Isa, Tier, Work, ymm};
use crate::pack::{PANEL, QUAD};
use crate::shortcut::Shortcut;

/// Rows summed at a time with 1, 2, 3 and 4 panels.
pub(super) const TILE_ROWS: [usize; 4] = [8, 8, 8, 6];

/// As [`TILE_ROWS`], for sums of at most [`SHORT`] steps: twelve accumulators still hide the latency, and while results
/// are made, a core then sees far enough ahead to multiply for the next rows.
const SHORT_ROWS: [usize; 4] = [8, 6, 4, 3];

/// Accumulators of the highest of those.
const FEW: usize = 12;

// There is a function for every height: a lower one would leave its tile.
const _: () = {
    let mut panels = 1;
    while panels <= 4 {
        let (rows, short) = (TILE_ROWS[panels - 1], SHORT_ROWS[panels - 1]);
        assert!(short <= rows && rows <= if panels == 4 { 6 } else { 8 });
        assert!(short * panels <= FEW);
        panels += 1;
    }
};

/// Steps whose weights stay in the first-level cache with four panels, so that reading them for fewer rows costs nothing.
const SHORT: usize = 64;

/// Runs `work` inside a function compiled for AVX-512.
#[inline]
pub(super) fn vectorize<W: Work>(isa: Isa, work: W) -> W::Output {
    assert!(isa.tier() >= Tier::Avx512Vnni);
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn enter<W: Work>(work: W) -> W::Output {
        work.run()
    }
    // SAFETY: the token, of at least the AVX-512 VNNI tier by the assertion, proves the features.
    unsafe { enter(work) }
}

/// Computes a tile of at most four panels.
pub(super) fn tile(isa: Isa, tile: &mut Tile) {
    assert!(isa.tier() >= Tier::Avx512Vnni);
    tile.check();
    assert!(tile.panels <= 4);
    let steps = tile.extent.segments.len() * tile.extent.quads.len();
    let most = if steps > SHORT { TILE_ROWS } else { SHORT_ROWS };
    // As few as there can be, that differ in height by one at most: the higher ones first.
    let tiles = tile.height.div_ceil(most[tile.panels - 1]);
    let (height, higher) = (tile.height / tiles, tile.height % tiles);
    let split = higher * (height + 1);
    for (rows, height) in [(0..split, height + 1), (split..tile.height, height)] {
        if rows.is_empty() {
            continue;
        }
        // SAFETY: the token proves the features; `check` asserted the lengths that `multiply` relies
        // on, and each arm passes the tile's panels, and rows that its height divides.
        unsafe {
            match tile.panels {
                1 => by_height::<1>(tile, rows, height),
                2 => by_height::<2>(tile, rows, height),
                3 => by_height::<3>(tile, rows, height),
                _ => match height {
                    1 => multiply::<1, 4>(tile, rows),
                    2 => multiply::<2, 4>(tile, rows),
                    3 => multiply::<3, 4>(tile, rows),
                    4 => multiply::<4, 4>(tile, rows),
                    5 => multiply::<5, 4>(tile, rows),
                    _ => multiply::<6, 4>(tile, rows),
                },
            }
        }
    }
}

/// # Safety
/// As [`multiply`], for a tile of `PANELS` panels, and rows whose number is a multiple of `height`, at most eight.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn by_height<const PANELS: usize>(tile: &mut Tile, rows: Range<usize>, height: usize) {
    // SAFETY: each arm passes the height; the rest is the caller's promise.
    unsafe {
        match height {
            1 => multiply::<1, PANELS>(tile, rows),
            2 => multiply::<2, PANELS>(tile, rows),
            3 => multiply::<3, PANELS>(tile, rows),
            4 => multiply::<4, PANELS>(tile, rows),
            5 => multiply::<5, PANELS>(tile, rows),
            6 => multiply::<6, PANELS>(tile, rows),
            7 => multiply::<7, PANELS>(tile, rows),
            _ => multiply::<8, PANELS>(tile, rows),
        }
    }
}

/// # Safety
/// Needs AVX-512 F, BW, VL and VNNI, a tile that passed [`Tile::check`], `PANELS` equal to its panels, and `rows` of it, whose
/// number `ROWS` divides.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn multiply<const ROWS: usize, const PANELS: usize>(tile: &mut Tile, rows: Range<usize>) {
    const LINE: usize = PANEL * QUAD;
    let all = tile.quads();
    let panel_stride = all * tile.rows.segments() * LINE;
    let Extent { segments, quads } = tile.extent.clone();
    let first_line = (segments.start * all + quads.start) * LINE;
    let first_line = tile.lines.as_ptr().cast::<u8>().wrapping_add(first_line);
    let left_out = (all - quads.len()) * LINE;
    let zero = _mm512_setzero_si512();

    let (stride, columns) = (tile.epilogue.stride, tile.epilogue.columns);
    let whole = columns == PANELS * PANEL;
    // What bytes are made with is read once where registers are left for it: behind a store, the compiler reads it again.
    let kept = ROWS * PANELS <= FEW;
    let mut requant = if kept { requant!(tile, PANELS) } else { None };

    for first in rows.step_by(ROWS) {
        let ahead = tile.ahead.take(segments.len() * quads.len());
        // Without anything to fetch, this is what is read anyway.
        let mut ahead = if ahead.is_empty() { tile.lines } else { ahead }.as_ptr();
        let mut weights = first_line;
        let mut acc = [[zero; PANELS]; ROWS];
        for (m, acc) in acc.iter_mut().enumerate() {
            for (n, acc) in acc.iter_mut().enumerate() {
                // SAFETY: `check` asserted sixteen start values for every panel of every row.
                *acc = unsafe {
                    let row = (first + m) * tile.epilogue.start_stride;
                    let start = tile.epilogue.start.as_ptr().add(row);
                    _mm512_loadu_si512(start.add(n * PANEL).cast())
                };
            }
        }
        // A store holds up those behind it until its line has come, which long sums leave time for.
        if !kept && let Output::Bytes { out, .. } = &mut tile.epilogue.output {
            for m in 0..ROWS {
                // SAFETY: `check` asserted that the output holds every row; nothing is read.
                unsafe {
                    let row = out.as_mut_ptr().add((first + m) * stride);
                    _mm_prefetch::<_MM_HINT_T0>(row.cast());
                }
            }
        }
        for segment in segments.clone() {
            let rows = ymm::rows!(ROWS, tile, first, segment);
            let mut k = 0;
            while k < quads.len() * QUAD {
                // SAFETY: `check` asserted that the lines cover all segments of all panels, that the extent
                // lies within them, and that each segment is readable for its quads from the offset on.
                unsafe {
                    let mut w = [zero; PANELS];
                    for (n, w) in w.iter_mut().enumerate() {
                        *w = _mm512_load_si512(weights.add(n * panel_stride).cast());
                    }
                    for m in 0..ROWS {
                        let x = _mm512_set1_epi32(rows[m].add(k).cast::<i32>().read_unaligned());
                        for n in 0..PANELS {
                            acc[m][n] = _mm512_dpbusd_epi32(acc[m][n], x, w[n]);
                        }
                    }
                    weights = weights.add(LINE);
                    _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                    ahead = ahead.wrapping_add(1);
                }
                k += QUAD;
            }
            weights = weights.wrapping_add(left_out);
        }

        if !kept {
            requant = requant!(tile, PANELS);
        }
        if let Some((factors, small, range, out)) = requant {
            let out = out.wrapping_add(first * stride);
            if whole && small {
                bytes!(
                    acc, ROWS, PANELS, true, factors, range, columns, stride, out
                );
            } else {
                bytes!(
                    acc, ROWS, PANELS, false, factors, range, columns, stride, out
                );
            }
            continue;
        }
        match &mut tile.epilogue.output {
            Output::Added(added) => {
                let direct = added.sum.shortcut.is_some();
                match (direct, added.sum.inputs[1].1 == 0) {
                    (true, true) if whole && PANELS == 4 => {
                        added!(
                            acc, ROWS, PANELS, true, true, true, added, first, columns, stride
                        );
                    }
                    (true, _) if whole => {
                        added!(
                            acc, ROWS, PANELS, true, true, false, added, first, columns, stride
                        );
                    }
                    (false, _) if whole && PANELS == 4 => {
                        added!(
                            acc, ROWS, PANELS, true, false, false, added, first, columns, stride
                        );
                    }
                    _ => added!(
                        acc, ROWS, PANELS, false, false, false, added, first, columns, stride
                    ),
                }
            }
            Output::Sums(out) => {
                let out = out.as_mut_ptr().wrapping_add(first * stride);
                each_row!(ROWS, |M| {
                    for (n, acc) in acc[M % ROWS].into_iter().enumerate() {
                        let out = out.wrapping_add(M * stride + n * PANEL);
                        // SAFETY: `check` asserted room for all columns of the panels in each row.
                        unsafe { _mm512_storeu_si512(out.cast(), acc) };
                    }
                });
            }
            // Made above.
            Output::Bytes { .. } => {}
        }
    }
}

/// Whether all are less than 1 in magnitude, so that their products with an `i32` are others.
#[inline]
#[target_feature(enable = "avx512f")]
fn are_small<const PANELS: usize>(factors: [__m512; PANELS]) -> bool {
    let mut greatest = _mm512_setzero_ps();
    for factors in factors {
        greatest = _mm512_max_ps(greatest, _mm512_abs_ps(factors));
    }
    _mm512_cmp_ps_mask::<_CMP_LT_OQ>(greatest, _mm512_set1_ps(1.0)) == u16::MAX
}
