//! Cross-layer equalization: channels of neighbouring layers rescaled so that both use their grids evenly.
//!
//! Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight Equalization and Bias Correction, 2019;
//! in the iterated form of `torch/ao/quantization/_equalize.py`.

use qnn::Node;

use super::weighted::Weighted;
use crate::error::{Error, Result};

const OPERATION: &str = "equalize";

/// What PyTorch adds to the second layer's range so that it may be 0.
const EPSILON: f64 = 1e-9;

/// An end to iterations that come no nearer. Two layers are equal after the first; chains take a few dozen.
const MOST_ROUNDS: usize = 1000;

/// Equalizes pairs of neighbouring layers in place: the outputs of the first are, through ReLUs and pools alone, the inputs
/// of the second. Returns the number of rounds.
///
/// With the ranges `r₁` of each output channel of the first weight and `r₂` of the same input channel of the second
/// (greatest minus least element; of a constant channel its absolute value), the first weight's channel and its bias are divided by `s = √(r₁ / (r₂ + 1e-9))` and the
/// second's multiplied by it. Rounds over all pairs follow until the weights of no layer move by more than `threshold` (1e-4
/// in PyTorch), in the 2-norm. A channel without a range in either layer keeps its scale.
///
/// In float the model computes what it did, up to rounding: `relu(s·x) = s·relu(x)` for positive `s`. Depthwise and grouped
/// convolutions are equalized like others; per-tensor weights and activations gain the most.
///
/// # Errors
/// [`Error::UnknownPlaces`]; [`Error::Repair`] for a place that holds no float convolution or linear layer, for a first layer
/// with a ReLU6 or tanh, which do not commute with scales, for layers with different numbers of channels, for
/// weights that are not finite, and after preparation, whose observers have seen other values. Nothing has changed then.
///
/// ```
/// use qflow::accuracy::equalize;
/// use qnn::{Linear, Module, ReLU, Sequential};
/// use qtensor_core::Tensor;
///
/// let first = Linear::from_parts(Tensor::from_vec(vec![100.0, -60.0, 0.1, 0.05], &[2, 2])?, None)?;
/// let second = Linear::from_parts(Tensor::from_vec(vec![0.01, 5.0, -0.02, 9.0], &[2, 2])?, None)?;
/// let mut net = Sequential::new().push(first).push(ReLU).push(second);
/// let x = Tensor::ones(&[1, 2])?.into();
/// let before = net.forward(&x)?.to_tensor().to_vec();
/// equalize(&mut net, &[("0", "2")], 1e-4)?;
/// let after = net.forward(&x)?.to_tensor().to_vec();
/// assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-5));
/// # Ok::<(), qflow::Error>(())
/// ```
#[doc(alias = "cross_layer_equalization")]
pub fn equalize(model: &mut dyn Node, pairs: &[(&str, &str)], threshold: f64) -> Result<usize> {
    refuse_prepared(model)?;
    let mut layers: Vec<Weighted> = Vec::new();
    let mut links = Vec::new();
    for (first, second) in pairs {
        let mut index = |path: &str| -> Result<usize> {
            if let Some(known) = layers.iter().position(|layer| layer.path == path) {
                return Ok(known);
            }
            layers.push(Weighted::read(model, OPERATION, path)?);
            Ok(layers.len() - 1)
        };
        let link = (index(first)?, index(second)?);
        check_pair(&layers[link.0], &layers[link.1])?;
        links.push(link);
    }
    let mut rounds = 0;
    while rounds < MOST_ROUNDS && !links.is_empty() {
        rounds += 1;
        let before = layers.clone();
        for &(first, second) in &links {
            let (mut a, mut b) = (layers[first].clone(), layers[second].clone());
            equalize_pair(&mut a, &mut b);
            layers[first] = a;
            layers[second] = b;
        }
        let moved = before.iter().zip(&layers).map(|(a, b)| distance(a, b));
        if moved.fold(0.0, f64::max) < threshold {
            break;
        }
    }
    for layer in &layers {
        layer.write(model)?;
    }
    Ok(rounds)
}

/// One step for two layers.
fn equalize_pair(first: &mut Weighted, second: &mut Weighted) {
    let ranges1 = ranges(first, |(_, output, _)| output, first.out_channels());
    let ranges2 = ranges(second, |(_, _, input)| input, second.in_channels());
    let scale = |(&r1, &r2): (&f64, &f64)| {
        if r1 > 0.0 && r2 > 0.0 {
            (r1 / (r2 + EPSILON)).sqrt()
        } else {
            1.0
        }
    };
    let scales: Vec<f64> = ranges1.iter().zip(&ranges2).map(scale).collect();
    let channels = first.channels();
    let weight = first.weight.make_mut();
    for (i, output, _) in channels {
        weight[i] = (f64::from(weight[i]) / scales[output]) as f32;
    }
    if let Some(bias) = &mut first.bias {
        for (value, scale) in bias.make_mut().iter_mut().zip(&scales) {
            *value = (f64::from(*value) / scale) as f32;
        }
    }
    let channels = second.channels();
    let weight = second.weight.make_mut();
    for (i, _, input) in channels {
        weight[i] = (f64::from(weight[i]) * scales[input]) as f32;
    }
}

/// The greatest minus the least element of each channel.
fn ranges(
    layer: &Weighted,
    channel: impl Fn((usize, usize, usize)) -> usize,
    count: usize,
) -> Vec<f64> {
    let mut ends = vec![(f64::INFINITY, f64::NEG_INFINITY); count];
    let values = layer.weight.to_vec();
    for at in layer.channels() {
        let (value, end) = (f64::from(values[at.0]), &mut ends[channel(at)]);
        *end = (end.0.min(value), end.1.max(value));
    }
    // A single element, as of a 1 × 1 depthwise kernel, still has a size.
    let range = |(lo, hi): (f64, f64)| if lo == hi { hi.abs() } else { hi - lo };
    ends.into_iter().map(range).collect()
}

fn distance(a: &Weighted, b: &Weighted) -> f64 {
    let pairs = a.weight.to_vec().into_iter().zip(b.weight.to_vec());
    pairs
        .map(|(a, b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum::<f64>()
        .sqrt()
}

fn check_pair(first: &Weighted, second: &Weighted) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::Repair {
            operation: OPERATION,
            what,
        })
    };
    let (a, b) = (first.out_channels(), second.in_channels());
    if a != b {
        return refuse(format!(
            "{} gives {a} channels, but {} takes {b}",
            first.path, second.path
        ));
    }
    if first.path == second.path {
        return refuse(format!("{} cannot follow itself", first.path));
    }
    for activation in ["ReLU6", "Tanh"] {
        if first.kind.contains(activation) {
            return refuse(format!(
                "{} ends in a {activation}, behind which scaled channels are others; a ReLU is fine",
                first.path
            ));
        }
    }
    for layer in [first, second] {
        if layer.weight.to_vec().iter().any(|w| !w.is_finite()) {
            return refuse(format!("the weight of {} is not finite", layer.path));
        }
    }
    Ok(())
}

fn refuse_prepared(model: &dyn Node) -> Result<()> {
    let mut prepared = None;
    qnn::walk(model, &mut |path, node| {
        if node
            .as_place()
            .is_some_and(|place| place.prepared().is_some())
        {
            prepared.get_or_insert(path.to_string());
        }
    });
    match prepared {
        Some(path) => Err(Error::Repair {
            operation: OPERATION,
            what: format!(
                "{path} is prepared already, and its observer has seen other values; equalize before prepare"
            ),
        }),
        None => Ok(()),
    }
}
