//! Weights in the order in which micro-kernels read them.
//!
//! The reduction of an output element is a list of *segments*, runs of bytes that lie together in the
//! channels-last input: one segment of `k` bytes for a linear layer, one of `C` bytes per tap for a
//! convolution, or one of `KW * C` bytes per kernel row if `C` is so small that padding every tap to
//! four bytes would waste much (the first layer of an image network).
//!
//! Sixteen output columns form a *panel*; a line holds four consecutive products of all sixteen,
//! the shape that `vpdpbusd` and its emulations consume ("n16k4"):
//!
//! ```text
//!           byte 0     1     2     3      4 ...               63
//! line     n0 c0  n0 c1 n0 c2 n0 c3  n1 c0 ...            n15 c3      c = 4 * line + 0..4
//! panel    segment 0: line, line, ...   segment 1: line, ...
//! ```
//!
//! The groups of a convolution are packed one after the other; narrow ones share a panel.
//! Missing channels and columns are zero, so what activations hold there never matters. The order is
//! the same for every instruction set.

#[cfg(target_arch = "x86_64")]
use std::borrow::Cow;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

use crate::depthwise::DepthwiseTaps;
use crate::error::{Error, Result, exactly, positive, product};
#[cfg(target_arch = "x86_64")]
use crate::grouped::GroupedTaps;
use crate::shape::ConvShape;
#[cfg(target_arch = "x86_64")]
use crate::winograd::{self, Winograd};

/// Columns of a panel.
pub(crate) const PANEL: usize = 16;
/// Products of a column that one line holds.
pub(crate) const QUAD: usize = 4;

/// The longest sum of products: `255 * 128 * 65_000` still fits `i32`.
pub const MAX_REDUCTION: usize = 65_000;

/// Kernel rows shorter than this are read as one segment.
const SHORT_ROW: usize = 48;

/// Four products of sixteen columns, one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [i8; PANEL * QUAD]);

impl Line {
    /// See [`Dense::pair_bound`].
    fn pair_bound(&self) -> u16 {
        let pair = |pair: &[i8]| {
            let side = |keep: fn(i16) -> i16| pair.iter().map(|&w| keep(i16::from(w))).sum::<i16>();
            side(|w| w.max(0)).max(-side(|w| w.min(0))).unsigned_abs()
        };
        self.0.chunks_exact(2).map(pair).max().unwrap_or(0)
    }
}

/// Weights of a linear layer or a convolution, ready for every instruction set.
///
/// ```
/// # use qkernels_x86::PackedWeights;
/// let weights = PackedWeights::linear(&[1, 2, 3, 4, 5, -6], 2, 3)?;
/// assert_eq!(weights.column_sums(), [6, 3]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PackedWeights {
    kind: Kind,
    form: Form,
    sums: Vec<i32>,
    negative_sums: Vec<i32>,
    /// Made when a tier first asks for it; `None` inside if the layer is not of the kind.
    #[cfg(target_arch = "x86_64")]
    winograd: OnceLock<Option<Winograd>>,
    /// As `winograd`.
    #[cfg(target_arch = "x86_64")]
    grouped: OnceLock<Option<GroupedTaps>>,
}

/// What the weights were packed for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A linear layer.
    Linear {
        /// The length of its sums.
        inputs: usize,
    },
    /// A convolution; batch and input size are not looked at.
    Conv(ConvShape),
}

/// The order the weights are in.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// Panels, for products over many channels.
    Dense(Dense),
    /// Taps, for a convolution of every channel by itself.
    Depthwise(DepthwiseTaps),
}

/// Panels and their geometry.
#[derive(Clone, Debug)]
pub(crate) struct Dense {
    /// Independent groups.
    pub(crate) groups: usize,
    /// Output columns of one group.
    pub(crate) columns: usize,
    /// Segments of a reduction.
    pub(crate) segments: usize,
    /// Products (bytes) of one segment.
    pub(crate) channels: usize,
    /// Whether a segment is a whole kernel row.
    pub(crate) row_run: bool,
    lines: Vec<Line>,
    /// For each panel, the greatest magnitude of a sum of two neighbouring weights of one sign.
    pair_bounds: Vec<u16>,
}

impl PackedWeights {
    /// Packs `[n][k]` weights of a linear layer with `n` outputs and `k` inputs.
    ///
    /// # Errors
    /// [`Error::Zero`] for empty sizes, [`Error::Length`] if `w` does not hold `n * k` weights,
    /// [`Error::Depth`] if `k` exceeds [`MAX_REDUCTION`].
    pub fn linear(w: &[i8], n: usize, k: usize) -> Result<PackedWeights> {
        const OPERATION: &str = "linear weights";
        positive(OPERATION, "number of outputs", n)?;
        positive(OPERATION, "number of inputs", k)?;
        exactly(OPERATION, "weight", product(OPERATION, &[n, k])?, w.len())?;
        refuse_depth(OPERATION, k)?;
        let dense = Dense::pack(OPERATION, [1, n, 1, k], false, |_, column, _, c| {
            w[column * k + c]
        })?;
        let kind = Kind::Linear { inputs: k };
        Ok(PackedWeights::new(kind, Form::Dense(dense), w, k))
    }

