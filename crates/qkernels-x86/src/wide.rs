//! The innermost loops for tiers that multiply 16-bit integers: both operands are widened into scratch
//! memory once per block and panel, so that tiles do nothing but load, multiply and add.

use crate::driver::{Job, Part};
use crate::isa::Isa;
use crate::isa::rows::RowTable;
use crate::isa::wide::{Wide, WideLine, WideTile};
use crate::pack::PANEL;
use crate::plan::balanced;

/// From this many rows on, widening a panel costs less than splitting its bytes once per tile.
const FROM_ROWS: usize = 5;

/// Products of a row in one line.
const PER_LINE: usize = 32;

/// Memory for widened operands.
#[derive(Default)]
pub(crate) struct Operands {
    rows: Vec<WideLine>,
    panel: Vec<WideLine>,
}

/// The tier, if widening is worth its while for a block of `rows` rows.
pub(crate) fn worthwhile(isa: Isa, rows: usize) -> Option<Wide> {
    Wide::of(isa).filter(|_| rows >= FROM_ROWS)
}

/// Computes one group of a block.
pub(crate) fn multiply(
    wide: Wide,
    job: Job,
    rows: &RowTable,
    group: usize,
    part: Part,
    operands: &mut Operands,
) {
    let dense = job.dense;
    // An odd number of lines, so that neighbouring rows never fall into the same cache sets.
    let row_lines = (dense.depth() * 4).div_ceil(PER_LINE) | 1;
    grow(&mut operands.rows, rows.rows() * row_lines);
    grow(&mut operands.panel, 2 * dense.depth());
    wide.rows(
        rows,
        group * dense.channels,
        dense.quads(),
        row_lines,
        &mut operands.rows,
    );
    for panel in part.panels.clone() {
        let weights = &mut operands.panel[..2 * dense.depth()];
        wide.panel(dense.lines(group, panel, 1), weights);
        for tile in balanced(rows.rows(), Wide::ROWS) {
            let column = (panel - part.panels.start) * PANEL;
            let out = &mut part.out[tile.start * part.stride + column..];
            wide.tile(WideTile {
                rows: &operands.rows[tile.start * row_lines..],
                row_lines,
                height: tile.len(),
                lines: weights,
                epilogue: job.epilogue(group, panel, 1, out, part.stride),
            });
        }
    }
}

fn grow(lines: &mut Vec<WideLine>, len: usize) {
    if lines.len() < len {
        lines.resize(len, WideLine::default());
    }
}
