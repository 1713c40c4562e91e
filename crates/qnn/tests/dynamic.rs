//! Dynamically quantized layers against their formulas and their float originals.

use qnn::dynamic::{DynamicQuant, Granularity};
use qnn::{Error, Linear, Module, Node, State, Value, dynamic, manual_seed};
use qobserve::QConfig;
use qtensor_core::Tensor;

fn tensor(shape: &[usize], f: impl Fn(usize) -> f32) -> Tensor {
    let values = (0..shape.iter().product()).map(f).collect();
    Tensor::from_vec(values, shape).expect("as many values as the shape holds")
}

#[test]
fn rows_do_not_disturb_each_other_unless_they_share_a_scale() -> qnn::Result<()> {
    manual_seed(1);
    let float = Linear::new(20, 6)?;
    let small = tensor(&[1, 20], |i| (i as f32 * 0.7).sin() * 0.01);
    let both = tensor(&[2, 20], |i| {
        if i < 20 {
            (i as f32 * 0.7).sin() * 0.01
        } else {
            100.0
        }
    });
    let first_row = |qconfig: &QConfig, x: &Tensor| -> qnn::Result<Vec<f32>> {
        let layer = dynamic::Linear::from_float(&float, qconfig)?;
        let y = layer.forward(&x.clone().into())?.to_tensor();
        Ok(y.to_vec()[..6].to_vec())
    };
    let per_row = QConfig::dynamic();
    assert_eq!(first_row(&per_row, &small)?, first_row(&per_row, &both)?);
    let per_tensor = QConfig::per_channel_dynamic_qconfig();
    assert_ne!(
        first_row(&per_tensor, &small)?,
        first_row(&per_tensor, &both)?
    );
    Ok(())
}

#[test]
fn a_configuration_decides_everything() -> qnn::Result<()> {
    let float = Linear::new(4, 3)?;
    let repr = |q: &QConfig| dynamic::Linear::from_float(&float, q).map(|l| l.extra_repr());
    assert_eq!(
        repr(&QConfig::dynamic())?,
        "in_features=4, out_features=3, dtype=qint8, per row"
    );
    assert!(repr(&QConfig::default_dynamic_qconfig())?.ends_with("per tensor, reduce_range"));
    assert!(repr(&QConfig::float16_dynamic_qconfig())?.ends_with("dtype=float16"));
    let error = repr(&QConfig::x86()).unwrap_err();
    assert!(matches!(error, Error::Config { .. }));
    assert!(error.to_string().contains("not a static one"));
    Ok(())
}

#[test]
fn states_restore_and_damaged_ones_are_refused() -> qnn::Result<()> {
    let float = Linear::new(5, 3)?;
    let x: Value = tensor(&[2, 5], |i| i as f32 - 3.0).into();
    for qconfig in [QConfig::dynamic(), QConfig::float16_dynamic_qconfig()] {
        let layer = dynamic::Linear::from_float(&float, &qconfig)?;
        let mut state = layer.state();
        let again = dynamic::Linear::from_state(&mut state)?;
        assert!(state.is_empty());
        let y = layer.forward(&x)?.to_tensor();
        assert_eq!(again.forward(&x)?.to_tensor(), y);
        assert!(dynamic::Linear::from_state(&mut State::default()).is_err());
    }
    let mut state = dynamic::Linear::from_float(&float, &QConfig::dynamic())?
        .state()
        .with_sizes("quant", &[2, 0]);
    assert!(matches!(
        dynamic::Linear::from_state(&mut state),
        Err(Error::Config { .. })
    ));
    Ok(())
}

#[test]
fn convolutions_keep_their_float_results() -> qnn::Result<()> {
    manual_seed(4);
    let float = qnn::Conv2d::config(3, 8, 3).stride(2).padding(1).build()?;
    let x: Value = tensor(&[2, 3, 9, 7], |i| (i as f32 * 0.3).sin()).into();
    let want = float.forward(&x)?.to_tensor();
    let mut errors = Vec::new();
    for qconfig in [QConfig::per_channel_dynamic_qconfig(), QConfig::dynamic()] {
        let int8 = dynamic::Conv2d::from_float(&float, &qconfig)?;
        let y = int8.forward(&x)?.to_tensor();
        assert_eq!(y.shape(), want.shape());
        let pairs = y.to_vec().into_iter().zip(want.to_vec());
        errors.push(pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max));
        let mut state = int8.state().merged(Node::config(&int8));
        let again = dynamic::Conv2d::from_state(&mut state)?;
        assert!(state.is_empty());
        assert_eq!(again.forward(&x)?.to_tensor(), y);
    }
    assert!(
        errors[1] > 0.0 && errors[1] < errors[0] && errors[0] < 0.05,
        "{errors:?}"
    );
    let error = dynamic::Conv2d::from_float(&float, &QConfig::float16_dynamic_qconfig()).err();
    assert!(error.is_some_and(|e| e.to_string().contains("int8")));
    let int8 = dynamic::Conv2d::from_float(&float, &QConfig::dynamic())?;
    assert!(int8.forward(&Tensor::ones(&[2, 4, 9, 7])?.into()).is_err());
    assert!(int8.forward(&Tensor::ones(&[3, 9])?.into()).is_err());
    Ok(())
}

