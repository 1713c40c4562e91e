//! Single-precision matrix products over the `gemm` crates, with lengths checked.
#![allow(unsafe_code)]

use gemm_common::Parallelism;
#[cfg(target_arch = "x86_64")]
use gemm_common::{
    gemm::gemm_basic_generic,
    simd::{MixedSimd, Scalar, V3, V4},
};

use crate::context::Context;
use crate::error::{Result, at_least, exactly, product};
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Tier;

const OPERATION: &str = "sgemm";

/// `C = A B`, or `C += A B` if `accumulate`, for row-major `C` of `m` rows and `n` columns.
///
/// `A` is `m` by `k` and `B` is `k` by `n`; `a_strides` and `b_strides` are the distances, in elements,
/// between their rows and between their columns, so that a transposed operand is one with swapped
/// strides. At most as many threads of rayon's pool as the context allows take part; one spawns nothing.
///
/// Unlike integers, sums depend in their last bits on the instructions and on the cut into pieces: AVX-512 on
/// [`Tier::Avx512Vnni`](crate::Tier::Avx512Vnni) and above, AVX2 with FMA on the 256-bit tiers, and plain
/// SSE below.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) if an operand does not hold its last element or `c` is not
/// exactly `m * n` long, [`Error::TooLarge`](crate::Error::TooLarge) if an offset overflows.
///
/// ```
/// # use qkernels_x86::{Context, sgemm};
/// let context = Context::new()?;
/// let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0]);
/// let mut c = [0.0; 2];
/// sgemm(&context, 2, 1, 2, &a, (2, 1), &b, (1, 1), &mut c, false)?;
/// assert_eq!(c, [17.0, 39.0]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "matmul")]
#[expect(
    clippy::too_many_arguments,
    reason = "the conventional signature of BLAS"
)]
pub fn sgemm(
    context: &Context,
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
    let parallelism = if context.threads > 1 {
        Parallelism::Rayon(context.threads)
    } else {
        Parallelism::None
    };
    // Strides fit: `extent` computed offsets with them that fit `isize`, or their axis has one element.
    let stride = |stride: usize, size: usize| if size > 1 { stride as isize } else { 0 };
    // The micro-kernels prefer to write columns, so that they are given the transposes.
    let kernel = kernel(context.isa);
    // SAFETY: a kernel reads element (i, j) of an operand at `i * row stride + j * column stride`; the
    // greatest such offset was checked against the slices above, and those of `c` are below `m * n`.
    unsafe {
        kernel(
            n,
            m,
            k,
            c.as_mut_ptr(),
            n as isize,
            1,
            accumulate,
            b.as_ptr(),
            stride(b_strides.0, k),
            stride(b_strides.1, n),
            a.as_ptr(),
            stride(a_strides.0, m),
            stride(a_strides.1, k),
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

/// A product of the `gemm` crates: sizes, the three matrices with their column and row strides, two
/// factors, three conjugations (nothing in real numbers), threads.
type Kernel = unsafe fn(
    usize,
    usize,
    usize,
    *mut f32,
    isize,
    isize,
    bool,
    *const f32,
    isize,
    isize,
    *const f32,
    isize,
    isize,
    f32,
    f32,
    bool,
    bool,
    bool,
    Parallelism,
);

/// The product with the instructions of a tier. `gemm` itself would take the best of the CPU, so that
/// a capped tier would say nothing about float.
#[cfg(target_arch = "x86_64")]
fn kernel(isa: Isa) -> Kernel {
    match isa.tier() {
        Tier::Scalar | Tier::Sse2 => scalar,
        Tier::Avx2 | Tier::AvxVnni => fma,
        Tier::Avx512Vnni | Tier::Amx => avx512,
    }
}

/// The product for this CPU: elsewhere there is one tier, and `gemm` has more.
#[cfg(not(target_arch = "x86_64"))]
fn kernel(_: Isa) -> Kernel {
    gemm_f32::gemm::f32::get_gemm_fn()
}

/// The product with one micro-kernel of `gemm_f32`, of vectors of `$lanes` numbers; `$below` does what
/// this CPU has no instructions for.
macro_rules! product_with {
    ($name:ident, $microkernel:ident, $simd:ty, $lanes:expr, $below:expr) => {
        #[cfg(target_arch = "x86_64")]
        #[expect(
            clippy::too_many_arguments,
            reason = "the signature of the `gemm` crates"
        )]
        unsafe fn $name(
            m: usize,
            n: usize,
            k: usize,
            c: *mut f32,
            c_column: isize,
            c_row: isize,
            accumulate: bool,
            a: *const f32,
            a_column: isize,
            a_row: isize,
            b: *const f32,
            b_column: isize,
            b_row: isize,
            alpha: f32,
            beta: f32,
            conj_c: bool,
            conj_a: bool,
            conj_b: bool,
            parallelism: Parallelism,
        ) {
            use gemm_f32::microkernel::$microkernel::f32::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};
            const LANES: usize = $lanes;
            let Some(simd) = <$simd as MixedSimd<f32, f32, f32, f32>>::try_new() else {
                let below: Kernel = $below;
                // SAFETY: the caller's matrices are passed on as they are.
                return unsafe {
                    below(
                        m,
                        n,
                        k,
                        c,
                        c_column,
                        c_row,
                        accumulate,
                        a,
                        a_column,
                        a_row,
                        b,
                        b_column,
                        b_row,
                        alpha,
                        beta,
                        conj_c,
                        conj_a,
                        conj_b,
                        parallelism,
                    )
                };
            };
            // SAFETY: the caller vouches for the matrices, `simd` for the instructions of the
            // micro-kernels, which hold `LANES` numbers in a vector.
            unsafe {
                gemm_basic_generic::<_, f32, LANES, { MR_DIV_N * LANES }, NR, MR_DIV_N, H_M, H_N>(
                    simd,
                    m,
                    n,
                    k,
                    c,
                    c_column,
                    c_row,
                    accumulate,
                    a,
                    a_column,
                    a_row,
                    b,
                    b_column,
                    b_row,
                    alpha,
                    beta,
                    conj_c,
                    conj_a,
                    conj_b,
                    |a, b, c| a * b + c,
                    &UKR,
                    &H_UKR,
                    false,
                    parallelism,
                );
            }
        }
    };
}

product_with!(scalar, scalar, Scalar, 1, scalar);
product_with!(fma, fma, V3, 8, scalar);
product_with!(avx512, avx512f, V4, 16, fma);

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
    fn strides_transpose_and_results_accumulate_on_every_tier() -> Result<()> {
        let selected = Isa::selected()?;
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
            for (isa, threads) in selected.iter().flat_map(|&isa| [(isa, 1), (isa, 2)]) {
                let context = Context::with(isa, threads);
                let mut plain = vec![f32::NAN; m * n];
                sgemm(&context, m, n, k, &a, (k, 1), &b, (n, 1), &mut plain, false)?;
                let mut swapped = vec![1.0; m * n];
                sgemm(
                    &context,
                    m,
                    n,
                    k,
                    &a,
                    (1, m),
                    &b,
                    (1, k),
                    &mut swapped,
                    true,
                )?;
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
        let context = Context::with(Isa::available()[0], 1);
        let mut c = [0.0; 4];
        let short = sgemm(
            &context,
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
            &context,
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
