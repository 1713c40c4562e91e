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
