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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspension_nests_and_ends_on_unwinding() {
        assert!(is_recording_gradients());
        no_grad(|| {
            no_grad(|| assert!(!is_recording_gradients()));
            assert!(!is_recording_gradients());
            std::thread::scope(|s| {
                let other = s.spawn(is_recording_gradients).join();
                assert!(other.unwrap());
            });
        });
        assert!(is_recording_gradients());
        let result =
            std::panic::catch_unwind(|| no_grad(|| std::panic::resume_unwind(Box::new(1))));
        assert!(result.is_err());
        assert!(is_recording_gradients());
    }
}
