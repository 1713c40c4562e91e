//! Between channels-first and channels-last memory.
//!
//! Both directions are a transpose of a matrix per image. Bytes go in tiles of 8 rows by 32 columns:
//! four 8×8 transposes side by side, each row of eight bytes in a 64-bit lane, by exchanging blocks of
//! 4, 2 and 1 bytes between rows (the recursive transpose of Hacker's Delight, section 7-3). Wider
//! elements use plain square tiles.

use bytemuck::Pod;

use crate::context::Context;
use crate::error::{Result, at_least, exactly, product};
use crate::isa::Work;
use crate::map::SERIAL_BELOW;

/// Copies `[batch][channels][spatial]` to `[batch][spatial][channels]`.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) if `x` is shorter or `out` is not as long as the sizes say,
/// [`Error::TooLarge`](crate::Error::TooLarge) if their product overflows.
///
/// ```
/// # use qkernels_x86::{Context, to_channels_last};
/// let mut out = [0u8; 6];
/// to_channels_last(&Context::new()?, &[1, 2, 3, 4, 5, 6], 1, 2, 3, &mut out)?;
/// assert_eq!(out, [1, 4, 2, 5, 3, 6]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
pub fn to_channels_last<T: Pod + Send + Sync>(
    ctx: &Context,
    x: &[T],
    batch: usize,
    channels: usize,
    spatial: usize,
    out: &mut [T],
) -> Result<()> {
    transpose(ctx, "to_channels_last", x, [batch, channels, spatial], out)
}

/// Copies `[batch][spatial][channels]` to `[batch][channels][spatial]`.
///
/// # Errors
/// As [`to_channels_last`].
pub fn to_channels_first<T: Pod + Send + Sync>(
    ctx: &Context,
    x: &[T],
    batch: usize,
    channels: usize,
    spatial: usize,
    out: &mut [T],
) -> Result<()> {
    transpose(ctx, "to_channels_first", x, [batch, spatial, channels], out)
}

/// Transposes each `rows × columns` matrix of `x`.
fn transpose<T: Pod + Send + Sync>(
    ctx: &Context,
    operation: &'static str,
    x: &[T],
    [batch, rows, columns]: [usize; 3],
    out: &mut [T],
) -> Result<()> {
    let len = product(operation, &[batch, rows, columns])?;
    at_least(operation, "x", len, x.len())?;
    exactly(operation, "out", len, out.len())?;
    let matrix = rows * columns;
    if matrix == 0 {
        return Ok(());
    }
    let pieces = ctx.pieces(len as u64, SERIAL_BELOW);
    if pieces == 1 || batch >= 2 * pieces {
        let images = batch.div_ceil(pieces);
        Context::chunks(out, images * matrix, |start, out| {
            for (image, out) in out.chunks_exact_mut(matrix).enumerate() {
                let x = &x[start + image * matrix..][..matrix];
                let first = 0;
                ctx.isa.vectorize(Transpose {
                    x,
                    rows,
                    columns,
                    first,
                    out,
                });
            }
        });
        return Ok(());
    }
    // Few images: each is cut into runs of output rows, whole tiles of them.
    let run = columns.div_ceil(pieces).next_multiple_of(TILE_COLUMNS);
    for (x, out) in x.chunks_exact(matrix).zip(out.chunks_exact_mut(matrix)) {
        Context::chunks(out, run * rows, |start, out| {
            let first = start / rows;
            ctx.isa.vectorize(Transpose {
                x,
                rows,
                columns,
                first,
                out,
            });
        });
    }
    Ok(())
}

/// Rows of the input in a byte tile.
const TILE_ROWS: usize = 8;
/// Columns of the input in a byte tile: four words of eight bytes.
const TILE_COLUMNS: usize = 32;

/// Writes rows `first..` of the transpose, as many as `out` holds.
struct Transpose<'a, T> {
    x: &'a [T],
    rows: usize,
    columns: usize,
    first: usize,
    out: &'a mut [T],
}

impl<T: Pod> Work for Transpose<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let count = self.out.len() / self.rows;
        if size_of::<T>() == 1 {
            Bytes {
                x: bytemuck::cast_slice(self.x),
                rows: self.rows,
                columns: self.columns,
                first: self.first,
                out: bytemuck::cast_slice_mut(self.out),
            }
            .run(count);
        } else {
            for row in (0..self.rows).step_by(SIDE) {
                for column in (0..count).step_by(SIDE) {
                    self.square(row, column, count);
                }
            }
        }
    }
}

/// Rows and columns of a tile of wider elements.
const SIDE: usize = 8;

