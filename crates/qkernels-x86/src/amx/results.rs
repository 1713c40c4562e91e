//! Where results go, and when they are made: those of a block beside the product of the next one.

use super::ahead::Ahead;
use super::place::{Pair, Placement};
use crate::driver::{Job, Part};
use crate::finish::Finish;
use crate::isa::amx::{Lines, Product, Source, Stored, Sums, Tiles};

/// Two tiles or one by two panels or one.
pub(super) struct Block<'a> {
    pub(super) pair: &'a Pair,
    pub(super) group: usize,
    pub(super) panel: usize,
    pub(super) panels: usize,
    /// The first column within the group's part of the output.
    pub(super) column: usize,
}

/// The results of some rows.
pub(super) struct Results<'a, F: Finish> {
    tiles: &'a Tiles,
    job: Job<'a, F>,
    placement: &'a Placement,
    /// The row at which `out` begins.
    first_row: usize,
    out: &'a mut [F::Out],
    stride: usize,
    sums: Sums,
    /// The block whose results have not been made of the sums.
    waiting: Option<Block<'a>>,
}

impl<'a, F: Finish> Results<'a, F> {
    /// Those of the rows that were placed, which go to `part`.
    pub(super) fn new(
        tiles: &'a Tiles,
        job: Job<'a, F>,
        placement: &'a Placement,
        part: Part<'a, F::Out>,
    ) -> Results<'a, F> {
        let first = placement.pairs().first();
        let first_run = first.and_then(|pair| placement.runs(pair).first());
        Results {
            tiles,
            job,
            placement,
            first_row: first_run.map_or(0, |run| run.row),
            out: part.out,
            stride: part.stride,
            sums: Sums::zero(),
            waiting: None,
        }
    }

    /// What the pairs of the `next` block read and write, to be fetched in `times` steps.
    pub(super) fn ahead<'s>(
        &self,
        source: &'s Source<'s>,
        finish: &'s F,
        next: &'s [Pair],
        times: usize,
    ) -> Option<Ahead<impl Iterator<Item = &'s [u8]> + Clone + use<'s, 'a, F>>> {
        let placement = self.placement;
        let (first, last) = (next.first()?, next.last()?);
        let channels = self.job.dense.channels;
        let (start, end) = (first.starts().first()?, last.starts().last()?);
        let run = source.run(*start, *end, channels);
        let apart = if run.is_some() { &[] } else { next };
        let starts = apart.iter().flat_map(Pair::starts);
        let input = starts.flat_map(move |&start| source.rows(start, channels));
        let (first, last) = (placement.runs(first).first()?, placement.runs(last).last()?);
        let rows = first.row..last.row + last.count;
        let size = self.stride * size_of::<F::Out>();
        let written = (rows.start - self.first_row) * size..(rows.end - self.first_row) * size;
        let first = self.job.first_row;
        let beside = finish.beside(first + rows.start..first + rows.end);
        let out: &[u8] = bytemuck::cast_slice(&*self.out);
        let runs = [run.unwrap_or_default(), beside, &out[written]].map(Lines::of);
        Some(Ahead::new(input, runs, times))
    }

    /// Makes the results of the block before while the product of `block` goes on, then ends that and takes its sums.
    #[inline(always)]
    pub(super) fn make(&mut self, block: Block<'a>, product: &mut Product) {
        if let Some(before) = self.waiting.replace(block) {
            self.write(before, product);
        }
        product.finish();
        self.tiles.store(&mut self.sums);
    }

    /// Makes the results of the last block.
    pub(super) fn finish(mut self) {
        if let Some(last) = self.waiting.take() {
            let mut done = Product::DONE;
            self.write(last, &mut done);
        }
    }

    #[inline(always)]
    fn write(&mut self, block: Block, beside: &mut Product) {
        let (group, panel, panels) = (block.group, block.panel, block.panels);
        let column = group * self.job.dense.columns + block.column;
        for run in self.placement.runs(block.pair) {
            let at = (run.row - self.first_row) * self.stride + column;
            let place = (self.job).place(group, panel, panels, run.row, run.count);
            let stored = Stored::new(self.tiles, &self.sums, run.first, run.count, beside);
            (self.job.finish).stored(place, stored, &mut self.out[at..], self.stride);
        }
    }
}
