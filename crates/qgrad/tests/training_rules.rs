//! The rules that only training needs, against finite differences; see the tests of the other rules for the
//! tolerances.

use qgrad::gradcheck::{Tolerance, gradcheck};
use qgrad::{Error, Result, Var, ops};
use qops::quantized::BagMode;
use qtensor_core::Tensor;

/// Reproducible values in [-1, 1) that differ from tensor to tensor.
fn tensor(seed: u64, shape: &[usize]) -> Tensor {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let values = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape).expect("as many values as the shape holds")
}

fn smooth(f: impl Fn(&[Var]) -> Result<Var>, inputs: &[Tensor]) -> Result<()> {
    gradcheck(f, inputs, Tolerance::SMOOTH)
}

#[test]
fn smooth_activations() -> Result<()> {
    let x = [tensor(1, &[4, 5]).map(|v| 3.0 * v)];
    smooth(|v| ops::sigmoid(&v[0]), &x)?;
    smooth(|v| ops::tanh(&v[0]), &x)?;
    smooth(|v| ops::gelu(&v[0]), &x)?;
    for dim in 0..2 {
        smooth(|v| ops::softmax(&v[0], dim), &x)?;
        smooth(|v| ops::log_softmax(&v[0], dim), &x)?;
    }
    Ok(())
}

#[test]
fn activations_with_kinks_away_from_them() -> Result<()> {
    // Odd multiples of 0.45 keep off −3, 0, 3 and 6 by more than the step.
    let values = (0..20).map(|i| (2 * i - 19) as f32 * 0.45).collect();
    let x = [Tensor::from_vec(values, &[20])?];
    smooth(|v| ops::relu6(&v[0]), &x)?;
    smooth(|v| ops::hardswish(&v[0]), &x)?;
    // On the kinks themselves PyTorch's choice holds.
    let x = Var::parameter(Tensor::from_vec(vec![0.0, 6.0, 3.0, -3.0], &[4])?);
    ops::relu6(&x)?.backward_with(&Tensor::ones(&[4])?)?;
    assert_eq!(
        x.grad(),
        Some(Tensor::from_vec(vec![0.0, 0.0, 1.0, 0.0], &[4])?)
    );
    x.zero_grad();
    ops::hardswish(&x)?.backward_with(&Tensor::ones(&[4])?)?;
    assert_eq!(
        x.grad(),
        Some(Tensor::from_vec(vec![0.5, 1.0, 1.5, -0.5], &[4])?)
    );
    Ok(())
}

#[test]
fn batch_norm_through_its_statistics() -> Result<()> {
    for shape in [&[6, 3][..], &[3, 3, 4], &[2, 3, 2, 3], &[2, 3, 2, 2, 2]] {
        let (x, gamma, beta) = (tensor(1, shape), tensor(2, &[3]), tensor(3, &[3]));
        let all = [x.clone(), gamma, beta];
        smooth(
            |v| Ok(ops::batch_norm_train(&v[0], Some(&v[1]), Some(&v[2]), 0.1)?.0),
            &all,
        )?;
        smooth(
            |v| Ok(ops::batch_norm_train(&v[0], None, None, 0.1)?.0),
            &all[..1],
        )?;
        smooth(
            |v| Ok(ops::batch_norm_train(&v[0], Some(&v[1]), None, 0.1)?.0),
            &all[..2],
        )?;
    }
    Ok(())
}

#[test]
fn layer_norm_over_one_and_two_dimensions() -> Result<()> {
    for normalized in [&[5][..], &[4, 5]] {
        let all = [
            tensor(1, &[3, 4, 5]),
            tensor(2, normalized),
            tensor(3, normalized),
        ];
        smooth(
            |v| ops::layer_norm(&v[0], normalized, Some(&v[1]), Some(&v[2]), 0.1),
            &all,
        )?;
        smooth(
            |v| ops::layer_norm(&v[0], normalized, None, None, 0.1),
            &all[..1],
        )?;
        let last = [all[0].clone(), all[2].clone()];
        smooth(
            |v| ops::layer_norm(&v[0], normalized, None, Some(&v[1]), 0.1),
            &last,
        )?;
    }
    Ok(())
}

#[test]
fn slices_padding_and_embedding_are_linear() -> Result<()> {
    let linear = |f: &dyn Fn(&[Var]) -> Result<Var>, shape: &[usize]| {
        gradcheck(f, &[tensor(4, shape)], Tolerance::LINEAR)
    };
    linear(&|v| ops::slice(&v[0], 1, 1, 6, 2), &[2, 7])?;
    linear(&|v| ops::slice(&v[0], 0, 0, 2, 1), &[3, 2, 2])?;
    linear(&|v| ops::pad(&v[0], &[(1, 0), (0, 2)], 3.0), &[2, 3])?;
    let indices = Tensor::from_vec(vec![2i64, 0, 2, 1], &[2, 2])?;
    linear(&|v| ops::embedding(&v[0], &indices), &[4, 3])?;
    linear(&|v| ops::dropout(&v[0], 0.4, 3), &[5, 6])
}

