//! SSE2, the x86-64 baseline: widened operands and `pmaddwd`, through the safe functions of `safe_arch`.
//!
//! Rows are summed four at a time, in two passes of eight columns: eight sums, two vectors of weights, a
//! broadcast and the products fit sixteen registers.

pub(super) mod add;
pub(super) mod winograd;

use qtensor_core::requant::OutputRange;
use safe_arch::{
    add_i16_m128i, add_i32_m128i, cast_to_m128_from_m128i, convert_to_i32_m128i_from_m128,
    convert_to_m128_from_i32_m128i, load_unaligned_m128, load_unaligned_m128i, m128, m128i,
    max_u8_m128i, min_m128, mul_i16_horizontal_add_m128i, mul_m128, pack_i16_to_u8_m128i,
    pack_i32_to_i16_m128i, set_splat_i8_m128i, set_splat_i16_m128i, set_splat_i32_m128i,
    set_splat_m128, shr_imm_i16_m128i, shuffle_abi_f32_all_m128, store_unaligned_m128i,
    unpack_high_i8_m128i, unpack_low_i8_m128i,
};

use super::rows::RowTable;
use super::tile::{Epilogue, Output};
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
    let mut sums: [_; ROWS] = core::array::from_fn(|m| start(&tile.epilogue, first + m));
    for pass in 0..PANEL / PASS {
        add_products(&rows, tile.lines, pass, &mut sums);
    }
    for (m, sums) in sums.into_iter().enumerate() {
        finish(sums, &mut tile.epilogue, first + m);
    }
}

/// The sums of a row of one panel, four columns a vector.
type Sums = [m128i; PANEL / 4];

/// The start values of a row.
#[inline(always)]
fn start(epilogue: &Epilogue, row: usize) -> Sums {
    let start: &[i32] = &epilogue.start[row * epilogue.start_stride..][..PANEL];
    let vectors: &[[u8; 16]] = bytemuck::cast_slice(start);
    core::array::from_fn(|i| load_unaligned_m128i(&vectors[i]))
}

/// Adds the products of the eight columns of a pass. A function of its own, lest the sums of the other pass take up registers.
#[inline(never)]
fn add_products<const ROWS: usize>(
    rows: &[&[i32]; ROWS],
    lines: &[WideLine],
    pass: usize,
    sums: &mut [Sums; ROWS],
) {
    let first = pass * PASS / 4;
    let mut acc = sums.map(|row| [row[first], row[first + 1]]);
    for (k, line) in lines.iter().enumerate() {
        let weights: &[[u8; 16]] = bytemuck::cast_slice(core::slice::from_ref(line));
        let w = [
            load_unaligned_m128i(&weights[first]),
            load_unaligned_m128i(&weights[first + 1]),
        ];
        for (row, acc) in rows.iter().zip(&mut acc) {
            let x = set_splat_i32_m128i(row[k]);
            for (acc, w) in acc.iter_mut().zip(w) {
                *acc = add_i32_m128i(*acc, mul_i16_horizontal_add_m128i(x, w));
            }
        }
    }
    for (acc, sums) in acc.into_iter().zip(sums) {
        sums[first..first + 2].copy_from_slice(&acc);
    }
}

/// As [`scalar::finish`](super::scalar::finish), of the first panel.
#[inline(always)]
fn finish(sums: Sums, epilogue: &mut Epilogue, row: usize) {
    let at = row * epilogue.stride;
    match &mut epilogue.output {
        Output::Sums(out) => {
            let sums: [i32; PANEL] = bytemuck::cast(sums);
            out[at..at + PANEL].copy_from_slice(&sums);
        }
        Output::Added(_) => unreachable!("only tiles of AVX-512 add"),
        Output::Bytes {
            multipliers,
            range,
            out,
        } => {
            let bytes = requantize(sums, &multipliers[..PANEL], *range);
            let columns = epilogue.columns.min(PANEL);
            if columns == PANEL {
                // A copy of known length is a single move.
                out[at..at + PANEL].copy_from_slice(&bytes);
            } else {
                out[at..at + columns].copy_from_slice(&bytes[..columns]);
            }
        }
    }
}

/// As [`requantize`](qtensor_core::requant::requantize), of sixteen columns.
#[inline(always)]
fn requantize(sums: Sums, multipliers: &[f32], range: OutputRange) -> [u8; PANEL] {
    let (multipliers, _) = multipliers.as_chunks::<4>();
    let hi = set_splat_m128(range.float_bounds().1);
    let scaled: Sums = core::array::from_fn(|i| {
        let sums = convert_to_m128_from_i32_m128i(sums[i]);
        let scaled = mul_m128(sums, load_unaligned_m128(&multipliers[i]));
        convert_to_i32_m128i_from_m128(min_m128(scaled, hi))
    });
    let zero_point = set_splat_i16_m128i(range.zero_point as i16);
    let low = add_i16_m128i(pack_i32_to_i16_m128i(scaled[0], scaled[1]), zero_point);
    let high = add_i16_m128i(pack_i32_to_i16_m128i(scaled[2], scaled[3]), zero_point);
    let lo = set_splat_i8_m128i(range.lo as u8 as i8);
    let mut bytes = [0; PANEL];
    store_unaligned_m128i(
        &mut bytes,
        max_u8_m128i(pack_i16_to_u8_m128i(low, high), lo),
    );
    bytes
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
