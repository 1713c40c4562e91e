//! The loaders of reference modules.

use qnn::intrinsic::{Activated, Curve, Fused, Rectified, Rectifier};
use qnn::reference::{self, Reference, Referenced};
use qnn::{Conv, ConvTranspose, LeakyReLU, Linear, Tanh, erase};

use super::Loader;

/// The loader of a kind of reference module.
pub(super) fn loader(kind: &str) -> Option<Loader> {
    of_weights::<Linear>(kind)
        .or_else(|| of_dims::<1>(kind))
        .or_else(|| of_dims::<2>(kind))
        .or_else(|| of_dims::<3>(kind))
        .or_else(|| of_others(kind))
}

fn of_dims<const D: usize>(kind: &str) -> Option<Loader> {
    of_weights::<Conv<D>>(kind).or_else(|| of_weights::<ConvTranspose<D>>(kind))
}

/// A module alone and with each rectifier.
fn of_weights<M: Referenced>(kind: &str) -> Option<Loader>
where
    Reference<M>: Rectified,
{
    if kind == M::REFERENCE {
        return Some(|s| Reference::<M>::from_state(s).map(erase));
    }
    if kind == Reference::<M>::WITH_RELU {
        return Some(|s| {
            let module = Reference::<M>::from_state(s)?;
            Ok(erase(Fused::new(module, Rectifier::ReLU)))
        });
    }
    if kind == Reference::<M>::WITH_RELU6 {
        return Some(|s| {
            let module = Reference::<M>::from_state(s)?;
            Ok(erase(Fused::new(module, Rectifier::ReLU6)))
        });
    }
    None
}

fn of_others(kind: &str) -> Option<Loader> {
    Some(match kind {
        "ReferenceLinearLeakyReLU" => activated::<LeakyReLU>(),
        "ReferenceLinearTanh" => activated::<Tanh>(),
        "ReferenceEmbedding" => |s| reference::Embedding::from_state(s).map(erase),
        "ReferenceEmbeddingBag" => |s| reference::EmbeddingBag::from_state(s).map(erase),
        "ReferenceRNN" => |s| reference::RNN::from_state(s).map(erase),
        "ReferenceLSTM" => |s| reference::LSTM::from_state(s).map(erase),
        "ReferenceGRU" => |s| reference::GRU::from_state(s).map(erase),
        "ReferenceRNNCell" => |s| reference::RNNCell::from_state(s).map(erase),
        "ReferenceLSTMCell" => |s| reference::LSTMCell::from_state(s).map(erase),
        "ReferenceGRUCell" => |s| reference::GRUCell::from_state(s).map(erase),
        _ => return None,
    })
}

fn activated<A: Curve>() -> Loader {
    |s| Activated::<reference::Linear, A>::from_state(s, Reference::from_state).map(erase)
}
