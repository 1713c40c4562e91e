//! Sums of matrix tiles in memory, and what is made of them.
#![allow(unsafe_code)]

use super::{FloatTile, PITCH, Product, SIDE, Sums, TILE, Tiles, added, floats, results};
use crate::isa::Tier;
use crate::isa::avx512vnni::add::Sum;
use crate::isa::tile::Epilogue;
use crate::pack::PANEL;

/// Some rows of sums in memory, of which results have not been made.
pub(crate) struct Stored<'a, 'p> {
    tiles: &'a Tiles,
    /// What goes on meanwhile.
    beside: &'a mut Product<'p>,
    /// From the first of these rows on.
    sums: &'a [i32],
    height: usize,
}

impl<'a, 'p> Stored<'a, 'p> {
    /// `height` rows of the sums, from row `first` on, while `beside` goes on.
    pub(crate) fn new(
        tiles: &'a Tiles,
        sums: &'a Sums,
        first: usize,
        height: usize,
        beside: &'a mut Product<'p>,
    ) -> Stored<'a, 'p> {
        assert!((1..=SIDE * TILE).contains(&height) && first <= SIDE * TILE - height);
        Stored {
            tiles,
            beside,
            sums: &sums.0[first * PITCH..][..height * PITCH],
            height,
        }
    }

    /// The sums, [`Sums::PITCH`] from row to row.
    pub(crate) fn sums(&self) -> &'a [i32] {
        self.sums
    }

    /// Checks an epilogue, and answers how many panels it is for.
    fn check(&self, epilogue: &Epilogue) -> usize {
        assert!(epilogue.start_stride == 0, "all rows start alike");
        let panels = if epilogue.columns > PANEL { 2 } else { 1 };
        epilogue.check(self.height, panels);
        debug_assert!(self.tiles.amx.0.tier() == Tier::Amx);
        panels
    }

    /// Makes the bytes of `epilogue`, for as many panels as that has columns for.
    pub(crate) fn finish(self, mut epilogue: Epilogue) {
        let panels = self.check(&epilogue);
        // SAFETY: the tier of the tiles includes AVX-512 F, BW and VL; `check` and `new` assert the lengths.
        unsafe { results::rows(self.sums, self.height, panels, &mut epilogue, self.beside) };
    }

    /// Makes the floats of `tile`; rows of `out` are `stride` apart.
    pub(crate) fn finish_floats(self, tile: &FloatTile, out: &mut [f32], stride: usize) {
        tile.check(self.height, out, stride);
        // SAFETY: the tier of the tiles includes AVX-512 F; `check` and `new` assert the lengths.
        unsafe { floats::rows(self.sums, self.height, tile, out, stride, self.beside) };
    }

    /// Makes the bytes of `epilogue`, adds `other` to them, whose rows are `width` apart, or what the output holds, and
    /// stores these sums.
    pub(crate) fn finish_added(
        self,
        mut epilogue: Epilogue,
        sum: &Sum,
        other: Option<&[u8]>,
        width: usize,
    ) {
        let panels = self.check(&epilogue);
        sum.check();
        if let Some(other) = other {
            let last = (self.height - 1).checked_mul(width);
            let room = other.len().checked_sub(epilogue.columns);
            assert!(
                last.is_some() && room.is_some() && last <= room,
                "each result needs something to add"
            );
        }
        // SAFETY: the tier of the tiles includes AVX-512 F, BW and VL; `check` and `new` assert the lengths of sums and
        // epilogue, the lines above that of `other`.
        unsafe {
            added::rows(
                self.sums,
                self.height,
                panels,
                &mut epilogue,
                sum,
                (other, width),
                self.beside,
            );
        }
    }
}
