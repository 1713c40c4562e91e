//! `qat`: one forward and backward pass of a convolution with its batch norm and rounded weights.

use std::collections::BTreeMap;

use qgrad::Var;
use qnn::intrinsic::qat::ConvBn2d;
use qnn::intrinsic::{self, Fused, Rectifier};
use qnn::{BatchNorm2d, Conv2d, ConvGeometry, Entry, Module, Node, State, Value};
use qobserve::QConfig;
use qtensor_core::Tensor;

use crate::compare::{differences, equal, parts, same_scale, within};
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// How far outputs and gradients may be apart, relative to the greatest.
const TOLERANCE: f32 = 1e-5;

/// Output, gradients, running statistics, qparams of the weight, and the folded weight.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let fused = intrinsic::ConvBn2d::new(conv(case)?, norm(case)?)?;
    let folded = fused.folded()?;
    within(
        "folded weight",
        folded.weight(),
        &case.float("folded.weight")?,
        1e-6,
    )?;
    let bias = folded.bias().ok_or("the folded convolution has no bias")?;
    within("folded bias", bias, &case.float("folded.bias")?, 1e-6)?;

    // PyTorch's default for x86, of which only the weight's part is used here.
    let qat = ConvBn2d::from_float(&fused, &QConfig::fbgemm_qat().weight);
    match case.text("module")? {
        "ConvBn2d" => trained(case, qat, |module| module),
        "ConvBnReLU2d" => trained(case, Fused::new(qat, Rectifier::ReLU), |module| {
            module.module()
        }),
        other => Err(format!("unknown module {other}").into()),
    }
}

fn trained<M: Module<Input = Value, Output = Value>>(
    case: &Case,
    mut module: M,
    inner: impl Fn(&M) -> &ConvBn2d,
) -> Fallible<Verdict> {
    module.set_training(true);
    let x = Var::parameter(case.float("x")?);
    let y = module.forward(&Value::from(x.clone()))?;
    let y = y.float("golden")?;
    within("y_train", y.untraced(), &case.float("y_train")?, TOLERANCE)?;
    y.backward_with(&case.float("grad_y")?)?;
    let grad = |var: &Var| var.grad().ok_or("no gradient came");
    within("grad_x", &grad(&x)?, &case.float("grad_x")?, TOLERANCE)?;
    let mut grads: BTreeMap<String, Tensor> = BTreeMap::new();
    module.parameters_mut(&mut |name, var| grads.extend(var.grad().map(|g| (name.to_string(), g))));
    for (ours, theirs) in [
        ("weight", "grad.weight"),
        ("bn.weight", "grad.gamma"),
        ("bn.bias", "grad.beta"),
    ] {
        let got = grads
            .get(ours)
            .ok_or_else(|| format!("{ours} got no gradient"))?;
        within(theirs, got, &case.float(theirs)?, TOLERANCE)?;
    }
    let qat = inner(&module);
    let bn = qat.fused().bn();
    for (name, ours) in [
        ("new_running_mean", bn.running_mean()),
        ("new_running_var", bn.running_var()),
    ] {
        within(name, &ours, &case.float(name)?, TOLERANCE)?;
    }
    let (_, scales, zero_points) = parts(&qat.weight_fake_quant().lock().calculate_qparams()?);
    let theirs = case.float("weight_scale")?;
    let their_scales: Vec<f64> = theirs.to_vec().into_iter().map(f64::from).collect();
    let shape = [scales.len()];
    let (ours, want) = (
        (&shape[..], &scales[..]),
        (theirs.shape(), &their_scales[..]),
    );
    differences("weight_scale", ours, want, |&a, &b| same_scale(a, b))?;
    let (their_shape, their_zero_points) = case.ints("weight_zero_point")?;
    let zero_points: Vec<i64> = zero_points.into_iter().map(i64::from).collect();
    equal(
        "weight_zero_point",
        (&shape, &zero_points),
        (their_shape, &their_zero_points),
    )?;
    Ok(Verdict::Equal)
}

fn conv(case: &Case) -> Fallible<Conv2d> {
    let weight = case.float("state.conv.weight")?;
    let &[_, _, height, width] = weight.shape() else {
        return Err("malformed case: the weight has no four dimensions".into());
    };
    let geometry = ConvGeometry {
        kernel_size: [height, width],
        stride: [1; 2],
        padding: [case.size("padding")?; 2],
        dilation: [1; 2],
        groups: 1,
    };
    Ok(Conv2d::from_parts(
        weight,
        case.optional_float("state.conv.bias")?,
        geometry,
    )?)
}

fn norm(case: &Case) -> Fallible<BatchNorm2d> {
    let mut state = State::default();
    for key in ["weight", "bias", "running_mean", "running_var"] {
        state.insert(key, Entry::Tensor(case.float(&format!("state.bn.{key}"))?));
    }
    let channels = case.float("state.bn.weight")?.numel();
    let mut bn = BatchNorm2d::new(channels)?
        .with_eps(case.real("eps")? as f32)
        .with_momentum(case.real("momentum")? as f32);
    bn.load_state(&mut state)?;
    Ok(bn)
}
