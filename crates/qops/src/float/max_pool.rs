//! Maximum pooling and its adjoint.

use std::ops::Range;

use qtensor_core::{MemoryFormat, Tensor};

use super::geometry::{overlap, three};
use super::linear::check_rank;
use super::parallel;
use crate::error::{Error, Result};
use crate::spec::PoolSpec;

/// The greatest element of each window: `y[n,c,p] = max_k x[n, c, p·stride + k·dilation − padding]`.
///
/// `x` is `[N, C, …]` of rank 3 to 5. Padding is minus infinity, so it never wins; NaN always does.
///
/// ```
/// # use qops::{PoolSpec, float::max_pool};
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 5.0, 2.0, -3.0, -1.0, -2.0], &[1, 1, 6])?;
/// let spec = PoolSpec::new(&[3], &[3], &[])?;
/// assert_eq!(max_pool(&x, &spec)?.to_vec(), [5.0, -1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Window`] if no window fits, [`Error::Argument`] for a specification of another rank, a rank
/// error outside 3 to 5.
#[doc(alias = "max_pool2d")]
pub fn max_pool(x: &Tensor, spec: &PoolSpec) -> Result<Tensor> {
    let pool = Pool::new("max_pool", x, spec)?;
    let x = x.contiguous();
    let values = x.as_slice().unwrap_or_default();
    let work = x.numel().saturating_mul(spec.kernel.iter().product());
    Tensor::build(
        &pool.output_shape(x.shape()),
        MemoryFormat::Contiguous,
        |out| {
            parallel::chunks(out, pool.output_plane(), work, |index, out| {
                let plane = &values[index * pool.input_plane()..(index + 1) * pool.input_plane()];
                pool.plane(plane, out);
            });
            Ok(())
        },
    )
}

/// As [`max_pool`], together with where each maximum lies in its input plane.
///
/// Positions count elements of the plane in row-major order, as PyTorch's `return_indices` does. The
/// first of equal elements wins; −1 marks a window that has no real element.
///
/// # Errors
/// As [`max_pool`].
pub fn max_pool_with_indices(x: &Tensor, spec: &PoolSpec) -> Result<(Tensor, Tensor<i64>)> {
    let pool = Pool::new("max_pool", x, spec)?;
    let x = x.contiguous();
    let values = x.as_slice().unwrap_or_default();
    let shape = pool.output_shape(x.shape());
    let work = x.numel().saturating_mul(spec.kernel.iter().product());
    let indices = Tensor::<i64>::build(&shape, MemoryFormat::Contiguous, |out| {
        parallel::chunks(out, pool.output_plane(), work, |index, out| {
            let plane = &values[index * pool.input_plane()..(index + 1) * pool.input_plane()];
            for (at, o) in out.iter_mut().enumerate() {
                *o = pool.position(plane, at);
            }
        });
        Ok::<(), Error>(())
    })?;
    Ok((max_pool(&x, spec)?, indices))
}

/// The adjoint of [`max_pool`]: each gradient goes to where its maximum was.
///
/// `dx[n,c,i] = Σ dy[n,c,p]` over the outputs `p` whose index is `i`; `indices` come from
/// [`max_pool_with_indices`], `input_shape` is that of its input.
///
/// # Errors
/// [`Error::Tensor`] if gradient and indices differ in shape or do not belong to that input,
/// [`Error::Argument`] for an index outside the plane.
pub fn max_pool_backward(
    grad: &Tensor,
    indices: &Tensor<i64>,
    input_shape: &[usize],
) -> Result<Tensor> {
    const NAME: &str = "max_pool_backward";
    let mismatch = |expected: &[usize], actual: &[usize]| {
        Error::Tensor(qtensor_core::Error::ShapeMismatch {
            operation: NAME,
            expected: expected.to_vec(),
            actual: actual.to_vec(),
        })
    };
    if grad.shape() != indices.shape() {
        return Err(mismatch(indices.shape(), grad.shape()));
    }
    check_rank(NAME, grad, 3, 5)?;
    if input_shape.len() != grad.rank() || input_shape[..2] != grad.shape()[..2] {
        return Err(mismatch(input_shape, grad.shape()));
    }
    let plane: usize = input_shape[2..].iter().product();
    let outputs: usize = grad.shape()[2..].iter().product();
    let (grad, indices) = (grad.contiguous(), indices.contiguous());
    let (values, indices) = (
        grad.as_slice().unwrap_or_default(),
        indices.as_slice().unwrap_or_default(),
    );
    if let Some(wrong) = indices.iter().find(|&&i| i >= plane as i64 || i < -1) {
        return Err(crate::spec::argument(
            NAME,
            "indices",
            format!("-1 to {}", plane as i64 - 1),
            wrong,
        ));
    }
    Tensor::build(input_shape, MemoryFormat::Contiguous, |out| {
        out.fill(0.0);
        parallel::chunks(out, plane, values.len(), |index, out| {
            let range = index * outputs..(index + 1) * outputs;
            for (&value, &at) in values[range.clone()].iter().zip(&indices[range]) {
                if let Ok(at) = usize::try_from(at) {
                    out[at] += value;
                }
            }
        });
        Ok(())
    })
}

