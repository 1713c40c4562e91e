//! Average pooling, with fixed and with adaptive windows, and the adjoints.
//!
//! Both are sums over a box of ranges, one per axis, times a weight that is a product of one factor per
//! axis; only how ranges and factors come about differs.

use std::ops::Range;

use qtensor_core::{MemoryFormat, Tensor};

use super::geometry::three;
use super::linear::check_rank;
use super::parallel;
use crate::error::{Error, Result};
use crate::spec::{PoolSpec, argument};

/// The mean of each window: `y[n,c,p] = Σ_k x[n, c, p·stride + k − padding] / divisor`.
///
/// `x` is `[N, C, …]` of rank 3 to 5; padding is 0. The divisor is the window's size with
/// `count_include_pad` (a window that `ceil_mode` lets end beyond the padding is cut there first), the
/// number of real elements without, or `divisor_override`.
///
/// ```
/// # use qops::{PoolSpec, float::avg_pool};
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 3.0, 5.0, 7.0], &[1, 1, 4])?;
/// let mut spec = PoolSpec::new(&[2], &[2], &[1])?;
/// assert_eq!(avg_pool(&x, &spec)?.to_vec(), [0.5, 4.0, 3.5]);
/// spec.count_include_pad = false;
/// assert_eq!(avg_pool(&x, &spec)?.to_vec(), [1.0, 4.0, 7.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Window`] if no window fits, [`Error::Argument`] for dilation or a specification of another
/// rank, a rank error outside 3 to 5.
#[doc(alias = "avg_pool2d")]
pub fn avg_pool(x: &Tensor, spec: &PoolSpec) -> Result<Tensor> {
    let boxes = fixed("avg_pool", x.shape(), spec, None)?;
    boxes.average(x)
}

/// The adjoint of [`avg_pool`] for an input of `input_shape`.
///
/// # Errors
/// As [`avg_pool`], and [`Error::Tensor`] if `grad` does not have the output's shape.
pub fn avg_pool_backward(grad: &Tensor, input_shape: &[usize], spec: &PoolSpec) -> Result<Tensor> {
    fixed("avg_pool_backward", input_shape, spec, Some(grad))?.spread(grad, input_shape)
}

/// The mean of windows that divide the input evenly into `output` lengths.
///
/// Along each axis, output `i` of `out` covers the input positions `floor(i·in/out)` to
/// `ceil((i+1)·in/out)` (exclusive). `x` is `[N, C, …]` with as many further dimensions as `output`
/// has lengths, 1 to 3.
///
/// ```
/// # use qops::float::adaptive_avg_pool;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0, 5.0], &[1, 1, 5])?;
/// assert_eq!(adaptive_avg_pool(&x, &[2])?.to_vec(), [2.0, 4.0]);
/// assert_eq!(adaptive_avg_pool(&x, &[1])?.to_vec(), [3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if `output` has another number of lengths, or if the input has no elements along
/// an axis, a rank error outside 3 to 5.
#[doc(alias = "adaptive_avg_pool2d")]
pub fn adaptive_avg_pool(x: &Tensor, output: &[usize]) -> Result<Tensor> {
    adaptive("adaptive_avg_pool", x.shape(), output, None)?.average(x)
}

/// The adjoint of [`adaptive_avg_pool`] for an input of `input_shape`.
///
/// # Errors
/// [`Error::Tensor`] if `grad` does not have as many dimensions as the input or other leading ones, and as
/// [`adaptive_avg_pool`].
pub fn adaptive_avg_pool_backward(grad: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
    const NAME: &str = "adaptive_avg_pool_backward";
    check_rank(NAME, grad, 3, 5)?;
    adaptive(NAME, input_shape, &grad.shape()[2..], Some(grad))?.spread(grad, input_shape)
}

/// What one output reads along one axis.
#[derive(Clone)]
struct Span {
    range: Range<usize>,
    /// What the divisor counts, which may include padding.
    counted: usize,
}

/// The windows of all outputs of a plane.
struct Boxes {
    spans: [Vec<Span>; 3],
    input: [usize; 3],
    output: [usize; 3],
    divisor: Option<usize>,
}

fn fixed(
    operation: &'static str,
    shape: &[usize],
    spec: &PoolSpec,
    grad: Option<&Tensor>,
) -> Result<Boxes> {
    check_shape(operation, shape)?;
    spec.check_spatial(operation, shape.len() - 2)?;
    if spec.dilation != [1; 3] {
        let dilation = format!("{:?}", spec.dilation);
        return Err(argument(operation, "dilation", "1", dilation));
    }
    let input = three(&shape[2..]);
    let output = spec.output(operation, input)?;
    qtensor_core::checked_numel(&[&shape[..2], &output].concat())?;
    check_grad(operation, shape, output, grad)?;
    let spans = std::array::from_fn(|axis| {
        let (len, padding) = (input[axis], spec.padding[axis]);
        let span = |out: usize| {
            let start = out * spec.stride[axis];
            let end = (start + spec.kernel[axis]).min(len + 2 * padding);
            let range = start.saturating_sub(padding)..end.saturating_sub(padding).min(len);
            let counted = if spec.count_include_pad {
                end - start
            } else {
                range.len()
            };
            Span { range, counted }
        };
        listed(shape, output, axis).map(span).collect()
    });
    Ok(Boxes {
        spans,
        input,
        output,
        divisor: spec.divisor_override,
    })
}

