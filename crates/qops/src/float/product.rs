//! Matrix products: the one place that calls the `f32` kernel.

use qkernels_x86::{Context, sgemm};
use qtensor_core::Tensor;
use qtensor_core::buffer::Buffer;

use super::parallel;
use crate::error::Result;

/// A matrix in a slice: element `(i, j)` lies at `i·row + j·col`.
#[derive(Clone, Copy)]
pub(super) struct Mat<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

impl<'a> Mat<'a> {
    /// Row after row, each `stride` elements behind the previous one.
    pub fn rows(data: &'a [f32], stride: usize) -> Mat<'a> {
        Mat {
            data,
            row: stride,
            col: 1,
        }
    }

    /// The transpose of [`Mat::rows`]: column after column.
    pub fn columns(data: &'a [f32], stride: usize) -> Mat<'a> {
        Mat {
            data,
            row: 1,
            col: stride,
        }
    }
}

/// `C = A·B`, or `C += A·B` with `accumulate`, for an `m × k` and a `k × n` matrix.
///
/// Rows of `C` begin `stride` elements apart in `out`. With `parallel` the product itself is cut
/// into pieces for threads; callers that already run in parallel leave it off.
pub(super) fn product(
    [m, n, k]: [usize; 3],
    a: Mat<'_>,
    b: Mat<'_>,
    out: &mut [f32],
    stride: usize,
    accumulate: bool,
    parallel: bool,
) -> Result<()> {
    if m == 0 || n == 0 {
        return Ok(());
    }
    let small = m.saturating_mul(n).saturating_mul(k) < parallel::SERIAL_BELOW;
    let mut context = Context::new()?;
    if small || !parallel {
        context.threads = 1;
    }
    let kernel = |c: &mut [f32], accumulate: bool| {
        let (a_strides, b_strides) = ((a.row, a.col), (b.row, b.col));
        sgemm(
            &context, m, n, k, a.data, a_strides, b.data, b_strides, c, accumulate,
        )
    };
    if stride == n {
        return Ok(kernel(&mut out[..m * n], accumulate)?);
    }
    // The kernel writes dense matrices only; what it wrote is still in the cache when it is copied.
    let mut dense = Buffer::recycled(m * n * size_of::<f32>());
    let dense = dense.as_mut_slice::<f32>();
    kernel(dense, false)?;
    for (row, values) in out.chunks_mut(stride).zip(dense.chunks_exact(n)) {
        let row = &mut row[..n];
        if accumulate {
            row.iter_mut().zip(values).for_each(|(o, &v)| *o += v);
        } else {
            row.copy_from_slice(values);
        }
    }
    Ok(())
}

/// The matrices of a tensor's last two dimensions, row-major whatever its layout: the order of the sums in a product depends on the
/// strides of its operands.
pub(super) struct Matrices {
    tensor: Tensor,
    rows: usize,
    columns: usize,
}

impl Matrices {
    /// `tensor` must have rank 2 or more.
    pub fn new(tensor: &Tensor) -> Matrices {
        let rank = tensor.rank();
        Matrices {
            tensor: tensor.contiguous(),
            rows: tensor.shape()[rank - 2],
            columns: tensor.shape()[rank - 1],
        }
    }

    /// The matrix number `index`, counted over the leading dimensions in row-major order.
    pub fn at(&self, index: usize) -> Mat<'_> {
        let size = self.rows * self.columns;
        let data = &self.tensor.as_slice().unwrap_or_default()[index * size..(index + 1) * size];
        Mat::rows(data, self.columns)
    }
}