    /// Packs `[out_channels][in_channels / groups][depth][height][width]` weights of a convolution.
    ///
    /// Kernel, stride, padding, dilation, groups and channels are fixed here; batch and input size of
    /// `shape` only have to be valid, calls may come with others.
    ///
    /// # Errors
    /// Those of [`ConvShape::validate`]; [`Error::Length`] and [`Error::Depth`] as for
    /// [`PackedWeights::linear`].
    pub fn conv(w: &[i8], shape: &ConvShape) -> Result<PackedWeights> {
        const OPERATION: &str = "conv weights";
        shape.validate()?;
        let (taps, channels, reduction) = (shape.taps(), shape.group_channels(), shape.reduction());
        exactly(
            OPERATION,
            "weight",
            product(OPERATION, &[shape.out_channels, reduction])?,
            w.len(),
        )?;
        refuse_depth(OPERATION, reduction)?;
        if shape.is_depthwise() {
            let form = Form::Depthwise(DepthwiseTaps::pack(w, shape)?);
            return Ok(PackedWeights::new(Kind::Conv(*shape), form, w, reduction));
        }
        let columns = shape.out_channels / shape.groups;
        let width = shape.kernel[2];
        let row_run = shape.groups == 1
            && width > 1
            && shape.dilation[2] == 1
            && width * channels < SHORT_ROW;
        let dense = if row_run {
            let sizes = [1, columns, taps / width, width * channels];
            Dense::pack(OPERATION, sizes, true, |_, column, row, byte| {
                let (tap, c) = (row * width + byte / channels, byte % channels);
                w[(column * channels + c) * taps + tap]
            })?
        } else {
            // Narrow groups share a panel: each one's columns are zero in the channels of the others.
            let together = shared_panel(shape.groups, columns);
            let sizes = [
                shape.groups / together,
                together * columns,
                taps,
                together * channels,
            ];
            Dense::pack(OPERATION, sizes, false, |panel, column, tap, c| {
                if column / columns != c / channels {
                    return 0;
                }
                let output = panel * together * columns + column;
                w[(output * channels + c % channels) * taps + tap]
            })?
        };
        Ok(PackedWeights::new(
            Kind::Conv(*shape),
            Form::Dense(dense),
            w,
            reduction,
        ))
    }

    /// Other weights of the same layer, given in the order in which these were.
    ///
    /// # Errors
    /// [`Error::Length`] for another number of weights.
    pub fn repacked(&self, w: &[i8]) -> Result<PackedWeights> {
        match self.kind {
            Kind::Linear { inputs } => PackedWeights::linear(w, self.outputs(), inputs),
            Kind::Conv(shape) => PackedWeights::conv(w, &shape),
        }
    }

    fn new(kind: Kind, form: Form, w: &[i8], reduction: usize) -> PackedWeights {
        let sum = |row: &[i8], keep: fn(i32) -> i32| row.iter().map(|&q| keep(i32::from(q))).sum();
        let sums = w
            .chunks_exact(reduction)
            .map(|row| sum(row, |q| q))
            .collect();
        let negative_sums = w
            .chunks_exact(reduction)
            .map(|row| sum(row, |q| q.min(0)))
            .collect();
        PackedWeights {
            kind,
            form,
            sums,
            negative_sums,
            #[cfg(target_arch = "x86_64")]
            winograd: OnceLock::new(),
            #[cfg(target_arch = "x86_64")]
            grouped: OnceLock::new(),
        }
    }

    /// The weights transformed for [`winograd`](crate::winograd), if that can compute the layer.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn winograd(&self) -> Option<&Winograd> {
        let make = || match (&self.kind, &self.form) {
            (Kind::Conv(shape), Form::Dense(dense)) => {
                winograd::fits(shape, &self.sums, &self.negative_sums).then(|| Winograd::new(dense))
            }
            _ => None,
        };
        self.winograd.get_or_init(make).as_ref()
    }

    /// The weights for kernels of narrow groups, if these can compute the layer.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn grouped(&self) -> Option<(&GroupedTaps, &Dense)> {
        let (Kind::Conv(shape), Form::Dense(dense)) = (&self.kind, &self.form) else {
            return None;
        };
        let make = || GroupedTaps::new(shape, dense);
        Some((self.grouped.get_or_init(make).as_ref()?, dense))
    }

    /// The sum of each output channel's weights: `-zero_point * sum` corrects a product of raw bytes.
    pub fn column_sums(&self) -> &[i32] {
        &self.sums
    }

    /// The least and the greatest bias of output `channel` that keep its accumulator within `i32` for
    /// every input; `None` if there is no such channel.
    ///
    /// [`Requant::new`](crate::Requant::new) refuses others, which come from tiny scales.
    pub fn bias_limits(&self, channel: usize, input_zero_point: u8) -> Option<(i32, i32)> {
        let (lowest, greatest) = self.partial_range(channel, input_zero_point)?;
        let least = i64::from(i32::MIN) - lowest.min(0);
        let most = i64::from(i32::MAX) - greatest.max(0);
        Some((i32::try_from(least).ok()?, i32::try_from(most).ok()?))
    }

    /// The range of what the accumulator of `channel` may hold beside the bias, at its start
    /// (`-zero_point * sum`) or its end.
    pub(crate) fn partial_range(&self, channel: usize, input_zero_point: u8) -> Option<(i64, i64)> {
        let sum = i64::from(*self.sums.get(channel)?);
        let negative = i64::from(*self.negative_sums.get(channel)?);
        let start = -i64::from(input_zero_point) * sum;
        Some((start + 255 * negative, start + 255 * (sum - negative)))
    }

    /// Output channels, all groups together.
    pub fn outputs(&self) -> usize {
        self.sums.len()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn form(&self) -> &Form {
        &self.form
    }

    /// One value per output channel, in the order in which this form's kernels read them.
    pub(crate) fn spread<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        match &self.form {
            Form::Dense(dense) => dense.pad(values),
            Form::Depthwise(_) => values.to_vec(),
        }
    }

    /// The length of what [`PackedWeights::spread`] makes.
    pub(crate) fn spread_len(&self) -> usize {
        match &self.form {
            Form::Dense(dense) => dense.groups * dense.panels() * PANEL,
            Form::Depthwise(_) => self.outputs(),
        }
    }
}

