//! The loops around the micro-kernels, the same for every instruction set.
//!
//! ```text
//! pieces for threads (rows, or columns if rows are few)
//!   blocks of rows (activations stay in the second-level cache; pointers are made once per block)
//!     groups
//!       neighbouring panels (weights stay in the first-level cache)
//!         tiles (accumulators stay in registers)
//! ```
//!
//! Sums never leave registers. Results do, if they wait for the rest of their block to be added to.

use core::cell::{Cell, RefCell};
use core::ops::Range;

use crate::context::Context;
use crate::finish::{Finish, Place};
use crate::isa::Isa;
use crate::isa::tile::{Ahead, Tile};
use crate::pack::{Dense, PANEL};
use crate::plan::{self, balanced};
use crate::source::{MOST_TABLES, Making, Memory, Source, Table};
#[cfg(target_arch = "x86_64")]
use crate::wide;

/// A layer and the instructions to run it with.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a, F> {
    pub(crate) isa: Isa,
    pub(crate) dense: &'a Dense,
    pub(crate) finish: F,
    /// The row of the whole call that counts as row 0.
    pub(crate) first_row: usize,
    /// No byte of the input or its padding is greater.
    pub(crate) greatest: u8,
}

impl<'a, F> Job<'a, F> {
    /// A whole call, of whose input nothing is known.
    pub(crate) fn new(ctx: &Context, dense: &'a Dense, finish: F) -> Job<'a, F> {
        Job {
            isa: ctx.isa,
            dense,
            finish,
            first_row: 0,
            greatest: u8::MAX,
        }
    }
}

/// The part of the output that a block computes.
pub(crate) struct Part<'a, T> {
    /// Panels of every group.
    pub(crate) panels: Range<usize>,
    /// The output from the first of these panels on.
    pub(crate) out: &'a mut [T],
    /// Elements between rows of `out`.
    pub(crate) stride: usize,
}

#[derive(Default)]
struct Scratch {
    tables: [Memory; MOST_TABLES],
    /// Results that wait for the rest of their block, of up to four bytes.
    results: Vec<u32>,
    #[cfg(target_arch = "x86_64")]
    wide: wide::Operands,
}

/// Bytes that are copied sooner than a second thread could take half of them.
const COPIED_SERIALLY: usize = 32 << 10;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// Output of few rows by columns, before it is put in order; words, for elements of up to four bytes.
    static COLUMNS: RefCell<Vec<u32>> = RefCell::default();
}

/// Computes `rows` rows of output. Padding is `zero_point`.
pub(crate) fn run<F: Finish>(
    ctx: &Context,
    job: Job<F>,
    source: &impl Source,
    zero_point: u8,
    rows: usize,
    out: &mut [F::Out],
) {
    let dense = job.dense;
    #[cfg(target_arch = "x86_64")]
    let job = Job {
        greatest: wide::greatest(job.isa, source.used()).max(zero_point),
        ..job
    };
    let width = dense.groups * dense.columns;
    let products = rows as u64 * (width * dense.segments * dense.channels) as u64;
    let pieces = ctx.pieces(products, plan::SERIAL_BELOW);
    if pieces > 1 && rows <= plan::FEW_ROWS && dense.groups == 1 && dense.panels() > 1 {
        return by_columns(job.finish, pieces, dense.panels(), rows, out, |part| {
            serial(job, source, 0..rows, part);
        });
    }
    Context::chunks(out, rows.div_ceil(pieces).max(1) * width, |index, out| {
        let (first, count) = (index / width, out.len() / width);
        let panels = 0..dense.panels();
        serial(
            job,
            source,
            first..first + count,
            Part {
                panels,
                out,
                stride: width,
            },
        );
    });
}

/// Lets every piece compute some of `panels` panels of all rows into memory of its own, which begins with what the output
/// holds if results are made of that, too.
pub(crate) fn by_columns<F: Finish>(
    finish: F,
    pieces: usize,
    panels: usize,
    rows: usize,
    out: &mut [F::Out],
    compute: impl Fn(Part<F::Out>) + Sync,
) {
    let panels = panels.div_ceil(pieces);
    let chunk = panels * PANEL * rows;
    let piece = |index: usize, out: &mut [F::Out]| {
        let first = index / chunk * panels;
        let stride = out.len() / rows;
        let panels = first..first + stride.div_ceil(PANEL);
        compute(Part {
            panels,
            out,
            stride,
        });
    };
    if rows == 1 {
        return Context::chunks(out, chunk, piece);
    }
    // Taken out of its cell, because rayon may run other work on this thread while it waits.
    let mut words = COLUMNS.take();
    words.resize(out.len(), 0);
    let columns = &mut bytemuck::cast_slice_mut::<u32, F::Out>(&mut words)[..out.len()];
    let held = finish.reads_output().then_some(&*out);
    Context::chunks(columns, chunk, |index, part| {
        if let Some(held) = held {
            let column = index / rows;
            let (width, stride) = (held.len() / rows, part.len() / rows);
            for (part, held) in part.chunks_exact_mut(stride).zip(held.chunks_exact(width)) {
                part.copy_from_slice(&held[column..column + stride]);
            }
        }
        piece(index, part);
    });
    put_side_by_side(pieces, columns, chunk, rows, out);
    COLUMNS.set(words);
}

