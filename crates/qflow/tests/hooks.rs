//! Forward hooks and pre-hooks: they survive every step, run in PyTorch's order, and keep what they watch alive.

use std::sync::{Arc, Mutex};

use crate::common::{Net, calibration, images};
use qflow::{
    Error, QConfig, calibrate, convert, fuse_all, fuse_modules, fuse_modules_qat, prepare,
    prepare_qat, register_forward_hook, register_forward_pre_hook,
};
use qnn::{
    BatchNorm2d, Conv2d, DeQuantStub, FloatFunctional, HookHandle, Layer, Module, Place, QuantStub,
    ReLU, Sequential, Value,
};
use qtensor_core::Tensor;

type Log = Arc<Mutex<Vec<String>>>;

/// Notes `label path kind` at each call.
fn hook(log: &Log, label: &'static str, net: &mut Net, place: &str) -> HookHandle {
    let log = Arc::clone(log);
    let note = move |at: qnn::Hooked<'_>| {
        let line = format!("{label} {} {}", at.path, at.module.kind());
        log.lock().unwrap().push(line);
        Ok(None)
    };
    match label {
        "pre" => register_forward_pre_hook(net, place, move |at, _| note(at)).unwrap(),
        _ => register_forward_hook(net, place, move |at, _, _| note(at)).unwrap(),
    }
}

fn run(net: &Net, log: &Log) -> Vec<String> {
    log.lock().unwrap().clear();
    net.forward(&images(3)).unwrap();
    log.lock().unwrap().clone()
}

#[test]
fn hooks_survive_fusion_preparation_and_conversion() {
    let (mut net, log) = (Net::new(), Log::default());
    hook(&log, "pre", &mut net, "conv1");
    let last = hook(&log, "post", &mut net, "act1");
    hook(&log, "pre", &mut net, "fc2");
    hook(&log, "post", &mut net, "fc2");
    let plain = [
        "pre conv1 Conv2d",
        "post act1 ReLU6",
        "pre fc2 Linear",
        "post fc2 Linear",
    ];
    assert_eq!(run(&net, &log), plain);

    let chains = fuse_all(&mut net, &images(0)).unwrap();
    assert!(chains.iter().any(|c| c == &["conv1", "bn1", "act1"]));
    let fused = ["pre conv1 ConvReLU6_2d", "post conv1 ConvReLU6_2d"];
    assert_eq!(run(&net, &log)[..2], fused);

    prepare(&mut net, QConfig::minmax()).unwrap();
    assert_eq!(run(&net, &log)[..2], fused);
    calibrate(&net, calibration()).unwrap();
    convert(&mut net).unwrap();
    let int8 = [
        "pre conv1 QuantizedConvReLU6_2d",
        "post conv1 QuantizedConvReLU6_2d",
        "pre fc2 QuantizedLinear",
        "post fc2 QuantizedLinear",
    ];
    assert_eq!(run(&net, &log), int8);
    // The handle reaches the hook where fusion has moved it.
    last.remove();
    last.remove();
    assert_eq!(run(&net, &log), [int8[0], int8[2], int8[3]]);
}

#[test]
fn hooks_survive_training() {
    let (mut net, log) = (Net::new(), Log::default());
    hook(&log, "pre", &mut net, "conv1");
    hook(&log, "post", &mut net, "act1");
    fuse_modules_qat(&mut net, &[&["conv1", "bn1", "act1"]]).unwrap();
    prepare_qat(&mut net, QConfig::x86_qat()).unwrap();
    let lines = run(&net, &log);
    assert_eq!(lines.len(), 2, "{lines:?}");
    qnn::eval(&mut net);
    convert(&mut net).unwrap();
    assert!(run(&net, &log)[1].starts_with("post conv1 QuantizedConvReLU6_2d"));
}

