//! Attention through the static flow: accuracy, masks, learned keys, shares, files, and the way back to float.

use crate::common::{batch, distance};
use qflow::accuracy::{Bound, Measure, quantize_within, rank_sensitivity};
use qflow::{QConfig, calibrate, convert, from_bytes, prepare, to_bytes};
use qnn::{
    AttentionInput, DeQuantStub, Error, Layer, Module, MultiheadAttention, QuantStub, Result,
    Value, manual_seed, quantized,
};
use qtensor_core::Tensor;

#[derive(Module)]
#[module(input = AttentionInput)]
struct Net {
    quant: Layer<QuantStub>,
    attention: Layer<MultiheadAttention>,
    dequant: Layer<DeQuantStub>,
}

impl Net {
    fn new(build: fn() -> Result<MultiheadAttention>) -> Net {
        manual_seed(2);
        Net {
            quant: QuantStub.into(),
            attention: build().unwrap().into(),
            dequant: DeQuantStub.into(),
        }
    }

    fn forward(&self, input: &AttentionInput) -> Result<Value> {
        let quant = |value: &Value| self.quant.forward(value);
        let y = self.attention.forward(&AttentionInput {
            x: quant(&input.x)?,
            key: input.key.as_ref().map(quant).transpose()?,
            value: input.value.as_ref().map(quant).transpose()?,
            ..input.clone()
        })?;
        self.dequant.forward(&y)
    }

    fn converted(build: fn() -> Result<MultiheadAttention>) -> Net {
        let mut net = Net::new(build);
        prepare(&mut net, QConfig::minmax()).unwrap();
        calibrate(&net, (0..8).flat_map(|seed| inputs(seed).into_iter())).unwrap();
        let report = convert(&mut net).unwrap();
        let row = report.row("attention").unwrap();
        assert_eq!(row.after, "QuantizedMultiheadAttention");
        assert_eq!(report.rows().len(), 3, "{report}");
        net
    }
}

/// Attention to itself, to what came before, and to another sequence.
fn inputs(seed: u64) -> [AttentionInput; 4] {
    let ahead = |i: usize| {
        if i % 5 > i / 5 {
            f32::NEG_INFINITY
        } else {
            0.0
        }
    };
    let causal = Tensor::from_vec((0..25).map(ahead).collect(), &[5, 5]).unwrap();
    let (x, other) = (batch(seed, &[3, 5, 8]), batch(seed + 50, &[3, 5, 8]));
    [
        x.clone().into(),
        AttentionInput {
            attn_mask: Some(causal),
            ..x.clone().into()
        },
        AttentionInput {
            key: Some(other.clone()),
            ..x.clone().into()
        },
        AttentionInput {
            key: Some(other),
            value: Some(x.clone()),
            ..x.into()
        },
    ]
}

fn plain() -> Result<MultiheadAttention> {
    MultiheadAttention::new(8, 2)
}

fn with_all() -> Result<MultiheadAttention> {
    Ok(MultiheadAttention::new(8, 2)?
        .with_bias_kv()?
        .with_zero_attn())
}

#[test]
fn int8_attention_is_near_the_float_one_and_reloads_to_the_same_bytes() {
    for build in [plain as fn() -> _, with_all] {
        let (float, net) = (Net::new(build), Net::converted(build));
        let bytes = to_bytes(&net).unwrap();
        let mut again = Net::new(build);
        for _ in 0..2 {
            from_bytes(&mut again, &bytes).unwrap();
            assert_eq!(to_bytes(&again).unwrap(), bytes);
        }
        for input in &inputs(3) {
            let (want, got) = (float.forward(input).unwrap(), net.forward(input).unwrap());
            let error = distance(&want.to_tensor(), &got.to_tensor());
            assert!(error < 0.03, "{error}");
            let reloaded = again.forward(input).unwrap();
            assert_eq!(reloaded.to_tensor(), got.to_tensor());
        }
    }
}

#[test]
fn padding_does_not_matter_to_the_others() {
    let net = Net::converted(with_all);
    let x = batch(40, &[1, 5, 8]);
    let first = x.slice(1, 0, 4).unwrap();
    let mut hidden = vec![0.0; 5];
    hidden[4] = f32::NEG_INFINITY;
    let masked = AttentionInput {
        key_padding_mask: Some(Tensor::from_vec(hidden, &[1, 5]).unwrap()),
        ..x.into()
    };
    let got = net.forward(&masked).unwrap().slice(1, 0, 4).unwrap();
    let alone = net.forward(&first.into()).unwrap();
    assert_eq!(got.to_tensor().to_vec(), alone.to_tensor().to_vec());
}

