//! Fusion by names and by watching: what is fused, what is not, and that outputs stay.

use crate::common::{Net, batch, distance, images, norm};
use qflow::{Error, QConfig, fuse_all, fuse_modules, quantize};
use qnn::{
    BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv1d, Conv2d, Conv3d, Dropout, Flatten, Layer, Linear,
    Module, ReLU, ReLU6, Result, Sequential, Value, describe,
};

/// Fusing changes what the net computes by at most this much, relative to its largest output.
const TOLERANCE: f32 = 1e-5;

fn stays<M: Module<Input = Value, Output = Value>>(mut net: M, sample: &Value) -> Vec<Vec<String>> {
    let before = net.forward(sample).unwrap().to_tensor();
    let chains = fuse_all(&mut net, sample).unwrap();
    let after = net.forward(sample).unwrap().to_tensor();
    let scale = before.to_vec().iter().fold(1f32, |m, v| m.max(v.abs()));
    assert!(
        distance(&before, &after) <= TOLERANCE * scale,
        "{}",
        describe(&net)
    );
    chains
}

#[test]
fn every_chain_of_a_net_is_found() {
    let chains = stays(Net::new(), &images(1));
    assert_eq!(
        chains,
        [
            vec!["conv1", "bn1", "act1"],
            vec!["conv2", "bn2"],
            vec!["fc1", "act2"]
        ]
    );
}

#[test]
fn every_pattern_folds_to_the_same_output() {
    let one = |m: Sequential, shape: &[usize], chain: usize| {
        let chains = stays(m, &batch(3, shape));
        assert_eq!(chains.iter().map(Vec::len).collect::<Vec<_>>(), [chain]);
    };
    let seq = Sequential::new;
    one(
        seq()
            .push(Conv1d::config(2, 4, 3).build().unwrap())
            .push(BatchNorm1d::new(4).unwrap()),
        &[2, 2, 9],
        2,
    );
    one(
        seq()
            .push(Conv1d::config(2, 4, 3).build().unwrap())
            .push(BatchNorm1d::new(4).unwrap())
            .push(ReLU),
        &[2, 2, 9],
        3,
    );
    one(
        seq()
            .push(Conv2d::config(2, 4, 3).build().unwrap())
            .push(ReLU6),
        &[2, 2, 9, 9],
        2,
    );
    one(
        seq()
            .push(Conv2d::config(2, 4, 3).groups(2).build().unwrap())
            .push(norm(4).unwrap())
            .push(ReLU6),
        &[2, 2, 9, 9],
        3,
    );
    one(
        seq()
            .push(Conv3d::config(1, 2, 3).build().unwrap())
            .push(BatchNorm3d::new(2).unwrap())
            .push(ReLU),
        &[1, 1, 4, 4, 4],
        3,
    );
    one(
        seq()
            .push(Linear::new(6, 4).unwrap())
            .push(BatchNorm1d::new(4).unwrap())
            .push(ReLU),
        &[3, 6],
        3,
    );
    one(
        seq().push(Linear::without_bias(6, 4).unwrap()).push(ReLU),
        &[3, 6],
        2,
    );
    one(seq().push(norm(4).unwrap()).push(ReLU), &[2, 4, 5, 5], 2);
}

/// The convolution's output goes to the batch norm and, by an operation outside of any place, to the sum.
#[derive(Module)]
struct TwoUsers {
    conv: Layer<Conv2d>,
    bn: Layer<BatchNorm2d>,
    relu: Layer<ReLU>,
}

impl TwoUsers {
    fn forward(&self, x: &Value) -> Result<Value> {
        let a = self.conv.forward(x)?;
        let b = self.relu.forward(&self.bn.forward(&a)?)?;
        Ok(qgrad::ops::add(a.float("TwoUsers")?, b.float("TwoUsers")?)?.into())
    }
}

/// The convolution's numbers are read by hand.
#[derive(Module)]
struct Peeking(TwoUsers);

impl Peeking {
    fn forward(&self, x: &Value) -> Result<Value> {
        let a = self.0.conv.forward(x)?;
        assert!(a.to_tensor().numel() > 0);
        self.0.relu.forward(&self.0.bn.forward(&a)?)
    }
}

/// The convolution's output is also an output of the model.
#[derive(Module)]
#[module(output = (Value, Value))]
struct TwoOutputs(TwoUsers);

impl TwoOutputs {
    fn forward(&self, x: &Value) -> Result<(Value, Value)> {
        let a = self.0.conv.forward(x)?;
        let b = self.0.bn.forward(&a)?;
        Ok((a, b))
    }
}

