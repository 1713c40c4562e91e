//! The product of two tiles and two panels in parts, beside which results are made.
//!
//! Matrix and vector units work at once, but only where their instructions stand close together: a CPU looks ahead for some
//! hundred instructions, and whatever follows a product at a greater distance waits for it. So whoever makes results of
//! the sums before calls [`Product::go_on`] every few rows.
#![allow(unsafe_code)]

use core::arch::asm;
use core::marker::PhantomData;
use core::mem::offset_of;

use super::{SIDE, Source, TILE, Tiles};
use crate::pack::Line;

/// Parts of a product at most.
const PARTS: usize = 8;

/// Products of fewer steps have too few parts.
const LEAST_STEPS: usize = 4;

/// A product under way, whose sums are in tiles.
#[repr(C)]
pub(crate) struct Product<'a> {
    /// First rows of the tiles.
    a: [*const u8; SIDE],
    /// Bytes from row to row.
    step: usize,
    /// Where the activations of the steps to come begin within a row.
    offsets: *const usize,
    /// Weights of the first panel for the step to come.
    b: *const u8,
    /// Bytes from panel to panel.
    panel: usize,
    /// Bytes from step to step.
    advance: usize,
    /// Steps to come.
    left: usize,
    /// Steps of a part.
    part: usize,
    /// Rows of results that are made beside a part; even.
    rows: usize,
    /// The memory of all pointers, and the configuration of tiles.
    borrowed: PhantomData<&'a [u8]>,
}

impl Tiles {
    /// Begins what [`Tiles::multiply`] does at once, if these are two tiles by two panels, with enough steps for parts.
    ///
    /// # Panics
    /// As [`Tiles::multiply`].
    #[inline(never)]
    pub(crate) fn begin<'a>(
        &'a self,
        source: &Source<'a>,
        starts: &[usize],
        lines: &'a [Line],
        panels: usize,
    ) -> Option<Product<'a>> {
        let steps = source.offsets.len();
        if (starts.len(), panels) != (SIDE, SIDE) || steps < LEAST_STEPS {
            return None;
        }
        self.check(source, starts, lines, panels);
        // SAFETY: the configuration proves the instructions.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem)
            );
        }
        let base = source.bytes.as_ptr();
        let parts = steps.min(PARTS);
        Some(Product {
            a: [base.wrapping_add(starts[0]), base.wrapping_add(starts[1])],
            step: source.step,
            offsets: source.offsets.as_ptr(),
            b: lines.as_ptr().cast(),
            panel: steps * self.quads * size_of::<Line>(),
            advance: self.quads * size_of::<Line>(),
            left: steps,
            part: steps.div_ceil(parts),
            rows: (SIDE * TILE).div_ceil(parts).next_multiple_of(2),
            borrowed: PhantomData,
        })
    }
}

impl Product<'_> {
    /// A product of which nothing is left.
    pub(crate) const DONE: Product<'static> = Product {
        a: [core::ptr::null(); SIDE],
        step: 0,
        offsets: core::ptr::null(),
        b: core::ptr::null(),
        panel: 0,
        advance: 0,
        left: 0,
        part: 0,
        rows: SIDE * TILE,
        borrowed: PhantomData,
    };

    /// Rows of results to be made after each [`go_on`](Self::go_on): an even number.
    #[inline(always)]
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The next part of it, if something is left.
    #[inline(always)]
    pub(super) fn go_on(&mut self) {
        let steps = self.part.min(self.left);
        if steps == 0 {
            return;
        }
        self.left -= steps;
        // SAFETY: `begin` checked that a tile which begins at the starts is within its bytes with all its products, and that
        // there are lines for all steps in each panel; so many steps were left. No register is changed but the declared ones
        // and tiles, which only this module uses, and of memory only the two fields that are written.
        unsafe {
            asm!(
                "mov {a0}, [{product} + {A0}]",
                "mov {a1}, [{product} + {A1}]",
                "mov {step}, [{product} + {STEP}]",
                "mov {offsets}, [{product} + {OFFSETS}]",
                "mov {b}, [{product} + {B}]",
                "mov {panel}, [{product} + {PANEL}]",
                "mov {line:e}, 64",
                "2:",
                "mov {at}, [{offsets}]",
                "lea {tile}, [{a0} + {at}]",
                "tileloaddt1 tmm6, [{b} + {line}]",
                "tileloadd tmm4, [{tile} + {step}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "lea {tile}, [{b} + {panel}]",
                "tileloaddt1 tmm7, [{tile} + {line}]",
                "tdpbusd tmm1, tmm4, tmm7",
                "lea {tile}, [{a1} + {at}]",
                "tileloadd tmm5, [{tile} + {step}]",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "add {b}, [{product} + {ADVANCE}]",
                "add {offsets}, 8",
                "dec {count}",
                "jnz 2b",
                "mov [{product} + {OFFSETS}], {offsets}",
                "mov [{product} + {B}], {b}",
                A0 = const offset_of!(Product, a),
                A1 = const offset_of!(Product, a) + size_of::<usize>(),
                STEP = const offset_of!(Product, step),
                OFFSETS = const offset_of!(Product, offsets),
                B = const offset_of!(Product, b),
                PANEL = const offset_of!(Product, panel),
                ADVANCE = const offset_of!(Product, advance),
                product = in(reg) &raw mut *self,
                count = inout(reg) steps => _,
                a0 = out(reg) _,
                a1 = out(reg) _,
                step = out(reg) _,
                offsets = out(reg) _,
                b = out(reg) _,
                panel = out(reg) _,
                line = out(reg) _,
                at = out(reg) _,
                tile = out(reg) _,
                options(nostack)
            );
        }
    }

    /// All that is left.
    #[inline(never)]
    pub(crate) fn finish(&mut self) {
        self.part = self.left;
        self.go_on();
    }
}
