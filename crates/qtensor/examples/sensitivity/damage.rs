//! A damage that float does not notice and int8 does not survive.

use std::error::Error;

use qtensor::prelude::*;
use qtensor::qnn::{self, Entry, State};

use crate::common::net::DigitsNet;

/// The place whose weight is damaged, and the one before it, with a ReLU between them.
pub const DAMAGED: &str = "block.project";
const BEFORE: &str = "block.depthwise";

/// A power of two, so that float results keep every bit.
const FACTOR: f32 = 65536.0;

/// Divides one channel between two neighbours by a large number and multiplies it back in the weight of the second.
///
/// In float nothing changes. In int8 each row of that weight has one scale, which now serves a single huge element, and all
/// others round to 0. The channel is the one that matters least, so that it alone would not be missed.
pub fn damage(net: &mut DigitsNet, images: &[Value]) -> Result<(), Box<dyn Error>> {
    qnn::name_places(net);
    let channel = least_channel(net, images)?;
    edit(net, BEFORE, &mut |state| {
        scale_rows(state, channel, "weight")?;
        scale_rows(state, channel, "bias")
    })?;
    edit(net, DAMAGED, &mut |state| {
        scale_column(state, channel, FACTOR)
    })
}

/// The channel between both places whose loss changes the logits least.
fn least_channel(net: &mut DigitsNet, images: &[Value]) -> Result<usize, Box<dyn Error>> {
    let images = images.first().ok_or("no images")?;
    let whole = net.forward(images)?.to_tensor();
    let original = state_of(net, DAMAGED)?;
    let channels = original.clone().take_tensor("damage", "weight")?.shape()[1];
    let mut least = (0, f64::NEG_INFINITY);
    for channel in 0..channels {
        edit(net, DAMAGED, &mut |state| scale_column(state, channel, 0.0))?;
        let sqnr = metrics::sqnr_db(&whole, &net.forward(images)?.to_tensor())?;
        edit(net, DAMAGED, &mut |state| {
            *state = original.clone();
            Ok(())
        })?;
        if sqnr > least.1 {
            least = (channel, sqnr);
        }
    }
    Ok(least.0)
}

fn scale_column(state: &mut State, column: usize, factor: f32) -> Result<()> {
    let mut weight = state.take_tensor("damage", "weight")?;
    // A 1 × 1 convolution: dimension 1 is the innermost one that is longer than 1.
    let columns = weight.shape()[1];
    for (i, value) in weight.make_mut().iter_mut().enumerate() {
        if i % columns == column {
            *value *= factor;
        }
    }
    state.insert("weight", Entry::Tensor(weight));
    Ok(())
}

fn scale_rows(state: &mut State, row: usize, key: &str) -> Result<()> {
    let mut tensor = state.take_tensor("damage", key)?;
    let rows = tensor.shape()[0];
    let values = tensor.make_mut();
    let length = values.len() / rows;
    for value in &mut values[row * length..(row + 1) * length] {
        *value /= FACTOR;
    }
    state.insert(key, Entry::Tensor(tensor));
    Ok(())
}

fn state_of(net: &DigitsNet, place: &str) -> Result<State, Box<dyn Error>> {
    let mut found = None;
    qnn::walk(net, &mut |path, node| {
        if path == place {
            found = Some(node.state());
        }
    });
    Ok(found.ok_or_else(|| format!("no place {place:?}"))?)
}

/// Replaces the numbers of one place.
fn edit(
    net: &mut DigitsNet,
    place: &str,
    change: &mut dyn FnMut(&mut State) -> Result<()>,
) -> Result<(), Box<dyn Error>> {
    let mut state = state_of(net, place)?;
    change(&mut state)?;
    let mut result = Ok(());
    qnn::walk_mut(net, &mut |path, node| {
        if path == place {
            result = node.load_state(&mut state);
        }
    });
    Ok(result?)
}
