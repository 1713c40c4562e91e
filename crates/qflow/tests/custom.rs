//! Rules of configurations in nested models, and users' own modules in the table of conversions.

use std::sync::Mutex;

use qflow::{
    ConvertOptions, Error, Mapping, QConfig, QConfigSpec, QuantType, calibrate, convert,
    convert_with, fuse_all_qat, fuse_known_modules, get_default_dynamic_quant_module_mappings,
    get_default_qat_qconfig_mapping, get_default_qconfig_mapping,
    get_default_static_quant_module_mappings, get_embedding_static_quant_module_mappings,
    get_fuser_method, prepare, prepare_qat, prepare_with, propagate_qconfig, qconfig_equals,
    swap_module,
};
use qnn::quantized::QParams;
use qnn::{
    BatchNorm2d, Conv2d, DeQuantStub, Embedding, Layer, Linear, Module, Node, QConfigSetting,
    QuantStub, ReLU, Sequential, Value, describe, erase,
};
use qobserve::Observer;
use qtensor_core::{DType, Tensor};

#[derive(Module)]
struct Inner {
    fc1: Layer<Linear>,
    fc2: Layer<Linear>,
}

#[derive(Module)]
struct Outer {
    sub1: Inner,
    sub2: Layer<Inner>,
    fc3: Layer<Linear>,
}

impl Inner {
    fn new() -> Inner {
        Inner {
            fc1: Linear::new(2, 2).unwrap().into(),
            fc2: Linear::new(2, 2).unwrap().into(),
        }
    }

    fn forward(&self, x: &Value) -> qnn::Result<Value> {
        self.fc2.forward(&self.fc1.forward(x)?)
    }
}

impl Outer {
    fn new() -> Outer {
        Outer {
            sub1: Inner::new(),
            sub2: Inner::new().into(),
            fc3: Linear::new(2, 2).unwrap().into(),
        }
    }

    fn forward(&self, x: &Value) -> qnn::Result<Value> {
        self.fc3
            .forward(&self.sub2.forward(&self.sub1.forward(x)?)?)
    }
}

/// The name of a preset for each place.
fn chosen(model: &dyn Node, spec: &QConfigSpec) -> Vec<(String, &'static str)> {
    let presets = [
        ("x86", QConfig::x86()),
        ("qnnpack", QConfig::qnnpack()),
        ("minmax", QConfig::minmax()),
        ("lsq", QConfig::lsq()),
    ];
    let name = |qconfig: Option<QConfig>| {
        let fits = |p: &&(&'static str, QConfig)| qconfig_equals(Some(&p.1), qconfig.as_ref());
        presets.iter().find(fits).map_or("float", |p| p.0)
    };
    let all = propagate_qconfig(model, spec).unwrap();
    all.into_iter().map(|(path, q)| (path, name(q))).collect()
}

#[test]
fn a_nested_childs_rule_beats_its_parents() {
    let mut net = Outer::new();
    // Names: the child's own rule, whatever the order; below it, the nearest ancestor's.
    let spec = QConfigSpec::from(QConfig::x86())
        .with_name("sub2.fc1", Some(QConfig::minmax()))
        .with_name("sub2", Some(QConfig::qnnpack()))
        .with_name("sub1", None);
    let want = [
        ("sub1.fc1", "float"),
        ("sub1.fc2", "float"),
        ("sub2", "qnnpack"),
        ("sub2.fc1", "minmax"),
        ("sub2.fc2", "qnnpack"),
        ("fc3", "x86"),
    ];
    assert_eq!(chosen(&net, &spec), want.map(|(p, q)| (p.to_string(), q)));

    // A rule for a type beats the parent's configuration, a name beats the type, a place's own setting beats all.
    net.sub1.fc1 = std::mem::replace(&mut net.sub1.fc1, Linear::new(2, 2).unwrap().into())
        .with_qconfig(QConfigSetting::Use(QConfig::lsq()));
    let spec = spec.with_type::<Linear>(Some(QConfig::x86()));
    let want = [
        ("sub1.fc1", "lsq"),
        ("sub1.fc2", "x86"),
        ("sub2", "qnnpack"),
        ("sub2.fc1", "minmax"),
        ("sub2.fc2", "x86"),
        ("fc3", "x86"),
    ];
    assert_eq!(chosen(&net, &spec), want.map(|(p, q)| (p.to_string(), q)));

    let error = propagate_qconfig(&net, &QConfigSpec::float().with_name("sub3", None)).unwrap_err();
    assert!(error.to_string().contains("\"sub3\"") && error.to_string().contains("\"sub2.fc1\""));
}

/// Doubles; in int8 by doubling the scale.
#[derive(Clone)]
struct Double;

/// `Double` with the observer of its input within it.
struct ObservedDouble(Mutex<Box<dyn Observer>>);

/// What conversion makes of both.
struct QuantizedDouble(QParams);

macro_rules! value_module {
    ($module:ty, $kind:literal, |$this:ident, $x:ident| $body:expr) => {
        impl Node for $module {
            fn kind(&self) -> &'static str {
                $kind
            }
        }

        impl Module for $module {
            type Input = Value;
            type Output = Value;

            fn forward(&self, $x: &Value) -> qnn::Result<Value> {
                let $this = self;
                $body
            }
        }
    };
}

