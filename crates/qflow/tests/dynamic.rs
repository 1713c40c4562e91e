//! Dynamic quantization of whole models: in one line, beside static places, into files and back.

use qflow::{
    Error, Mapping, QConfig, QConfigSpec, calibrate, convert, from_bytes, metrics, prepare,
    prepare_with, quantize_dynamic, to_bytes,
};
use qnn::{
    DeQuantStub, Layer, Linear, Module, Node, Place, QConfigSetting, QuantStub, ReLU, Result,
    RunSequence, Value, intrinsic, manual_seed,
};
use qtensor_core::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Three layers; stubs stand around the first, which can be static.
#[derive(Module)]
struct Net {
    quant: Layer<QuantStub>,
    first: Layer<Linear>,
    relu: Layer<ReLU>,
    dequant: Layer<DeQuantStub>,
    second: Layer<intrinsic::LinearReLU>,
    last: Layer<Linear>,
}

impl Net {
    fn new() -> Net {
        manual_seed(3);
        let make = || -> Result<Net> {
            let second =
                intrinsic::LinearReLU::new(Linear::new(32, 24)?, intrinsic::Rectifier::ReLU);
            Ok(Net {
                quant: QuantStub.into(),
                first: Linear::new(16, 32)?.into(),
                relu: ReLU.into(),
                dequant: DeQuantStub.into(),
                second: second.into(),
                last: Linear::without_bias(24, 5)?.into(),
            })
        };
        make().expect("the sizes fit each other")
    }

    fn forward(&self, x: &Value) -> Result<Value> {
        let x = self
            .relu
            .forward(&self.first.forward(&self.quant.forward(x)?)?)?;
        let x = self.second.forward(&self.dequant.forward(&x)?)?;
        self.last.forward(&x)
    }
}

fn input(rows: usize) -> Value {
    let mut rng = ChaCha8Rng::seed_from_u64(rows as u64);
    let values = (0..rows * 16).map(|_| rng.random::<f32>() * 2.0 - 1.0);
    let x = Tensor::from_vec(values.collect(), &[rows, 16]);
    x.expect("as many values as the shape holds").into()
}

fn kinds(net: &Net) -> Vec<&'static str> {
    [
        net.first.kind(),
        net.second.kind(),
        net.last.kind(),
        net.quant.kind(),
    ]
    .into()
}

#[test]
fn one_line_replaces_every_linear_layer_and_stays_near_float() -> qflow::Result<()> {
    let (float, x) = (Net::new(), input(9));
    let want = float.forward(&x)?.to_tensor();
    let mut sqnr = Vec::new();
    for qconfig in [
        QConfig::default_dynamic_qconfig(),
        QConfig::dynamic(),
        QConfig::float16_dynamic_qconfig(),
    ] {
        let mut net = Net::new();
        let report = quantize_dynamic(&mut net, qconfig)?;
        let dynamic = [
            "DynamicQuantizedLinear",
            "DynamicQuantizedLinearReLU",
            "DynamicQuantizedLinear",
            "QuantStub",
        ];
        assert_eq!(kinds(&net), dynamic);
        assert_eq!(report.converted().count(), 3);
        let (before, after) = report.bytes();
        assert!(after < before * 6 / 10, "{before} {after}");
        sqnr.push(metrics::sqnr_db(&want, &net.forward(&x)?.to_tensor())?);

        // A file holds what runs, whatever the model was before.
        let (bytes, y) = (to_bytes(&net)?, net.forward(&x)?.to_tensor());
        for mut other in [Net::new(), net] {
            from_bytes(&mut other, &bytes)?;
            assert_eq!(to_bytes(&other)?, bytes);
            assert_eq!(other.forward(&x)?.to_tensor(), y);
        }
    }
    assert!(sqnr[0] > 25.0 && sqnr[1] > sqnr[0] + 3.0, "{sqnr:?}");
    assert!(sqnr[2] > 60.0, "{sqnr:?}");
    Ok(())
}

#[test]
fn rules_choose_by_type_and_by_name_and_places_win() -> qflow::Result<()> {
    let mut net = Net::new();
    net.last.set_qconfig(QConfigSetting::Float);
    let spec = QConfigSpec::float()
        .with_type::<Linear>(Some(QConfig::dynamic()))
        .with_name("second", Some(QConfig::float16_dynamic_qconfig()));
    let report = quantize_dynamic(&mut net, spec)?;
    assert_eq!(kinds(&net)[2], "Linear");
    assert!(net.second.extra_repr().contains("float16"));
    let note = |path: &str| report.row(path).map(|row| format!("{:?}", row.outcome));
    assert!(note("last").is_some_and(|n| n.contains("qconfig")));

    let wrong = QConfigSpec::from(QConfig::dynamic()).with_name("third", None);
    let error = quantize_dynamic(&mut Net::new(), wrong).unwrap_err();
    assert!(matches!(error, Error::UnknownPlaces { names, .. } if names == ["third"]));
    Ok(())
}

#[test]
fn static_rules_are_refused_and_leave_the_model_as_it_was() -> qflow::Result<()> {
    let mut net = Net::new();
    let spec = QConfigSpec::from(QConfig::dynamic()).with_name("first", Some(QConfig::x86()));
    let error = quantize_dynamic(&mut net, spec).unwrap_err();
    assert!(matches!(&error, Error::NotDynamic(places) if places == &["first"]));
    assert!(error.to_string().contains("calibration"));
    assert_eq!(kinds(&net), ["Linear", "LinearReLU", "Linear", "QuantStub"]);
    assert!(matches!(convert(&mut net), Err(Error::NotPrepared)));
    // No rule at all: nothing to do is no mistake.
    assert_eq!(
        quantize_dynamic(&mut net, QConfigSpec::float())?
            .converted()
            .count(),
        0
    );
    Ok(())
}

