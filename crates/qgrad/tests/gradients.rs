//! Every rule against finite differences.
//!
//! Functions that are linear in each element are checked with [`Tolerance::LINEAR`] (5e-5 absolute, 1e-5
//! relative), where the only errors are roundings of results of about 1 to 10 divided by the step; the
//! others with [`Tolerance::SMOOTH`] (5e-4 absolute, 1e-3 relative). Inputs of functions with kinks stay
//! farther from them than the step.

use qgrad::gradcheck::{Tolerance, gradcheck};
use qgrad::{Result, Var, ops};
use qops::{ConvSpec, ConvTransposeSpec, Interpolation, PoolSpec, ResizeTo};
use qtensor_core::Tensor;

/// Reproducible values in [-1, 1) that differ from tensor to tensor.
struct Values(u64);

impl Values {
    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let mut next = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let count = shape.iter().product();
        let values = (0..count).map(|_| next()).collect();
        Tensor::from_vec(values, shape).expect("as many values as the shape holds")
    }

    fn tensors(&mut self, shapes: &[&[usize]]) -> Vec<Tensor> {
        shapes.iter().map(|shape| self.tensor(shape)).collect()
    }
}

fn linear_in_each(shapes: &[&[usize]], f: impl Fn(&[Var]) -> Result<Var>) -> Result<()> {
    let inputs = Values(shapes.len() as u64).tensors(shapes);
    gradcheck(f, &inputs, Tolerance::LINEAR)
}

#[test]
fn arithmetic() -> Result<()> {
    for shapes in [
        [&[2, 3][..], &[2, 3][..]],
        [&[2, 3, 4], &[4]],
        [&[3, 1], &[2, 1, 4]],
        [&[2, 3, 2, 2], &[3, 1, 1]],
        [&[], &[2, 2]],
    ] {
        linear_in_each(&shapes, |v| ops::add(&v[0], &v[1]))?;
        linear_in_each(&shapes, |v| ops::sub(&v[0], &v[1]))?;
        linear_in_each(&shapes, |v| ops::mul(&v[0], &v[1]))?;
        let mut inputs = Values(7).tensors(&shapes);
        inputs[1] = inputs[1].map(|v| if v < 0.0 { v - 1.0 } else { v + 1.0 });
        gradcheck(|v| ops::div(&v[0], &v[1]), &inputs, Tolerance::SMOOTH)?;
    }
    linear_in_each(&[&[2, 3]], |v| ops::add_scalar(&v[0], 1.5))?;
    linear_in_each(&[&[2, 3]], |v| ops::mul_scalar(&v[0], -1.5))?;
    let squares = Values(8).tensors(&[&[5]]);
    gradcheck(|v| ops::mul(&v[0], &v[0]), &squares, Tolerance::SMOOTH)
}

#[test]
fn activations() -> Result<()> {
    // Multiples of 0.1 and a half, so that no kink (at -0.5, 0, 0.5) is nearer than 0.05.
    let values = (0..20).map(|i| (i * 7 % 20) as f32 * 0.1 - 0.95).collect();
    let x = [Tensor::from_vec(values, &[4, 5])?];
    let tolerance = Tolerance {
        step: 0.04,
        ..Tolerance::LINEAR
    };
    gradcheck(|v| ops::relu(&v[0]), &x, tolerance)?;
    gradcheck(|v| ops::clamp(&v[0], -0.5, 0.5), &x, tolerance)
}

#[test]
fn reductions() -> Result<()> {
    for (dims, keep) in [
        (&[][..], false),
        (&[], true),
        (&[1], false),
        (&[0, 2], true),
        (&[2, 0, 1], false),
    ] {
        linear_in_each(&[&[2, 3, 4]], |v| ops::sum(&v[0], dims, keep))?;
        linear_in_each(&[&[2, 3, 4]], |v| ops::mean(&v[0], dims, keep))?;
    }
    Ok(())
}

#[test]
fn shapes() -> Result<()> {
    let x = &[&[2, 3, 4][..]];
    linear_in_each(x, |v| ops::reshape(&v[0], &[4, 6]))?;
    linear_in_each(x, |v| ops::flatten(&v[0], 1))?;
    linear_in_each(x, |v| ops::permute(&v[0], &[2, 0, 1]))?;
    linear_in_each(x, |v| {
        ops::reshape(&ops::permute(&v[0], &[1, 2, 0])?, &[24])
    })?;
    let parts: &[&[usize]] = &[&[2, 1, 3], &[2, 2, 3], &[2, 0, 3]];
    linear_in_each(parts, |v| ops::cat(&[&v[0], &v[1], &v[0], &v[2]], 1))
}

