//! `pointwise`: elementwise operations and concatenation. Operations that do not exist here yet are counted by name.

use qops::quantized::{
    OutQParams, add, add_relu, add_scalar, cat, cat_relu, mul, mul_relu, mul_scalar, relu, relu6,
};
use qtensor_core::QTensor;

use crate::compare::{equal_quantized, in_each_format};
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// The operations of the group that there are none of here.
const NOT_YET: [&str; 5] = ["leaky_relu", "hardswish", "elu", "sigmoid", "tanh"];

/// `y` from the inputs, for a first input in both memory formats.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let op = case.text("op")?;
    if NOT_YET.contains(&op) {
        return Ok(Verdict::NotChecked);
    }
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
    Ok(match op {
        "add" => add(a, &b()?, out)?,
        "add_relu" => add_relu(a, &b()?, out)?,
        "mul" => mul(a, &b()?, out)?,
        "mul_relu" => mul_relu(a, &b()?, out)?,
        "relu" => relu(a)?,
        "relu6" => relu6(a)?,
        "add_scalar" => add_scalar(a, case.real("value")?)?,
        "mul_scalar" => mul_scalar(a, case.real("value")?)?,
        other => return Err(format!("unknown op {other}").into()),
    })
}
