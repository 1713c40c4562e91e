//! Where interpolation reads: output sizes, the nearest input index, and the two that a linear interpolation lies between.
//!
//! Index arithmetic is PyTorch's (`aten/src/ATen/native/UpSample.h`), in `f32`: with the step `t` between neighbours of the output,
//! measured in the input, the nearest index to `i` is `⌊i·t⌋`; a linear interpolation reads at `i·t` if corners are aligned,
//! else at `max((i + ½)·t − ½, 0)`.

use crate::error::{Error, Result};
use crate::spec::argument;

/// The size of an interpolated image, in each spatial dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ResizeTo<'a> {
    /// These lengths; `t` is input length over output length.
    Size(&'a [usize]),
    /// `⌊length · factor⌋`; `t` is `1 / factor`.
    Factor(&'a [f64]),
}

/// How interpolation fills the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// The nearest pixel above or left; one to three spatial dimensions.
    Nearest,
    /// Between the four neighbours; two spatial dimensions.
    Bilinear {
        /// Whether the corner pixels of input and output lie on each other, so that `t` is `(input − 1) / (output − 1)` (0 for an
        /// output of one pixel).
        align_corners: bool,
    },
}

/// One spatial dimension of an interpolation.
pub(crate) struct Axis {
    input: usize,
    pub output: usize,
    factor: Option<f64>,
}

/// The spatial dimensions of `shape` under `to`.
pub(crate) fn axes(shape: &[usize], to: ResizeTo<'_>, mode: Interpolation) -> Result<Vec<Axis>> {
    let operation = "interpolate";
    let (ranks, expected) = match mode {
        Interpolation::Nearest => (3..=5, "3 to 5"),
        Interpolation::Bilinear { .. } => (4..=4, "4"),
    };
    if !ranks.contains(&shape.len()) {
        return Err(Error::Tensor(qtensor_core::Error::Rank {
            operation,
            expected: expected.into(),
            actual: shape.len(),
            shape: shape.to_vec(),
        }));
    }
    let spatial = &shape[2..];
    let given = match to {
        ResizeTo::Size(sizes) => sizes.len(),
        ResizeTo::Factor(factors) => factors.len(),
    };
    if given != spatial.len() {
        return Err(Error::Length {
            operation,
            what: "the number of sizes or factors",
            expected: spatial.len(),
            actual: given,
        });
    }
    let axis = |(place, &input): (usize, &usize)| {
        let (output, factor) = match to {
            ResizeTo::Size(sizes) => (sizes[place], None),
            ResizeTo::Factor(factors) => {
                let factor = factors[place];
                if !(factor.is_finite() && factor > 0.0) {
                    return Err(argument(operation, "factor", "finite and positive", factor));
                }
                // Conversion saturates; a length that is too large is refused with the shape.
                ((input as f64 * factor) as usize, Some(factor))
            }
        };
        if (input == 0) != (output == 0) || output == 0 {
            let expected = "positive lengths of input and output";
            return Err(argument(
                operation,
                "size",
                expected,
                format!("{input} and {output}"),
            ));
        }
        Ok(Axis {
            input,
            output,
            factor,
        })
    };
    let axes: Vec<Axis> = spatial
        .iter()
        .enumerate()
        .map(axis)
        .collect::<Result<_>>()?;
    let mut result = shape.to_vec();
    result
        .iter_mut()
        .skip(2)
        .zip(&axes)
        .for_each(|(len, axis)| *len = axis.output);
    qtensor_core::checked_lengths(operation, &result)?;
    Ok(axes)
}

/// Two neighbours in the input and their weights.
pub(crate) struct Tap {
    pub first: usize,
    pub second: usize,
    pub weights: [f32; 2],
}

impl Axis {
    fn step(&self) -> f32 {
        match self.factor {
            Some(factor) => (1.0 / factor) as f32,
            None => self.input as f32 / self.output as f32,
        }
    }

    /// The input index of each output index.
    pub fn nearest(&self) -> Vec<usize> {
        let step = self.step();
        let index = |i: usize| ((i as f32 * step) as usize).min(self.input - 1);
        (0..self.output).map(index).collect()
    }

    /// What each output index is made of.
    fn taps(&self, mode: Interpolation) -> Vec<Tap> {
        let nearest = |index| Tap {
            first: index,
            second: index,
            weights: [1.0, 0.0],
        };
        match mode {
            Interpolation::Nearest => self.nearest().into_iter().map(nearest).collect(),
            Interpolation::Bilinear { align_corners } => self.linear(align_corners),
        }
    }

    /// The neighbours of each output index.
    pub fn linear(&self, align_corners: bool) -> Vec<Tap> {
        let step = match (align_corners, self.output) {
            (true, 1) => 0.0,
            (true, output) => (self.input - 1) as f32 / (output - 1) as f32,
            (false, _) => self.step(),
        };
        let tap = |i: usize| {
            let at = if align_corners {
                i as f32 * step
            } else {
                ((i as f32 + 0.5) * step - 0.5).max(0.0)
            };
            let first = (at as usize).min(self.input - 1);
            let weight = (at - first as f32).min(1.0);
            Tap {
                first,
                second: (first + 1).min(self.input - 1),
                weights: [1.0 - weight, weight],
            }
        };
        (0..self.output).map(tap).collect()
    }
}

/// Interpolates planes of `f32` between four neighbours: `Σ_ij w_i · w_j · x`, rows first; `store` gets each result.
pub(crate) fn bilinear(
    planes: &[f32],
    [rows, columns]: [&Axis; 2],
    align_corners: bool,
    mut store: impl FnMut(f32),
) {
    let (down, across) = (rows.linear(align_corners), columns.linear(align_corners));
    for plane in planes.chunks_exact(rows.input * columns.input) {
        for vertical in &down {
            let line = |row: usize| &plane[row * columns.input..][..columns.input];
            let (upper, lower) = (line(vertical.first), line(vertical.second));
            for tap in &across {
                let between = |line: &[f32]| {
                    tap.weights[0] * line[tap.first] + tap.weights[1] * line[tap.second]
                };
                store(vertical.weights[0] * between(upper) + vertical.weights[1] * between(lower));
            }
        }
    }
}

/// The adjoint of an interpolation: each gradient goes to the pixels that its result was made of, by their weights.
///
/// `grad` has the shape of the result, row-major; the answer has that of the input. Dimensions are taken one after the other, the last
/// one first.
pub(crate) fn adjoint(
    mut grad: Vec<f32>,
    planes: usize,
    axes: &[Axis],
    mode: Interpolation,
) -> Vec<f32> {
    let mut inner = 1;
    for (place, axis) in axes.iter().enumerate().rev() {
        let outer: usize = axes[..place].iter().map(|axis| axis.output).product();
        let mut back = vec![0.0; planes * outer * axis.input * inner];
        let taps = axis.taps(mode);
        let from = grad.chunks_exact(axis.output * inner);
        for (from, to) in from.zip(back.chunks_exact_mut(axis.input * inner)) {
            for (tap, values) in taps.iter().zip(from.chunks_exact(inner)) {
                for (index, weight) in [tap.first, tap.second].into_iter().zip(tap.weights) {
                    let to = &mut to[index * inner..][..inner];
                    to.iter_mut()
                        .zip(values)
                        .for_each(|(to, v)| *to += weight * v);
                }
            }
        }
        grad = back;
        inner *= axis.input;
    }
    grad
}
