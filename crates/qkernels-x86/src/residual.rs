//! Convolutions whose results are added to other activations before they are stored.
//!
//! The bytes are those of a convolution followed by an addition: each result is rounded to the convolution's own
//! map first. Only the way through memory between the two is saved.

use core::cell::RefCell;
use core::ops::Range;

use qtensor_core::requant::OutputRange;

use crate::context::Context;
use crate::conv::{conv, swept};
use crate::elementwise::{Add, add, check_range, check_zero_point};
use crate::error::{Result, at_least};
#[cfg(target_arch = "x86_64")]
use crate::finish::Stored;
use crate::finish::{Finish, Place, Resume};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Tier;
#[cfg(target_arch = "x86_64")]
use crate::isa::avx512vnni::add::Sum;
#[cfg(target_arch = "x86_64")]
use crate::isa::tile::Addition;
use crate::isa::tile::{Epilogue, Output};
use crate::map::serially;
use crate::pack::PackedWeights;
use crate::requant::Requant;
use crate::shape::ConvShape;

const OPERATION: &str = "conv_add";

/// Bytes that are added to at a time where their sums take the place of what is added.
const HELD_BYTES: usize = 2 << 10;

thread_local! {
    /// The results of convolutions that are added to as a whole, and what is added to them if their sums take its place.
    static WHOLE: RefCell<[Vec<u8>; 2]> = RefCell::default();
}

/// What a convolution's results are added to, and what the sum becomes; see [`conv_add`].
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// Activations in the memory order of the output, which may be longer; without them, those that the output holds.
    pub other: Option<&'a [u8]>,
    /// Their scale and zero point.
    pub other_params: (f32, i32),
    /// The scale of the convolution's results; their zero point is that of its `requant`.
    pub conv_scale: f32,
    /// The reciprocal of the sum's scale.
    pub inv_scale: f32,
    /// Zero point and clamp of the sum.
    pub range: OutputRange,
}

/// [`conv`] and then [`add`](crate::add), with the bytes of the two.
///
/// # Errors
/// Those of the two; the output is as it was then.
///
/// ```
/// # use qkernels_x86::{Context, ConvShape, OutputRange, PackedWeights, Requant, Residual, conv_add};
/// let shape = ConvShape {
///     batch: 1, in_channels: 1, out_channels: 1, groups: 1,
///     input: [1, 1, 3], kernel: [1; 3], stride: [1; 3], padding: [0; 3], dilation: [1; 3],
/// };
/// let weights = PackedWeights::conv(&[2], &shape)?;
/// let range = OutputRange { zero_point: 0, lo: 0, hi: 255 };
/// let requant = Requant::new(&weights, &[0], &[0.25], 0, range)?;
/// let other = [10, 20, 30];
/// let residual =
///     Residual { other: Some(&other), other_params: (1.0, 0), conv_scale: 1.0, inv_scale: 1.0, range };
/// let mut out = [0; 3];
/// conv_add(&Context::new()?, &[1, 3, 4], &shape, &weights, &requant, &residual, &mut out)?;
/// assert_eq!(out, [10, 22, 32]); // 0.5 and 1.5 are rounded before they are added
///
/// let mut sums = other;
/// let residual = Residual { other: None, ..residual };
/// conv_add(&Context::new()?, &[1, 3, 4], &shape, &weights, &requant, &residual, &mut sums)?;
/// assert_eq!(sums, out);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "conv2d_add")]
#[doc(alias = "conv2d_add_relu")]
pub fn conv_add(
    ctx: &Context,
    x: &[u8],
    shape: &ConvShape,
    weights: &PackedWeights,
    requant: &Requant,
    residual: &Residual,
    out: &mut [u8],
) -> Result<()> {
    let conv_params = (residual.conv_scale, requant.range().zero_point);
    check_range(OPERATION, residual.range)?;
    check_zero_point(OPERATION, residual.other_params.1)?;
    if let Some(other) = residual.other {
        at_least(OPERATION, "other", out.len(), other.len())?;
    }
    let formula = Add {
        a_params: conv_params,
        b_params: residual.other_params,
        inv_scale: residual.inv_scale,
        range: residual.range,
    };
    let added = Added {
        isa: ctx.isa,
        requant,
        formula,
        #[cfg(target_arch = "x86_64")]
        sum: Sum {
            shortcut: (ctx.isa.tier() >= Tier::Avx512Vnni)
                .then(|| requant.shortcut().of(ctx.isa, formula))
                .flatten(),
            ..formula.into()
        },
        other: residual.other,
        width: shape.out_channels,
    };
    if added.is_swept() && swept(ctx, weights, shape, x, requant, added, out)? {
        return Ok(());
    }
    // Kernels that do not compute tile by tile, in the order of the output, and sums that no pack clamps.
    let [mut whole, mut held] = WHOLE.take();
    whole.resize(out.len(), 0);
    conv(ctx, x, shape, weights, requant, &mut whole)?;
    let Residual {
        other_params,
        inv_scale,
        range,
        other,
        ..
    } = *residual;
    let other = other.unwrap_or_else(|| {
        held.clear();
        held.extend_from_slice(out);
        &held
    });
    add(
        ctx,
        &whole,
        conv_params,
        other,
        other_params,
        inv_scale,
        range,
        out,
    )?;
    WHOLE.set([whole, held]);
    Ok(())
}