fn double(x: &Value) -> qnn::Result<Value> {
    let x = x.float("Double")?;
    Ok(qgrad::ops::add(x, x)?.into())
}

value_module!(Double, "Double", |_this, x| double(x));
value_module!(ObservedDouble, "ObservedDouble", |this, x| {
    let y = double(x)?;
    this.0.lock().unwrap().observe(&y.to_tensor())?;
    Ok(y)
});
value_module!(QuantizedDouble, "QuantizedDouble", |this, x| {
    let y = double(&x.quantized("QuantizedDouble")?.dequantize().into())?;
    let out = this.0;
    let q =
        qtensor_core::quantize_per_tensor(&y.to_tensor(), out.scale, out.zero_point, out.dtype)?;
    Ok(q.into())
});

fn net() -> Sequential {
    Sequential::new()
        .push(QuantStub)
        .push(Double)
        .push(DeQuantStub)
}

fn x() -> Value {
    Tensor::from_vec(vec![-1.0, 0.0, 4.0], &[3]).unwrap().into()
}

fn run_through(mapping: Mapping) -> (Vec<f32>, String, String) {
    let mut net = net();
    prepare_with(&mut net, QConfig::minmax(), &mapping).unwrap();
    let prepared = describe(&net);
    calibrate(&net, [x()]).unwrap();
    let options = ConvertOptions {
        mapping,
        ..ConvertOptions::default()
    };
    convert_with(&mut net, &options).unwrap();
    let y = net.forward(&x()).unwrap().to_tensor().to_vec();
    (y, prepared, describe(&net))
}

#[test]
fn a_module_of_ones_own_joins_with_one_row() {
    let rows =
        Mapping::default().with(|_: &Double, target| Ok(erase(QuantizedDouble(target.output))));
    let (y, prepared, converted) = run_through(rows);
    assert!(prepared.contains("(1): Double") && converted.contains("(1): QuantizedDouble"));
    let want = [-2.0, 0.0, 8.0];
    assert!(
        y.iter().zip(want).all(|(y, want)| (y - want).abs() < 0.05),
        "{y:?}"
    );
}