#[test]
fn products() -> Result<()> {
    for x in [&[5][..], &[3, 5], &[2, 3, 5]] {
        linear_in_each(&[x, &[4, 5], &[4]], |v| {
            ops::linear(&v[0], &v[1], Some(&v[2]))
        })?;
        linear_in_each(&[x, &[4, 5]], |v| ops::linear(&v[0], &v[1], None))?;
    }
    for shapes in [
        [&[2, 3][..], &[3, 4][..]],
        [&[2, 2, 3], &[2, 3, 2]],
        [&[2, 1, 2, 3], &[3, 3, 2]],
        [&[2, 2, 3], &[3, 2]],
        [&[3], &[3, 2]],
        [&[2, 2, 3], &[3]],
        [&[3], &[3]],
    ] {
        linear_in_each(&shapes, |v| ops::matmul(&v[0], &v[1]))?;
    }
    // The same value on both sides: xᵀ·x.
    let x = Values(9).tensors(&[&[3, 2]]);
    let gram = |v: &[Var]| ops::matmul(&ops::permute(&v[0], &[1, 0])?, &v[0]);
    gradcheck(gram, &x, Tolerance::SMOOTH)
}

#[test]
fn convolutions() -> Result<()> {
    for (x, w, stride, padding, dilation, groups) in [
        (&[2, 3, 4, 5][..], &[4, 3, 1, 1][..], 1, 0, 1, 1),
        (&[1, 2, 5, 6], &[3, 2, 3, 3], 1, 1, 1, 1),
        (&[1, 2, 7, 6], &[2, 2, 3, 2], 2, 2, 2, 1),
        (&[1, 4, 4, 4], &[4, 2, 3, 3], 1, 1, 1, 2),
        (&[1, 3, 5, 5], &[6, 1, 3, 3], 2, 1, 1, 3),
        (&[2, 2, 8], &[3, 2, 3], 2, 1, 1, 1),
        (&[1, 1, 3, 4, 3], &[2, 1, 2, 2, 2], 1, 1, 1, 1),
    ] {
        let all = |value: usize| vec![value; x.len() - 2];
        let spec = ConvSpec::new(&all(stride), &all(padding), &all(dilation), groups)?;
        linear_in_each(&[x, w, &w[..1]], |v| {
            ops::conv(&v[0], &v[1], Some(&v[2]), &spec)
        })?;
        linear_in_each(&[x, w], |v| ops::conv(&v[0], &v[1], None, &spec))?;
    }
    Ok(())
}

#[test]
fn transposed_convolutions() -> Result<()> {
    for (x, w, stride, padding, output_padding, dilation, groups) in [
        (&[2, 3, 3, 4][..], &[3, 4, 1, 1][..], 1, 0, 0, 1, 1),
        (&[1, 2, 3, 4], &[2, 3, 3, 3], 1, 1, 0, 1, 1),
        (&[1, 2, 3, 2], &[2, 2, 4, 4], 2, 1, 0, 1, 1),
        (&[1, 2, 3, 2], &[2, 2, 3, 2], 2, 1, 1, 2, 1),
        (&[1, 4, 3, 3], &[4, 2, 3, 3], 2, 1, 1, 1, 2),
        (&[1, 3, 4, 4], &[3, 1, 3, 3], 1, 1, 0, 1, 3),
        (&[2, 2, 4], &[2, 3, 3], 1, 1, 2, 3, 1),
        (&[1, 1, 2, 2, 3], &[1, 2, 2, 2, 2], 2, 0, 1, 1, 1),
    ] {
        let all = |value: usize| vec![value; x.len() - 2];
        let spec = ConvTransposeSpec::new(
            &all(stride),
            &all(padding),
            &all(output_padding),
            &all(dilation),
            groups,
        )?;
        let bias = &[w[1] * groups][..];
        linear_in_each(&[x, w, bias], |v| {
            ops::conv_transpose(&v[0], &v[1], Some(&v[2]), &spec)
        })?;
        linear_in_each(&[x, w], |v| ops::conv_transpose(&v[0], &v[1], None, &spec))?;
    }
    Ok(())
}

#[test]
fn batch_norm() -> Result<()> {
    let mut values = Values(3);
    let (mean, var) = (
        values.tensor(&[3]),
        values.tensor(&[3]).map(|v| v.abs() + 0.5),
    );
    let norm = |x: &Var, gamma: Option<&Var>, beta: Option<&Var>| {
        ops::batch_norm_eval(x, &mean, &var, gamma, beta, 1e-5)
    };
    for x in [&[4, 3][..], &[2, 3, 2, 2]] {
        linear_in_each(&[x, &[3], &[3]], |v| norm(&v[0], Some(&v[1]), Some(&v[2])))?;
        linear_in_each(&[x, &[3]], |v| norm(&v[0], Some(&v[1]), None))?;
        linear_in_each(&[x, &[3]], |v| norm(&v[0], None, Some(&v[1])))?;
        linear_in_each(&[x], |v| norm(&v[0], None, None))?;
    }
    Ok(())
}

