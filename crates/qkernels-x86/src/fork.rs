//! One fork: parts of an operation go to the threads of rayon's pool, which stay awake for the next one.
//!
//! A sleeping worker takes tens of microseconds to wake, about as long as a layer of a network takes, so that
//! operators that follow each other closely would gain nothing from a second thread. A worker that has computed a
//! part therefore looks for more for [`LINGER`] before it may sleep; it runs whatever its pool has to do meanwhile.
//! `docs/kernels.md` has the measurement.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::hint::spin_loop;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rayon::Yield;

/// How long a worker without work stays awake, and how long a caller looks for its last part before it sleeps:
/// longer than the serial stretches between the operators of a pass.
const LINGER: Duration = Duration::from_micros(200);

/// Looks for work between two readings of the clock.
const LOOKS: usize = 32;

thread_local! {
    /// Whether this thread is in a fork or lingers already, below the current job on its stack.
    static ENGAGED: Cell<bool> = const { Cell::new(false) };
}

/// Engages this thread until it is dropped.
struct Engaged {
    before: bool,
}

impl Engaged {
    fn new() -> Engaged {
        Engaged {
            before: ENGAGED.replace(true),
        }
    }
}

impl Drop for Engaged {
    fn drop(&mut self) {
        ENGAGED.set(self.before);
    }
}

/// Calls `work` once for each of `parts`, in parallel: the first on the calling thread, the others on that and the
/// threads of its pool, or of the global pool if it is in none. A single part costs nothing.
///
/// ```
/// let mut out = [0; 5];
/// qkernels_x86::fork(out.chunks_mut(2).enumerate(), |(index, part)| part.fill(index));
/// assert_eq!(out, [0, 0, 1, 1, 2]);
/// ```
pub fn fork<T: Send>(parts: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else {
        return;
    };
    let Some(second) = parts.next() else {
        return work(first);
    };
    let finished = AtomicUsize::new(0);
    rayon::in_place_scope(|scope| {
        let mut others = 0;
        for part in core::iter::once(second).chain(parts) {
            others += 1;
            let (work, finished) = (&work, &finished);
            scope.spawn(move |_| {
                work(part);
                finished.fetch_add(1, Ordering::Release);
                stay_awake();
            });
        }
        let _engaged = Engaged::new();
        work(first);
        look_for_work(|| finished.load(Ordering::Acquire) == others);
    });
}

/// As [`fork`], for work that can fail.
///
/// # Errors
/// That of the first part that failed.
pub fn try_fork<T: Send, E: Send>(
    parts: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let failed: Mutex<Option<(usize, E)>> = Mutex::new(None);
    fork(parts.into_iter().enumerate(), |(index, part)| {
        if let Err(error) = work(part) {
            // A panic elsewhere leaves the error as it is, and reaches the caller anyway.
            let mut failed = failed.lock().unwrap_or_else(|poison| poison.into_inner());
            if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                *failed = Some((index, error));
            }
        }
    });
    let failed = failed
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

/// Lets this worker linger once the current job is done, unless it does already.
fn stay_awake() {
    if ENGAGED.get() {
        return;
    }
    let Some(home) = rayon::current_thread_index() else {
        return;
    };
    rayon::spawn(move || {
        // Another thread may have taken this job, but only the worker that computed a part should wait here.
        if rayon::current_thread_index() == Some(home) && !ENGAGED.get() {
            let _engaged = Engaged::new();
            look_for_work(|| false);
        }
    });
}

/// Runs what the pool has to do until `done`, or until there has been nothing for [`LINGER`].
fn look_for_work(done: impl Fn() -> bool) {
    let mut since: Option<Instant> = None;
    loop {
        for _ in 0..LOOKS {
            if done() {
                return;
            }
            if rayon::yield_now() == Some(Yield::Executed) {
                since = None;
            } else {
                spin_loop();
            }
        }
        if since.get_or_insert_with(Instant::now).elapsed() >= LINGER {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(count: usize) -> Vec<usize> {
        let mut out = vec![0; count];
        fork(out.iter_mut().enumerate(), |(index, out)| {
            *out = index * index
        });
        out
    }

    #[test]
    fn every_part_is_computed_once_in_and_outside_of_pools() {
        for count in [0, 1, 2, 3, 7, 100] {
            let expected: Vec<usize> = (0..count).map(|index| index * index).collect();
            assert_eq!(squares(count), expected);
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let pool = pool.expect("a pool of few threads");
                assert_eq!(pool.install(|| squares(count)), expected, "{threads}");
            }
        }
    }

    #[test]
    fn forks_nest_and_many_callers_share_a_pool() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        let pool = pool.expect("a pool of three threads");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    pool.install(|| {
                        for _ in 0..50 {
                            let mut sums = [0; 6];
                            fork(sums.iter_mut(), |sum| *sum = squares(5).iter().sum());
                            assert_eq!(sums, [30; 6]);
                        }
                    });
                });
            }
        });
    }

    #[test]
    fn the_first_failure_is_reported_whichever_comes_first_in_time() {
        for _ in 0..50 {
            let failed = try_fork(0..9, |part| if part % 3 == 2 { Err(part) } else { Ok(()) });
            assert_eq!(failed, Err(2));
        }
        assert_eq!(try_fork(0..9, |_| Ok::<(), ()>(())), Ok(()));
    }

    #[test]
    #[should_panic(expected = "part 3")]
    fn a_panic_of_a_part_reaches_the_caller() {
        fork(0..5, |part| assert_ne!(part, 3, "part 3"));
    }
}
