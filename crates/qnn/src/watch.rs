//! Whether anything looks at the values between places: if nothing does, several places may run as one.

use qgrad::trace;

use crate::{probe, tap};

/// Whether something on this thread looks at what places take and give. A profile does not: it times what runs.
pub(crate) fn watches_values() -> bool {
    trace::is_recording() || tap::is_active() || probe::is_active()
}
