//! Whether a module in a file belongs to a node of the model: the same kind of layer, shapes and configuration.

use std::collections::BTreeSet;
use std::mem::discriminant;

use qnn::{Entry, Node, State, join};

use crate::error::{Error, Result};
use crate::tables::loaders::restores;

/// Refuses a module from a file that is not this node, float or converted.
pub(crate) fn check_fit(
    path: &str,
    node: &dyn Node,
    kind: &str,
    state: &State,
    config: &State,
) -> Result<()> {
    let actual = node.kind();
    // An identity stands where fusion emptied a place, so it fits every place.
    if kind != "Identity" && layer(kind) != layer(actual) {
        return Err(Error::OtherKind {
            key: path.into(),
            expected: actual.into(),
            actual: kind.into(),
        });
    }
    if kind != actual && !restores(kind) {
        return Err(Error::UnknownKind {
            key: path.into(),
            kind: kind.into(),
            actual: actual.into(),
        });
    }
    let (own_state, own_config) = (node.state(), node.config());
    check_shapes(path, &own_state, state)?;
    check_config(path, &own_config, config)?;
    if restores(kind) {
        return Ok(());
    }
    // The state will be filled in as it is, so the entries must be the same ones.
    let keys = |s: &State| {
        s.iter()
            .map(|(k, _)| join(path, k))
            .collect::<BTreeSet<_>>()
    };
    let (want, have) = (keys(&own_state), keys(state));
    let same_types = own_state.iter().all(|(k, own)| {
        state
            .get(k)
            .is_some_and(|e| discriminant(e) == discriminant(own))
    });
    if want != have || !same_types {
        return Err(Error::OtherModel {
            missing: want.difference(&have).cloned().collect(),
            unexpected: if want == have {
                have.into_iter().collect()
            } else {
                have.difference(&want).cloned().collect()
            },
        });
    }
    Ok(())
}

/// The layer that a kind is a form of: `QuantizedConvReLU2d` is a `Conv2d`, and so is a `DynamicQuantizedConv2d`.
fn layer(kind: &str) -> String {
    match kind {
        "Quantize" => return "QuantStub".into(),
        "DeQuantize" => return "DeQuantStub".into(),
        "QFunctional" => return "FloatFunctional".into(),
        _ => {}
    }
    let kind = kind.strip_prefix("Dynamic").unwrap_or(kind);
    let plain = ["Quantized", "Quantizable", "Reference"]
        .into_iter()
        .find_map(|form| kind.strip_prefix(form))
        .unwrap_or(kind);
    for (fused, float) in [
        ("ConvReLU", "Conv"),
        ("ConvTransposeReLU", "ConvTranspose"),
        ("LinearReLU", "Linear"),
        ("LinearLeakyReLU", "Linear"),
        ("LinearTanh", "Linear"),
        ("BNReLU", "BatchNorm"),
    ] {
        if let Some(rest) = plain.strip_prefix(fused) {
            return format!(
                "{float}{}",
                rest.trim_start_matches('6').trim_start_matches('_')
            );
        }
    }
    plain.into()
}

fn check_shapes(path: &str, own: &State, file: &State) -> Result<()> {
    for (key, entry) in own.iter() {
        if let (Some(expected), Some(actual)) =
            (entry.shape(), file.get(key).and_then(Entry::shape))
            && expected != actual
        {
            return Err(Error::WeightShape {
                key: join(path, key),
                expected: expected.to_vec(),
                actual: actual.to_vec(),
            });
        }
    }
    Ok(())
}

fn check_config(path: &str, own: &State, file: &State) -> Result<()> {
    for (key, expected) in own.iter() {
        if let Some(actual) = file.get(key)
            && expected != actual
        {
            return Err(Error::OtherConfig {
                key: join(path, key),
                expected: show(expected),
                actual: show(actual),
            });
        }
    }
    Ok(())
}

fn show(entry: &Entry) -> String {
    match entry {
        Entry::Real(v) => v.to_string(),
        Entry::Ints(v) => format!("{v:?}"),
        Entry::Text(v) => v.clone(),
        Entry::Tensor(_) | Entry::QTensor(_) | Entry::Packed(_) => "a tensor".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::layer;

    #[test]
    fn every_form_of_a_layer_is_known() {
        for (kind, want) in [
            ("Conv2d", "Conv2d"),
            ("ConvReLU6_2d", "Conv2d"),
            ("QuantizedConvReLU3d", "Conv3d"),
            ("QuantizedConvTransposeReLU6_2d", "ConvTranspose2d"),
            ("DynamicQuantizedConvTranspose1d", "ConvTranspose1d"),
            ("QuantizedLinearReLU6", "Linear"),
            ("QuantizedBNReLU1d", "BatchNorm1d"),
            ("DynamicQuantizedLinear", "Linear"),
            ("DynamicQuantizedLinearReLU", "Linear"),
            ("QuantizedLinearLeakyReLU", "Linear"),
            ("DynamicQuantizedLinearTanh", "Linear"),
            ("DynamicQuantizedLSTM", "LSTM"),
            ("QuantizedEmbedding", "Embedding"),
            ("ReferenceConvTransposeReLU6_1d", "ConvTranspose1d"),
            ("ReferenceLinearTanh", "Linear"),
            ("QuantizedLSTM", "LSTM"),
            ("QuantizableMultiheadAttention", "MultiheadAttention"),
            ("QuantizedBatchNorm2d", "BatchNorm2d"),
            ("Quantize", "QuantStub"),
            ("QFunctional", "FloatFunctional"),
            ("MaxPool2d", "MaxPool2d"),
        ] {
            assert_eq!(layer(kind), want);
        }
    }
}
