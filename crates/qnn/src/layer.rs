//! `Layer`: a place in a model, declared by its float module and filled by any module of the same signature.

use std::any::{Any, TypeId};
use std::marker::PhantomData;

use qgrad::Var;
use qgrad::trace::{self, Event};
use qobserve::Observer;

use crate::bridge::Bridge;
use crate::error::{Error, Result};
use crate::hooks::{HookHandle, Hooked, Hooks, Replaced};
use crate::module::{Module, Node};
use crate::place::{Erased, Held, Place, QConfigSetting};
use crate::prepared::Prepared;
use crate::probe;
use crate::profile::{self, Called};
use crate::state::State;
use crate::tap;
use crate::value::{Flow, Value};
use crate::watch::watches_values;

/// A place in a model: declared as `Layer<Conv2d>`, filled with a `Conv2d` at first, and with its fused,
/// observed or quantized counterpart later.
///
/// ```
/// use qnn::{Layer, Linear, Value};
/// use qtensor_core::Tensor;
///
/// let fc: Layer<Linear> = Linear::new(3, 2)?.into();
/// let y = fc.forward(&Tensor::zeros(&[5, 3])?.into())?;
/// assert_eq!(y.shape(), [5, 2]);
/// # Ok::<(), qnn::Error>(())
/// ```
pub struct Layer<M: Module> {
    held: Held<M::Input, M::Output>,
    path: String,
    qconfig: QConfigSetting,
    prepared: Option<Prepared>,
    hooks: Hooks,
    bridge: Option<Bridge>,
    declared: PhantomData<fn() -> M>,
}

impl<M: Module> Layer<M> {
    /// A place that holds `module`.
    pub fn new(module: M) -> Layer<M> {
        Layer {
            held: Box::new(module),
            path: String::new(),
            qconfig: QConfigSetting::Inherit,
            prepared: None,
            hooks: Hooks::default(),
            bridge: None,
            declared: PhantomData,
        }
    }

    /// The place with a quantization setting of its own, which wins over the model's.
    #[doc(alias = "qconfig_field")]
    pub fn with_qconfig(mut self, setting: QConfigSetting) -> Layer<M> {
        self.qconfig = setting;
        self
    }

    /// The module in the place, if it still is of the declared type.
    pub fn get(&self) -> Option<&M> {
        let node: &dyn Node = &*self.held;
        (node as &dyn Any).downcast_ref()
    }