#[test]
fn static_and_dynamic_places_convert_in_one_pass() -> qflow::Result<()> {
    let (mut net, x) = (Net::new(), input(40));
    let want = net.forward(&x)?.to_tensor();
    let spec = QConfigSpec::from(QConfig::x86())
        .with_name("second", Some(QConfig::dynamic()))
        .with_name("last", Some(QConfig::dynamic()));
    prepare(&mut net, spec)?;
    // Dynamic places wait for nothing, but static ones do.
    let error = convert(&mut net).unwrap_err();
    assert!(matches!(error, Error::Uncalibrated(places) if places == ["quant", "first"]));
    calibrate(&net, [x.clone()])?;
    let report = convert(&mut net)?;
    assert_eq!(
        kinds(&net),
        [
            "QuantizedLinear",
            "DynamicQuantizedLinearReLU",
            "DynamicQuantizedLinear",
            "Quantize"
        ]
    );
    assert_eq!(report.converted().count(), 5);
    let sqnr = metrics::sqnr_db(&want, &net.forward(&x)?.to_tensor())?;
    assert!(sqnr > 25.0, "{sqnr}");
    Ok(())
}

#[test]
fn a_row_of_ones_own_joins_the_table() -> qflow::Result<()> {
    let mut net = Net::new();
    let mapping = Mapping::empty()
        .with_dynamic(|_: &ReLU, _| Ok(qnn::erase(qnn::ReLU6)))
        .with_dynamic(|m: &Linear, q| Ok(qnn::erase(qnn::dynamic::Linear::from_float(m, q)?)));
    prepare_with(&mut net, QConfig::dynamic(), &mapping)?;
    let options = qflow::ConvertOptions {
        mapping,
        ..Default::default()
    };
    let report = qflow::convert_with(&mut net, &options)?;
    assert_eq!(net.relu.kind(), "ReLU6");
    assert_eq!(report.converted().count(), 3);
    Ok(())
}

/// A table, a convolution over time, a recurrent module, its cell, and attention.
#[derive(Module)]
#[module(input = Tensor<i64>)]
struct Tagger {
    table: Layer<qnn::Embedding>,
    conv: Layer<intrinsic::ConvReLU1d>,
    lstm: Layer<qnn::LSTM>,
    cell: Layer<qnn::GRUCell>,
    attention: qnn::MultiheadAttention,
}

impl Tagger {
    fn new() -> Tagger {
        manual_seed(9);
        let make = || -> Result<Tagger> {
            let conv = qnn::Conv1d::config(8, 12, 3).padding(1).build()?;
            let conv = intrinsic::ConvReLU1d::new(conv, intrinsic::Rectifier::ReLU);
            let lstm = qnn::LSTM::config(12, 8)
                .bidirectional(true)
                .batch_first(true);
            Ok(Tagger {
                table: qnn::Embedding::new(30, 8)?.into(),
                conv: conv.into(),
                lstm: lstm.build()?.into(),
                cell: qnn::GRUCell::new(16, 6)?.into(),
                attention: qnn::MultiheadAttention::new(16, 4)?,
            })
        };
        make().expect("the sizes fit each other")
    }

    fn forward(&self, words: &Tensor<i64>) -> Result<Value> {
        let x = self.table.forward(words)?.to_tensor().transpose(1, 2)?;
        let x = self.conv.forward(&x.into())?.to_tensor().transpose(1, 2)?;
        let (x, _) = self.lstm.run(&x.into())?;
        let x = self.attention.forward(&x.into())?.to_tensor();
        self.cell.forward(&(x.select(1, 0)?.into(), None))
    }
}

#[test]
fn every_kind_of_module_converts_and_survives_a_file() -> qflow::Result<()> {
    let words = Tensor::from_vec((0..14).map(|i| (i * 5 % 30) as i64).collect(), &[2, 7])?;
    let want = Tagger::new().forward(&words)?.to_tensor();
    let mut net = Tagger::new();
    let tables = QConfig::float_qparams_weight_only_qconfig_4bit();
    let spec = QConfigSpec::from(QConfig::dynamic()).with_type::<qnn::Embedding>(Some(tables));
    let report = quantize_dynamic(&mut net, spec)?;
    let after: Vec<&str> = report.rows().iter().map(|row| row.after.as_str()).collect();
    assert_eq!(
        after,
        [
            "QuantizedEmbedding",
            "DynamicQuantizedConvReLU1d",
            "DynamicQuantizedLSTM",
            "DynamicQuantizedGRUCell",
            "DynamicQuantizedLinear",
            "DynamicQuantizedLinear"
        ]
    );
    let y = net.forward(&words)?.to_tensor();
    let sqnr = metrics::sqnr_db(&want, &y)?;
    assert!(sqnr > 12.0, "{sqnr}");
    let bytes = to_bytes(&net)?;
    for mut other in [Tagger::new(), net] {
        from_bytes(&mut other, &bytes)?;
        assert_eq!(other.forward(&words)?.to_tensor(), y);
    }
    // A model whose recurrent module was built otherwise.
    let mut other = Tagger::new();
    other.lstm = qnn::LSTM::config(12, 8).bidirectional(true).build()?.into();
    let error = from_bytes(&mut other, &bytes).unwrap_err().to_string();
    assert!(error.contains("lstm.batch_first"), "{error}");
    Ok(())
}
