//! Quantized models of PyTorch 2.6: its weights give its integers. `tests/pytorch/generate.py` wrote the files.

use std::collections::BTreeMap;

use crate::common::{self, norm};
use qflow::{
    Error, QConfig, QConfigSpec, calibrate, convert, fuse_all, load_quantized_safetensors,
    load_quantized_safetensors_bytes, prepare, to_bytes,
};
use qnn::{
    AdaptiveAvgPool2d, BagMode, Bags, BatchNorm2d, Conv2d, DeQuantStub, Embedding, EmbeddingBag,
    Flatten, FloatFunctional, Layer, Linear, MaxPool2d, Module, QuantStub, ReLU, Value, tap,
};
use qtensor_core::{DType, IntTensor, QTensor, Quantizer, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

const NET: &[u8] = include_bytes!("pytorch/net.safetensors");
const TABLES: &[u8] = include_bytes!("pytorch/tables.safetensors");
const RUN: &[u8] = include_bytes!("pytorch/run.safetensors");

/// The architecture of `generate.py`.
#[derive(Module)]
struct Net {
    quant: Layer<QuantStub>,
    conv1: Layer<Conv2d>,
    bn1: Layer<BatchNorm2d>,
    act1: Layer<ReLU>,
    conv2: Layer<Conv2d>,
    bn2: Layer<BatchNorm2d>,
    add: Layer<FloatFunctional>,
    norm: Layer<BatchNorm2d>,
    pool: Layer<MaxPool2d>,
    average: Layer<AdaptiveAvgPool2d>,
    flatten: Layer<Flatten>,
    fc1: Layer<Linear>,
    act2: Layer<ReLU>,
    fc2: Layer<Linear>,
    dequant: Layer<DeQuantStub>,
}

impl Net {
    fn make() -> qnn::Result<Net> {
        let conv = |inputs, groups| Conv2d::config(inputs, 8, 3).padding(1).groups(groups);
        Ok(Net {
            quant: QuantStub.into(),
            conv1: conv(3, 1).bias(false).build()?.into(),
            bn1: norm(8)?.into(),
            act1: ReLU.into(),
            conv2: conv(8, 8).build()?.into(),
            bn2: norm(8)?.into(),
            add: FloatFunctional.into(),
            norm: norm(8)?.into(),
            pool: MaxPool2d::new(2).into(),
            average: AdaptiveAvgPool2d::new(2).into(),
            flatten: Flatten::new().into(),
            fc1: Linear::new(32, 16)?.into(),
            act2: ReLU.into(),
            fc2: Linear::without_bias(16, 5)?.into(),
            dequant: DeQuantStub.into(),
        })
    }

    /// Converted with data that have nothing to do with PyTorch's.
    fn converted() -> Net {
        let mut net = Net::make().unwrap();
        let x: Value = Tensor::ones(&[1, 3, 8, 8]).unwrap().into();
        fuse_all(&mut net, &x).unwrap();
        let spec =
            QConfigSpec::from(QConfig::fbgemm()).with_name("fc2", Some(QConfig::default_qconfig()));
        prepare(&mut net, spec).unwrap();
        calibrate(&net, [x]).unwrap();
        convert(&mut net).unwrap();
        net
    }

    fn forward(&self, x: &Value) -> qnn::Result<Value> {
        let x = self.quant.forward(x)?;
        let x = self
            .act1
            .forward(&self.bn1.forward(&self.conv1.forward(&x)?)?)?;
        let y = self.bn2.forward(&self.conv2.forward(&x)?)?;
        let x = self.norm.forward(&self.add.add(&x, &y)?)?;
        let x = self.average.forward(&self.pool.forward(&x)?)?;
        let x = self
            .act2
            .forward(&self.fc1.forward(&self.flatten.forward(&x)?)?)?;
        self.dequant.forward(&self.fc2.forward(&x)?)
    }
}

/// Tables of embeddings and a dynamic layer.
#[derive(Module)]
#[module(no_forward)]
struct Tables {
    wide: Layer<Embedding>,
    narrow: Layer<EmbeddingBag>,
    fc: Layer<Linear>,
}

impl Tables {
    fn converted() -> Tables {
        let mut tables = Tables {
            wide: Embedding::new(6, 5).unwrap().into(),
            narrow: EmbeddingBag::new(6, 4, BagMode::Sum).unwrap().into(),
            fc: Linear::new(4, 3).unwrap().into(),
        };
        let spec = QConfigSpec::from(QConfig::per_channel_dynamic_qconfig())
            .with_name("wide", Some(QConfig::float_qparams_weight_only_qconfig()))
            .with_name(
                "narrow",
                Some(QConfig::float_qparams_weight_only_qconfig_4bit()),
            );
        qflow::quantize_dynamic(&mut tables, spec).unwrap();
        tables
    }

    fn forward(&self, indices: &Tensor<i64>) -> qnn::Result<(Value, (Value, Value))> {
        let bags = Bags {
            indices: indices.clone(),
            offsets: Tensor::from_vec(vec![0, 2], &[2])?,
        };
        let bags = self.narrow.forward(&bags)?;
        let fc = self.fc.forward(&bags)?;
        Ok((self.wide.forward(indices)?, (bags, fc)))
    }
}

fn floats(name: &str) -> Tensor {
    let file = SafeTensors::deserialize(RUN).unwrap();
    let view = file.tensor(name).unwrap();
    let words = view.data().as_chunks::<4>().0.iter();
    Tensor::from_vec(
        words.map(|w| f32::from_le_bytes(*w)).collect(),
        view.shape(),
    )
    .unwrap()
}

#[test]
fn every_place_gives_pytorchs_integers() {
    let mut net = Net::converted();
    load_quantized_safetensors_bytes(&mut net, NET).unwrap();
    let input = Value::from(floats("input"));
    let (output, values) = tap::record(|| net.forward(&input));
    let file = SafeTensors::deserialize(RUN).unwrap();
    let mut compared = 0;
    for (place, value) in values {
        let Ok(want) = file.tensor(&place) else {
            continue;
        };
        let Value::Quantized(q) = value else {
            panic!("{place} gave a float value");
        };
        assert_eq!((q.shape(), q.dtype()), (want.shape(), DType::QUInt8));
        let want: Vec<i32> = want.data().iter().map(|&v| v.into()).collect();
        assert_eq!(q.int_repr().to_i32_vec(), want, "{place}");
        compared += 1;
    }
    assert_eq!(compared, 8);
    assert_eq!(output.unwrap().to_tensor(), floats("output"));

    let mut again = Net::converted();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    std::fs::write(&path, NET).unwrap();
    load_quantized_safetensors(&mut again, &path).unwrap();
    assert_eq!(to_bytes(&again).unwrap(), to_bytes(&net).unwrap());
}

#[test]
fn tables_and_dynamic_layers_load_too() {
    let mut tables = Tables::converted();
    load_quantized_safetensors_bytes(&mut tables, TABLES).unwrap();
    let indices = Tensor::from_vec(vec![0i64, 5, 2], &[3]).unwrap();
    let (wide, (narrow, fc)) = tables.forward(&indices).unwrap();
    // PyTorch computes with 16-bit scales and zero points where rows have 4 bits.
    for (name, value, most) in [
        ("wide", wide, 1e-6),
        ("narrow", narrow, 1e-3),
        ("fc", fc, 1e-2),
    ] {
        let distance = common::distance(&value.to_tensor(), &floats(name));
        assert!(distance < most, "{name}: {distance}");
    }
}

/// The file with one tensor changed, added or, with `None`, taken out.
fn edited(name: &str, replaced: Option<(Dtype, Vec<usize>, Vec<u8>)>) -> Vec<u8> {
    let file = SafeTensors::deserialize(NET).unwrap();
    let mut views: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    views.remove(name);
    if let Some((dtype, shape, data)) = &replaced {
        let view = TensorView::new(*dtype, shape.clone(), data).unwrap();
        views.insert(name.to_string(), view);
    }
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn a_file_that_does_not_fit_is_an_error_with_the_key() {
    let f64s = |values: &[f64]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let scalar = |v: f64| Some((Dtype::F64, vec![], f64s(&[v])));
    let cases = [
        ("fc1.weight.int_repr", None, "it lacks"),
        ("fc2.bias", scalar(0.0), "unknown"),
        ("fc9.scale", scalar(1.0), "unknown"),
        ("conv1.scale", None, "it lacks"),
        ("conv1.scale", scalar(-1.0), "conv1"),
        ("conv1.scale", scalar(f64::NAN), "conv1"),
        ("conv1.zero_point", scalar(0.5), "0.5"),
        ("conv1.zero_point", scalar(300.0), "300"),
        ("fc2.weight.zero_point", scalar(1e18), "32-bit"),
        ("fc2.weight.zero_point", scalar(3.0), "fc2"),
        ("fc2.weight.scale", scalar(0.0), "fc2.weight"),
        (
            "quant.scale",
            Some((Dtype::F64, vec![2], f64s(&[1.0, 1.0]))),
            "2 numbers",
        ),
        (
            "quant.scale",
            Some((Dtype::BF16, vec![], vec![0, 0])),
            "BF16",
        ),
        (
            "fc1.weight.scales",
            Some((Dtype::F64, vec![1], f64s(&[1.0]))),
            "has 1",
        ),
        (
            "fc1.weight.int_repr",
            Some((Dtype::I8, vec![32, 16], vec![0; 512])),
            "[32, 16]",
        ),
        (
            "fc1.weight.int_repr",
            Some((Dtype::F32, vec![16, 32], vec![0; 2048])),
            "F32",
        ),
        (
            "norm.weight",
            Some((Dtype::F32, vec![4], vec![0; 16])),
            "[4]",
        ),
        ("fc1.bias", Some((Dtype::I8, vec![16], vec![0; 16])), "I8"),
    ];
    let mut net = Net::converted();
    let before = to_bytes(&net).unwrap();
    for (key, replaced, want) in cases {
        let error = load_quantized_safetensors_bytes(&mut net, &edited(key, replaced)).unwrap_err();
        let text = error.to_string();
        let place = key.split('.').next().unwrap();
        assert!(text.contains(want) && text.contains(place), "{key}: {text}");
        assert_eq!(to_bytes(&net).unwrap(), before, "{key}");
    }
    for length in (0..NET.len()).step_by(17) {
        assert!(load_quantized_safetensors_bytes(&mut net, &NET[..length]).is_err());
    }
    let error = load_quantized_safetensors_bytes(&mut net, TABLES).unwrap_err();
    assert!(matches!(error, Error::StateDict { .. }));
    assert_eq!(to_bytes(&net).unwrap(), before);
}

#[test]
fn unsigned_weights_are_refused_where_a_module_needs_signed_ones() {
    // The file itself is fine; the layer says what it takes.
    let ones = Some((Dtype::U8, vec![5, 16], vec![1; 80]));
    let mut net = Net::converted();
    let error = load_quantized_safetensors_bytes(&mut net, &edited("fc2.weight.int_repr", ones));
    let text = error.unwrap_err().to_string();
    assert!(text.contains("fc2") && text.contains("qint8"), "{text}");
    let ints = IntTensor::from_i32(&[1; 80], &[5, 16], DType::QUInt8).unwrap();
    assert!(QTensor::from_parts(ints, Quantizer::per_tensor(1.0, 0)).is_ok());
}