#[test]
fn losses() -> Result<()> {
    let logits = [tensor(5, &[4, 3]).map(|v| 2.0 * v)];
    for smoothing in [0.0, 0.2, 1.0] {
        smooth(
            |v| ops::cross_entropy(&v[0], &[2, 0, 1, 1], smoothing),
            &logits,
        )?;
    }
    let target = tensor(6, &[4, 3]);
    smooth(|v| ops::mse_loss(&v[0], &target), &logits)?;
    // As PyTorch computes them.
    let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 0.5, -1.0, 0.25], &[2, 3])?;
    let loss = ops::cross_entropy(&x.into(), &[2, 0], 0.1)?;
    assert!((loss.untraced().item()? - 0.630_025_74).abs() < 1e-6);
    Ok(())
}

#[test]
fn dropout_keeps_the_mean_and_ends_at_its_extremes() -> Result<()> {
    let x = Var::from(Tensor::ones(&[10_000])?);
    let mean = ops::mean(&ops::dropout(&x, 0.3, 1)?, &[], false)?;
    assert!((mean.untraced().item()? - 1.0).abs() < 0.03);
    assert_eq!(ops::dropout(&x, 0.0, 1)?.untraced(), x.untraced());
    assert_eq!(
        ops::dropout(&x, 1.0, 1)?.untraced(),
        &Tensor::zeros(&[10_000])?
    );
    assert_ne!(
        ops::dropout(&x, 0.5, 1)?.untraced(),
        ops::dropout(&x, 0.5, 2)?.untraced()
    );
    assert!(matches!(
        ops::dropout(&x, 1.5, 1),
        Err(Error::Argument { .. })
    ));
    Ok(())
}

#[test]
fn mistakes_in_losses_carry_their_numbers() {
    let logits = Var::from(tensor(1, &[2, 3]));
    for (labels, wanted) in [(&[0][..], "1 labels"), (&[0, 3], "3 in row 1")] {
        let message = ops::cross_entropy(&logits, labels, 0.0)
            .unwrap_err()
            .to_string();
        assert!(message.contains(wanted), "{message}");
    }
    assert!(ops::cross_entropy(&logits, &[0, 1], 1.5).is_err());
    assert!(ops::cross_entropy(&Var::from(tensor(1, &[3])), &[0], 0.0).is_err());
    assert!(ops::cross_entropy(&Var::from(tensor(1, &[0, 3])), &[], 0.0).is_err());
    let message = ops::mse_loss(&logits, &tensor(2, &[3, 2]))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[2, 3]") && message.contains("[3, 2]"),
        "{message}"
    );
}

#[test]
fn a_shape_mistake_in_a_rule_names_the_operation_and_both_shapes() {
    let x = Var::parameter(tensor(1, &[2, 3]));
    let y = Var::from_operation("crooked", &[&x], tensor(2, &[2]), |grad, _| {
        Ok(vec![Some(grad.clone())])
    });
    let error = y.backward_with(&tensor(3, &[2])).unwrap_err();
    assert!(matches!(
        error,
        Error::GradientShape {
            operation: "crooked",
            ..
        }
    ));
    let message = error.to_string();
    assert!(
        message.contains("[2, 3]") && message.contains("[2]"),
        "{message}"
    );
    assert_eq!(x.grad(), None);
    let message = Var::from(tensor(1, &[1]))
        .backward()
        .unwrap_err()
        .to_string();
    assert!(message.contains("no parameter"), "{message}");
}

#[test]
fn bags_of_rows() -> Result<()> {
    let table = tensor(9, &[5, 3]);
    let indices = Tensor::from_vec(vec![4i64, 0, 0, 2, 4, 1], &[6])?;
    // The second bag has no rows.
    let offsets = Tensor::from_vec(vec![0i64, 3, 3, 5], &[4])?;
    let shape = table.shape().to_vec();
    for mode in [BagMode::Sum, BagMode::Mean, BagMode::Max] {
        let tolerance = Tolerance {
            step: 1e-2,
            ..Tolerance::SMOOTH
        };
        let bags = |v: &[Var]| ops::embedding_bag(&v[0], &indices, &offsets, mode);
        gradcheck(bags, std::slice::from_ref(&table), tolerance)?;
        let rows = Var::parameter(Tensor::ones(&shape)?);
        let y = ops::embedding_bag(&rows, &indices, &offsets, mode)?;
        assert_eq!(y.tensor().to_vec()[3..6], [0.0; 3]);
        y.backward_with(&Tensor::ones(&[4, 3])?)?;
        let grad = rows.grad().map(|g| g.to_vec()).unwrap_or_default();
        // Of equal rows the first one gives the maximum.
        let want: [f32; 5] = match mode {
            BagMode::Sum => [2.0, 1.0, 1.0, 0.0, 2.0],
            BagMode::Mean => [2.0 / 3.0, 1.0, 0.5, 0.0, 1.0 / 3.0 + 0.5],
            BagMode::Max => [0.0, 1.0, 1.0, 0.0, 1.0],
        };
        for (row, want) in grad.chunks(3).zip(want) {
            assert!(
                row.iter().all(|g| (g - want).abs() < 1e-6),
                "{mode:?}: {grad:?}"
            );
        }
    }
    let wrong = ops::embedding_bag(&table.into(), &indices, &indices, BagMode::Sum);
    assert!(wrong.is_err());
    Ok(())
}