/// One activation place used twice.
#[derive(Module)]
struct SharedActivation {
    a: Layer<Linear>,
    b: Layer<Linear>,
    relu: Layer<ReLU>,
}

impl SharedActivation {
    fn forward(&self, x: &Value) -> Result<Value> {
        let x = self.relu.forward(&self.a.forward(x)?)?;
        self.relu.forward(&self.b.forward(&x)?)
    }
}

fn two_users() -> TwoUsers {
    let conv = Conv2d::config(2, 4, 3).build().unwrap();
    TwoUsers {
        conv: conv.into(),
        bn: norm(4).unwrap().into(),
        relu: ReLU.into(),
    }
}

#[test]
fn a_value_with_two_users_is_not_fused_away() {
    let x = batch(1, &[1, 2, 6, 6]);
    // The batch norm and its ReLU have no other user, so they are a chain of their own.
    assert_eq!(stays(two_users(), &x), [["bn", "relu"]]);
    assert_eq!(stays(Peeking(two_users()), &x), [["0.bn", "0.relu"]]);
    let mut outputs = TwoOutputs(two_users());
    assert!(fuse_all(&mut outputs, &x).unwrap().is_empty());
    let shared = SharedActivation {
        a: Linear::new(4, 4).unwrap().into(),
        b: Linear::new(4, 4).unwrap().into(),
        relu: ReLU.into(),
    };
    assert!(stays(shared, &batch(1, &[2, 4])).is_empty());
}

#[test]
fn what_stands_between_prevents_fusion() {
    let net = Sequential::new()
        .push(Linear::new(4, 4).unwrap())
        .push(Dropout::new(0.5))
        .push(ReLU);
    assert!(stays(net, &batch(1, &[2, 4])).is_empty());
    let net = Sequential::new()
        .push(Conv2d::config(1, 2, 3).build().unwrap())
        .push(Flatten::new())
        .push(ReLU);
    assert!(stays(net, &batch(1, &[2, 1, 4, 4])).is_empty());
}

#[test]
fn unfused_batch_norms_are_quantized_on_their_own() {
    let x = batch(1, &[1, 2, 6, 6]);
    let mut net = Sequential::new()
        .push(qnn::QuantStub)
        .push(norm(2).unwrap())
        .push(qnn::MaxPool2d::new(2))
        .push(qnn::DeQuantStub);
    let before = net.forward(&x).unwrap().to_tensor();
    quantize(&mut net, QConfig::minmax(), vec![x.clone()]).unwrap();
    assert!(describe(&net).contains("QuantizedBatchNorm2d"));
    let sqnr = qflow::metrics::sqnr_db(&before, &net.forward(&x).unwrap().to_tensor()).unwrap();
    assert!(sqnr > 30.0, "{sqnr} dB");
}

#[test]
fn chains_by_name_are_checked() {
    let mut net = Net::new();
    let unknown = fuse_modules(&mut net, &[&["conv1", "nowhere"]]).unwrap_err();
    assert!(
        matches!(&unknown, Error::UnknownPlaces { names, .. } if names == &["nowhere"]),
        "{unknown}"
    );
    let unfusable = fuse_modules(&mut net, &[&["conv1", "bn1"], &["bn1", "conv1"]]).unwrap_err();
    assert!(matches!(unfusable, Error::NotFusable { .. }), "{unfusable}");
    assert!(
        unfusable
            .to_string()
            .contains("Conv2d + BatchNorm2d + ReLU"),
        "{unfusable}"
    );
    let channels = Sequential::new()
        .push(Conv2d::config(1, 4, 3).build().unwrap())
        .push(norm(5).unwrap());
    let mut channels = channels;
    let error = fuse_modules(&mut channels, &[&["0", "1"]]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::FuseChannels {
                expected: 4,
                actual: 5,
                ..
            }
        ),
        "{error}"
    );
    // Nothing was changed by the refused calls.
    assert!(!describe(&net).contains("Identity"));
    fuse_modules(&mut net, &[&["conv1", "bn1", "act1"]]).unwrap();
    assert!(describe(&net).contains("ConvReLU6_2d"));
}

#[test]
fn a_batch_norm_over_the_sequence_is_not_folded_into_the_features() {
    // On (N, L, C) with L equal to C, the batch norm's channels are the sequence's positions.
    let mut bn = BatchNorm1d::new(4).unwrap();
    let mut state = norm(4).map(|n| qnn::Node::state(&n)).unwrap();
    qnn::Node::load_state(&mut bn, &mut state).unwrap();
    let net = Sequential::new().push(Linear::new(6, 4).unwrap()).push(bn);
    assert!(stays(net, &batch(2, &[2, 4, 6])).is_empty());
}
