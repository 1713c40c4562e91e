//! How a dynamic module chooses the integers of its input: from a `QConfig`, in a state, in print.

use qobserve::QConfig;
use qops::quantized::{DynamicQuant, Granularity};

use crate::error::{Error, Result};
use crate::state::State;

/// What a configuration says about inputs.
///
/// # Errors
/// [`Error::Config`] if it is not for dynamic quantization.
pub(crate) fn quant_of(module: &'static str, qconfig: &QConfig) -> Result<DynamicQuant> {
    let observer = qconfig.dynamic_quant().ok_or_else(|| Error::Config {
        module,
        what: format!(
            "a dynamic module needs a dynamic qconfig, such as QConfig::dynamic(), not a {} one",
            qconfig.quant_type()
        ),
    })?;
    Ok(DynamicQuant {
        granularity: if observer.per_tensor {
            Granularity::PerTensor
        } else {
            Granularity::PerRow
        },
        reduce_range: observer.reduce_range,
    })
}

/// Adds the choice to a state.
pub(crate) fn save_quant(quant: DynamicQuant, state: State) -> State {
    let per_tensor = quant.granularity == Granularity::PerTensor;
    state.with_sizes(
        "quant",
        &[usize::from(per_tensor), usize::from(quant.reduce_range)],
    )
}

/// Takes the choice from a state.
///
/// # Errors
/// A missing entry, or numbers that are not flags.
pub(crate) fn load_quant(module: &'static str, state: &mut State) -> Result<DynamicQuant> {
    let flags = state.take_sizes::<2>(module, "quant")?;
    let [per_tensor, reduce_range] = flags;
    if per_tensor > 1 || reduce_range > 1 {
        let what = format!("the state entry \"quant\" is {flags:?}, expected two flags");
        return Err(Error::Config { module, what });
    }
    Ok(DynamicQuant {
        granularity: if per_tensor == 1 {
            Granularity::PerTensor
        } else {
            Granularity::PerRow
        },
        reduce_range: reduce_range == 1,
    })
}

/// The choice in print.
pub(crate) fn repr(quant: DynamicQuant) -> String {
    let scales = match quant.granularity {
        Granularity::PerRow => "per row",
        Granularity::PerTensor => "per tensor",
    };
    let range = if quant.reduce_range {
        ", reduce_range"
    } else {
        ""
    };
    format!("dtype=qint8, {scales}{range}")
}
