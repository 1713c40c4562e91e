//! Rows of outputs from staged rows of the input.
//!
//! Rows are staged for a few blocks of channels at a time, in as many slots as the kernel has rows, and the rows outside of the
//! image are one more, of zero points.

use core::ops::Range;

use crate::finish::FromSums;
use crate::isa::Isa;
use crate::pool::unravel;

use super::Layer;
use super::geometry::Geometry;
use super::lines::{Convert, Sums, Widen, Word};
use super::taps::first_channel;

/// A run of output rows, computed by one thread, `L` channels at a time.
pub(super) struct Band<'a, const L: usize, C: FromSums> {
    pub(super) isa: Isa,
    pub(super) layer: Layer<'a, C>,
    pub(super) geometry: Geometry,
    /// The weights of all blocks.
    pub(super) weights: &'a [Word<L>],
    /// The first row, counted over all images.
    pub(super) first_row: usize,
}

impl<const L: usize, C: FromSums> Band<'_, L, C> {
    /// Computes as many rows as `out` holds.
    pub(super) fn compute(&self, out: &mut [C::Out]) {
        let (layer, geometry) = (&self.layer, &self.geometry);
        let blocks = layer.taps.out_channels.div_ceil(L);
        let Geometry {
            kernel_rows, group, ..
        } = *geometry;
        let row_len = group * geometry.positions();
        let padding = Word::of(layer.input_zero_point);
        let mut stage = vec![padding; (kernel_rows + 1) * row_len];
        let mut staged = Staged {
            rows: vec![None; kernel_rows],
            wanted: Vec::with_capacity(kernel_rows),
        };
        let mut starts = Vec::with_capacity(kernel_rows * geometry.across);
        let mut sums = Sums::new(geometry.outputs);
        let places: Vec<_> = (0..geometry.parts)
            .map(|part| geometry.first_real(part))
            .collect();
        for first_block in (0..blocks).step_by(group) {
            let group = first_block..blocks.min(first_block + group);
            staged.rows.fill(None);
            let rows = out.chunks_exact_mut(geometry.outputs * layer.taps.out_channels);
            for (row, out) in (self.first_row..).zip(rows) {
                self.wanted_rows(row, &mut staged.wanted);
                while let Some((slot, row)) = staged.next() {
                    self.stage(
                        row,
                        group.clone(),
                        &places,
                        &mut stage[slot * row_len..][..row_len],
                    );
                }
                starts.clear();
                for wanted in &staged.wanted {
                    let slot = wanted.map_or(kernel_rows, |row| staged.slot(row));
                    starts.extend(geometry.under().map(|at| slot * row_len + at));
                }
                for block in group.clone() {
                    let stage = &stage[(block - first_block) * geometry.positions()..];
                    self.line(block, stage, &starts, &mut sums, out);
                }
            }
        }
    }

    /// The input row (counted over images and planes) under each row of the kernel.
    fn wanted_rows(&self, row: usize, wanted: &mut Vec<Option<usize>>) {
        let shape = self.layer.shape;
        let [image, od, oh] = unravel(row, shape.output());
        wanted.clear();
        for kd in 0..shape.kernel[0] {
            let plane = shape.under(0, od, kd).map(|d| image * shape.input[0] + d);
            for kh in 0..shape.kernel[1] {
                let line = plane.zip(shape.under(1, oh, kh));
                wanted.push(line.map(|(plane, h)| plane * shape.input[1] + h));
            }
        }
    }

    /// Stages an input row for some blocks, over another row or padding: where the padding lies, it stays. `places` are
    /// [`Geometry::first_real`] of all parts.
    fn stage(
        &self,
        row: usize,
        blocks: Range<usize>,
        places: &[(usize, usize)],
        out: &mut [Word<L>],
    ) {
        let Layer { x, shape, taps, .. } = self.layer;
        let Geometry { part, .. } = self.geometry;
        let channels = shape.in_channels;
        let x = &x[row * shape.input[2] * channels..][..shape.input[2] * channels];
        let pitch = self.geometry.pitch().saturating_mul(channels);
        let mut out = out;
        for block in blocks {
            let first = first_channel::<L>(block, taps.out_channels);
            for &(skip, column) in places {
                let (here, rest) = out.split_at_mut(part);
                out = rest;
                let (Some(x), Some(out)) = (
                    x.get(column.saturating_mul(channels)..),
                    here.get_mut(skip..),
                ) else {
                    continue;
                };
                if taps.multiplier == 1 && channels >= L {
                    let x = x.get(first..).unwrap_or_default();
                    self.isa.vectorize(Widen { x, pitch, out });
                    continue;
                }
                // Lanes without a channel take the last one, times weights of zero.
                let sources = core::array::from_fn(|lane| {
                    (first + lane).min(taps.out_channels - 1) / taps.multiplier
                });
                for (word, pixel) in out.iter_mut().zip(x.chunks(pitch)) {
                    *word = Word::gather(pixel, &sources);
                }
            }
        }
    }

    /// A row of outputs of one block of channels; `starts` are the positions under the first output.
    fn line(
        &self,
        block: usize,
        stage: &[Word<L>],
        starts: &[usize],
        sums: &mut Sums<L>,
        out: &mut [C::Out],
    ) {
        let Layer {
            taps, start, from, ..
        } = self.layer;
        let channels = taps.out_channels;
        let first = first_channel::<L>(block, channels);
        let lanes = first..channels.min(first + L);
        let weights = &self.weights[block * starts.len()..][..starts.len()];
        sums.start(&start[lanes.clone()], &taps.column_sums()[lanes]);
        sums.products(self.isa, stage, starts, weights);
        self.isa.vectorize(Convert {
            from,
            first,
            sums,
            channels,
            out: &mut out[first..],
        });
    }
}

/// Which input rows are staged where.
struct Staged {
    /// The input row in each slot.
    rows: Vec<Option<usize>>,
    /// The input row under each kernel row; `None` in the padding.
    wanted: Vec<Option<usize>>,
}

impl Staged {
    /// The next row to stage and a slot that no wanted row occupies.
    fn next(&mut self) -> Option<(usize, usize)> {
        let Staged { rows, wanted } = self;
        let row = wanted
            .iter()
            .flatten()
            .find(|&&row| !rows.contains(&Some(row)))?;
        // There are as many slots as kernel rows, and one wanted row is in none of them.
        let slot = rows
            .iter()
            .position(|held| held.is_none() || !wanted.contains(held))?;
        rows[slot] = Some(*row);
        Some((slot, *row))
    }

    /// The slot of a staged row.
    fn slot(&self, row: usize) -> usize {
        let slot = self.rows.iter().position(|&held| held == Some(row));
        debug_assert!(slot.is_some(), "row {row} is not staged");
        slot.unwrap_or(0)
    }
}
