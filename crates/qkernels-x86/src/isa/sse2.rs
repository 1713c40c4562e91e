//! SSE2, the x86-64 baseline: widened operands and `pmaddwd`, through the safe functions of `safe_arch`.
//!
//! Rows are summed four at a time, in two passes of eight columns: eight sums, two vectors of weights, a
//! broadcast and the products fit sixteen registers.

pub(super) mod add;

use safe_arch::{
    add_i32_m128i, cast_to_m128_from_m128i, load_unaligned_m128i, m128, m128i,
    mul_i16_horizontal_add_m128i, set_splat_i32_m128i, shr_imm_i16_m128i, shuffle_abi_f32_all_m128,
    unpack_high_i8_m128i, unpack_low_i8_m128i,
};

use super::rows::RowTable;
use super::scalar;
use super::wide::{WideLine, WideTile};
use crate::pack::{Line, PANEL, QUAD};
use crate::plan::balanced;

/// Rows summed at a time.
const ROWS: usize = 4;

/// Columns of a pass.
const PASS: usize = 8;

/// Computes a tile from widened operands.
pub(super) fn wide_tile(tile: &mut WideTile) {
    tile.check();
    for rows in balanced(tile.height, ROWS) {
        match rows.len() {
            1 => multiply::<1>(tile, rows.start),
            2 => multiply::<2>(tile, rows.start),
            3 => multiply::<3>(tile, rows.start),
            _ => multiply::<4>(tile, rows.start),
        }
    }
}

fn multiply<const ROWS: usize>(tile: &mut WideTile, first: usize) {
    let rows: [&[i32]; ROWS] = core::array::from_fn(|m| {
        let row = (first + m) * tile.row_lines;
        let lines = &tile.rows[row..][..tile.lines.len().div_ceil(64 / QUAD)];
        &bytemuck::cast_slice(lines)[..tile.lines.len()]
    });
    let mut sums = [[0i32; PANEL]; ROWS];
    for (m, sums) in sums.iter_mut().enumerate() {
        let start = (first + m) * tile.epilogue.start_stride;
        sums.copy_from_slice(&tile.epilogue.start[start..start + PANEL]);
    }
    for column in [0, PASS] {
        pass(rows, tile.lines, column, &mut sums);
    }
    for (m, sums) in sums.iter().enumerate() {
        scalar::finish(sums, &mut tile.epilogue, first + m, 0);
    }
}

/// Adds the products of the eight columns from `first` on.
#[inline(always)]
fn pass<const ROWS: usize>(
    rows: [&[i32]; ROWS],
    lines: &[WideLine],
    first: usize,
    sums: &mut [[i32; PANEL]; ROWS],
) {
    let load = |values: &[i32]| m128i::from([values[0], values[1], values[2], values[3]]);
    let mut acc = sums.map(|row| {
        [
            load(&row[first..first + 4]),
            load(&row[first + 4..first + PASS]),
        ]
    });
    for (k, line) in lines.iter().enumerate() {
        let weights: &[[u8; 16]] = bytemuck::cast_slice(core::slice::from_ref(line));
        let w = [
            load_unaligned_m128i(&weights[first / 4]),
            load_unaligned_m128i(&weights[first / 4 + 1]),
        ];
        for (row, acc) in rows.iter().zip(&mut acc) {
            let x = set_splat_i32_m128i(row[k]);
            for (acc, w) in acc.iter_mut().zip(w) {
                *acc = add_i32_m128i(*acc, mul_i16_horizontal_add_m128i(x, w));
            }
        }
    }
    for (acc, sums) in acc.into_iter().zip(sums) {
        for (half, acc) in acc.into_iter().enumerate() {
            let to = first + half * 4;
            sums[to..to + 4].copy_from_slice(&<[i32; 4]>::from(acc));
        }
    }
}

/// As [`Wide::rows`](super::wide::Wide::rows), for rows `first..first + count` of the table.
pub(super) fn widen_rows(
    rows: &RowTable,
    [first, count]: [usize; 2],
    [offset, quads]: [usize; 2],
    row_lines: usize,
    out: &mut [WideLine],
) {
    for (m, out) in out.chunks_exact_mut(row_lines).take(count).enumerate() {
        let out: &mut [u16] = bytemuck::cast_slice_mut(out);
        for (segment, out) in out
            .chunks_exact_mut(quads * QUAD)
            .take(rows.segments())
            .enumerate()
        {
            let bytes = rows.segment(segment, first + m, offset, quads * QUAD);
            for (to, &byte) in out.iter_mut().zip(bytes) {
                *to = u16::from(byte);
            }
        }
    }
}

/// As [`Wide::panel`](super::wide::Wide::panel).
pub(super) fn widen_panel(lines: &[Line], out: &mut [WideLine]) {
    for (line, out) in lines.iter().zip(out.chunks_exact_mut(2)) {
        let quarters: &[[u8; 16]] = bytemuck::cast_slice(&line.0);
        let [firsts, lasts] = out else { return };
        for (quarter, bytes) in quarters.iter().enumerate() {
            let bytes = load_unaligned_m128i(bytes);
            // Unpacking a byte with itself and shifting extends its sign; dwords then alternate
            // between a column's first and last two products.
            let low = shr_imm_i16_m128i::<8>(unpack_low_i8_m128i(bytes, bytes));
            let high = shr_imm_i16_m128i::<8>(unpack_high_i8_m128i(bytes, bytes));
            let (low, high) = (cast_to_m128_from_m128i(low), cast_to_m128_from_m128i(high));
            let even = shuffle_abi_f32_all_m128::<0b10_00_10_00>(low, high);
            let odd = shuffle_abi_f32_all_m128::<0b11_01_11_01>(low, high);
            let store = |to: &mut WideLine, value: m128| {
                to.0[quarter * 8..quarter * 8 + 8]
                    .copy_from_slice(&bytemuck::cast::<_, [i16; 8]>(value));
            };
            store(firsts, even);
            store(lasts, odd);
        }
    }
}