#[test]
fn hooks_within_a_chain_forbid_its_fusion() {
    for (label, place) in [("post", "conv1"), ("pre", "bn1"), ("pre", "act1")] {
        let (mut net, log) = (Net::new(), Log::default());
        let handle = hook(&log, label, &mut net, place);
        let chain: &[&str] = &["conv1", "bn1", "act1"];
        let error = fuse_modules(&mut net, &[chain]).unwrap_err();
        assert!(
            error.to_string().contains(&format!("of \"{place}\"")),
            "{error}"
        );
        assert!(matches!(error, Error::FuseHooked { .. }));
        let chains = fuse_all(&mut net, &images(0)).unwrap();
        assert!(!chains.iter().any(|c| c.len() == 3), "{chains:?}");
        assert_eq!(run(&net, &log).len(), 1);
        handle.remove();
        let mut net = Net::new();
        hook(&log, label, &mut net, place).remove();
        fuse_modules(&mut net, &[chain]).unwrap();
    }
}

#[test]
fn the_observer_sees_what_the_module_gave_and_hooks_what_goes_on() {
    let mut net = Sequential::new()
        .push(QuantStub)
        .push(ReLU)
        .push(DeQuantStub);
    register_forward_hook(&mut net, "0", |_, inputs, outputs| {
        assert_eq!((inputs.len(), outputs.len()), (1, 1));
        let hundred = Tensor::full(outputs[0].shape(), 100.0)?;
        Ok(Some(vec![Value::from(hundred)]))
    })
    .unwrap();
    prepare(&mut net, QConfig::minmax()).unwrap();
    let x: Value = Tensor::from_vec(vec![-1.0, 2.0], &[2]).unwrap().into();
    assert_eq!(
        net.forward(&x).unwrap().to_tensor().to_vec(),
        [100.0, 100.0]
    );
    let mut range = None;
    qnn::walk(&net, &mut |path, node| {
        let prepared = node.as_place().and_then(Place::prepared);
        if let Some(observer) = prepared.and_then(|p| p.observer()).filter(|_| path == "0") {
            range = observer.range();
        }
    });
    assert_eq!(range, Some((-1.0, 2.0)));
}

#[test]
fn mistakes_name_the_place() {
    let mut net = Sequential::new().push(ReLU).push(ReLU);
    register_forward_pre_hook(&mut net, "1", |_, _| Ok(Some(Vec::new()))).unwrap();
    let x = Tensor::ones(&[1]).unwrap().into();
    let error = net.forward(&x).unwrap_err().to_string();
    assert!(
        error.contains("1 (ReLU)") && error.contains("0 values for 1"),
        "{error}"
    );
    let error = register_forward_hook(&mut net, "2", |_, _, _| Ok(None)).unwrap_err();
    assert!(error.to_string().contains("\"2\"") && error.to_string().contains("\"1\""));
}

/// A residual block, whose addition runs within the convolution once both are int8.
#[derive(Module)]
struct Residual {
    quant: Layer<QuantStub>,
    conv: Layer<Conv2d>,
    norm: Layer<BatchNorm2d>,
    add: Layer<FloatFunctional>,
    dequant: Layer<DeQuantStub>,
}

impl Residual {
    fn forward(&self, x: &Value) -> qnn::Result<Value> {
        let x = self.quant.forward(x)?;
        let y = self
            .add
            .add_after(&[&self.conv, &self.norm], &x, x.clone())?;
        self.dequant.forward(&y)
    }
}

#[test]
fn a_hooked_place_is_not_skipped_by_a_fused_addition() {
    let mut net = Residual {
        quant: QuantStub.into(),
        conv: Conv2d::config(3, 3, 3).padding(1).build().unwrap().into(),
        norm: BatchNorm2d::new(3).unwrap().into(),
        add: FloatFunctional.into(),
        dequant: DeQuantStub.into(),
    };
    qflow::quantize(&mut net, QConfig::minmax(), calibration()).unwrap();
    let before = net.forward(&images(1)).unwrap().to_tensor().to_vec();
    for place in ["conv", "norm", "add"] {
        let calls = Arc::new(Mutex::new(0));
        let count = Arc::clone(&calls);
        let handle = register_forward_hook(&mut net, place, move |_, _, _| {
            *count.lock().unwrap() += 1;
            Ok(None)
        })
        .unwrap();
        let now = net.forward(&images(1)).unwrap().to_tensor().to_vec();
        assert_eq!(
            (now == before, *calls.lock().unwrap()),
            (true, 1),
            "{place}"
        );
        handle.remove();
    }
}