#[test]
fn tables_in_few_bits_restore_and_refuse() -> qnn::Result<()> {
    let float = qnn::Embedding::new(20, 6)?;
    let picked = Tensor::from_vec(vec![3i64, 19, 3, 0], &[2, 2])?;
    let want = float.forward(&picked)?.to_tensor();
    assert_eq!(want.shape(), [2, 2, 6]);
    for (qconfig, tolerance) in [
        (QConfig::float_qparams_weight_only_qconfig(), 0.008),
        (QConfig::float_qparams_weight_only_qconfig_4bit(), 0.13),
    ] {
        let small = qnn::quantized::Embedding::from_float(&float, &qconfig)?;
        let y = small.forward(&picked)?.to_tensor();
        let near = |(a, b): (f32, f32)| (a - b).abs() < tolerance;
        assert!(y.to_vec().into_iter().zip(want.to_vec()).all(near));
        let again = qnn::quantized::Embedding::from_state(&mut small.state())?;
        assert_eq!(again.forward(&picked)?.to_tensor(), y);

        let bags = qnn::Bags::new(&[&[1, 2, 3], &[], &[19]])?;
        let bag = qnn::EmbeddingBag::from_weight(float.weight().clone(), Default::default())?;
        let small = qnn::quantized::EmbeddingBag::from_float(&bag, &qconfig)?;
        let (y, want) = (
            small.forward(&bags)?.to_tensor(),
            bag.forward(&bags)?.to_tensor(),
        );
        assert!(y.to_vec().into_iter().zip(want.to_vec()).all(near));
        let mut state = small.state().merged(Node::config(&small));
        let again = qnn::quantized::EmbeddingBag::from_state(&mut state)?;
        assert_eq!(again.forward(&bags)?.to_tensor(), y);
    }
    let error = qnn::quantized::Embedding::from_float(&float, &QConfig::dynamic()).unwrap_err();
    assert!(error.to_string().contains("not a dynamic one"));
    let text = float
        .forward(&Tensor::from_vec(vec![20i64], &[1])?)
        .unwrap_err();
    assert!(text.to_string().contains("20"));
    Ok(())
}

#[test]
fn attention_hides_what_it_is_told_to_hide() -> qnn::Result<()> {
    manual_seed(8);
    let attention = qnn::MultiheadAttention::new(8, 2)?;
    let x = tensor(&[1, 4, 8], |i| (i as f32 * 0.9).cos());
    let mut other = x.clone();
    (0..8).try_for_each(|u| other.set(&[0, 3, u], 5.0))?;
    let none = f32::NEG_INFINITY;
    let run = |x: &Tensor, input: qnn::AttentionInput| -> qnn::Result<Vec<f32>> {
        let input = qnn::AttentionInput {
            x: x.clone().into(),
            ..input
        };
        Ok(attention.forward(&input)?.to_tensor().to_vec())
    };
    let plain = || qnn::AttentionInput::from(Value::from(x.clone()));
    // The last element is padding: what it holds does not matter to the others.
    let padded = || -> qnn::Result<_> {
        let mask = Tensor::from_vec(vec![0.0, 0.0, 0.0, none], &[1, 4])?;
        Ok(qnn::AttentionInput {
            key_padding_mask: Some(mask),
            ..plain()
        })
    };
    assert_eq!(run(&x, padded()?)?[..24], run(&other, padded()?)?[..24]);
    assert_ne!(run(&x, plain())?[..24], run(&other, plain())?[..24]);
    // Nobody looks ahead: the first three do not see the fourth.
    let causal = || -> qnn::Result<_> {
        let ahead = |i: usize| if i % 4 > i / 4 { none } else { 0.0 };
        Ok(qnn::AttentionInput {
            attn_mask: Some(tensor(&[4, 4], ahead)),
            ..plain()
        })
    };
    assert_eq!(run(&x, causal()?)?[..24], run(&other, causal()?)?[..24]);

    assert_eq!(qnn::paths(&attention), ["in_proj", "out_proj"]);
    let text = attention
        .forward(&Value::from(Tensor::ones(&[1, 4, 7])?).into())
        .unwrap_err()
        .to_string();
    assert!(text.contains("(batch, time, 8)"), "{text}");
    let wrong = qnn::AttentionInput {
        attn_mask: Some(Tensor::ones(&[3, 4])?),
        ..plain()
    };
    assert!(attention.forward(&wrong).is_err());
    assert!(qnn::MultiheadAttention::new(8, 3).is_err());
    Ok(())
}

#[test]
fn inputs_that_cannot_be_quantized_are_refused_with_their_place() -> qnn::Result<()> {
    let float = Linear::new(5, 3)?;
    let layer = dynamic::Linear::from_float(&float, &QConfig::dynamic())?;
    let mut x = tensor(&[2, 5], |i| i as f32);
    x.set(&[1, 3], f32::NAN)?;
    let error = layer.forward(&x.into()).unwrap_err().to_string();
    assert!(error.contains("[1, 3]") && error.contains("NaN"), "{error}");
    let error = layer.forward(&Tensor::ones(&[2, 4])?.into()).unwrap_err();
    assert!(error.to_string().contains('4') && error.to_string().contains('5'));
    assert_eq!(DynamicQuant::default().granularity, Granularity::PerRow);
    Ok(())
}
