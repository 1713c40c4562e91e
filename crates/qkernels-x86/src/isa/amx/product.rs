//! The product of two tiles and two panels in parts, beside which results are made.
//!
//! Matrix and vector units work at once, but only where their instructions stand close together: a CPU looks ahead for some
//! hundred instructions, and whatever follows a product at a greater distance waits for it. So whoever makes results of
//! the sums before calls [`Product::go_on`] every few rows.
#![allow(unsafe_code)]

use core::arch::asm;
use core::marker::PhantomData;
use core::mem::offset_of;

use super::fetch::{Lines, Next};
use super::{SIDE, Source, TILE, Tiles};
use crate::pack::Line;

/// Products of a step: two tiles by two panels.
const SQUARE: usize = SIDE * SIDE;

/// Pairs of rows of results that are made beside a product.
const PAIRS: usize = SIDE * TILE / 2;

/// How a product is cut.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// Products of a part: none, if all are done at once, up to three, or whole steps.
    part: usize,
    /// Rows of results that are made beside a part; even.
    rows: usize,
}

impl Plan {
    /// For products of so many steps: as many parts as there are pairs of rows, or fewer; a single one below `least` steps.
    pub(super) fn new(steps: usize, least: usize) -> Plan {
        if steps < least {
            return Plan {
                part: 0,
                rows: SIDE * TILE,
            };
        }
        let products = SQUARE * steps.max(1);
        let part = products.div_ceil(PAIRS);
        Plan {
            part: match part < SQUARE {
                true => part,
                false => part.next_multiple_of(SQUARE),
            },
            rows: (PAIRS / products).max(1) * 2,
        }
    }
}

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
    /// Steps to come, the one under way among them.
    left: usize,
    /// Products of that one which are done.
    done: usize,
    /// Products of a part: up to three, or whole steps.
    part: usize,
    /// Rows of results that are made beside a part; even.
    rows: usize,
    /// Lines that are fetched beside it for later, and how many with each part.
    next: Lines,
    each: usize,
    /// The memory of all pointers, and the configuration of tiles.
    borrowed: PhantomData<&'a [u8]>,
}

/// A piece of assembly that loads tiles, multiplies them, and changes nothing else.
macro_rules! product {
    ($($line:literal),*; $($name:ident = $value:expr),*) => {
        asm!($($line,)* $($name = in(reg) $value,)* options(nostack, readonly))
    };
}

impl<'a> Product<'a> {
    /// Begins what [`Tiles::multiply`] does, and does it at once where that is as good. Lines of `next` are fetched meanwhile.
    ///
    /// It is written where it stays: a copy by vectors of fields that were just written would wait for all stores before
    /// them, and those of results are on their way to a far cache.
    ///
    /// # Panics
    /// As [`Tiles::multiply`].
    #[inline(never)]
    pub(crate) fn begin(
        &mut self,
        tiles: &'a Tiles,
        source: &Source<'a>,
        starts: &[usize],
        lines: &'a [Line],
        panels: usize,
        next: Next,
    ) {
        let Plan { part, rows } = source.plan;
        let square = (starts.len(), panels) == (SIDE, SIDE);
        // Whole steps one after the other fetch weights as they multiply.
        let fetches = part >= SQUARE && next.weights().count() > 0;
        if part == 0 || !square || fetches {
            tiles.multiply(source, starts, lines, panels, next.weights());
            (self.left, self.done) = (0, 0);
            // Nothing is gained by spreading these over results that take long anyway.
            next.rows().fetch();
            self.rows = SIDE * TILE;
            return self.fetch(Lines::NONE);
        }
        tiles.check(source, starts, lines, panels);
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
        let steps = source.offsets.len();
        let base = source.bytes.as_ptr();
        self.a = [base.wrapping_add(starts[0]), base.wrapping_add(starts[1])];
        self.step = source.step;
        self.offsets = source.offsets.as_ptr();
        self.b = lines.as_ptr().cast();
        self.panel = steps * tiles.quads * size_of::<Line>();
        self.advance = tiles.quads * size_of::<Line>();
        self.left = steps;
        self.done = 0;
        (self.part, self.rows) = (part, rows);
        self.fetch(next.all());
    }

    /// A product of which nothing is left.
    pub(crate) const DONE: Product<'a> = Product {
        a: [core::ptr::null(); SIDE],
        step: 0,
        offsets: core::ptr::null(),
        b: core::ptr::null(),
        panel: 0,
        advance: 0,
        left: 0,
        done: 0,
        part: 0,
        rows: SIDE * TILE,
        next: Lines::NONE,
        each: 0,
        borrowed: PhantomData,
    };

    /// Spreads lines over the rows of results.
    #[inline(always)]
    fn fetch(&mut self, lines: Lines) {
        self.next = lines;
        self.each = lines.count().div_ceil(SIDE * TILE / self.rows);
    }

    /// Rows of results to be made after each [`go_on`](Self::go_on): an even number.
    #[inline(always)]
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The next part of it, if something is left.
    #[inline(always)]
    pub(super) fn go_on(&mut self) {
        if self.next.count() > 0 {
            self.next.take(self.each).fetch();
        }
        if self.part >= SQUARE {
            return self.whole(self.part / SQUARE);
        }
        for _ in 0..self.part {
            self.single();
        }
    }

    /// All that is left.
    #[inline(never)]
    pub(crate) fn finish(&mut self) {
        while self.done > 0 {
            self.single();
        }
        self.whole(self.left);
    }

    /// The next product, if one is left.
    #[inline(always)]
    fn single(&mut self) {
        if self.left == 0 {
            return;
        }
        // SAFETY: `begin` checked that a tile which begins at the starts is within its bytes with all its products, and that
        // there are lines for all steps in each panel; this step was left. No register is changed but tiles, which only this
        // module uses.
        unsafe {
            match self.done {
                0 => {
                    let at = *self.offsets;
                    product!(
                        "tileloaddt1 tmm6, [{b} + {line}]",
                        "tileloadd tmm4, [{a} + {step}]",
                        "tdpbusd tmm0, tmm4, tmm6";
                        a = self.a[0].wrapping_add(at), step = self.step, b = self.b, line = 64usize
                    );
                }
                1 => product!(
                    "tileloaddt1 tmm7, [{b} + {line}]",
                    "tdpbusd tmm1, tmm4, tmm7";
                    b = self.b.wrapping_add(self.panel), line = 64usize
                ),
                2 => {
                    let at = *self.offsets;
                    product!(
                        "tileloadd tmm5, [{a} + {step}]",
                        "tdpbusd tmm2, tmm5, tmm6";
                        a = self.a[1].wrapping_add(at), step = self.step
                    );
                }
                _ => {
                    product!("tdpbusd tmm3, tmm5, tmm7";);
                    self.b = self.b.wrapping_add(self.advance);
                    self.offsets = self.offsets.wrapping_add(1);
                    self.left -= 1;
                    self.done = 0;
                    return;
                }
            }
        }
        self.done += 1;
    }

    /// So many steps, if they are left; none is under way.
    #[inline(always)]
    fn whole(&mut self, steps: usize) {
        let steps = steps.min(self.left);
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
}