    /// Calls `hook` with the values that come in, before the module runs; values that it answers with go in instead.
    ///
    /// The hook stays with the place, whatever module comes into it, until its handle removes it.
    pub fn register_forward_pre_hook(
        &mut self,
        hook: impl Fn(Hooked<'_>, &[&Value]) -> Replaced + Send + Sync + 'static,
    ) -> HookHandle {
        self.hooks.register_before(hook)
    }

    /// Calls `hook` with the values that came in and those that go out; values that it answers with go out instead.
    ///
    /// It runs behind the place's observer, so calibration sees what the module gave. A place with hooks is never
    /// skipped by a kernel that computes several places in one.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use qnn::{Layer, Linear};
    /// use qtensor_core::Tensor;
    ///
    /// let mut fc: Layer<Linear> = Linear::new(3, 2)?.into();
    /// let shapes = Arc::new(Mutex::new(Vec::new()));
    /// let seen = Arc::clone(&shapes);
    /// let handle = fc.register_forward_hook(move |_, _, outputs| {
    ///     seen.lock().unwrap().push(outputs[0].shape().to_vec());
    ///     Ok(None)
    /// });
    /// fc.forward(&Tensor::zeros(&[5, 3])?.into())?;
    /// handle.remove();
    /// fc.forward(&Tensor::zeros(&[1, 3])?.into())?;
    /// assert_eq!(*shapes.lock().unwrap(), [[5, 2]]);
    /// # Ok::<(), qnn::Error>(())
    /// ```
    pub fn register_forward_hook(
        &mut self,
        hook: impl Fn(Hooked<'_>, &[&Value], &[&Value]) -> Replaced + Send + Sync + 'static,
    ) -> HookHandle {
        self.hooks.register_after(hook)
    }

    /// Runs the module, and shows its output to the attached observer. Where that is a fake-quant, its rounded values
    /// are the output. Hooks come before the module and behind the observer.
    ///
    /// # Errors
    /// The module's error, or the observer's (NaN or infinity during calibration), or a hook's, with this place's name.
    pub fn forward(&self, input: &M::Input) -> Result<M::Output> {
        let replaced = self.hooks.before(self.hooked(), input);
        let replaced = replaced.map_err(|e| e.at(&self.path, self.held.kind()))?;
        let input = replaced.as_ref().unwrap_or(input);
        let tracing = trace::is_recording();
        tap::enter(&self.path, input);
        if tracing {
            trace::push(Event::Enter {
                label: self.path.clone(),
                inputs: ids(input),
            });
        }
        let entered = profile::enter(input);
        let crossed = match &self.bridge {
            Some(bridge) => Some(
                bridge
                    .cross(input)
                    .map_err(|e| e.at(&self.path, self.held.kind()))?,
            ),
            None => None,
        };
        let mut output = self
            .compute(crossed.as_ref().unwrap_or(input))
            .map_err(|e| e.at(&self.path, self.held.kind()))?;
        if let Some(entered) = entered {
            entered.leave(self.called(), &output);
        }
        if let Some(prepared) = &self.prepared {
            if self.held.observes(input) {
                let watched = prepared.observe(output);
                output = watched.map_err(|e| e.at(&self.path, self.held.kind()))?;
            } else {
                prepared.pass_by();
            }
        }
        let output = self.hooks.after(self.hooked(), input, output);
        let output = output.map_err(|e| e.at(&self.path, self.held.kind()))?;
        let output = tap::pass(&self.path, output)?;
        if tracing {
            trace::push(Event::Exit {
                label: self.path.clone(),
                outputs: ids(&output),
                rank: output.observed().map_or(0, |v| v.shape().len()),
            });
        }
        Ok(output)
    }

    /// As [`forward`](Self::forward), of an input that the caller needs no more; see [`Module::forward_owned`].
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_owned(&self, input: M::Input) -> Result<M::Output> {
        if self.bridge.is_some() || self.is_watched() || watches_values() {
            return self.forward(&input);
        }
        let entered = profile::enter(&input);
        let output = self.held.forward_owned(input);
        let output = output.map_err(|e| e.at(&self.path, self.held.kind()))?;
        if let Some(entered) = entered {
            entered.leave(self.called(), &output);
        }
        Ok(output)
    }

    fn called(&self) -> Called<'_> {
        Called {
            path: &self.path,
            kind: self.held.kind(),
            with: &[],
        }
    }

    fn hooked(&self) -> Hooked<'_> {
        Hooked {
            path: &self.path,
            module: &*self.held,
        }
    }

    fn compute(&self, input: &M::Input) -> Result<M::Output> {
        let result = self.held.forward(input);
        match result {
            Err(error) if probe::is_active() => {
                match probe::note(&self.path, self.held.kind(), &error) {
                    Some(wanted) => self
                        .held
                        .forward(&input.map(&mut |v| probe::coerce(v, wanted))?),
                    None => Err(error),
                }
            }
            other => other,
        }
    }
}

impl<M: Module> From<M> for Layer<M> {
    fn from(module: M) -> Layer<M> {
        Layer::new(module)
    }
}

impl<M: Module> Place for Layer<M> {
    fn path(&self) -> &str {
        &self.path
    }

    fn set_path(&mut self, path: &str) {
        self.path = path.to_string();
    }

    fn held(&self) -> &dyn Node {
        &*self.held
    }

    fn held_mut(&mut self) -> &mut dyn Node {
        &mut *self.held
    }

    fn declared(&self) -> (TypeId, &'static str) {
        let full = std::any::type_name::<M>();
        (TypeId::of::<M>(), full)
    }