#[test]
fn a_module_that_observes_itself_is_swapped_twice() {
    let table = || {
        Mapping::default().with_custom(
            |_: &Double, qconfig| Ok(ObservedDouble(Mutex::new(qconfig.activation.build()))),
            |observed: &ObservedDouble, _| {
                let quantizer = observed.0.lock().unwrap().calculate_qparams()?;
                let out = QParams::from_quantizer("QuantizedDouble", &quantizer, DType::QUInt8)?;
                Ok(erase(QuantizedDouble(out)))
            },
        )
    };
    let (y, prepared, converted) = run_through(table());
    assert!(prepared.contains("(1): ObservedDouble") && converted.contains("QuantizedDouble"));
    let rows = Mapping::default().with(|_: &Double, t| Ok(erase(QuantizedDouble(t.output))));
    assert_eq!(y, run_through(rows).0);
    assert_eq!(table().customs().last().as_deref(), Some("Double"));

    // Places that stay float are not swapped, and an error of from_observed names the place.
    let mut float = net();
    let spec = QConfigSpec::from(QConfig::minmax()).with_name("1", None);
    prepare_with(&mut float, spec, &table()).unwrap();
    assert!(describe(&float).contains("(1): Double"));
    let mut uncalibrated = net();
    prepare_with(&mut uncalibrated, QConfig::minmax(), &table()).unwrap();
    let options = ConvertOptions {
        mapping: table(),
        leave_float: vec!["0".into()],
    };
    let error = convert_with(&mut uncalibrated, &options)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains('1') && error.contains("no data were observed"),
        "{error}"
    );
}

#[test]
fn tables_have_pytorchs_names_and_combine() {
    let fixed = get_default_static_quant_module_mappings();
    assert!(fixed.has::<Conv2d>(QuantType::Static) && !fixed.has::<Linear>(QuantType::Dynamic));
    let both = fixed.combined(get_default_dynamic_quant_module_mappings());
    assert!(both.has::<Conv2d>(QuantType::Static) && both.has::<Linear>(QuantType::Dynamic));
    assert!(!both.has::<Embedding>(QuantType::WeightOnly));
    let all = both.combined(get_embedding_static_quant_module_mappings());
    assert!(all.has::<Embedding>(QuantType::WeightOnly));
    let rows: Vec<_> = all.rows().collect();
    for (name, quant_type, observed) in [
        ("QuantStub", QuantType::Static, true),
        ("DeQuantStub", QuantType::Static, false),
        ("BatchNorm2d", QuantType::Static, true),
        ("Fused<Linear>", QuantType::Static, true),
        ("Linear", QuantType::Dynamic, false),
        ("Embedding", QuantType::WeightOnly, false),
    ] {
        assert!(
            rows.contains(&(name.to_string(), quant_type, observed)),
            "{rows:?}"
        );
    }
    // A later row wins.
    let mine = Mapping::default()
        .combined(Mapping::empty().with(|_: &QuantStub, t| Ok(erase(QuantizedDouble(t.output)))));
    let mut net = Sequential::new().push(QuantStub);
    prepare_with(&mut net, QConfig::minmax(), &mine).unwrap();
    calibrate(&net, [x()]).unwrap();
    let options = ConvertOptions {
        mapping: mine,
        ..ConvertOptions::default()
    };
    convert_with(&mut net, &options).unwrap();
    assert!(describe(&net).contains("QuantizedDouble"));
}

#[test]
fn modules_fuse_without_a_model() {
    let conv = Conv2d::config(1, 2, 3).build().unwrap();
    let (norm, relu) = (BatchNorm2d::new(2).unwrap(), ReLU);
    let chain: [&dyn Node; 3] = [&conv, &norm, &relu];
    let kinds = |is_qat| -> Vec<&str> {
        let fused = fuse_known_modules(&chain, is_qat).unwrap();
        fused.iter().map(|m| m.kind()).collect()
    };
    assert_eq!(kinds(false), ["ConvReLU2d", "Identity", "Identity"]);
    assert_eq!(kinds(true), ["ConvBnReLU2d", "Identity", "Identity"]);
    let error = get_fuser_method(&[&relu, &conv], false).err().unwrap();
    assert!(matches!(error, Error::NotFusable { .. }), "{error}");
    let wide = BatchNorm2d::new(3).unwrap();
    let error = fuse_known_modules(&[&conv, &wide], false).err().unwrap();
    assert!(error.to_string().contains("2 channels") && error.to_string().contains('3'));
    assert!(fuse_known_modules(&[], false).is_err());
}

