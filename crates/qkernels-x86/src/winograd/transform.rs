//! The transforms in plain Rust: of weights, and those that tiers without kernels of their own use.

use crate::isa::scalar;
use crate::isa::tile::Epilogue;
use crate::pack::PANEL;

use super::POSITIONS;

/// `(2 G) g (2 G)ᵀ` of 3×3 weights, with `2 G` = `[2 0 0; 1 1 1; 1 -1 1; 0 0 2]`.
pub(super) fn weights(g: [i16; 9]) -> [i16; POSITIONS] {
    let line = |[a, b, c]: [i16; 3]| [2 * a, a + b + c, a - b + c, 2 * c];
    let rows: [[i16; 4]; 3] =
        core::array::from_fn(|i| line([g[3 * i], g[3 * i + 1], g[3 * i + 2]]));
    let columns: [[i16; 4]; 4] =
        core::array::from_fn(|j| line([rows[0][j], rows[1][j], rows[2][j]]));
    core::array::from_fn(|position| columns[position % 4][position / 4])
}

/// `Bᵀ d B` of the channels of sixteen pixels, with `Bᵀ` = `[1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]`; positions
/// are `stride` elements apart.
pub(crate) fn input(pixels: &[&[u8]; POSITIONS], out: &mut [i16], stride: usize) {
    let row = |i: usize, d: [i16; 4]| match i {
        0 => d[0] - d[2],
        1 => d[1] + d[2],
        2 => d[2] - d[1],
        _ => d[1] - d[3],
    };
    for (position, out) in out.chunks_mut(stride).take(POSITIONS).enumerate() {
        let (i, j) = (position / 4, position % 4);
        for (c, out) in out[..pixels[0].len()].iter_mut().enumerate() {
            let column = |j: usize| {
                row(
                    i,
                    [0, 1, 2, 3].map(|k: usize| i16::from(pixels[k * 4 + j][c])),
                )
            };
            *out = row(j, [column(0), column(1), column(2), column(3)]);
        }
    }
}

/// `Aᵀ M A / 4` of the sums of tiles, `[tile][position][column]`, with `Aᵀ` = `[1 1 1 0; 0 1 -1 -1]`; each tile
/// makes four rows.
pub(crate) fn output(sums: &[i32], epilogue: &mut Epilogue) {
    for (tile, m) in sums.chunks_exact(POSITIONS * PANEL).enumerate() {
        let mut y = [[0i32; PANEL]; 4];
        for c in 0..PANEL {
            let at = |position: usize| m[position * PANEL + c];
            let sum = |a: i32, b: i32, c: i32| a.wrapping_add(b).wrapping_add(c);
            let difference = |a: i32, b: i32, c: i32| a.wrapping_sub(b).wrapping_sub(c);
            let upper = [0, 1, 2, 3].map(|j| sum(at(j), at(4 + j), at(8 + j)));
            let lower = [0, 1, 2, 3].map(|j| difference(at(4 + j), at(8 + j), at(12 + j)));
            for (i, t) in [upper, lower].into_iter().enumerate() {
                // Exactly divisible by four.
                y[2 * i][c] = sum(t[0], t[1], t[2]) >> 2;
                y[2 * i + 1][c] = difference(t[1], t[2], t[3]) >> 2;
            }
        }
        for (i, y) in y.iter_mut().enumerate() {
            let row = tile * 4 + i;
            let start = &epilogue.start[row * epilogue.start_stride..];
            for (y, &start) in y.iter_mut().zip(start) {
                *y = y.wrapping_add(start);
            }
            scalar::finish(y, epilogue, row, 0);
        }
    }
}
