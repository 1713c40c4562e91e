//! The names and shapes of all parameters are those of torchvision's checkpoints.
//!
//! The lists in `tests/torchvision/` are the keys and shapes of `state_dict()` of torchvision 0.21, without the counters
//! `num_batches_tracked`.

use std::collections::BTreeMap;

use qflow::{load_state_dict, state_dict};
use qmodels::{Init, MobileNetV2, ResNet, Vgg};
use qnn::Node;
use qtensor_core::Tensor;

/// The entries of a list, `name length length …` a line.
fn entries(list: &str) -> BTreeMap<String, Vec<usize>> {
    list.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap().to_string();
            (name, words.map(|word| word.parse().unwrap()).collect())
        })
        .collect()
}

fn assert_same_names_and_shapes(net: &dyn Node, list: &str) {
    let actual: BTreeMap<String, Vec<usize>> = state_dict(net)
        .into_iter()
        .map(|(name, tensor)| (name, tensor.shape().to_vec()))
        .collect();
    let expected = entries(list);
    for (name, shape) in &expected {
        assert_eq!(actual.get(name), Some(shape), "{name}");
    }
    assert_eq!(actual.len(), expected.len());
}

#[test]
fn residual_networks_have_torchvisions_names_and_shapes() {
    let zeros = Init::Zeros;
    let lists = [
        (ResNet::resnet18(), include_str!("torchvision/resnet18.txt")),
        (ResNet::resnet34(), include_str!("torchvision/resnet34.txt")),
        (ResNet::resnet50(), include_str!("torchvision/resnet50.txt")),
    ];
    for (config, list) in lists {
        assert_same_names_and_shapes(&config.init(zeros).build().unwrap(), list);
    }
}

#[test]
fn mobilenet_has_torchvisions_names_and_shapes() {
    let net = MobileNetV2::config().init(Init::Zeros).build().unwrap();
    assert_same_names_and_shapes(&net, include_str!("torchvision/mobilenet_v2.txt"));
}

#[test]
fn vgg_has_torchvisions_names_and_shapes() {
    let config = Vgg::vgg11().batch_norm(true).init(Init::Zeros);
    assert_same_names_and_shapes(
        &config.build().unwrap(),
        include_str!("torchvision/vgg11_bn.txt"),
    );
    let config = Vgg::vgg16().init(Init::Zeros);
    assert_same_names_and_shapes(
        &config.build().unwrap(),
        include_str!("torchvision/vgg16.txt"),
    );
}

#[test]
fn a_checkpoint_goes_in_and_a_foreign_one_is_refused() {
    let mut checkpoint: BTreeMap<String, Tensor> =
        entries(include_str!("torchvision/mobilenet_v2.txt"))
            .into_iter()
            .map(|(name, shape)| (name, Tensor::full(&shape, 0.25).unwrap()))
            .collect();
    // PyTorch writes its counters as well.
    checkpoint.insert(
        "features.0.1.num_batches_tracked".into(),
        Tensor::scalar(0.0),
    );
    let mut net = MobileNetV2::config().init(Init::Zeros).build().unwrap();
    load_state_dict(&mut net, checkpoint.clone()).unwrap();
    let loaded = state_dict(&net);
    assert_eq!(
        loaded["features.17.conv.2.weight"]
            .get(&[319, 959, 0, 0])
            .unwrap(),
        0.25
    );

    let mut net = ResNet::resnet18().init(Init::Zeros).build().unwrap();
    let error = load_state_dict(&mut net, checkpoint)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\"bn1.bias\"") && error.contains("classifier.1.bias"),
        "{error}"
    );
}

#[test]
fn a_seed_gives_the_same_weights_and_another_one_others() {
    let weights = |seed| {
        let config = ResNet::resnet18().width(4).num_classes(3);
        state_dict(&config.init(Init::Random { seed }).build().unwrap())
    };
    assert_eq!(weights(1), weights(1));
    let (one, two) = (weights(1), weights(2));
    assert_ne!(one["fc.weight"], two["fc.weight"]);
    assert_ne!(one["layer4.1.conv2.weight"], two["layer4.1.conv2.weight"]);
}

#[test]
fn drawn_weights_have_the_variance_that_torchvision_gives_them() {
    let net = ResNet::resnet18().num_classes(10).build().unwrap();
    let weights = state_dict(&net);
    let deviation = |name: &str| {
        let values = weights[name].to_vec();
        let squares: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
        (squares / values.len() as f64).sqrt()
    };
    // 64 outputs of 3 x 3 taps, and uniform numbers below 1 / √512.
    let conv = (2.0 / (64.0 * 9.0_f64)).sqrt();
    assert!((deviation("layer1.0.conv1.weight") / conv - 1.0).abs() < 0.02);
    let linear = 1.0 / (3.0 * 512.0_f64).sqrt();
    assert!((deviation("fc.weight") / linear - 1.0).abs() < 0.05);
}
