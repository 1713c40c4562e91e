//! Whether anything looks at the calls of places: if nothing does, several may run as one.

use qgrad::trace;

use crate::{probe, profile, tap};

/// Whether something on this thread looks at calls of places.
pub(crate) fn watches_places() -> bool {
    watches_values() || profile::is_active()
}

/// Whether something on this thread looks at what places take and give.
pub(crate) fn watches_values() -> bool {
    trace::is_recording() || tap::is_active() || probe::is_active()
}
