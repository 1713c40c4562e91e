//! Single-precision matrix products over the `gemm` crate, with lengths checked.
#![allow(unsafe_code)]

use crate::error::{Result, at_least, exactly, product};

const OPERATION: &str = "sgemm";

/// `C = A B`, or `C += A B` if `accumulate`, for row-major `C` of `m` rows and `n` columns.
///
/// `A` is `m` by `k` and `B` is `k` by `n`; `a_strides` and `b_strides` are the distances, in elements,
/// between their rows and between their columns, so that a transposed operand is one with swapped
/// strides. At most `threads` threads of rayon's pool take part; one spawns nothing.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) if an operand does not hold its last element or `c` is not
/// exactly `m * n` long, [`Error::TooLarge`](crate::Error::TooLarge) if an offset overflows.
///
/// ```
/// # use qkernels_x86::sgemm;
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0]);
/// let mut c = [0.0; 2];
/// sgemm(1, 2, 1, 2, &a, (2, 1), &b, (1, 1), &mut c, false)?;
/// assert_eq!(c, [17.0, 39.0]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "matmul")]
#[expect(
    clippy::too_many_arguments,
    reason = "the conventional signature of BLAS"
)]
pub fn sgemm(
    threads: usize,
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    a_strides: (usize, usize),
    b: &[f32],
    b_strides: (usize, usize),
    c: &mut [f32],
    accumulate: bool,
) -> Result<()> {
    exactly(OPERATION, "c", product(OPERATION, &[m, n])?, c.len())?;
    at_least(OPERATION, "a", extent((m, k), a_strides)?, a.len())?;
    at_least(OPERATION, "b", extent((k, n), b_strides)?, b.len())?;
    if c.is_empty() || k == 0 {
        if !accumulate {
            c.fill(0.0);
        }
        return Ok(());
    }
    let parallelism = if threads > 1 {
        gemm::Parallelism::Rayon(threads)
    } else {
        gemm::Parallelism::None
    };
    // Strides fit: `extent` computed offsets with them that fit `isize`, or their axis has one element.
    let stride = |stride: usize, size: usize| if size > 1 { stride as isize } else { 0 };
    // SAFETY: `gemm` reads element (i, j) of an operand at `i * row stride + j * column stride`; the
    // greatest such offset was checked against the slices above, and those of `c` are below `m * n`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            a.as_ptr(),
            stride(a_strides.1, k),
            stride(a_strides.0, m),
            b.as_ptr(),
            stride(b_strides.1, n),
            stride(b_strides.0, k),
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
}

/// Elements from the first to the last one of a strided matrix, both included.
fn extent((rows, columns): (usize, usize), strides: (usize, usize)) -> Result<usize> {
    if rows == 0 || columns == 0 {
        return Ok(0);
    }
    let down = product(OPERATION, &[rows - 1, strides.0])?;
    let across = product(OPERATION, &[columns - 1, strides.1])?;
    product(OPERATION, &[down.saturating_add(across).saturating_add(1)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn strides_transpose_and_results_accumulate() -> Result<()> {
        for (m, n, k) in [
            (1, 1, 1),
            (2, 3, 4),
            (7, 5, 9),
            (1, 9, 33),
            (33, 1, 17),
            (3, 2, 0),
        ] {
            let a: Vec<f32> = (0..m * k).map(|i| (i % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i % 5) as f32 - 2.0).collect();
            for threads in [1, 2] {
                let mut plain = vec![f32::NAN; m * n];
                sgemm(threads, m, n, k, &a, (k, 1), &b, (n, 1), &mut plain, false)?;
                let mut swapped = vec![1.0; m * n];
                sgemm(threads, m, n, k, &a, (1, m), &b, (1, k), &mut swapped, true)?;
                for i in 0..m {
                    for j in 0..n {
                        // Small integers, so every sum is exact in any order.
                        let want: f32 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
                        assert_eq!(plain[i * n + j], want);
                        let want: f32 = (0..k).map(|l| a[l * m + i] * b[j * k + l]).sum();
                        assert_eq!(swapped[i * n + j], want + 1.0);
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn short_operands_and_overflowing_strides_are_refused() {
        let mut c = [0.0; 4];
        let short = sgemm(
            1,
            2,
            2,
            2,
            &[0.0; 3],
            (2, 1),
            &[0.0; 4],
            (2, 1),
            &mut c,
            false,
        );
        let error = Error::Length {
            operation: OPERATION,
            buffer: "a",
            expected: 4,
            actual: 3,
        };
        assert_eq!(short, Err(error));
        let huge = sgemm(
            1,
            2,
            2,
            2,
            &[0.0; 4],
            (2, 1),
            &[0.0; 4],
            (usize::MAX, 1),
            &mut c,
            false,
        );
        assert_eq!(
            huge,
            Err(Error::TooLarge {
                operation: OPERATION
            })
        );
    }
}