fn adaptive(
    operation: &'static str,
    shape: &[usize],
    output: &[usize],
    grad: Option<&Tensor>,
) -> Result<Boxes> {
    check_shape(operation, shape)?;
    if output.len() != shape.len() - 2 {
        let expected = format!("{} lengths for shape {shape:?}", shape.len() - 2);
        return Err(argument(
            operation,
            "output",
            expected,
            format!("{output:?}"),
        ));
    }
    if shape[2..].contains(&0) {
        let expected = "longer than 0 along each spatial axis";
        return Err(argument(operation, "input", expected, format!("{shape:?}")));
    }
    // The windows are listed, so absurd lengths are refused first.
    qtensor_core::checked_numel(&[&shape[..2], output].concat())?;
    let (input, output) = (three(&shape[2..]), three(output));
    check_grad(operation, shape, output, grad)?;
    let spans = std::array::from_fn(|axis| {
        let (len, outputs) = (input[axis] as u128, output[axis] as u128);
        let span = |out: usize| {
            let start = out as u128 * len / outputs;
            let end = ((out as u128 + 1) * len).div_ceil(outputs);
            let range = start as usize..end as usize;
            Span {
                counted: range.len(),
                range,
            }
        };
        listed(shape, output, axis).map(span).collect()
    });
    Ok(Boxes {
        spans,
        input,
        output,
        divisor: None,
    })
}

/// The outputs along one axis whose windows are listed: none, however long the axis is, if the result has no elements.
fn listed(shape: &[usize], output: [usize; 3], axis: usize) -> Range<usize> {
    let empty = shape[..2].contains(&0) || output.contains(&0);
    0..if empty { 0 } else { output[axis] }
}

/// Refuses a gradient of another shape than the output's, before windows are listed that may be many more than it has elements.
fn check_grad(
    operation: &'static str,
    input: &[usize],
    output: [usize; 3],
    grad: Option<&Tensor>,
) -> Result<()> {
    let expected = [&input[..2], &output[5 - input.len()..]].concat();
    match grad {
        Some(grad) if grad.shape() != expected => {
            Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
                operation,
                expected,
                actual: grad.shape().to_vec(),
            }))
        }
        _ => Ok(()),
    }
}

fn check_shape(operation: &'static str, shape: &[usize]) -> Result<()> {
    if (3..=5).contains(&shape.len()) {
        return Ok(());
    }
    Err(Error::Tensor(qtensor_core::Error::Rank {
        operation,
        expected: "3 to 5".to_owned(),
        actual: shape.len(),
        shape: shape.to_vec(),
    }))
}

impl Boxes {
    fn output_shape(&self, input: &[usize]) -> Vec<usize> {
        [&input[..2], &self.output[5 - input.len()..]].concat()
    }

    fn output_plane(&self) -> usize {
        self.output.iter().product()
    }

    fn input_plane(&self) -> usize {
        self.input.iter().product()
    }

    /// One over the divisor of the output line `[depth, height]` at column `w`.
    fn divisor(&self, [d, h]: [&Span; 2], w: &Span) -> f32 {
        self.divisor
            .unwrap_or_else(|| d.counted * h.counted * w.counted) as f32
    }

    /// Depth and height window of each output line.
    fn lines(&self) -> impl Iterator<Item = [&Span; 2]> {
        let [depth, height, _] = &self.spans;
        depth
            .iter()
            .flat_map(move |d| height.iter().map(move |h| [d, h]))
    }

    fn average(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous();
        let values = x.as_slice().unwrap_or_default();
        let (from, to) = (self.input_plane(), self.output_plane());
        let work = values.len();
        Tensor::build(
            &self.output_shape(x.shape()),
            MemoryFormat::Contiguous,
            |out| {
                parallel::chunks(out, to, work, |index, out| {
                    self.average_plane(&values[index * from..(index + 1) * from], out);
                });
                Ok(())
            },
        )
    }

    /// First the sum over lines, which runs along memory, then the one along the line.
    fn average_plane(&self, x: &[f32], out: &mut [f32]) {
        let (width, columns) = (self.input[2], &self.spans[2]);
        let mut line = vec![0f32; width];
        for (out, [d, h]) in out.chunks_exact_mut(columns.len()).zip(self.lines()) {
            line.fill(0.0);
            for depth in d.range.clone() {
                for height in h.range.clone() {
                    let source = &x[(depth * self.input[1] + height) * width..][..width];
                    line.iter_mut().zip(source).for_each(|(sum, &v)| *sum += v);
                }
            }
            for (o, w) in out.iter_mut().zip(columns) {
                let sum: f32 = line[w.range.clone()].iter().sum();
                *o = sum / self.divisor([d, h], w);
            }
        }
    }

    /// The adjoint of [`average`](Self::average), of a gradient of the output's shape.
    fn spread(&self, grad: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        let grad = grad.contiguous();
        let values = grad.as_slice().unwrap_or_default();
        let (from, to) = (self.output_plane(), self.input_plane());
        Tensor::build(input_shape, MemoryFormat::Contiguous, |out| {
            let work = out.len();
            parallel::chunks(out, to, work, |index, out| {
                out.fill(0.0);
                self.spread_plane(&values[index * from..(index + 1) * from], out);
            });
            Ok(())
        })
    }

    fn spread_plane(&self, grad: &[f32], out: &mut [f32]) {
        let (width, columns) = (self.input[2], &self.spans[2]);
        let mut line = vec![0f32; width];
        for (grad, [d, h]) in grad.chunks_exact(columns.len().max(1)).zip(self.lines()) {
            line.fill(0.0);
            for (g, w) in grad.iter().zip(columns) {
                let share = g / self.divisor([d, h], w);
                line[w.range.clone()].iter_mut().for_each(|v| *v += share);
            }
            for depth in d.range.clone() {
                for height in h.range.clone() {
                    let target = &mut out[(depth * self.input[1] + height) * width..][..width];
                    target.iter_mut().zip(&line).for_each(|(o, &v)| *o += v);
                }
            }
        }
    }
}