/// Requantized bytes to which others are added, tile by tile.
#[derive(Clone, Copy)]
pub(crate) struct Added<'a> {
    isa: Isa,
    requant: &'a Requant,
    formula: Add,
    /// The formula for matrix tiles: what is made for each tile anew can be read only when the results before are stored.
    #[cfg(target_arch = "x86_64")]
    sum: Sum,
    /// What is added, if it is not what the output holds.
    other: Option<&'a [u8]>,
    /// Columns of a row of the output.
    width: usize,
}

impl<'a> Added<'a> {
    /// Whether micro-kernels add by themselves.
    #[cfg(target_arch = "x86_64")]
    fn in_registers(&self) -> bool {
        self.isa.tier() >= Tier::Avx512Vnni
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn in_registers(&self) -> bool {
        false
    }

    /// Whether the kernels' way of adding covers the formula.
    #[cfg(target_arch = "x86_64")]
    fn is_swept(&self) -> bool {
        self.sum.converts()
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_swept(&self) -> bool {
        true
    }

    /// What is added to the tile at `place`, from its first element on.
    fn others(&self, place: Place) -> Option<&'a [u8]> {
        (self.other).map(|other| &other[place.row * self.width + place.channel..])
    }
}

impl Finish for Added<'_> {
    type Out = u8;

    // Results take so much longer than the product of a single step that this is best begun at once.
    #[cfg(target_arch = "x86_64")]
    const BESIDE: usize = 2;

    fn rows(&self) -> usize {
        usize::MAX
    }

    fn beside(&self, rows: Range<usize>) -> &[u8] {
        (self.other).map_or(&[], |other| {
            &other[rows.start * self.width..rows.end * self.width]
        })
    }

    fn reads_output(&self) -> bool {
        self.other.is_none()
    }

    fn waits(&self) -> bool {
        !self.in_registers()
    }

    fn join(self, [row, channel]: [usize; 2], results: &[u8], out: &mut [u8], stride: usize) {
        let other = (self.other).map(|other| &other[row * self.width + channel..]);
        // Rows that follow each other in memory are one.
        let run = if stride == self.width || self.other.is_none() {
            results.len()
        } else {
            stride
        };
        let mut held = [0; HELD_BYTES];
        let rows = results.chunks(run).zip(out.chunks_mut(run));
        for (row, (results, out)) in rows.enumerate() {
            if let Some(other) = other {
                let other = &other[row * self.width..][..run];
                serially(self.isa, self.formula, results, other, out);
                continue;
            }
            for (results, out) in results.chunks(HELD_BYTES).zip(out.chunks_mut(HELD_BYTES)) {
                let held = &mut held[..out.len()];
                held.copy_from_slice(out);
                serially(self.isa, self.formula, results, held, out);
            }
        }
    }

    fn start(&self, column: usize) -> &[i32] {
        &self.requant.start()[column..]
    }

    fn tile(
        self,
        place: Place,
        resume: Option<Resume>,
        out: &mut [u8],
        stride: usize,
        compute: impl FnOnce(Epilogue),
    ) {
        let (start, start_stride) = self.begin(place, resume);
        #[cfg(target_arch = "x86_64")]
        if self.in_registers() {
            return compute(Epilogue {
                start,
                start_stride,
                output: Output::Added(Addition {
                    multipliers: &self.requant.multipliers()[place.column..],
                    range: self.requant.range(),
                    sum: &self.sum,
                    other: self.others(place),
                    width: self.width * place.step,
                    out,
                }),
                stride,
                columns: place.columns,
            });
        }
        compute(Epilogue {
            start,
            start_stride,
            output: Output::Bytes {
                multipliers: &self.requant.multipliers()[place.column..],
                range: self.requant.range(),
                out,
            },
            stride,
            columns: place.columns,
        });
    }

    #[cfg(target_arch = "x86_64")]
    fn stored(self, place: Place, stored: Stored, out: &mut [u8], stride: usize) {
        let epilogue = Epilogue {
            start: self.start(place.column),
            start_stride: 0,
            output: Output::Bytes {
                multipliers: &self.requant.multipliers()[place.column..],
                range: self.requant.range(),
                out,
            },
            stride,
            columns: place.columns,
        };
        stored.finish_added(epilogue, &self.sum, self.others(place), self.width);
    }
}