/// Puts parts of all rows, each of at most `chunk` elements, side by side.
pub(crate) fn put_side_by_side<T: Copy + Send + Sync>(
    pieces: usize,
    parts: &[T],
    chunk: usize,
    rows: usize,
    out: &mut [T],
) {
    let width = out.len() / rows;
    let pieces = if size_of_val(parts) < COPIED_SERIALLY {
        1
    } else {
        pieces
    };
    Context::chunks(out, rows.div_ceil(pieces) * width, |index, out| {
        let first = index / width;
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let mut rest = out;
            for part in parts.chunks(chunk) {
                let width = part.len() / rows;
                let (now, later) = rest.split_at_mut(width);
                now.copy_from_slice(&part[(first + row) * width..][..width]);
                rest = later;
            }
        }
    });
}

/// Computes rows on the calling thread, block by block.
fn serial<F: Finish>(job: Job<F>, source: &impl Source, rows: Range<usize>, part: Part<F::Out>) {
    let dense = job.dense;
    let Part {
        panels,
        out,
        stride,
    } = part;
    SCRATCH.with_borrow_mut(|scratch| {
        let bytes = source.row_bytes();
        #[cfg(target_arch = "x86_64")]
        let bytes = bytes * wide::element_bytes(job.isa, job.greatest);
        let mut most = plan::block_rows(bytes);
        if job.finish.waits() {
            most = plan::waiting_rows(most, stride * size_of::<F::Out>());
        }
        let Scratch {
            tables: memory,
            results,
            #[cfg(target_arch = "x86_64")]
                wide: operands,
        } = scratch;
        for block in balanced(rows.len(), most) {
            let first = rows.start + block.start;
            let out = &mut out[block.start * stride..block.end * stride];
            let job = Job {
                first_row: first,
                ..job
            };
            let rows = first..first + block.len();
            let mut memory = memory.iter_mut();
            let tables: [Option<Table>; MOST_TABLES] = core::array::from_fn(|index| {
                let memory = memory.next().filter(|_| index < source.tables())?;
                job.isa.vectorize(Making {
                    source,
                    index,
                    rows: rows.clone(),
                    memory,
                })
            });
            #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
            let mut compute = |out: &mut [F::Out]| {
                for group in 0..dense.groups {
                    let part = Part {
                        panels: panels.clone(),
                        out: &mut out[group * dense.columns..],
                        stride,
                    };
                    #[cfg(target_arch = "x86_64")]
                    if let (Some(wide), [Some(table), ..]) =
                        (wide::worthwhile(job.isa, rows.len()), &tables)
                    {
                        wide::multiply(wide, job, &table.rows, group, part, operands);
                        continue;
                    }
                    tiles(job, &tables, group, part);
                }
            };
            if job.finish.waits() {
                let words = size_of_val(out).div_ceil(size_of::<u32>());
                results.resize(results.len().max(words), 0);
                let results = &mut bytemuck::cast_slice_mut(results)[..out.len()];
                compute(results);
                let place = [first, panels.start * PANEL];
                job.finish.join(place, results, out, stride);
            } else {
                compute(out);
            }
        }
    });
}

/// Computes one group of a block, tile by tile, straight from the rows.
fn tiles<F: Finish>(job: Job<F>, tables: &[Option<Table>], group: usize, part: Part<F::Out>) {
    let dense = job.dense;
    let heights = job.isa.tile_rows();
    let tables = tables.iter().flatten();
    let rows = tables.clone().map(|table| table.rows.rows()).sum();
    let (first, count) = (part.panels.start, part.panels.len());
    for neighbours in balanced(count, plan::tile_panels(heights, rows)) {
        let panels = neighbours.len();
        let panel = first + neighbours.start;
        let end = (neighbours.end + panels).min(count);
        let next = neighbours.end..end;
        let fetched = Cell::new(0);
        let ahead = Ahead {
            lines: match next.len() {
                0 => &[],
                panels => dense.lines(group, first + next.start, panels),
            },
            fetched: Some(&fetched),
        };
        let strips = (tables.clone())
            .flat_map(|Table { rows, strips }| strips.iter().map(move |strip| (rows, strip)));
        for (table, strip) in strips {
            for tile in balanced(strip.rows.len(), job.finish.rows()) {
                let row = strip.out + tile.start * strip.step;
                let out = &mut part.out[row * part.stride + neighbours.start * PANEL..];
                let place = Place {
                    step: strip.step,
                    ..job.place(group, panel, panels, row, tile.len())
                };
                let stride = part.stride * strip.step;
                job.finish.tile(place, None, out, stride, |epilogue| {
                    job.isa.tile(Tile {
                        rows: table,
                        first: strip.rows.start + tile.start,
                        height: tile.len(),
                        offset: group * dense.channels,
                        lines: dense.lines(group, panel, panels),
                        panels,
                        extent: strip.extent.clone(),
                        ahead,
                        pairs_fit: false,
                        epilogue,
                    });
                });
            }
        }
    }
}

impl<F> Job<'_, F> {
    /// Where the tile of `height` rows of the block from `row` on, and of `panels` panels of `group` from
    /// `panel` on, lies in the output.
    pub(crate) fn place(
        &self,
        group: usize,
        panel: usize,
        panels: usize,
        row: usize,
        height: usize,
    ) -> Place {
        Place {
            row: self.first_row + row,
            column: (group * self.dense.panels() + panel) * PANEL,
            channel: group * self.dense.columns + panel * PANEL,
            height,
            step: 1,
            columns: (self.dense.columns - panel * PANEL).min(panels * PANEL),
            width: panels * PANEL,
        }
    }
}
