//! `dynamic`: layers that choose the input's qparams at run time. Here the linear ones; see [`recurrent`].

use qops::quantized::OutQParams;
use qops::quantized::{Activation, DynamicQuant, PackedLinear, quantize};
use qtensor_core::choose_qparams::{ChooseOptions, choose_quantization_params};
use qtensor_core::{DType, QTensor, Tensor};

use crate::compare::differences;
use crate::group::Verdict;
use crate::recurrent;
use crate::store::{Case, Fallible};

/// How cases may deviate.
pub const MAY_DEVIATE: [(&str, &str); 6] = [
    ("Linear", FUSED),
    ("LSTM", recurrent::RULE),
    ("GRU", recurrent::RULE),
    ("RNNCell", recurrent::RULE),
    ("LSTMCell", recurrent::RULE),
    ("GRUCell", recurrent::RULE),
];

const FUSED: &str =
    "PyTorch's build adds the bias without rounding the product; the sums are the same";

/// The float `y` from `x`, the quantized weights and the bias, bit for bit.
///
/// FBGEMM's source multiplies a sum and adds the bias. The compiler that built PyTorch made one fused operation of
/// both, which rounds once. So a case passes if `y` is what the source says, or if it is recorded as what the fused
/// operation makes of the very sums that our `y` is made of.
pub fn check(case: &Case) -> Fallible<Verdict> {
    if case.text("module")? != "Linear" {
        return recurrent::check(case);
    }
    let (x, w, want) = (case.float("x")?, case.quantized("w_q")?, case.float("y")?);
    let bias = case.float("bias")?;
    let layer = PackedLinear::new(&w, Some(&bias))?;
    let ours = layer.run_dynamic(&x, DynamicQuant::pytorch(), Activation::None)?;
    let [ours, want] = [&ours, &want].map(|y| (y.shape().to_vec(), y.to_vec()));
    let same = |a: &f32, b: &f32| a.to_bits() == b.to_bits();
    let equal = |what: &str, a: &(Vec<usize>, Vec<f32>), b: &(Vec<usize>, Vec<f32>)| {
        differences(what, (&a.0, &a.1), (&b.0, &b.1), same)
    };
    let [rounded, fused] = expected(&x, &w, &bias)?.map(|y| (want.0.clone(), y));
    equal("packed", &ours, &rounded)?;
    equal("one rounding", &fused, &want)?;
    Ok(match equal("packed", &ours, &want) {
        Ok(()) => Verdict::Equal,
        Err(deviation) => Verdict::Accepted(deviation.to_string()),
    })
}

/// The layer by its definition, `sum · scale + bias` with two roundings and with one.
fn expected(x: &Tensor, w: &QTensor, bias: &Tensor) -> Fallible<[Vec<f32>; 2]> {
    let values = x.to_vec();
    let least = values.iter().fold(f32::INFINITY, |a, &b| a.min(b));
    let greatest = values.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let options = ChooseOptions {
        qmin: 0,
        qmax: 255,
        preserve_sparsity: false,
        reduce_range: true,
    };
    let (scale, zero_point) = choose_quantization_params(least, greatest, options)?;
    let x = quantize(x, OutQParams::new(scale, zero_point), DType::QUInt8)?;
    let (q, weights, bias) = (
        x.int_repr().to_i32_vec(),
        w.int_repr().to_i32_vec(),
        bias.to_vec(),
    );
    let k = w.shape()[1];
    let mut results = [Vec::new(), Vec::new()];
    for row in q.chunks_exact(k) {
        for (channel, (column, &bias)) in weights.chunks_exact(k).zip(&bias).enumerate() {
            let products = row.iter().zip(column).map(|(&q, &w)| (q - zero_point) * w);
            let sum = products.sum::<i32>() as f32;
            let (weight_scale, _) = w
                .quantizer()
                .channel(channel)
                .ok_or("a channel has no scale")?;
            let scale = scale as f32 * weight_scale;
            results[0].push(sum * scale + bias);
            results[1].push(sum.mul_add(scale, bias));
        }
    }
    Ok(results)
}