impl<T: Pod> Transpose<'_, T> {
    /// Transposes a tile, or what there is of it at the edges.
    #[inline(always)]
    fn square(&mut self, row: usize, column: usize, count: usize) {
        let (height, width) = (SIDE.min(self.rows - row), SIDE.min(count - column));
        let mut tile = [[T::zeroed(); SIDE]; SIDE];
        for (i, tile) in tile[..height].iter_mut().enumerate() {
            let x = &self.x[(row + i) * self.columns + self.first + column..];
            if width == SIDE {
                tile.copy_from_slice(&x[..SIDE]);
            } else {
                tile[..width].copy_from_slice(&x[..width]);
            }
        }
        for j in 0..width {
            let out = &mut self.out[(column + j) * self.rows + row..][..height];
            for (out, tile) in out.iter_mut().zip(&tile) {
                *out = tile[j];
            }
        }
    }
}

struct Bytes<'a> {
    x: &'a [u8],
    rows: usize,
    columns: usize,
    first: usize,
    out: &'a mut [u8],
}

impl Bytes<'_> {
    #[inline(always)]
    fn run(mut self, count: usize) {
        // Images of few channels have no whole tile.
        match self.rows {
            1 => self.out.copy_from_slice(&self.x[self.first..][..count]),
            2 => self.narrow::<2>(count),
            3 => self.narrow::<3>(count),
            4 => self.narrow::<4>(count),
            _ => self.tiles(count),
        }
    }

    #[inline(always)]
    fn narrow<const ROWS: usize>(self, count: usize) {
        let x: [&[u8]; ROWS] =
            core::array::from_fn(|row| &self.x[row * self.columns + self.first..][..count]);
        let out = &mut self.out.as_chunks_mut::<ROWS>().0[..count];
        for (column, out) in out.iter_mut().enumerate() {
            for row in 0..ROWS {
                out[row] = x[row][column];
            }
        }
    }

    #[inline(always)]
    fn tiles(&mut self, count: usize) {
        let whole_rows = self.rows - self.rows % TILE_ROWS;
        let whole_columns = count - count % TILE_COLUMNS;
        for column in (0..whole_columns).step_by(TILE_COLUMNS) {
            for row in (0..whole_rows).step_by(TILE_ROWS) {
                self.tile(row, column);
            }
            self.plain(whole_rows, column..column + TILE_COLUMNS);
        }
        self.plain(0, whole_columns..count);
    }

    /// Element by element: the rows from `first_row` on of some columns.
    #[inline(always)]
    fn plain(&mut self, first_row: usize, columns: core::ops::Range<usize>) {
        for column in columns {
            let out = &mut self.out[column * self.rows..][first_row..self.rows];
            for (row, out) in (first_row..).zip(out) {
                *out = self.x[row * self.columns + self.first + column];
            }
        }
    }

    #[inline(always)]
    fn tile(&mut self, row: usize, column: usize) {
        let mut lanes = [[0u64; TILE_COLUMNS / 8]; TILE_ROWS];
        for (i, lanes) in lanes.iter_mut().enumerate() {
            let x = &self.x[(row + i) * self.columns + self.first + column..][..TILE_COLUMNS];
            *lanes = bytemuck::pod_read_unaligned::<[u64; TILE_COLUMNS / 8]>(x).map(u64::from_le);
        }
        exchange::<4, 32>(&mut lanes, 0x0000_0000_FFFF_FFFF);
        exchange::<2, 16>(&mut lanes, 0x0000_FFFF_0000_FFFF);
        exchange::<1, 8>(&mut lanes, 0x00FF_00FF_00FF_00FF);
        for (i, lanes) in lanes.iter().enumerate() {
            for (word, lane) in lanes.iter().enumerate() {
                let at = (column + word * 8 + i) * self.rows + row;
                self.out[at..at + 8].copy_from_slice(&lane.to_le_bytes());
            }
        }
    }
}

/// Exchanges the upper bytes of each pair in row `i` with the lower ones in row `i + DISTANCE`.
#[inline(always)]
fn exchange<const DISTANCE: usize, const BITS: u32>(
    lanes: &mut [[u64; TILE_COLUMNS / 8]; TILE_ROWS],
    mask: u64,
) {
    for i in (0..TILE_ROWS).filter(|i| i & DISTANCE == 0) {
        let (upper, lower) = lanes.split_at_mut(i + DISTANCE);
        for (low, high) in upper[i].iter_mut().zip(&mut lower[0]) {
            let swapped = ((*low >> BITS) ^ *high) & mask;
            *low ^= swapped << BITS;
            *high ^= swapped;
        }
    }
}
