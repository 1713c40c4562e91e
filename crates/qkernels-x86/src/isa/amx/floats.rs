//! Floats of the sums of matrix tiles: the formula of [`FloatOutput`](crate::FloatOutput), in the same order.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{PITCH, Product, SIDE};
use crate::pack::PANEL;
use crate::sums::{FloatOutput, RowParams};

/// What becomes of the sums of some rows and columns.
pub(crate) struct FloatTile<'a> {
    /// Parameters of all rows at once, or of each.
    pub(crate) rows: &'a [RowParams],
    /// Scales, sums of weights, and bias of the columns.
    pub(crate) scales: &'a [f32],
    pub(crate) sums: &'a [i32],
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether negative values become zero.
    pub(crate) relu: bool,
}

impl<'a> FloatTile<'a> {
    /// That of `height` rows from `row`, and `columns` output channels from `channel` on.
    pub(crate) fn new(
        output: &FloatOutput<'a>,
        sums: &'a [i32],
        [row, height]: [usize; 2],
        [channel, columns]: [usize; 2],
    ) -> FloatTile<'a> {
        let columns = channel..channel + columns;
        FloatTile {
            rows: match output.rows {
                [_] => output.rows,
                rows => &rows[row..row + height],
            },
            scales: &output.column_scales[columns.clone()],
            sums: &sums[columns.clone()],
            bias: output.bias.map(|bias| &bias[columns]),
            relu: output.relu,
        }
    }

    /// Asserts that everything is there for `height` rows, `stride` apart in `out`.
    pub(super) fn check(&self, height: usize, out: &[f32], stride: usize) {
        let columns = self.scales.len();
        assert!((1..=SIDE * PANEL).contains(&columns) && self.sums.len() == columns);
        assert!(self.bias.is_none_or(|bias| bias.len() == columns));
        assert!(self.rows.len() == 1 || self.rows.len() == height);
        let last = (height - 1).checked_mul(stride);
        let room = out.len().checked_sub(columns);
        assert!(
            last.is_some() && room.is_some() && last <= room,
            "each value needs its place"
        );
    }
}

/// # Safety
/// Needs AVX-512 F, sums of `height` rows, and a `tile` that was checked for as many and `out`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn rows(
    sums: &[i32],
    height: usize,
    tile: &FloatTile,
    out: &mut [f32],
    stride: usize,
    beside: &mut Product,
) {
    let columns = tile.scales.len();
    // SAFETY: as for the caller.
    unsafe {
        match (columns > PANEL, tile.relu) {
            (false, false) => rows_of::<1, false>(sums, height, tile, out, stride, beside),
            (false, true) => rows_of::<1, true>(sums, height, tile, out, stride, beside),
            (true, false) => rows_of::<2, false>(sums, height, tile, out, stride, beside),
            (true, true) => rows_of::<2, true>(sums, height, tile, out, stride, beside),
        }
    }
}

/// [`rows`], of `N` panels.
///
/// # Safety
/// As [`rows`], and the columns are those of so many panels.
#[target_feature(enable = "avx512f")]
unsafe fn rows_of<const N: usize, const RELU: bool>(
    sums: &[i32],
    height: usize,
    tile: &FloatTile,
    out: &mut [f32],
    stride: usize,
    beside: &mut Product,
) {
    let columns = tile.scales.len();
    let masks: [__mmask16; N] =
        core::array::from_fn(|n| (u32::MAX >> (32 - columns) >> (n * PANEL)) as __mmask16);
    // SAFETY: `check` asserted `columns` of each, and the masks select no others.
    let (scales, weights) = unsafe {
        let (scales, weights) = (tile.scales.as_ptr(), tile.sums.as_ptr());
        (
            masks_at(masks, |n, mask| {
                _mm512_maskz_loadu_ps(mask, scales.wrapping_add(n * PANEL))
            }),
            masks_at(masks, |n, mask| {
                _mm512_maskz_loadu_epi32(mask, weights.wrapping_add(n * PANEL))
            }),
        )
    };
    // The addition of -0 changes nothing.
    let bias = masks_at(masks, |n, mask| match tile.bias {
        // SAFETY: as above.
        Some(bias) => unsafe { _mm512_maskz_loadu_ps(mask, bias.as_ptr().wrapping_add(n * PANEL)) },
        None => _mm512_set1_ps(-0.0),
    });
    let of_row = |params: RowParams| {
        let zero_point = _mm512_set1_epi32(i32::from(params.zero_point));
        let scale = _mm512_set1_ps(params.scale);
        (
            weights.map(|weights| _mm512_mullo_epi32(zero_point, weights)),
            scales.map(|scales| _mm512_mul_ps(scale, scales)),
        )
    };
    let (mut corrections, mut factors) = of_row(tile.rows[0]);
    let (sums, out) = (sums.as_ptr(), out.as_mut_ptr());
    let mut first = 0;
    while first < height {
        beside.go_on();
        let end = height.min(first + beside.rows());
        for m in first..end {
            if let Some(&params) = tile.rows.get(m)
                && m > 0
            {
                (corrections, factors) = of_row(params);
            }
            for n in 0..N {
                // SAFETY: there are sums of all rows, 64 bytes at a time; `check` asserted `columns` writable values in
                // each row, and the mask selects no others.
                unsafe {
                    let sum = _mm512_load_si512(sums.add(m * PITCH + n * PANEL).cast());
                    let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, corrections[n]));
                    let mut value = _mm512_add_ps(_mm512_mul_ps(sum, factors[n]), bias[n]);
                    if RELU {
                        // What is no number becomes zero, too.
                        let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(value, value);
                        value = _mm512_maskz_max_ps(number, _mm512_setzero_ps(), value);
                    }
                    let place = out.wrapping_add(m * stride + n * PANEL);
                    _mm512_mask_storeu_ps(place, masks[n], value);
                }
            }
        }
        first = end;
    }
}

/// `make` for each panel and its mask.
#[inline(always)]
fn masks_at<const N: usize, T>(
    masks: [__mmask16; N],
    make: impl Fn(usize, __mmask16) -> T,
) -> [T; N] {
    core::array::from_fn(|n| make(n, masks[n]))
}
