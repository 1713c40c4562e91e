//! `affine`: quantize and dequantize, per tensor and per channel.

use qtensor_core::{QTensor, Quantizer, quantize_per_channel, quantize_per_tensor, quantize_with};

use crate::compare::{differences, equal_quantized, ulps_apart};
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// PyTorch evaluates the per-channel product in `f64` or `f32` depending on the path it takes.
pub const MAY_DEVIATE: [(&str, &str); 1] = [(
    "quantize_per_channel",
    "dequantized values within one unit in the last place",
)];

/// `y` from `x`, and `dq` from `y`.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let (x, want, dequantized) = (case.float("x")?, case.quantized("y")?, case.float("dq")?);
    let dtype = want.dtype();
    let (ours, other_name) = match (case.text("op")?, want.quantizer()) {
        ("quantize_per_tensor", &Quantizer::PerTensor { scale, zero_point }) => {
            let kernels = qops::quantized::quantize(
                &x,
                qops::quantized::OutQParams { scale, zero_point },
                dtype,
            )?;
            (quantize_per_tensor(&x, scale, zero_point, dtype)?, kernels)
        }
        (
            "quantize_per_channel",
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            },
        ) => (
            quantize_per_channel(&x, scales, zero_points, *axis, dtype)?,
            quantize_with(&x, want.quantizer().clone(), dtype)?,
        ),
        (op, quantizer) => {
            return Err(format!("unknown op {op} with a {} map", quantizer.kind()).into());
        }
    };
    equal_quantized("y", &ours, &want)?;
    equal_quantized("y of the second function", &other_name, &want)?;
    equal_values(
        "dq by the kernels",
        &want,
        &qops::quantized::dequantize(&ours)?.to_vec(),
        &want.dequantize().to_vec(),
    )?;
    let (values, theirs) = (want.dequantize().to_vec(), dequantized.to_vec());
    let shapes = (want.shape(), dequantized.shape());
    differences("dq", (shapes.0, &values), (shapes.1, &theirs), |a, b| {
        ulps_apart(*a, *b).is_some_and(|n| n <= 1)
    })?;
    match equal_values("dq", &want, &values, &theirs) {
        Ok(()) => Ok(Verdict::Equal),
        Err(why) => Ok(Verdict::Accepted(why.to_string())),
    }
}

fn equal_values(what: &str, like: &QTensor, ours: &[f32], theirs: &[f32]) -> Fallible<()> {
    let shape = like.shape();
    differences(what, (shape, ours), (shape, theirs), |a, b| {
        ulps_apart(*a, *b) == Some(0)
    })
}