/// The greater value; NaN if there is one.
#[inline(always)]
fn greater(best: f32, value: f32) -> f32 {
    if value > best || value.is_nan() {
        value
    } else {
        best
    }
}

/// Raises each of `best` to the next of `values`.
#[inline(always)]
fn raise<'a>(best: &mut [f32], values: impl Iterator<Item = &'a f32>) {
    best.iter_mut()
        .zip(values)
        .for_each(|(best, &v)| *best = greater(*best, v));
}

/// Checked sizes of one call.
struct Pool {
    spec: PoolSpec,
    input: [usize; 3],
    output: [usize; 3],
}

impl Pool {
    fn new(operation: &'static str, x: &Tensor, spec: &PoolSpec) -> Result<Pool> {
        check_rank(operation, x, 3, 5)?;
        spec.check_spatial(operation, x.rank() - 2)?;
        let input = three(&x.shape()[2..]);
        let output = spec.output(operation, input)?;
        Ok(Pool {
            spec: *spec,
            input,
            output,
        })
    }

    fn output_shape(&self, input: &[usize]) -> Vec<usize> {
        [&input[..2], &self.output[5 - input.len()..]].concat()
    }

    fn input_plane(&self) -> usize {
        self.input.iter().product()
    }

    fn output_plane(&self) -> usize {
        self.output.iter().product()
    }

    /// The input positions of the window of an output along one axis that lie inside the input.
    fn window(&self, axis: usize, out: usize) -> std::iter::StepBy<Range<usize>> {
        let (step, padding) = (self.spec.dilation[axis], self.spec.padding[axis]);
        let start = out * self.spec.stride[axis];
        let end = (start + (self.spec.kernel[axis] - 1) * step + 1)
            .saturating_sub(padding)
            .min(self.input[axis]);
        // The first position of the window's grid that is not in the padding.
        let skipped = padding.saturating_sub(start).div_ceil(step) * step;
        ((start + skipped).saturating_sub(padding)..end).step_by(step)
    }

    /// One plane: first the maximum over lines, which runs along memory, then the one along the line.
    fn plane(&self, x: &[f32], out: &mut [f32]) {
        let width = self.input[2];
        let mut line = vec![f32::NEG_INFINITY; width];
        for (index, out) in out.chunks_exact_mut(self.output[2]).enumerate() {
            line.fill(f32::NEG_INFINITY);
            for d in self.window(0, index / self.output[1]) {
                for h in self.window(1, index % self.output[1]) {
                    let source = &x[(d * self.input[1] + h) * width..][..width];
                    raise(&mut line, source.iter());
                }
            }
            self.along_line(&line, out);
        }
    }

    /// The maximum of each window along one line.
    fn along_line(&self, line: &[f32], out: &mut [f32]) {
        let (stride, lengths) = (self.spec.stride[2], [self.output[2], self.input[2]]);
        out.fill(f32::NEG_INFINITY);
        for tap in 0..self.spec.kernel[2] {
            let offset = tap * self.spec.dilation[2];
            let (inside, first) = overlap(lengths, stride, self.spec.padding[2], offset);
            if inside.is_empty() {
                continue;
            }
            if stride == 1 {
                raise(&mut out[inside], line[first..].iter());
            } else {
                raise(&mut out[inside], line[first..].iter().step_by(stride));
            }
        }
    }

    /// Where the maximum of output `at` lies.
    fn position(&self, x: &[f32], at: usize) -> i64 {
        let [_, height, width] = self.output;
        let mut best: Option<(f32, usize)> = None;
        for d in self.window(0, at / width / height) {
            for h in self.window(1, at / width % height) {
                for w in self.window(2, at % width) {
                    let position = (d * self.input[1] + h) * self.input[2] + w;
                    let value = x[position];
                    let wins =
                        best.is_none_or(|(b, _)| value > b || (value.is_nan() && !b.is_nan()));
                    if wins {
                        best = Some((value, position));
                    }
                }
            }
        }
        best.map_or(-1, |(_, position)| position as i64)
    }
}
