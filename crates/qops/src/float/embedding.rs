//! Rows of a table by index, and the adjoint, which adds them back.

use qtensor_core::{MemoryFormat, Tensor};

use super::linear::check_rank;
use crate::error::Result;
use crate::spec::argument;

/// `y[i…] = table[indices[i…]]`: indices `[…]` into a table `[rows, width]` give `[…, width]`.
///
/// ```
/// # use qops::float::embedding;
/// # use qtensor_core::Tensor;
/// let table = Tensor::from_vec(vec![0.0, 0.1, 1.0, 1.1], &[2, 2])?;
/// let y = embedding(&table, &Tensor::from_vec(vec![1i64, 0, 1], &[3])?)?;
/// assert_eq!(y.to_vec(), [1.0, 1.1, 0.0, 0.1, 1.0, 1.1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) for an index outside `0..rows`, a rank error for a table that is not a matrix.
pub fn embedding(table: &Tensor, indices: &Tensor<i64>) -> Result<Tensor> {
    const NAME: &str = "embedding";
    check_rank(NAME, table, 2, 2)?;
    let (rows, width) = (table.shape()[0], table.shape()[1]);
    let picked = rows_of(NAME, indices, rows)?;
    let table = table.contiguous();
    let values = table.as_slice().unwrap_or_default();
    let mut shape = indices.shape().to_vec();
    shape.push(width);
    Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
        for (out, row) in out.chunks_mut(width.max(1)).zip(picked) {
            out.copy_from_slice(&values[row * width..][..width]);
        }
        Ok(())
    })
}

/// The adjoint of [`embedding`]: each row of the table gets the sum of the gradients of its uses, in `f64`.
///
/// # Errors
/// As [`embedding`], and [`Error::Tensor`](crate::Error::Tensor) if `grad` does not have the output's shape.
pub fn embedding_backward(grad: &Tensor, indices: &Tensor<i64>, table: &[usize]) -> Result<Tensor> {
    const NAME: &str = "embedding_backward";
    let (rows, width) = match *table {
        [rows, width] => (rows, width),
        _ => {
            return Err(argument(
                NAME,
                "table",
                "[rows, width]",
                format!("{table:?}"),
            ));
        }
    };
    let mut expected = indices.shape().to_vec();
    expected.push(width);
    if grad.shape() != expected {
        return Err(qtensor_core::Error::ShapeMismatch {
            operation: NAME,
            expected,
            actual: grad.shape().to_vec(),
        }
        .into());
    }
    let picked = rows_of(NAME, indices, rows)?;
    let mut sums = vec![0f64; qtensor_core::checked_numel(table)?];
    for (dy, row) in grad.to_vec().chunks(width.max(1)).zip(picked) {
        let sums = &mut sums[row * width..][..width];
        sums.iter_mut()
            .zip(dy)
            .for_each(|(s, &g)| *s += f64::from(g));
    }
    let sums = sums.into_iter().map(|s| s as f32).collect();
    Ok(Tensor::from_vec(sums, table)?)
}

/// The indices as places in the table.
fn rows_of(operation: &'static str, indices: &Tensor<i64>, rows: usize) -> Result<Vec<usize>> {
    let place = |(at, index): (usize, i64)| {
        let row = usize::try_from(index).ok().filter(|&row| row < rows);
        row.ok_or_else(|| {
            let expected = format!("in 0..{rows}");
            argument(
                operation,
                "index",
                expected,
                format!("{index} (number {at})"),
            )
        })
    };
    let indices = indices.to_vec().into_iter().enumerate();
    indices.map(place).collect()
}
