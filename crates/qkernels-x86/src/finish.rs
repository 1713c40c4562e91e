//! What becomes of the sums of a tile: the difference between the outputs a layer may have.

use core::cell::RefCell;
use core::ops::Range;

#[cfg(target_arch = "x86_64")]
pub(crate) use crate::isa::amx::Stored;
#[cfg(target_arch = "x86_64")]
use crate::isa::amx::Sums;
use crate::isa::tile::{Epilogue, Output};
use qtensor_core::requant::{OutputRange, requantize};

use crate::isa::{Isa, Work};
use crate::requant::Requant;

/// Rows of a tile whose sums are converted apart.
const CONVERTED_ROWS: usize = 24;

/// The sums of such a tile: at most four panels, or 32 rows by two panels.
const TILE_SUMS: usize = 2048;

thread_local! {
    /// The sums of a tile, from the products to their conversion; not made anew, since zeros would have to be written first.
    static SUMS: RefCell<[i32; TILE_SUMS]> = const { RefCell::new([0; TILE_SUMS]) };
}

/// Start values of a tile whose sums start at zero.
static ZEROS: [i32; 64] = [0; 64];

/// Where a tile lies in the output.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Its first row, counted from the first one of the call.
    pub(crate) row: usize,
    /// Its first column, counted over the padded columns of all groups.
    pub(crate) column: usize,
    /// Its first output channel, counted without padding.
    pub(crate) channel: usize,
    /// Rows.
    pub(crate) height: usize,
    /// From one of its rows to the next.
    pub(crate) step: usize,
    /// Columns, without those of padding.
    pub(crate) columns: usize,
    /// Columns, with those of padding.
    pub(crate) width: usize,
}

/// Start values other than those of the layer: sums that a tile goes on from.
#[derive(Clone, Copy)]
pub(crate) struct Resume<'a> {
    /// The sums.
    pub(crate) sums: &'a [i32],
    /// Values from row to row.
    pub(crate) stride: usize,
}

/// An output of a layer.
pub(crate) trait Finish: Copy + Sync {
    /// Its elements.
    type Out: bytemuck::Pod + Send + Sync;

    /// The greatest height of a tile.
    fn rows(&self) -> usize;

    /// Steps of a product from which on results are made beside it, part by part.
    #[cfg(target_arch = "x86_64")]
    const BESIDE: usize = usize::MAX;

    /// The start values of the columns from padded column `column` on.
    fn start(&self, column: usize) -> &[i32];

    /// What the results of some rows are made of beside their sums, so that it can be fetched early.
    fn beside(&self, _rows: Range<usize>) -> &[u8] {
        &[]
    }

    /// Whether results are also made of what the output holds before.
    fn reads_output(&self) -> bool {
        false
    }

    /// Whether what [`tile`](Self::tile) writes is not the output yet, but waits in memory until its block of rows is complete;
    /// [`join`](Self::join) then makes the output of it.
    fn waits(&self) -> bool {
        false
    }

    /// Makes a block's output of the results that waited. Both begin with row `row` and channel `channel`, and have `stride`
    /// elements from row to row.
    fn join(
        self,
        [_row, _channel]: [usize; 2],
        _results: &[Self::Out],
        _out: &mut [Self::Out],
        _stride: usize,
    ) {
        unreachable!("nothing waits");
    }

    /// Lets `compute` fill the tile at `place`, which happens once for each; `out` begins with its first element.
    fn tile(
        self,
        place: Place,
        resume: Option<Resume>,
        out: &mut [Self::Out],
        stride: usize,
        compute: impl FnOnce(Epilogue),
    );

    /// As [`tile`](Self::tile), of sums without start values that stand in memory.
    #[cfg(target_arch = "x86_64")]
    fn stored(self, place: Place, stored: Stored, out: &mut [Self::Out], stride: usize) {
        self.tile(place, None, out, stride, |epilogue| stored.finish(epilogue));
    }

    /// Start values of a tile's epilogue and their stride.
    fn begin<'a>(&'a self, place: Place, resume: Option<Resume<'a>>) -> (&'a [i32], usize) {
        match resume {
            Some(Resume { sums, stride }) => (sums, stride),
            None => (self.start(place.column), 0),
        }
    }
}

/// Requantized bytes, made by the micro-kernels themselves.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a Requant);

impl Finish for Bytes<'_> {
    type Out = u8;

    #[cfg(target_arch = "x86_64")]
    const BESIDE: usize = 1;

    fn rows(&self) -> usize {
        usize::MAX
    }

    fn start(&self, column: usize) -> &[i32] {
        &self.0.start()[column..]
    }

    fn tile(
        self,
        place: Place,
        resume: Option<Resume>,
        out: &mut [u8],
        stride: usize,
        compute: impl FnOnce(Epilogue),
    ) {
        let (start, start_stride) = self.begin(place, resume);
        compute(Epilogue {
            start,
            start_stride,
            output: Output::Bytes {
                multipliers: &self.0.multipliers()[place.column..],
                range: self.0.range(),
                out,
            },
            stride,
            columns: place.columns,
        });
    }
}

/// Values made of the sums of a row.
pub(crate) trait FromSums: Copy + Sync {
    /// One of them.
    type Out: bytemuck::Pod + Send + Sync;

