//! `fake_quant`: rounding to a grid and its gradients, per tensor, per channel and learned.

use qgrad::Var;
use qobserve::{FakeQuant, LearnableFakeQuantize, MinMaxObserver, Observer, fake_quantize};
use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, Quantizer, Tensor};

use crate::compare::{equal, within};
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// Values exactly; gradients within 1e-5 of their greatest.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let x = Var::parameter(case.float("x")?);
    let op = case.text("op")?;
    let mut learned: Option<LearnableFakeQuantize> = None;
    let y = match op {
        "fake_quantize_per_tensor_affine" => {
            let zero_point = case.parameter("zero_point", |v| v.as_i64())? as i32;
            let quantizer = Quantizer::per_tensor(case.real("scale")?, zero_point);
            fake_quantize(&x, &quantizer, range(case)?)?
        }
        "fake_quantize_per_channel_affine" => {
            let scales: Vec<f64> = case
                .float("scales")?
                .to_vec()
                .into_iter()
                .map(f64::from)
                .collect();
            let zero_points: Vec<i32> = case
                .ints("zero_points")?
                .1
                .iter()
                .map(|&z| z as i32)
                .collect();
            let quantizer = Quantizer::per_channel(&scales, &zero_points, case.size("axis")?);
            fake_quantize(&x, &quantizer, range(case)?)?
        }
        "fake_quantize_learnable_per_tensor_affine" => {
            let fake_quant = learned.insert(learnable(case)?);
            fake_quant.forward(&x)?
        }
        other => return Err(format!("unknown operation {other}").into()),
    };
    let want = case.float("y")?;
    let (ours, theirs) = (y.untraced().to_vec(), want.to_vec());
    equal("y", (y.shape(), &ours), (want.shape(), &theirs))?;
    y.backward_with(&case.float("grad_y")?)?;
    within("grad_x", &grad(&x)?, &case.float("grad_x")?, 1e-5)?;
    if let Some(fake_quant) = &mut learned {
        let factor = case.real("grad_factor")? as f32;
        let mut result = Ok(());
        fake_quant.parameters_mut(&mut |name, var| {
            let compare = || {
                // The factor is linear in the gradients, and ours was 1.
                let ours = grad(var)?.map(|g| g * factor);
                within(name, &ours, &case.float(&format!("grad_{name}"))?, 1e-5)
            };
            if result.is_ok() {
                result = compare();
            }
        });
        result?;
    }
    Ok(Verdict::Equal)
}

fn grad(var: &Var) -> Fallible<Tensor> {
    var.grad().ok_or_else(|| "no gradient came".into())
}

fn range(case: &Case) -> Fallible<QuantRange> {
    let integer = |key: &str| case.parameter(key, |v| i32::try_from(v.as_i64()?).ok());
    Ok(QuantRange {
        min: integer("quant_min")?,
        max: integer("quant_max")?,
        custom: true,
    })
}

fn learnable(case: &Case) -> Fallible<LearnableFakeQuantize> {
    let range = range(case)?;
    let observer = MinMaxObserver::builder()
        .dtype(DType::QUInt8)
        .quant_range(range.min, range.max)
        .build()?;
    let mut fake_quant = LearnableFakeQuantize::new(Box::new(observer))?.grad_scaling(false);
    fake_quant.set_observing(false);
    fake_quant.set_training(true);
    let vector = |key: &str| {
        Ok::<_, Box<dyn std::error::Error>>(Tensor::full(&[1], case.real(key)? as f32)?)
    };
    fake_quant.set_parameters(vector("scale")?, vector("zero_point")?, None)?;
    Ok(fake_quant)
}
