//! Convolutions without the products of their padding, whose kernel rows are read as one segment each.
//!
//! The taps of a kernel row lie side by side in a channels-last image: one run of bytes, unless it begins or ends in the
//! padding. Activations of zero add nothing to a sum, so where padding is zero those taps can be left out instead. Output
//! columns with the same taps inside of the image make a [`Class`]: all but the first and last few are one, whose runs have all
//! taps. Within a class, rows of output with the same kernel rows inside of the image make a [`Strip`], which leaves out the
//! other kernel rows. Of a 3×3 kernel over 7×7 outputs, a sixth of all products is left out.

use core::ops::Range;

use crate::gather::{Gather, Input};
use crate::isa::tile::Extent;
use crate::pack::{Dense, QUAD};
use crate::shape::ConvShape;
use crate::source::{MOST_TABLES, Memory, Source, Strip, Table};

/// Output columns whose taps within the image are the same.
#[derive(Clone, Debug, Default, PartialEq)]
struct Class {
    columns: Range<usize>,
    taps: Range<usize>,
}

/// A convolution by classes and strips.
pub(crate) struct Strips<'a> {
    x: &'a [u8],
    shape: &'a ConvShape,
    output: [usize; 3],
    classes: Classes,
}

/// From left to right; those behind the last one are empty. Not a vector, which every call would allocate.
type Classes = [Class; MOST_TABLES];

impl<'a> Strips<'a> {
    /// The convolution of `x`, if its padding is zero, its kernel rows lie side by side, and few enough columns are special.
    pub(crate) fn of(
        x: &'a [u8],
        shape: &'a ConvShape,
        dense: &Dense,
        zero_point: u8,
    ) -> Option<Strips<'a>> {
        let side_by_side = dense.groups == 1
            && !dense.row_run
            && shape.in_channels.is_multiple_of(QUAD)
            && shape.dilation[2] == 1
            && shape.kernel[2] > 1;
        if !side_by_side || (zero_point != 0 && shape.padding != [0; 3]) {
            return None;
        }
        let output = shape.output();
        let classes = classes(shape, output[2])?;
        let most = classes.iter().map(|class| class.columns.len()).max()?;
        (2 * most > output[2]).then_some(Strips {
            x,
            shape,
            output,
            classes,
        })
    }

    /// The rows of output in `rows` that belong to a class, line by line of the image.
    fn runs(
        &self,
        class: &Class,
        rows: &Range<usize>,
    ) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (width, rows, columns) = (self.output[2], rows.clone(), class.columns.clone());
        (rows.start / width..rows.end.div_ceil(width)).filter_map(move |line| {
            let first = (line * width + columns.start).max(rows.start);
            let end = (line * width + columns.end).min(rows.end);
            (first < end).then_some((line, first..end))
        })
    }

    /// Puts the strips of a class in `rows` into `strips`, and answers how many rows these have.
    fn plan(&self, class: &Class, rows: &Range<usize>, strips: &mut Vec<Strip>) -> usize {
        strips.clear();
        let mut planned = 0;
        // A column of its own goes down the image, over lines with different kernel rows.
        let alone = class.columns.len() == 1;
        let step = if alone { self.output[2] } else { 1 };
        for (line, run) in self.runs(class, rows) {
            let segments = if alone {
                self.all()
            } else {
                self.segments(line)
            };
            let out = run.start - rows.start;
            let before = strips.last_mut().filter(|last| {
                last.out + last.rows.len() * step == out && last.extent.segments == segments
            });
            match before {
                Some(last) => last.rows.end += run.len(),
                None => strips.push(Strip {
                    rows: planned..planned + run.len(),
                    out,
                    step,
                    extent: Extent {
                        segments,
                        quads: self.quads(class),
                    },
                }),
            }
            planned += run.len();
        }
        planned
    }

    /// All kernel rows.
    fn all(&self) -> Range<usize> {
        0..self.shape.kernel[0] * self.shape.kernel[1]
    }

    /// The lines of weights of each kernel row that belong to the taps of a class.
    fn quads(&self, class: &Class) -> Range<usize> {
        let quads = self.shape.in_channels / QUAD;
        class.taps.start * quads..class.taps.end * quads
    }

    /// From the first to the last kernel row that lies within the image, for a line of output.
    fn segments(&self, line: usize) -> Range<usize> {
        let [deep, high] = self.kernel_rows(line);
        if deep.is_empty() || high.is_empty() {
            return self.all();
        }
        let height = self.shape.kernel[1];
        deep.start * height + high.start..(deep.end - 1) * height + high.end
    }

    /// The taps along depth and height that lie within the image, for a line of output.
    fn kernel_rows(&self, line: usize) -> [Range<usize>; 2] {
        let [depth, height, _] = self.output;
        [
            within(self.shape, 0, line / height % depth),
            within(self.shape, 1, line % height),
        ]
    }

    /// Fills in where a run of outputs of one line begins to read each kernel row; the run takes up `places` of a block of `block`
    /// rows.
    #[inline(always)]
    fn fill(
        &self,
        class: &Class,
        (line, first): (usize, usize),
        places: Range<usize>,
        block: usize,
        gather: &mut Gather,
    ) {
        let ConvShape {
            in_channels,
            input: [in_depth, in_height, in_width],
            kernel: [_, kernel_height, _],
            ..
        } = *self.shape;
        let [depth, height, width] = self.output;
        let (oh, od, image) = (line % height, line / height % depth, line / height / depth);
        let position = |axis: usize, out: usize, tap: usize| {
            let padded = out * self.shape.stride[axis] + tap * self.shape.dilation[axis];
            padded - self.shape.padding[axis]
        };
        let iw = position(2, first % width, class.taps.start);
        let step = self.shape.stride[2] * in_channels;
        let [deep, high] = self.kernel_rows(line);
        for kd in deep {
            let plane = image * in_depth + position(0, od, kd);
            for kh in high.clone() {
                let pixel = (plane * in_height + position(1, oh, kh)) * in_width + iw;
                let segment = kd * kernel_height + kh;
                let mut sources = gather.segment(segment, block, places.clone());
                sources.inputs(pixel * in_channels, step);
            }
        }
    }
}

