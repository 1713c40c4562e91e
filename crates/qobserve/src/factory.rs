//! `ObserverFactory`: how a qconfig names a kind of observer that is built once for every place.

use std::fmt;
use std::sync::Arc;

use crate::builder::Buildable;
use crate::observer::Observer;
use crate::settings::Settings;

/// Makes fresh observers of one kind. Cloning is cheap.
///
/// ```
/// use qobserve::{MinMaxObserver, ObserverFactory};
/// let built_in: ObserverFactory = MinMaxObserver::builder().reduce_range(true).factory()?;
/// assert!(!built_in.build().has_observed());
/// // Of one's own, any closure that returns an observer:
/// let own = ObserverFactory::new("plain min/max", || Box::new(MinMaxObserver::default()));
/// assert_eq!(format!("{own:?}"), "ObserverFactory(plain min/max)");
/// # Ok::<(), qobserve::Error>(())
/// ```
#[derive(Clone)]
pub struct ObserverFactory {
    name: Arc<str>,
    make: Arc<dyn Fn() -> Box<dyn Observer> + Send + Sync>,
}

impl ObserverFactory {
    /// A factory that calls `make` for each observer. The name is for messages.
    pub fn new(
        name: impl Into<Arc<str>>,
        make: impl Fn() -> Box<dyn Observer> + Send + Sync + 'static,
    ) -> ObserverFactory {
        ObserverFactory {
            name: name.into(),
            make: Arc::new(make),
        }
    }

    /// A factory of built-in observers with checked settings.
    pub(crate) fn of<O: Buildable>(settings: Settings) -> ObserverFactory {
        let name = format!("{}: {settings}", O::NAME);
        ObserverFactory::new(name, move || Box::new(O::with_settings(settings)))
    }

    /// A fresh observer.
    pub fn build(&self) -> Box<dyn Observer> {
        (self.make)()
    }

    /// The name: for built-in observers the type and all settings.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Equal factories make observers of the same type with the same settings.
impl PartialEq for ObserverFactory {
    fn eq(&self, other: &ObserverFactory) -> bool {
        if Arc::ptr_eq(&self.make, &other.make) {
            return true;
        }
        // What a fresh observer prints is all that it was made with.
        let (a, b) = (self.build(), other.build());
        a.as_any().type_id() == b.as_any().type_id() && format!("{a:?}") == format!("{b:?}")
    }
}

impl fmt::Debug for ObserverFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObserverFactory({})", self.name)
    }
}
