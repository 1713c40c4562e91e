//! Bridges: what lets int8 and float places stand next to each other in any order.
//!
//! A converted model has one border between float and int8, its stubs. If single places inside are left in float, values
//! cross that border in the middle of the model, where no stub stands. A bridge is a border in front of one place.

use qtensor_core::quantize_per_tensor;

use crate::error::{Error, Result};
use crate::quantized::QParams;
use crate::state::{Entry, State};
use crate::value::{Flow, Value};

/// What happens to values of the wrong kind in front of a place. Values of the right kind pass as they are.
///
/// ```
/// use qnn::{Bridge, Layer, Linear, Place, Value};
/// use qtensor_core::{DType, Tensor, quantize_per_tensor};
///
/// let mut fc: Layer<Linear> = Linear::new(3, 2)?.into();
/// let x: Value = quantize_per_tensor(&Tensor::ones(&[1, 3])?, 0.1, 0, DType::QUInt8)?.into();
/// assert!(fc.forward(&x).is_err()); // a float layer, a quantized value
/// fc.set_bridge(Some(Bridge::ToFloat));
/// assert_eq!(fc.forward(&x)?.shape(), [1, 2]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Bridge {
    /// Quantized values are dequantized: for a float place among int8 ones.
    ToFloat,
    /// Float values are quantized, the value of index `i` of the input with the qparams of index `i`, those beyond the end
    /// with the last: for an int8 place behind a float one.
    ToQuantized(Vec<QParams>),
}

/// The state's entry that says which bridge it is.
const KEY: &str = "bridge";

impl Bridge {
    /// The input with every value of the wrong kind replaced.
    pub(crate) fn cross<F: Flow>(&self, input: &F) -> Result<F> {
        let mut index = 0;
        input.map(&mut |value| {
            let at = index;
            index += 1;
            Ok(match (self, value) {
                (Bridge::ToFloat, Value::Quantized(q)) => q.dequantize().into(),
                (Bridge::ToQuantized(grids), Value::Float(var)) => {
                    let grid = grids
                        .get(at)
                        .or(grids.last())
                        .ok_or_else(|| Error::Config {
                            module: "Bridge",
                            what:
                                "a bridge to quantized values has no qparams, expected at least 1"
                                    .into(),
                        })?;
                    let QParams {
                        scale,
                        zero_point,
                        dtype,
                    } = *grid;
                    quantize_per_tensor(var.tensor(), scale, zero_point, dtype)?.into()
                }
                (_, right) => right.clone(),
            })
        })
    }

    /// A place's state with this bridge, for model files.
    pub fn save(&self, state: State) -> State {
        match self {
            Bridge::ToFloat => state.with(KEY, Entry::Text("float".into())),
            Bridge::ToQuantized(grids) => grids.iter().enumerate().fold(
                state.with(KEY, Entry::Text(format!("{}", grids.len()))),
                |state, (i, grid)| {
                    let zero_point = Entry::Ints(vec![grid.zero_point.into()]);
                    state
                        .with(&key(i, "scale"), Entry::Real(grid.scale))
                        .with(&key(i, "zero_point"), zero_point)
                        .with(&key(i, "dtype"), Entry::Text(grid.dtype.name().into()))
                },
            ),
        }
    }

    /// Takes the bridge that [`save`](Self::save) added out of a state, if there is one.
    ///
    /// # Errors
    /// Entries that are missing or of another type, scales and zero points that no tensor may have.
    pub fn take(state: &mut State) -> Result<Option<Bridge>> {
        const MODULE: &str = "Bridge";
        if !state.contains(KEY) {
            return Ok(None);
        }
        let text = state.take_text(MODULE, KEY)?;
        if text == "float" {
            return Ok(Some(Bridge::ToFloat));
        }
        let count = text.parse::<usize>().map_err(|_| Error::Config {
            module: MODULE,
            what: format!("{text:?} is neither \"float\" nor a number of qparams"),
        })?;
        let mut grids = Vec::new();
        // A number larger than the entries that are there ends at the first missing one.
        for i in 0..count {
            let mut own = State::default();
            for name in ["scale", "zero_point", "dtype"] {
                own.insert(name, state.take_entry(MODULE, &key(i, name))?);
            }
            grids.push(QParams::load(MODULE, &mut own)?);
        }
        Ok(Some(Bridge::ToQuantized(grids)))
    }
}

fn key(index: usize, name: &str) -> String {
    format!("{KEY}.{index}.{name}")
}
