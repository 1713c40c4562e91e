//! `pointwise`: elementwise operations, activation functions and concatenation.

use qops::quantized::{
    Gelu, OutQParams, add, add_relu, add_scalar, cat, cat_relu, celu, elu, gelu, hardsigmoid,
    hardswish, leaky_relu, mul, mul_relu, mul_scalar, prelu, relu, relu6, sigmoid, softmax, tanh,
    threshold,
};
use qtensor_core::QTensor;

use crate::compare::{equal_quantized, in_each_format};
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// `y` from the inputs, for a first input in both memory formats.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let op = case.text("op")?;
    let want = case.quantized("y")?;
    if ["cat", "cat_relu"].contains(&op) {
        let mut inputs = Vec::new();
        while case.has(&format!("a{}", inputs.len())) {
            inputs.push(case.quantized(&format!("a{}", inputs.len()))?);
        }
        let (inputs, dim): (Vec<&QTensor>, _) = (inputs.iter().collect(), case.size("dim")?);
        let out = Some(OutQParams::of(&want)?);
        let y = match op {
            "cat" => cat(&inputs, dim, out)?,
            _ => cat_relu(&inputs, dim, out)?,
        };
        equal_quantized(op, &y, &want)?;
        return Ok(Verdict::Equal);
    }
    for (format, a) in in_each_format(&case.quantized("a")?)? {
        equal_quantized(format, &result(case, op, &a, &want)?, &want)?;
    }
    Ok(Verdict::Equal)
}

fn result(case: &Case, op: &str, a: &QTensor, want: &QTensor) -> Fallible<QTensor> {
    let out = OutQParams::of(want)?;
    let b = || case.quantized("b");
    let single = |name| case.real(name).map(|real| real as f32);
    Ok(match op {
        "add" => add(a, &b()?, out)?,
        "add_relu" => add_relu(a, &b()?, out)?,
        "mul" => mul(a, &b()?, out)?,
        "mul_relu" => mul_relu(a, &b()?, out)?,
        "relu" => relu(a)?,
        "relu6" => relu6(a)?,
        "add_scalar" => add_scalar(a, case.real("value")?)?,
        "mul_scalar" => mul_scalar(a, case.real("value")?)?,
        "sigmoid" => sigmoid(a, Some(out))?,
        // PyTorch's `tanh` takes no map: this checks the default one.
        "tanh" => tanh(a, None)?,
        "hardsigmoid" => hardsigmoid(a, None)?,
        "hardswish" => hardswish(a, out)?,
        "leaky_relu" => leaky_relu(a, single("negative_slope")?, Some(out))?,
        "elu" => elu(a, single("alpha")?, out)?,
        "celu" => celu(a, single("alpha")?, out)?,
        "threshold" => threshold(a, single("threshold")?, single("value")?)?,
        "gelu" => gelu(a, Gelu::Exact)?,
        "gelu_tanh" => gelu(a, Gelu::Tanh)?,
        "softmax" => softmax(a, case.size("dim")?, out)?,
        "prelu" => prelu(a, &case.quantized("weight")?, out)?,
        other => return Err(format!("unknown op {other}").into()),
    })
}
