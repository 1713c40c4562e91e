//! AMX: `tdpbusd` adds the products of sixteen rows of 64 activations and sixteen columns of 64 weights to
//! sixteen times sixteen sums.
//!
//! Sixteen lines of packed weights are a tile as they lie in memory. Activations are tiles wherever rows
//! are equally far apart, which they are along a line of an image and in a matrix; so tiles are loaded
//! straight from the input, with the distance of the rows as their stride:
//!
//! ```text
//!                    tmm6: panel 0   tmm7: panel 1       each step: 4 loads, 4 products
//! tmm4: tile 0       tmm0            tmm1
//! tmm5: tile 1       tmm2            tmm3
//! ```
//!
//! Weights pass by while the activations of a block stay in the first-level cache, so they are loaded by `tileloaddt1`, which
//! leaves what is there alone.
//!
//! The instructions are written in assembly because stable Rust has no intrinsics for them. Tiles are no
//! registers that a compiler uses, so that they keep what they hold from one piece of assembly to the next.
#![allow(unsafe_code)]

mod added;
mod fetch;
mod floats;
mod product;
mod results;
mod stored;

use core::arch::asm;
use core::cell::Cell;
use core::marker::PhantomData;

use super::{Isa, Tier};
use crate::pack::{Line, PANEL, QUAD};

pub(crate) use fetch::{Lines, Next};
pub(crate) use floats::FloatTile;
use product::Plan;
pub(crate) use product::Product;
pub(crate) use stored::Stored;

/// Rows of a tile, and lines of weights that are multiplied in one step.
pub(crate) const TILE: usize = 16;

/// Tiles of activations and panels of weights multiplied together.
pub(crate) const SIDE: usize = 2;

/// Lines of weights that a step fetches for later.
pub(crate) const FETCHED: usize = 16;

/// Proof that this CPU has AMX and that the system lets this process use it.
#[derive(Clone, Copy)]
pub(crate) struct Amx(Isa);

thread_local! {
    /// Whether [`Tiles`] exist on this thread.
    static CONFIGURED: Cell<bool> = const { Cell::new(false) };
}

/// What `ldtilecfg` reads: rows and bytes of a row for each tile.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Amx {
    /// The tier itself, if it is this one.
    pub(crate) fn of(isa: Isa) -> Option<Amx> {
        (isa.tier() == Tier::Amx).then_some(Amx(isa))
    }

    /// Calls `work` with tiles of `height` rows of `quads` times four activations.
    ///
    /// Only one such call may be under way on a thread.
    pub(crate) fn with_tiles<T>(
        self,
        height: usize,
        quads: usize,
        work: impl FnOnce(&Tiles) -> T,
    ) -> T {
        assert!((1..=TILE).contains(&height) && (1..=TILE).contains(&quads));
        assert!(
            !CONFIGURED.replace(true),
            "a thread has one configuration of tiles"
        );
        let (rows, columns) = (height as u8, quads as u8);
        let configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [
                64,
                64,
                64,
                64,
                quads as u16 * QUAD as u16,
                quads as u16 * QUAD as u16,
                64,
                64,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ],
            rows: [
                rows, rows, rows, rows, rows, rows, columns, columns, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        };
        // SAFETY: the token proves the instruction; rows and bytes are within the limits of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, readonly)) };
        work(&Tiles {
            amx: self,
            height,
            quads,
            thread: PhantomData,
        })
    }
}

/// Tiles of one shape, configured on this thread until they are dropped.
pub(crate) struct Tiles {
    amx: Amx,
    height: usize,
    quads: usize,
    /// The configuration is a thread's own.
    thread: PhantomData<*const ()>,
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: whoever made this had the token.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
        CONFIGURED.set(false);
    }
}

/// Activations of which tiles are loaded, checked to hold them.
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
    step: usize,
    offsets: &'a [usize],
    height: usize,
    quads: usize,
    /// Tiles may begin below this byte.
    end: usize,
    plan: Plan,
}

impl<'a> Source<'a> {
    /// Rows that are `step` bytes apart; the `i`-th of the products of each begins `offsets[i]` bytes after it. Results are
    /// made beside products of at least `beside` steps.
    ///
    /// # Panics
    /// If not even a tile at the beginning lies within the bytes.
    pub(crate) fn new(
        tiles: &Tiles,
        bytes: &'a [u8],
        step: usize,
        offsets: &'a [usize],
        beside: usize,
    ) -> Source<'a> {
        let (height, quads) = (tiles.height, tiles.quads);
        let farthest = offsets.iter().max().copied();
        let extent = (height - 1)
            .checked_mul(step)
            .zip(farthest)
            .and_then(|(rows, farthest)| rows.checked_add(farthest)?.checked_add(quads * QUAD));
        let room = extent.and_then(|extent| bytes.len().checked_sub(extent));
        assert!(
            room.is_some(),
            "the input must hold the products of a tile, and there must be some"
        );
        Source {
            bytes,
            step,
            offsets,
            height,
            quads,
            end: room.map_or(0, |room| room + 1),
            plan: Plan::new(offsets.len(), beside),
        }
    }
}

