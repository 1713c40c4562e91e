//! Hooks by the dotted name of a place, and what fusion does with them.

use std::collections::BTreeSet;

use qnn::{HookHandle, Hooked, Hooks, Node, Replaced, Value, name_places, paths, walk, walk_mut};

use crate::error::{Error, Result};

/// Calls `hook` with the values that come into the place of that name, before its module runs.
///
/// As [`Layer::register_forward_pre_hook`](qnn::Layer::register_forward_pre_hook), for places that are known by name.
///
/// # Errors
/// [`Error::UnknownPlaces`].
pub fn register_forward_pre_hook(
    model: &mut dyn Node,
    place: &str,
    hook: impl Fn(Hooked<'_>, &[&Value]) -> Replaced + Send + Sync + 'static,
) -> Result<HookHandle> {
    register(model, place, |hooks| hooks.register_before(hook))
}

/// Calls `hook` with the values that came into the place of that name and those that go out.
///
/// As [`Layer::register_forward_hook`](qnn::Layer::register_forward_hook), for places that are known by name.
///
/// # Errors
/// [`Error::UnknownPlaces`].
///
/// ```
/// use qflow::register_forward_hook;
/// use qnn::{Linear, Module, ReLU, Sequential};
/// use qtensor_core::Tensor;
///
/// let mut net = Sequential::new().push(Linear::new(3, 2)?).push(ReLU);
/// // Values that a hook answers with go on in place of the module's own.
/// let zero = |_: qnn::Hooked<'_>, _: &[&qnn::Value], y: &[&qnn::Value]| {
///     Ok(Some(vec![qnn::Value::from(Tensor::zeros(y[0].shape())?)]))
/// };
/// let handle = register_forward_hook(&mut net, "0", zero)?;
/// let x = Tensor::ones(&[1, 3])?.into();
/// assert_eq!(net.forward(&x)?.to_tensor().to_vec(), [0.0, 0.0]);
/// handle.remove();
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn register_forward_hook(
    model: &mut dyn Node,
    place: &str,
    hook: impl Fn(Hooked<'_>, &[&Value], &[&Value]) -> Replaced + Send + Sync + 'static,
) -> Result<HookHandle> {
    register(model, place, |hooks| hooks.register_after(hook))
}

fn register(
    model: &mut dyn Node,
    name: &str,
    with: impl FnOnce(&mut Hooks) -> HookHandle,
) -> Result<HookHandle> {
    name_places(model);
    let (mut with, mut handle) = (Some(with), None);
    walk_mut(model, &mut |path, node| {
        if let Some(place) = node.as_place_mut().filter(|_| path == name)
            && let Some(with) = with.take()
        {
            handle = Some(with(place.hooks_mut()));
        }
    });
    handle.ok_or_else(|| Error::UnknownPlaces {
        operation: "hook",
        names: vec![name.to_string()],
        known: paths(model),
    })
}

/// The places whose hooks watch what goes in, and those whose hooks watch what goes out.
pub(crate) fn watched(model: &dyn Node) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    walk(model, &mut |path, node| {
        let Some(place) = node.as_place() else {
            return;
        };
        if place.hooks().watch_inputs() {
            before.insert(path.to_string());
        }
        if place.hooks().watch_outputs() {
            after.insert(path.to_string());
        }
    });
    (before, after)
}

/// Moves the hooks behind the last place of each chain behind the first, where the fused module is.
pub(crate) fn move_to_first(model: &mut dyn Node, chains: &[Vec<String>]) {
    for chain in chains {
        let [first, .., last] = chain.as_slice() else {
            continue;
        };
        let mut moved = Hooks::default();
        walk_mut(model, &mut |path, node| {
            if let Some(place) = node.as_place_mut().filter(|_| path == last) {
                moved.take_outputs_of(place.hooks_mut());
            }
        });
        walk_mut(model, &mut |path, node| {
            if let Some(place) = node.as_place_mut().filter(|_| path == first) {
                place.hooks_mut().take_outputs_of(&mut moved);
            }
        });
    }
}
