//! Whether operations record: on unless inside `no_grad`, per thread.

use std::cell::Cell;

thread_local! {
    static SUSPENDED: Cell<usize> = const { Cell::new(0) };
}

/// Runs `f` without recording: what it computes requires no gradient, whatever it is computed from.
///
/// Holds for the calling thread, nests, and ends when `f` returns or unwinds.
///
/// ```
/// # use qgrad::{Var, no_grad, ops};
/// # use qtensor_core::Tensor;
/// let w = Var::parameter(Tensor::ones(&[2])?);
/// assert!(ops::relu(&w)?.requires_grad());
/// assert!(!no_grad(|| ops::relu(&w))?.requires_grad());
/// # Ok::<(), qgrad::Error>(())
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    struct Resume;
    impl Drop for Resume {
        fn drop(&mut self) {
            SUSPENDED.with(|depth| depth.set(depth.get() - 1));
        }
    }
    SUSPENDED.with(|depth| depth.set(depth.get() + 1));
    let _resume = Resume;
    f()
}

/// True unless the calling thread is inside [`no_grad`].
#[doc(alias = "is_grad_enabled")]
pub fn is_recording_gradients() -> bool {
    SUSPENDED.with(|depth| depth.get() == 0)
}
