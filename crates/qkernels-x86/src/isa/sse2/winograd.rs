//! The transforms of minimal filtering, see `winograd.rs`: eight channels or four columns at a time.

use safe_arch::{
    add_i16_m128i, add_i32_m128i, load_unaligned_m128i, m128i, shr_imm_i32_m128i, sub_i16_m128i,
    sub_i32_m128i, unpack_high_i8_m128i, unpack_low_i8_m128i, zeroed_m128i,
};

use crate::isa::tile::Epilogue;
use crate::pack::PANEL;
use crate::winograd::POSITIONS;

/// As [`Wide::winograd_input`](crate::isa::wide::Wide::winograd_input): `Bᵀ d B` of the channels of sixteen pixels, with
/// `Bᵀ` = `[1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]`.
pub(crate) fn input(pixels: &[&[u8]; POSITIONS], out: &mut [i16], stride: usize) {
    let pixels = pixels.map(|pixel| pixel.as_chunks::<16>().0);
    let combine = |[a, b, c, d]: [m128i; 4]| {
        [
            sub_i16_m128i(a, c),
            add_i16_m128i(b, c),
            sub_i16_m128i(c, b),
            sub_i16_m128i(b, d),
        ]
    };
    let load = |i: usize, chunk: usize| load_unaligned_m128i(&pixels[i][chunk]);
    for chunk in 0..pixels[0].len() {
        for (half, unpack) in [unpack_low_i8_m128i, unpack_high_i8_m128i]
            .into_iter()
            .enumerate()
        {
            let pixel = |i: usize| unpack(load(i, chunk), zeroed_m128i());
            // Of each column of pixels, then of each row of what that gives.
            let columns = [0, 1, 2, 3].map(|j| combine([j, 4 + j, 8 + j, 12 + j].map(pixel)));
            for i in 0..4 {
                for (j, value) in combine(columns.map(|column| column[i]))
                    .into_iter()
                    .enumerate()
                {
                    let at = (i * 4 + j) * stride + chunk * 16 + half * 8;
                    out[at..at + 8].copy_from_slice(&<[i16; 8]>::from(value));
                }
            }
        }
    }
}

/// As [`Wide::winograd_output`](crate::isa::wide::Wide::winograd_output): `Aᵀ M A / 4` of the sums of tiles,
/// `[tile][position][column]`, with `Aᵀ` = `[1 1 1 0; 0 1 -1 -1]`.
pub(crate) fn output(sums: &[i32], epilogue: &mut Epilogue) {
    let combine = |[a, b, c, d]: [m128i; 4]| {
        [
            add_i32_m128i(a, add_i32_m128i(b, c)),
            sub_i32_m128i(sub_i32_m128i(b, c), d),
        ]
    };
    for (tile, sums) in sums.chunks_exact(POSITIONS * PANEL).enumerate() {
        let sums: &[[u8; 16]] = bytemuck::cast_slice(sums);
        let mut rows = [[zeroed_m128i(); PANEL / 4]; 4];
        for quarter in 0..PANEL / 4 {
            let sum = |i: usize| load_unaligned_m128i(&sums[i * PANEL / 4 + quarter]);
            let columns = [0, 1, 2, 3].map(|j| combine([j, 4 + j, 8 + j, 12 + j].map(sum)));
            for i in 0..2 {
                let values = combine(columns.map(|column| column[i]));
                for (j, value) in values.into_iter().enumerate() {
                    // Exactly divisible by four.
                    rows[2 * i + j][quarter] = shr_imm_i32_m128i::<2>(value);
                }
            }
        }
        for (i, mut acc) in rows.into_iter().enumerate() {
            let row = tile * 4 + i;
            for (acc, start) in acc.iter_mut().zip(super::start(epilogue, row)) {
                *acc = add_i32_m128i(*acc, start);
            }
            super::finish(acc, epilogue, row);
        }
    }
}