impl Source for Strips<'_> {
    fn used(&self) -> &[u8] {
        &self.x[..self.shape.input_len()]
    }

    fn row_bytes(&self) -> usize {
        self.shape.stride.iter().product::<usize>() * self.shape.in_channels
    }

    fn tables(&self) -> usize {
        (self
            .classes
            .iter()
            .take_while(|class| !class.columns.is_empty()))
        .count()
    }

    #[inline(always)]
    fn table<'a>(
        &'a self,
        index: usize,
        rows: Range<usize>,
        memory: &'a mut Memory,
    ) -> Option<Table<'a>> {
        let class = &self.classes[index];
        let Memory { gather, strips } = memory;
        let count = self.plan(class, &rows, strips);
        if count == 0 {
            return None;
        }
        let span = self.quads(class).len() * QUAD;
        let input = Input::new(self.x, self.shape.input_len(), span, 0);
        gather.begin(input, self.all().len(), count);
        let mut place = 0;
        for (line, run) in self.runs(class, &rows) {
            let places = place..place + run.len();
            place = places.end;
            self.fill(class, (line, run.start), places, count, gather);
        }
        Some(Table {
            rows: gather.table(input, count),
            strips,
        })
    }
}

/// The taps of an output along an axis that lie within the input; taps of dilated kernels between the first and the last one
/// lie there, too.
fn within(shape: &ConvShape, axis: usize, out: usize) -> Range<usize> {
    let (start, dilation) = (out * shape.stride[axis], shape.dilation[axis]);
    let first = shape.padding[axis].saturating_sub(start).div_ceil(dilation);
    let end = (shape.input[axis] + shape.padding[axis]).saturating_sub(start);
    first
        ..end
            .div_ceil(dilation)
            .clamp(first, shape.kernel[axis].max(first))
}

/// The classes of all columns, unless there are too many or some column sees nothing of the image.
fn classes(shape: &ConvShape, width: usize) -> Option<Classes> {
    let mut classes = Classes::default();
    let mut count = 0;
    for column in 0..width {
        let taps = within(shape, 2, column);
        if taps.is_empty() {
            return None;
        }
        if count > 0 && classes[count - 1].taps == taps {
            classes[count - 1].columns.end += 1;
        } else {
            *classes.get_mut(count)? = Class {
                columns: column..column + 1,
                taps,
            };
            count += 1;
        }
    }
    Some(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(width: usize, kernel: usize, stride: usize, padding: usize) -> ConvShape {
        ConvShape {
            batch: 1,
            in_channels: 4,
            out_channels: 1,
            groups: 1,
            input: [1, 1, width],
            kernel: [1, 1, kernel],
            stride: [1, 1, stride],
            padding: [0, 0, padding],
            dilation: [1; 3],
        }
    }

    #[test]
    fn columns_with_the_same_taps_make_a_class() {
        let class = |columns, taps| Class { columns, taps };
        let of = |shape: ConvShape| {
            let classes = classes(&shape, shape.output()[2])?;
            let present = |class: &Class| !class.columns.is_empty();
            Some(classes.into_iter().filter(present).collect::<Vec<_>>())
        };
        let three = [class(0..1, 1..3), class(1..6, 0..3), class(6..7, 0..2)];
        assert_eq!(of(line(7, 3, 1, 1)), Some(three.to_vec()));
        let halved = [class(0..1, 1..3), class(1..7, 0..3)];
        assert_eq!(of(line(14, 3, 2, 1)), Some(halved.to_vec()));
        assert_eq!(of(line(9, 3, 1, 0)), Some(vec![class(0..7, 0..3)]));
        // Of a single pixel every window sees one tap, and beyond it none.
        let single = [class(0..1, 2..3), class(1..2, 1..2), class(2..3, 0..1)];
        assert_eq!(of(line(1, 3, 1, 2)), Some(single.to_vec()));
        assert_eq!(of(line(1, 2, 1, 2)), None);
        // Four columns on either side and the middle are nine.
        assert_eq!(of(line(20, 9, 1, 4)), None);
    }

    #[test]
    fn taps_within_the_input_are_those_whose_position_is() {
        for (input, kernel, stride, padding, dilation) in geometries(6) {
            let shape = ConvShape {
                input: [1, 1, input],
                dilation: [1, 1, dilation],
                ..line(input, kernel, stride, padding)
            };
            for out in 0..8 {
                let inside = |tap: &usize| {
                    let position = out * stride + tap * dilation;
                    position >= padding && position - padding < input
                };
                let want: Vec<usize> = (0..kernel).filter(inside).collect();
                assert_eq!(within(&shape, 2, out).collect::<Vec<_>>(), want);
            }
        }
    }

    /// All small geometries.
    fn geometries(most: usize) -> impl Iterator<Item = (usize, usize, usize, usize, usize)> {
        (1..most).flat_map(move |input| {
            (1..5).flat_map(move |kernel| {
                (1..4).flat_map(move |stride| {
                    (0..4).flat_map(move |padding| {
                        (1..4).map(move |dilation| (input, kernel, stride, padding, dilation))
                    })
                })
            })
        })
    }
}
