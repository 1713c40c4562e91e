//! `Place`: where a model holds a module, as the flow sees it, to swap modules of one signature.

use std::any::{Any, TypeId};

use qobserve::QConfig;

use crate::bridge::Bridge;
use crate::error::Result;
use crate::hooks::Hooks;
use crate::module::{Module, Node};
use crate::prepared::Prepared;
use crate::value::Flow;

/// A boxed module of one signature: what a place holds.
pub type Held<I, O> = Box<dyn Module<Input = I, Output = O>>;

/// What a place says about its own quantization.
#[derive(Clone, Debug, Default)]
pub enum QConfigSetting {
    /// Nothing: the model's configuration decides.
    #[default]
    Inherit,
    /// Leave this place, and all below it, in float (`qconfig = None` in PyTorch).
    Float,
    /// Use this configuration here and below.
    Use(QConfig),
}

/// A module on its way into a place, with its type erased; made by [`erase`].
pub struct Erased {
    pub(crate) held: Box<dyn Any>,
    pub(crate) kind: &'static str,
}

impl Erased {
    /// The kind of module inside.
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}

/// Erases a module's type, so that a table can hand it to a place; the signature is kept and checked there.
pub fn erase<I: Flow, O: Flow>(module: impl Module<Input = I, Output = O>) -> Erased {
    let kind = module.kind();
    let held: Held<I, O> = Box::new(module);
    Erased {
        held: Box::new(held),
        kind,
    }
}

/// The object-safe view of a [`Layer`](crate::Layer).
pub trait Place {
    /// The dotted name, once [`name_places`](crate::name_places) or a step of the flow has run.
    fn path(&self) -> &str;

    /// Sets the dotted name.
    fn set_path(&mut self, path: &str);

    /// The module in the place.
    fn held(&self) -> &dyn Node;

    /// The module in the place, mutably.
    fn held_mut(&mut self) -> &mut dyn Node;

    /// The type that the place was declared for.
    fn declared(&self) -> (TypeId, &'static str);

    /// Whether [`put`](Place::put) will take the module.
    ///
    /// # Errors
    /// [`Error::Signature`](crate::Error::Signature).
    fn accepts(&self, module: &Erased) -> Result<()>;

    /// Puts another module of the same signature into the place.
    ///
    /// # Errors
    /// [`Error::Signature`](crate::Error::Signature).
    fn put(&mut self, module: Erased) -> Result<()> {
        self.replace(module).map(|_| ())
    }

    /// As [`put`](Place::put), and answers with the module that was there.
    ///
    /// # Errors
    /// [`Error::Signature`](crate::Error::Signature).
    fn replace(&mut self, module: Erased) -> Result<Erased>;

    /// The border in front of the place, if it has one.
    fn bridge(&self) -> Option<&Bridge>;

    /// Sets up a border in front of the place, or takes it away.
    fn set_bridge(&mut self, bridge: Option<Bridge>);

    /// The place's own setting.
    fn qconfig(&self) -> &QConfigSetting;

    /// Changes the place's own setting.
    fn set_qconfig(&mut self, setting: QConfigSetting);

    /// Makes the place ready for calibration, or takes that back.
    fn set_prepared(&mut self, prepared: Option<Prepared>);

    /// What calibration has gathered, between preparation and conversion.
    fn prepared(&self) -> Option<&Prepared>;

    /// As [`prepared`](Place::prepared), taken out of the place, which watches nothing from then on.
    fn take_prepared(&mut self) -> Option<Prepared>;

    /// As [`prepared`](Place::prepared), mutably.
    fn prepared_mut(&mut self) -> Option<&mut Prepared>;

    /// The hooks of the place.
    fn hooks(&self) -> &Hooks;

    /// The hooks of the place, mutably.
    fn hooks_mut(&mut self) -> &mut Hooks;

    /// Whether something is shown what goes in or out of the place, so that both must come about.
    fn is_watched(&self) -> bool {
        self.prepared().is_some() || self.hooks().watch_inputs() || self.hooks().watch_outputs()
    }
}
