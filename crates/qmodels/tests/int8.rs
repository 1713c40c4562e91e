//! Small networks of every family through the whole flow: int8 stays near float, and threads change no byte.

use qflow::{QConfig, Report, metrics, quantize};
use qmodels::{Init, MobileNetV2, ResNet, Vgg};
use qnn::{Module, Value, tap};
use qtensor_core::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Uniform pixels in −1..1.
fn images(seed: u64, count: usize, side: usize) -> Value {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape = [count, 3, side, side];
    let pixels = (0..shape.iter().product())
        .map(|_| rng.next_u32() as f32 / (1u32 << 31) as f32 - 1.0)
        .collect();
    Tensor::from_vec(pixels, &shape).unwrap().into()
}

fn logits<M: Module<Input = Value, Output = Value>>(net: &M, x: &Value) -> Tensor {
    net.forward(x).unwrap().to_tensor()
}

/// Converts the network that `build` makes, and compares it with its float original on images of its own and on
/// one and two threads. The batch is large enough that the first convolutions are shared out.
fn check<M: Module<Input = Value, Output = Value>>(
    build: impl Fn() -> M,
    side: usize,
    least_sqnr_db: f64,
) -> Report {
    let float = build();
    let mut int8 = build();
    let batches: Vec<Value> = (0..3).map(|seed| images(seed, 4, side)).collect();
    let report = quantize(&mut int8, QConfig::x86(), batches).unwrap();

    let x = images(100, 8, side);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| logits(&int8, &x))
    };
    let (one, two) = (on(1), on(2));
    assert_eq!(one.to_vec(), two.to_vec());
    // Whoever watches every place gets the additions apart from the convolutions.
    let (watched, outputs) = tap::record(|| logits(&int8, &x));
    assert_eq!(one.to_vec(), watched.to_vec());
    assert!(outputs.len() > 10, "{} places", outputs.len());
    let sqnr = metrics::sqnr_db(&logits(&float, &x), &one).unwrap();
    assert!(sqnr > least_sqnr_db, "{sqnr} dB");
    report
}

fn kind(report: &Report, path: &str) -> String {
    report.row(path).unwrap().after.clone()
}

/// Everything with weights became int8.
fn assert_no_float_weights(report: &Report) {
    for row in report.rows().iter().filter(|row| row.bytes_after > 0) {
        let int8 = row.after.starts_with("Quantize") || row.after == "QFunctional";
        assert!(int8, "{} holds a {}", row.path, row.after);
    }
}

#[test]
fn resnet18() {
    let build = || {
        ResNet::resnet18()
            .width(16)
            .num_classes(10)
            .build()
            .unwrap()
    };
    let report = check(build, 64, 20.0);
    assert_no_float_weights(&report);
    assert_eq!(kind(&report, "conv1"), "QuantizedConvReLU2d");
    assert_eq!(kind(&report, "layer2.0.conv2"), "QuantizedConv2d");
    assert_eq!(kind(&report, "layer2.0.downsample.0"), "QuantizedConv2d");
    assert_eq!(kind(&report, "layer2.0.add_relu"), "QFunctional");
    assert_eq!(kind(&report, "fc"), "QuantizedLinear");
}

#[test]
fn resnet50() {
    let config = ResNet::resnet50().width(16).num_classes(10);
    let report = check(
        || config.init(Init::Random { seed: 5 }).build().unwrap(),
        64,
        20.0,
    );
    assert_no_float_weights(&report);
    assert_eq!(kind(&report, "layer3.5.conv2"), "QuantizedConvReLU2d");
    assert_eq!(kind(&report, "layer3.5.conv3"), "QuantizedConv2d");
    assert_eq!(kind(&report, "layer3.5.skip_add_relu"), "QFunctional");
}

#[test]
fn mobilenet_v2() {
    let build = || {
        MobileNetV2::config()
            .width(0.5)
            .num_classes(10)
            .build()
            .unwrap()
    };
    // Fifty layers of random weights, a third of them depthwise, each adding its own rounding.
    let report = check(build, 64, 12.0);
    assert_no_float_weights(&report);
    assert_eq!(kind(&report, "features.0.0"), "QuantizedConvReLU6_2d");
    assert_eq!(
        kind(&report, "features.2.conv.1.0"),
        "QuantizedConvReLU6_2d"
    );
    assert_eq!(kind(&report, "features.2.conv.2"), "QuantizedConv2d");
    assert_eq!(kind(&report, "features.3.skip_add"), "QFunctional");
    assert_eq!(kind(&report, "classifier.1"), "QuantizedLinear");
}

#[test]
fn vgg() {
    for batch_norm in [false, true] {
        let stages = vec![vec![16], vec![32], vec![32, 32]];
        let config = Vgg::vgg11()
            .stages(stages)
            .pool(2)
            .hidden(64)
            .num_classes(10);
        let build = || config.clone().batch_norm(batch_norm).build().unwrap();
        let report = check(build, 32, 20.0);
        assert_no_float_weights(&report);
        assert_eq!(kind(&report, "features.0"), "QuantizedConvReLU2d");
        assert_eq!(kind(&report, "classifier.3"), "QuantizedLinearReLU");
    }
}

#[test]
fn configurations_without_a_network_are_errors_with_the_numbers() {
    let no_blocks = ResNet::resnet18().layers([1, 2, 0, 1]).build();
    let text = no_blocks.err().map(|e| e.to_string()).unwrap();
    assert!(text.contains("[1, 2, 0, 1]"), "{text}");
    let text = MobileNetV2::config()
        .width(f64::NAN)
        .build()
        .err()
        .map(|e| e.to_string());
    assert!(
        text.as_deref().is_some_and(|t| t.contains("NaN")),
        "{text:?}"
    );
    let mut stages = MobileNetV2::config().stages;
    stages[3].stride = 0;
    let text = MobileNetV2::config()
        .stages(stages)
        .build()
        .err()
        .map(|e| e.to_string());
    assert!(
        text.as_deref().is_some_and(|t| t.contains("stride: 0")),
        "{text:?}"
    );
    let text = Vgg::vgg11().hidden(0).build().err().map(|e| e.to_string());
    assert!(
        text.as_deref().is_some_and(|t| t.contains("0 hidden")),
        "{text:?}"
    );
    let text = Vgg::vgg11()
        .stages(vec![vec![]])
        .build()
        .err()
        .map(|e| e.to_string());
    assert!(
        text.as_deref().is_some_and(|t| t.contains("stages [[]]")),
        "{text:?}"
    );
}