/// The sums of up to two tiles, one below the other, by two panels: `[row][column]`.
#[repr(C, align(64))]
pub(crate) struct Sums([i32; SIDE * TILE * SIDE * PANEL]);

impl Sums {
    /// Sums from row to row.
    pub(crate) const PITCH: usize = SIDE * PANEL;

    /// All zero.
    pub(crate) fn zero() -> Sums {
        Sums([0; SIDE * TILE * PITCH])
    }
}

const PITCH: usize = Sums::PITCH;

/// The steps of a product: `$setup` clears the sums, `$step` loads and multiplies. `$unused` is a comment with the
/// operands that do not occur.
macro_rules! product {
    ($args:expr; $($setup:literal)*; $($step:literal)*; $($unused:literal)*) => {{
        let Args { a, step, offsets, count, b, panel, advance, next } = $args;
        asm!(
            $($setup,)*
            "2:",
            "mov {at}, [{offsets}]",
            $($step,)*
            "add {b}, {advance}",
            "add {offsets}, 8",
            "dec {count}",
            "jnz 2b",
            $($unused,)*
            a0 = in(reg) a[0],
            a1 = in(reg) a[1],
            step = in(reg) step,
            offsets = inout(reg) offsets => _,
            count = inout(reg) count => _,
            b = inout(reg) b => _,
            panel = in(reg) panel,
            advance = in(reg) advance,
            line = in(reg) 64usize,
            at = out(reg) _,
            tile = out(reg) _,
            next = inout(reg) next => _,
            options(nostack, readonly)
        )
    }};
}

/// What the assembly takes.
struct Args {
    /// First rows of the tiles.
    a: [*const u8; SIDE],
    /// Bytes from row to row.
    step: usize,
    /// Where each step's activations begin within a row.
    offsets: *const usize,
    /// Steps, at least 1.
    count: usize,
    /// Weights of the first panel.
    b: *const u8,
    /// Bytes from panel to panel.
    panel: usize,
    /// Bytes from step to step.
    advance: usize,
    /// Weights to fetch meanwhile.
    next: *const u8,
}

impl Tiles {
    /// Multiplies the tiles of `source` that begin at `starts` by the lines of one or two panels. The sums stay in
    /// tiles until [`Tiles::store`].
    ///
    /// The first lines of `next`, sixteen for each step, are fetched into the second-level cache meanwhile, if these are
    /// two tiles by two panels.
    ///
    /// # Panics
    /// Unless the source was made for these tiles, both starts leave the tile within it, and there is a
    /// line of weights for every product.
    #[inline(never)]
    pub(crate) fn multiply(
        &self,
        source: &Source,
        starts: &[usize],
        lines: &[Line],
        panels: usize,
        next: Lines,
    ) {
        self.check(source, starts, lines, panels);
        let depth = source.offsets.len() * self.quads;
        let base = source.bytes.as_ptr();
        let at = |start: usize| base.wrapping_add(start);
        let args = Args {
            a: [at(starts[0]), at(starts[starts.len() - 1])],
            step: source.step,
            offsets: source.offsets.as_ptr(),
            count: source.offsets.len(),
            b: lines.as_ptr().cast(),
            panel: depth * size_of::<Line>(),
            advance: self.quads * size_of::<Line>(),
            next: next.first(),
        };
        // SAFETY: the configuration proves the instructions. `Source::new` asserted that a tile which begins
        // below its end is within its bytes with all its products, and the starts do. There are offsets for
        // all steps, and lines of `quads` for each of them in each panel; prefetching reads nothing that could fault.
        // No register is changed but the declared ones and tiles, which only this file uses.
        unsafe {
            match (starts.len(), panels) {
                (1, 1) => product!(args;
                    "tilezero tmm0";
                    "lea {tile}, [{a0} + {at}]"
                    "tileloadd tmm4, [{tile} + {step}]"
                    "tileloaddt1 tmm6, [{b} + {line}]"
                    "tdpbusd tmm0, tmm4, tmm6";
                    "/* {a1} {panel} {next} */"
                ),
                (1, _) => product!(args;
                    "tilezero tmm0"
                    "tilezero tmm1";
                    "lea {tile}, [{a0} + {at}]"
                    "tileloadd tmm4, [{tile} + {step}]"
                    "tileloaddt1 tmm6, [{b} + {line}]"
                    "tdpbusd tmm0, tmm4, tmm6"
                    "lea {tile}, [{b} + {panel}]"
                    "tileloaddt1 tmm7, [{tile} + {line}]"
                    "tdpbusd tmm1, tmm4, tmm7";
                    "/* {a1} {next} */"
                ),
                (_, 1) => product!(args;
                    "tilezero tmm0"
                    "tilezero tmm2";
                    "lea {tile}, [{a0} + {at}]"
                    "tileloaddt1 tmm6, [{b} + {line}]"
                    "tileloadd tmm4, [{tile} + {step}]"
                    "tdpbusd tmm0, tmm4, tmm6"
                    "lea {tile}, [{a1} + {at}]"
                    "tileloadd tmm5, [{tile} + {step}]"
                    "tdpbusd tmm2, tmm5, tmm6";
                    "/* {panel} {next} */"
                ),
                (_, _) if next.count() == 0 => product!(args;
                    "tilezero tmm0"
                    "tilezero tmm1"
                    "tilezero tmm2"
                    "tilezero tmm3";
                    "lea {tile}, [{a0} + {at}]"
                    "tileloaddt1 tmm6, [{b} + {line}]"
                    "tileloadd tmm4, [{tile} + {step}]"
                    "tdpbusd tmm0, tmm4, tmm6"
                    "lea {tile}, [{b} + {panel}]"
                    "tileloaddt1 tmm7, [{tile} + {line}]"
                    "tdpbusd tmm1, tmm4, tmm7"
                    "lea {tile}, [{a1} + {at}]"
                    "tileloadd tmm5, [{tile} + {step}]"
                    "tdpbusd tmm2, tmm5, tmm6"
                    "tdpbusd tmm3, tmm5, tmm7";
                    "/* {next} */"
                ),
                _ => product!(args;
                    "tilezero tmm0"
                    "tilezero tmm1"
                    "tilezero tmm2"
                    "tilezero tmm3";
                    "lea {tile}, [{a0} + {at}]"
                    "tileloaddt1 tmm6, [{b} + {line}]"
                    "tileloadd tmm4, [{tile} + {step}]"
                    "tdpbusd tmm0, tmm4, tmm6"
                    "lea {tile}, [{b} + {panel}]"
                    "tileloaddt1 tmm7, [{tile} + {line}]"
                    "tdpbusd tmm1, tmm4, tmm7"
                    "lea {tile}, [{a1} + {at}]"
                    "tileloadd tmm5, [{tile} + {step}]"
                    "tdpbusd tmm2, tmm5, tmm6"
                    "tdpbusd tmm3, tmm5, tmm7"
                    "prefetcht1 [{next} + 0]"
                    "prefetcht1 [{next} + 64]"
                    "prefetcht1 [{next} + 128]"
                    "prefetcht1 [{next} + 192]"
                    "prefetcht1 [{next} + 256]"
                    "prefetcht1 [{next} + 320]"
                    "prefetcht1 [{next} + 384]"
                    "prefetcht1 [{next} + 448]"
                    "prefetcht1 [{next} + 512]"
                    "prefetcht1 [{next} + 576]"
                    "prefetcht1 [{next} + 640]"
                    "prefetcht1 [{next} + 704]"
                    "prefetcht1 [{next} + 768]"
                    "prefetcht1 [{next} + 832]"
                    "prefetcht1 [{next} + 896]"
                    "prefetcht1 [{next} + 960]"
                    "add {next}, 1024";
                ),
            }
        }
    }