    fn accepts(&self, module: &Erased) -> Result<()> {
        if module.held.is::<Held<M::Input, M::Output>>() {
            return Ok(());
        }
        Err(Error::Signature {
            path: self.path.clone(),
            declared: std::any::type_name::<M>(),
            offered: module.kind.into(),
        })
    }

    fn replace(&mut self, mut module: Erased) -> Result<Erased> {
        self.accepts(&module)?;
        module.kind = self.held.kind();
        if let Some(held) = module.held.downcast_mut::<Held<M::Input, M::Output>>() {
            std::mem::swap(held, &mut self.held);
        }
        Ok(module)
    }

    fn bridge(&self) -> Option<&Bridge> {
        self.bridge.as_ref()
    }

    fn set_bridge(&mut self, bridge: Option<Bridge>) {
        self.bridge = bridge;
    }

    fn qconfig(&self) -> &QConfigSetting {
        &self.qconfig
    }

    fn set_qconfig(&mut self, setting: QConfigSetting) {
        self.qconfig = setting;
    }

    fn set_prepared(&mut self, prepared: Option<Prepared>) {
        self.prepared = prepared;
    }

    fn prepared(&self) -> Option<&Prepared> {
        self.prepared.as_ref()
    }

    fn take_prepared(&mut self) -> Option<Prepared> {
        self.prepared.take()
    }

    fn prepared_mut(&mut self) -> Option<&mut Prepared> {
        self.prepared.as_mut()
    }

    fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    fn hooks_mut(&mut self) -> &mut Hooks {
        &mut self.hooks
    }
}

impl<M: Module> Node for Layer<M> {
    fn kind(&self) -> &'static str {
        self.held.kind()
    }

    fn extra_repr(&self) -> String {
        self.held.extra_repr()
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        self.held.children(visit);
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        self.held.children_mut(visit);
    }

    fn state(&self) -> State {
        self.held.state()
    }

    fn config(&self) -> State {
        self.held.config()
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.held.load_state(state)
    }

    fn set_training(&mut self, training: bool) {
        self.held.set_training(training);
        if let Some(prepared) = &mut self.prepared {
            prepared.set_training(training);
        }
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        self.held.parameters_mut(visit);
        if let Some(fake_quant) = self.prepared.as_mut().and_then(Prepared::fake_quant_mut) {
            fake_quant.parameters_mut(&mut |name, var| {
                visit(&format!("activation_post_process.{name}"), var);
            });
        }
    }

    fn observers_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Observer)) {
        self.held.observers_mut(visit);
        if let Some(observer) = self.prepared.as_mut().and_then(Prepared::observer_mut) {
            visit("activation_post_process", observer);
        }
    }

    fn observers(&self, visit: &mut dyn FnMut(&str, &dyn Observer)) {
        self.held.observers(visit);
        if let Some(observer) = self.prepared.as_ref().and_then(Prepared::observer) {
            visit("activation_post_process", &**observer);
        }
    }

    fn set_bn_frozen(&mut self, frozen: bool) {
        self.held.set_bn_frozen(frozen);
    }

    fn as_place(&self) -> Option<&dyn Place> {
        Some(self)
    }

    fn as_place_mut(&mut self) -> Option<&mut dyn Place> {
        Some(self)
    }
}

impl<M: Module> Module for Layer<M> {
    type Input = M::Input;
    type Output = M::Output;

    fn forward(&self, input: &M::Input) -> Result<M::Output> {
        Layer::forward(self, input)
    }

    fn forward_owned(&self, input: M::Input) -> Result<M::Output> {
        Layer::forward_owned(self, input)
    }
}

impl<M: Module> std::fmt::Debug for Layer<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Layer({}({}))", self.held.kind(), self.held.extra_repr())
    }
}

fn ids(flow: &impl Flow) -> Vec<qgrad::VarId> {
    let mut ids = Vec::new();
    flow.values(&mut |v| ids.extend(v.id()));
    ids
}