#[test]
fn shares_sum_to_one_and_leave_the_output_as_it_is() {
    let net = Net::converted(with_all);
    let held: &dyn std::any::Any = qnn::Place::held(&net.attention);
    let int8: &quantized::MultiheadAttention = held.downcast_ref().unwrap();
    let x = net.quant.forward(&batch(41, &[2, 3, 8])).unwrap();
    let input = AttentionInput::from(x);
    let (y, shares) = int8.forward_with_weights(&input, true).unwrap();
    assert_eq!(shares.shape(), [2, 3, 5]);
    for row in shares.to_vec().chunks_exact(5) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let (_, by_head) = int8.forward_with_weights(&input, false).unwrap();
    assert_eq!(by_head.shape(), [2, 2, 3, 5]);
    let mean = (by_head.get(&[1, 0, 2, 4]).unwrap() + by_head.get(&[1, 1, 2, 4]).unwrap()) / 2.0;
    assert!((mean - shares.get(&[1, 2, 4]).unwrap()).abs() < 1e-6);
    let same = int8.forward(&input).unwrap();
    assert_eq!(y.to_tensor(), same.to_tensor());

    // Back in float, with the weights that the integers stand for.
    let float = int8.dequantize().unwrap();
    let x = AttentionInput::from(Value::from(input.x.to_tensor()));
    let error = distance(&float.forward(&x).unwrap().to_tensor(), &same.to_tensor());
    assert!(error < 0.03, "{error}");
    assert_eq!(
        float.forward_with_weights(&x, true).unwrap().1.shape(),
        [2, 3, 5]
    );
}

#[test]
fn mistakes_name_the_place() {
    let mut net = Net::new(plain);
    prepare(&mut net, QConfig::x86()).unwrap();
    let error = convert(&mut net).unwrap_err().to_string();
    assert!(error.contains("attention.linear_Q"), "{error}");

    let net = Net::converted(plain);
    let error = net.forward(&batch(1, &[3, 5, 7]).into()).unwrap_err();
    assert!(error.to_string().contains("(batch, time, 8)"), "{error}");
    let wrong = AttentionInput {
        key: Some(batch(1, &[2, 5, 8])),
        ..batch(1, &[3, 5, 8]).into()
    };
    let error = net.forward(&wrong).unwrap_err().to_string();
    assert!(
        error.contains("(3, keys, 8)") && error.contains("[2, 5, 8]"),
        "{error}"
    );
    let wrong = AttentionInput {
        key_padding_mask: Some(Tensor::zeros(&[3, 4]).unwrap()),
        ..batch(1, &[3, 5, 8]).into()
    };
    assert!(net.forward(&wrong).is_err());
    let float = net.attention.forward(&batch(1, &[3, 5, 8]).into());
    assert!(matches!(float.unwrap_err().root(), Error::WrongKind { .. }));
    // Another number of heads is another module.
    let bytes = to_bytes(&net).unwrap();
    let mut other = Net::new(|| MultiheadAttention::new(8, 4));
    let error = from_bytes(&mut other, &bytes).unwrap_err().to_string();
    assert!(error.contains("num_heads"), "{error}");
}

#[test]
fn attention_is_ranked_and_left_in_float_behind_an_int8_stub() {
    let samples: Vec<AttentionInput> = (0..4).flat_map(inputs).collect();
    let mut net = Net::new(|| MultiheadAttention::new(8, 2));
    prepare(&mut net, QConfig::minmax()).unwrap();
    calibrate(&net, samples.clone()).unwrap();
    let ranking = rank_sensitivity(&mut net, &mut Measure::new(&samples)).unwrap();
    let paths: Vec<&str> = ranking
        .places
        .iter()
        .map(|place| place.path.as_str())
        .collect();
    assert_eq!(paths, ["attention", "quant"], "{ranking}");
    let bound = Bound::AtLeast(ranking.places[0].left_out.sqnr_db - 0.5);
    let found = quantize_within(&mut net, &mut Measure::new(&samples), bound).unwrap();
    assert_eq!(found.left_in_float, ["attention"], "{found}");
    assert!(net.forward(&samples[1]).is_ok());
}
