//! Forward hooks of places: functions of the user's own that see, and may replace, what goes in and out.
//!
//! A hook belongs to the place, not to the module in it, so it outlives every step of the flow: preparation,
//! training, conversion. Fusion moves the hooks to where the fused module is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::{Error, Result};
use crate::module::Node;
use crate::value::{Flow, Value};

/// Where a hook is called.
#[derive(Clone, Copy)]
pub struct Hooked<'a> {
    /// The dotted name of the place, once [`name_places`](crate::name_places) or a step of the flow has run.
    pub path: &'a str,
    /// The module in the place.
    pub module: &'a dyn Node,
}

/// What a hook answers: values to go on instead, as many as came, or `None` to leave them as they are.
pub type Replaced = Result<Option<Vec<Value>>>;

type PreHook = dyn Fn(Hooked<'_>, &[&Value]) -> Replaced + Send + Sync;
type PostHook = dyn Fn(Hooked<'_>, &[&Value], &[&Value]) -> Replaced + Send + Sync;

/// The hooks of a place: those before the module runs and those after, each in the order of registration.
#[derive(Default)]
pub struct Hooks {
    before: Vec<Slot<PreHook>>,
    after: Vec<Slot<PostHook>>,
}

/// Removes a hook. Dropping the handle leaves the hook where it is.
#[derive(Clone)]
pub struct HookHandle {
    slot: Arc<dyn Fn() + Send + Sync>,
}

impl HookHandle {
    /// Takes the hook away, wherever fusion has moved it. A second call does nothing.
    pub fn remove(&self) {
        (self.slot)();
    }
}

impl std::fmt::Debug for HookHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookHandle")
    }
}

/// One hook, which its handle can empty.
struct Slot<F: ?Sized>(Arc<Filled<F>>);

struct Filled<F: ?Sized> {
    live: AtomicBool,
    hook: Mutex<Option<Arc<F>>>,
}

impl<F: ?Sized + Send + Sync + 'static> Slot<F> {
    fn new(hook: Arc<F>) -> (Slot<F>, HookHandle) {
        let filled = Arc::new(Filled {
            live: AtomicBool::new(true),
            hook: Mutex::new(Some(hook)),
        });
        let weak: Weak<Filled<F>> = Arc::downgrade(&filled);
        let slot = Arc::new(move || {
            if let Some(filled) = weak.upgrade() {
                filled.live.store(false, Ordering::Relaxed);
                // The closure is dropped behind the lock, because it may own a handle itself.
                let hook = filled
                    .hook
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                drop(hook);
            }
        });
        (Slot(filled), HookHandle { slot })
    }

    fn is_live(&self) -> bool {
        self.0.live.load(Ordering::Relaxed)
    }

    /// The hook, unless it was removed. It runs without the lock, so that it can remove itself.
    fn get(&self) -> Option<Arc<F>> {
        let hook = self.0.hook.lock().unwrap_or_else(PoisonError::into_inner);
        hook.clone()
    }
}

impl Hooks {
    /// Calls `hook` with the values that come in, before the module runs.
    pub fn register_before(
        &mut self,
        hook: impl Fn(Hooked<'_>, &[&Value]) -> Replaced + Send + Sync + 'static,
    ) -> HookHandle {
        let (slot, handle) = Slot::new(Arc::new(hook) as Arc<PreHook>);
        self.before.retain(Slot::is_live);
        self.before.push(slot);
        handle
    }

    /// Calls `hook` with the values that came in and those that go out, after the module and its observer.
    pub fn register_after(
        &mut self,
        hook: impl Fn(Hooked<'_>, &[&Value], &[&Value]) -> Replaced + Send + Sync + 'static,
    ) -> HookHandle {
        let (slot, handle) = Slot::new(Arc::new(hook) as Arc<PostHook>);
        self.after.retain(Slot::is_live);
        self.after.push(slot);
        handle
    }

    /// Whether a hook sees what comes in.
    pub fn watch_inputs(&self) -> bool {
        self.before.iter().any(Slot::is_live)
    }

    /// Whether a hook sees what goes out.
    pub fn watch_outputs(&self) -> bool {
        self.after.iter().any(Slot::is_live)
    }

    /// Takes over the hooks behind the module from another place, behind those that are here.
    pub fn take_outputs_of(&mut self, other: &mut Hooks) {
        self.after.append(&mut other.after);
    }

    /// What the hooks make of an input; `None` if they leave it as it is.
    pub(crate) fn before<F: Flow>(&self, hooked: Hooked<'_>, input: &F) -> Result<Option<F>> {
        let mut now = None;
        for hook in self.before.iter().filter_map(Slot::get) {
            let current = now.as_ref().unwrap_or(input);
            if let Some(values) = hook(hooked, &list(current))? {
                now = Some(replace(current, values, "forward pre-hook")?);
            }
        }
        Ok(now)
    }

    /// What the hooks make of an output.
    pub(crate) fn after<I: Flow, O: Flow>(
        &self,
        hooked: Hooked<'_>,
        input: &I,
        mut output: O,
    ) -> Result<O> {
        for hook in self.after.iter().filter_map(Slot::get) {
            if let Some(values) = hook(hooked, &list(input), &list(&output))? {
                output = replace(&output, values, "forward hook")?;
            }
        }
        Ok(output)
    }
}

fn list(flow: &impl Flow) -> Vec<&Value> {
    let mut values = Vec::new();
    flow.values(&mut |value| values.push(value));
    values
}

fn replace<F: Flow>(flow: &F, values: Vec<Value>, hook: &'static str) -> Result<F> {
    let expected = list(flow).len();
    if values.len() != expected {
        return Err(Error::Config {
            module: hook,
            what: format!("it answered with {} values for {expected}", values.len()),
        });
    }
    let mut values = values.into_iter();
    flow.map(&mut |old| Ok(values.next().unwrap_or_else(|| old.clone())))
}