#[test]
fn one_place_is_converted_alone() {
    let mut fc: Layer<Linear> = Linear::new(2, 2).unwrap().into();
    let table = Mapping::default();
    assert!(matches!(
        swap_module(&mut fc, &table),
        Err(Error::NotPrepared)
    ));
    prepare(&mut fc, QConfig::minmax()).unwrap();
    assert!(matches!(
        swap_module(&mut fc, &table),
        Err(Error::Uncalibrated(_))
    ));
    calibrate(&fc, [Tensor::ones(&[1, 2]).unwrap().into()]).unwrap();
    assert!(!swap_module(&mut fc, &Mapping::empty()).unwrap());
    assert!(swap_module(&mut fc, &table).unwrap());
    assert_eq!(fc.kind(), "QuantizedLinear");
    let mut net = net();
    prepare(&mut net, QConfig::minmax()).unwrap();
    calibrate(&net, [x()]).unwrap();
    convert(&mut net).unwrap();
}

#[test]
fn an_engine_has_rules_for_a_whole_model() {
    #[derive(Module)]
    #[module(no_forward)]
    struct Tagger {
        table: Layer<Embedding>,
        fc: Layer<Linear>,
    }
    let net = Tagger {
        table: Embedding::new(3, 2).unwrap().into(),
        fc: Linear::new(2, 2).unwrap().into(),
    };
    let kinds = |spec: &QConfigSpec| -> Vec<QuantType> {
        let all = propagate_qconfig(&net, spec).unwrap();
        all.iter()
            .filter_map(|(_, q)| Some(q.as_ref()?.quant_type()))
            .collect()
    };
    for engine in qobserve::ENGINES {
        let spec = get_default_qconfig_mapping(engine).unwrap();
        assert_eq!(kinds(&spec), [QuantType::WeightOnly, QuantType::Static]);
        let spec = get_default_qat_qconfig_mapping(engine, 1).unwrap();
        assert_eq!(kinds(&spec), [QuantType::WeightOnly, QuantType::Static]);
    }
    for error in [
        get_default_qconfig_mapping("tpu").unwrap_err(),
        get_default_qat_qconfig_mapping("tpu", 0).unwrap_err(),
    ] {
        assert!(error.to_string().contains("qnnpack"), "{error}");
    }
}

#[test]
fn linear_layers_train_for_inputs_that_are_quantized_in_every_call() {
    let make = || {
        qnn::manual_seed(5);
        Sequential::new()
            .push(Linear::new(3, 4).unwrap())
            .push(ReLU)
            .push(Linear::new(4, 2).unwrap())
    };
    let x: Value = Tensor::from_vec(vec![0.5, -1.0, 2.0], &[1, 3])
        .unwrap()
        .into();
    let mut net = make();
    fuse_all_qat(&mut net, &x).unwrap();
    prepare_qat(&mut net, QConfig::default_dynamic_qat_qconfig()).unwrap();
    assert!(
        describe(&net).contains("QatLinearReLU"),
        "{}",
        describe(&net)
    );
    net.forward(&x).unwrap();
    let trained = net.forward(&x).unwrap().to_tensor();
    let report = convert(&mut net).unwrap();
    let after = |place| report.row(place).map(|row| row.after.as_str());
    assert_eq!(after("0"), Some("DynamicQuantizedLinearReLU"));
    assert_eq!(after("2"), Some("DynamicQuantizedLinear"));
    let int8 = net.forward(&x).unwrap().to_tensor();
    let (a, b) = (trained.to_vec(), int8.to_vec());
    assert!(
        a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.05),
        "{a:?} {b:?}"
    );
    // A dynamic configuration without fake-quants trains nothing, and converts as before.
    let mut plain = make();
    prepare_qat(&mut plain, QConfig::dynamic()).unwrap();
    assert!(!describe(&plain).contains("Qat"));
    convert(&mut plain).unwrap();
    assert!(describe(&plain).contains("DynamicQuantizedLinear"));
}