#[test]
fn average_pools() -> Result<()> {
    for variant in 0..8 {
        let spec = PoolSpec {
            ceil_mode: variant & 1 != 0,
            count_include_pad: variant & 2 != 0,
            divisor_override: (variant & 4 != 0).then_some(3),
            ..PoolSpec::new(&[3, 2], &[2, 2], &[1, 0])?
        };
        linear_in_each(&[&[1, 2, 5, 5]], |v| ops::avg_pool(&v[0], &spec))?;
    }
    linear_in_each(&[&[2, 2, 5, 4]], |v| ops::adaptive_avg_pool(&v[0], &[1, 1]))?;
    linear_in_each(&[&[2, 2, 5, 4]], |v| ops::adaptive_avg_pool(&v[0], &[3, 2]))?;
    linear_in_each(&[&[1, 2, 5]], |v| ops::adaptive_avg_pool(&v[0], &[7]))
}

#[test]
fn max_pools() -> Result<()> {
    let tolerance = Tolerance {
        step: 0.04,
        ..Tolerance::LINEAR
    };
    for (shape, spec) in [
        (&[1, 2, 5, 6][..], PoolSpec::new(&[2, 2], &[], &[])?),
        (&[1, 2, 5, 6], PoolSpec::new(&[3, 3], &[2, 2], &[1, 1])?),
        (&[2, 1, 9], PoolSpec::new(&[3], &[2], &[1])?),
    ] {
        // All values differ by at least 0.1, so a step changes no maximum's place.
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| (i * 37 % 61) as f32 * 0.1 - 3.0);
        let x = [Tensor::from_vec(values.collect(), shape)?];
        for ceil_mode in [false, true] {
            let spec = PoolSpec { ceil_mode, ..spec };
            gradcheck(|v| ops::max_pool(&v[0], &spec), &x, tolerance)?;
        }
    }
    Ok(())
}

#[test]
fn a_small_network() -> Result<()> {
    let spec = ConvSpec::new(&[1, 1], &[1, 1], &[1, 1], 1)?;
    let pool = PoolSpec::new(&[2, 2], &[], &[])?;
    let shapes: &[&[usize]] = &[&[2, 2, 4, 4], &[3, 2, 3, 3], &[3], &[4, 12], &[4]];
    let inputs = Values(5).tensors(shapes);
    let network = |v: &[Var]| {
        let y = ops::conv(&v[0], &v[1], Some(&v[2]), &spec)?;
        // Squares in place of a rectifier: there is no kink to keep away from.
        let y = ops::mul(&y, &y)?;
        let y = ops::flatten(&ops::avg_pool(&y, &pool)?, 1)?;
        let y = ops::linear(&y, &v[3], Some(&v[4]))?;
        ops::mean(&ops::mul(&y, &y)?, &[], false)
    };
    // Values and third derivatives are larger than those of a single operation.
    let tolerance = Tolerance {
        absolute: 2e-2,
        relative: 1e-2,
        ..Tolerance::SMOOTH
    };
    gradcheck(network, &inputs, tolerance)
}

#[test]
fn interpolations() -> Result<()> {
    let bilinear = |align_corners| Interpolation::Bilinear { align_corners };
    let images: &[&[usize]] = &[&[2, 2, 3, 4]];
    for mode in [Interpolation::Nearest, bilinear(false), bilinear(true)] {
        for size in [[5, 7], [2, 3], [1, 4], [3, 4]] {
            linear_in_each(images, |v| {
                ops::interpolate(&v[0], ResizeTo::Size(&size), mode)
            })?;
        }
        linear_in_each(images, |v| {
            ops::interpolate(&v[0], ResizeTo::Factor(&[1.5, 0.6]), mode)
        })?;
    }
    for (shape, factor) in [
        (&[2, 3, 5][..], &[2.0][..]),
        (&[1, 2, 2, 3, 2], &[2.0, 0.7, 1.6]),
    ] {
        linear_in_each(&[shape], |v| {
            ops::interpolate(&v[0], ResizeTo::Factor(factor), Interpolation::Nearest)
        })?;
    }
    let grad = Tensor::ones(&[1, 1, 4])?;
    let to = ResizeTo::Size(&[5]);
    let back = qops::float::interpolate_backward(&grad, &[1, 1, 2], to, Interpolation::Nearest);
    let message = back.unwrap_err().to_string();
    assert!(
        message.contains("[1, 1, 5]") && message.contains("[1, 1, 4]"),
        "{message}"
    );
    Ok(())
}