    /// As [`Finish::BESIDE`].
    #[cfg(target_arch = "x86_64")]
    const BESIDE: usize = usize::MAX;

    /// Multipliers and range, if the values are requantized bytes, which micro-kernels make themselves.
    fn requantization(&self) -> Option<(&[f32], OutputRange)> {
        None
    }

    /// Turns the sums of output channels from `channel` on of row `row` into values; implementations
    /// are `#[inline(always)]`.
    fn convert(self, row: usize, channel: usize, sums: &[i32], out: &mut [Self::Out]);

    /// As [`convert`](Self::convert), of a few vectors of sums, in a form that the compiler makes vectors of.
    #[inline(always)]
    fn convert_array<const N: usize>(
        self,
        row: usize,
        channel: usize,
        sums: &[i32; N],
        out: &mut [Self::Out; N],
    ) {
        // All values come before the first one of the output, which the compiler cannot tell from what they are made of.
        let mut values = [bytemuck::Zeroable::zeroed(); N];
        self.convert(row, channel, sums, &mut values);
        *out = values;
    }

    /// Converts the `sums` of a tile; `out` begins with its first element.
    #[inline(always)]
    fn tile(self, place: Place, sums: &[i32], out: &mut [Self::Out], stride: usize) {
        let rows = sums.chunks_exact(place.width).take(place.height);
        for ((row, sums), out) in rows.enumerate().zip(out.chunks_mut(stride)) {
            let (sums, out) = (&sums[..place.columns], &mut out[..place.columns]);
            self.convert(place.row + row * place.step, place.channel, sums, out);
        }
    }

    /// As [`tile`](Self::tile), of the sums of matrix tiles.
    #[cfg(target_arch = "x86_64")]
    fn stored(self, isa: Isa, place: Place, stored: Stored, out: &mut [Self::Out], stride: usize) {
        let place = Place {
            width: Sums::PITCH,
            ..place
        };
        isa.vectorize(Conversion {
            from: self,
            place,
            sums: stored.sums(),
            out,
            stride,
        });
    }
}

/// Requantized bytes, for kernels that end in safe code.
#[derive(Clone, Copy)]
pub(crate) struct Requantized<'a> {
    pub(crate) multipliers: &'a [f32],
    pub(crate) range: OutputRange,
}

impl FromSums for Requantized<'_> {
    type Out = u8;

    fn requantization(&self) -> Option<(&[f32], OutputRange)> {
        Some((self.multipliers, self.range))
    }

    #[inline(always)]
    fn convert(self, _: usize, channel: usize, sums: &[i32], out: &mut [u8]) {
        let multipliers = &self.multipliers[channel..channel + sums.len()];
        for (out, (&sum, &multiplier)) in out.iter_mut().zip(sums.iter().zip(multipliers)) {
            *out = requantize(sum, multiplier, self.range) as u8;
        }
    }

    #[inline(always)]
    fn convert_array<const N: usize>(
        self,
        _: usize,
        channel: usize,
        sums: &[i32; N],
        out: &mut [u8; N],
    ) {
        let multipliers = &self.multipliers[channel..channel + N];
        // All integers come before the first byte, which the compiler cannot tell from a multiplier in memory.
        let mut rounded = [0; N];
        for (rounded, (&sum, &multiplier)) in rounded.iter_mut().zip(sums.iter().zip(multipliers)) {
            *rounded = requantize(sum, multiplier, self.range);
        }
        for (out, rounded) in out.iter_mut().zip(rounded) {
            *out = rounded as u8;
        }
    }
}

/// Sums that become something else outside of the micro-kernels, tile by tile.
#[derive(Clone, Copy)]
pub(crate) struct Converted<C> {
    pub(crate) isa: Isa,
    pub(crate) from: C,
}

impl<C: FromSums> Finish for Converted<C> {
    type Out = C::Out;

    #[cfg(target_arch = "x86_64")]
    const BESIDE: usize = C::BESIDE;

    fn rows(&self) -> usize {
        CONVERTED_ROWS
    }

    fn start(&self, _: usize) -> &[i32] {
        &ZEROS
    }

    fn tile(
        self,
        place: Place,
        resume: Option<Resume>,
        out: &mut [C::Out],
        stride: usize,
        compute: impl FnOnce(Epilogue),
    ) {
        let (start, start_stride) = self.begin(place, resume);
        SUMS.with_borrow_mut(|sums| {
            compute(Epilogue {
                start,
                start_stride,
                output: Output::Sums(sums),
                stride: place.width,
                columns: place.width,
            });
            self.isa.vectorize(Conversion {
                from: self.from,
                place,
                sums,
                out,
                stride,
            });
        });
    }

    #[cfg(target_arch = "x86_64")]
    fn stored(self, place: Place, stored: Stored, out: &mut [C::Out], stride: usize) {
        self.from.stored(self.isa, place, stored, out, stride);
    }
}

struct Conversion<'a, C: FromSums> {
    from: C,
    place: Place,
    sums: &'a [i32],
    out: &'a mut [C::Out],
    stride: usize,
}

impl<C: FromSums> Work for Conversion<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        (self.from).tile(self.place, self.sums, self.out, self.stride);
    }
}