    /// Asserts what products rely on.
    #[inline(always)]
    fn check(&self, source: &Source, starts: &[usize], lines: &[Line], panels: usize) {
        assert!((source.height, source.quads) == (self.height, self.quads));
        assert!((1..=SIDE).contains(&starts.len()));
        assert!(starts.iter().all(|&start| start < source.end));
        let depth = source.offsets.len() * self.quads;
        assert!((1..=SIDE).contains(&panels) && panels * depth == lines.len());
    }

    /// Writes what the last product left: the sums of its tiles by its panels, and old ones of others.
    ///
    /// The sums before are best read between the product and this: what is stored can be read some time later only.
    pub(crate) fn store(&self, sums: &mut Sums) {
        let sums = sums.0.as_mut_ptr();
        // SAFETY: the tiles are configured; there is room for two by two of them, of `height` rows each, with `PITCH`
        // sums from row to row.
        unsafe {
            asm!(
                "tilestored [{upper} + {pitch}], tmm0",
                "tilestored [{upper} + {pitch} + 64], tmm1",
                "tilestored [{lower} + {pitch}], tmm2",
                "tilestored [{lower} + {pitch} + 64], tmm3",
                upper = in(reg) sums,
                lower = in(reg) sums.add(self.height * PITCH),
                pitch = in(reg) PITCH * size_of::<i32>(),
                options(nostack)
            );
        }
    }
}

/// A round of products on registers alone, of the calling thread's core; answers with their number.
pub(super) fn peak(isa: Isa) -> u64 {
    const ROUNDS: u64 = 500;
    let amx = Amx::of(isa);
    assert!(amx.is_some(), "the tier must be AMX");
    let Some(amx) = amx else { return 0 };
    amx.with_tiles(TILE, TILE, |_| {
        // SAFETY: the tiles are configured; what they hold does not matter.
        unsafe {
            asm!(
                "2:",
                "tdpbusd tmm0, tmm4, tmm6",
                "tdpbusd tmm1, tmm4, tmm7",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) ROUNDS => _,
                options(nomem, nostack)
            );
        }
    });
    ROUNDS * 4 * (TILE * PANEL * TILE * QUAD) as u64
}