impl Dense {
    /// Packs `weight(group, column, segment, channel)`; `sizes` are the extents of these indices.
    fn pack(
        operation: &'static str,
        sizes: [usize; 4],
        row_run: bool,
        weight: impl Fn(usize, usize, usize, usize) -> i8,
    ) -> Result<Dense> {
        let [groups, columns, segments, channels] = sizes;
        let mut dense = Dense {
            groups,
            columns,
            segments,
            channels,
            row_run,
            lines: Vec::new(),
            pair_bounds: Vec::new(),
        };
        let bytes = product(
            operation,
            &[
                groups,
                dense.panels(),
                segments,
                dense.quads(),
                PANEL * QUAD,
            ],
        )?;
        dense.lines.reserve_exact(bytes / (PANEL * QUAD));
        for group in 0..groups {
            for first in (0..columns).step_by(PANEL) {
                for segment in 0..segments {
                    for c0 in (0..channels).step_by(QUAD) {
                        let mut line = [0; PANEL * QUAD];
                        for column in first..columns.min(first + PANEL) {
                            for c in c0..channels.min(c0 + QUAD) {
                                line[(column - first) * QUAD + c - c0] =
                                    weight(group, column, segment, c);
                            }
                        }
                        dense.lines.push(Line(line));
                    }
                }
            }
        }
        dense.pair_bounds = (dense.lines.chunks_exact(dense.depth()))
            .map(|panel| panel.iter().map(Line::pair_bound).max().unwrap_or(0))
            .collect();
        Ok(dense)
    }

    /// The greatest magnitude of `w + w'` over all neighbours `w`, `w'` of a panel's columns, where weights of the
    /// other sign count as zero: bytes up to `x` make pairs of products up to `x` times this.
    pub(crate) fn pair_bound(&self, group: usize, panel: usize) -> u16 {
        self.pair_bounds[group * self.panels() + panel]
    }

    /// Lines of one segment.
    pub(crate) fn quads(&self) -> usize {
        self.channels.div_ceil(QUAD)
    }

    /// Lines of one panel.
    pub(crate) fn depth(&self) -> usize {
        self.segments * self.quads()
    }

    /// Panels of one group.
    pub(crate) fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// The lines of `count` neighbouring panels of a group.
    pub(crate) fn lines(&self, group: usize, panel: usize, count: usize) -> &[Line] {
        let first = (group * self.panels() + panel) * self.depth();
        &self.lines[first..first + count * self.depth()]
    }

    /// Spreads one value per output channel over the padded columns of all panels.
    pub(crate) fn pad<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let width = self.panels() * PANEL;
        let mut padded = vec![T::default(); self.groups * width];
        for (to, from) in padded
            .chunks_exact_mut(width)
            .zip(values.chunks_exact(self.columns))
        {
            to[..self.columns].copy_from_slice(from);
        }
        padded
    }

    /// The values of which [`Dense::pad`] made `padded`.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn unpad<'a, T: Copy>(&self, padded: &'a [T]) -> Cow<'a, [T]> {
        let width = self.panels() * PANEL;
        if width == self.columns {
            return Cow::Borrowed(padded);
        }
        let groups = padded.chunks_exact(width);
        Cow::Owned(
            groups
                .flat_map(|group| &group[..self.columns])
                .copied()
                .collect(),
        )
    }
}

/// The greatest number of groups of `columns` columns that fit a panel and divide all `groups`.
fn shared_panel(groups: usize, columns: usize) -> usize {
    let most = (PANEL / columns).max(1);
    let divides = |&together: &usize| groups.is_multiple_of(together);
    (1..=most).rev().find(divides).unwrap_or(1)
}

fn refuse_depth(operation: &'static str, reduction: usize) -> Result<()> {
    if reduction > MAX_REDUCTION {
        return Err(Error::Depth {
            operation,
            limit: MAX_REDUCTION,
            actual: reduction,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
