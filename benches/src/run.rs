//! How the benches measure: samples short enough for a coffee break, and one thread unless a name says more.

use std::time::Duration;

use criterion::Criterion;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Criterion with few and short samples: all benches together take a few minutes.
///
/// The options of the command line (`--sample-size`, `--measurement-time`, `--quick`) take precedence.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args()
}

/// Makes the global pool one of a single thread, the calling one, so that whatever asks for the number of
/// threads finds one and nothing is handed over.
///
/// Call it first; a pool that exists already cannot be changed, and is an error here.
///
/// # Panics
/// If the global pool exists.
pub fn on_one_thread() {
    ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build_global()
        .expect("nothing used the global pool before");
}

/// A pool of as many threads as the machine has, for the benches that name their threads.
///
/// # Panics
/// If the system refuses to start threads.
pub fn all_threads() -> ThreadPool {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("the system starts threads")
}
