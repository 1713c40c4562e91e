//! How the benches measure: samples short enough for a coffee break, and one thread unless a name says more.

use std::time::Duration;

use criterion::Criterion;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

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

/// Whether criterion measures, as `cargo bench` asks of it, or runs each function once, as in `cargo test`.
pub fn measures() -> bool {
    let given = |option: &str| std::env::args().any(|argument| argument == option);
    given("--bench") && !given("--test")
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

/// Runs `work` on a thread of a pool of `threads`, so that whatever forks inside does so from a worker.
///
/// One thread is the calling one: nothing is spawned, and nothing handed over.
///
/// # Errors
/// If the system refuses to start threads, or one thread is asked for where a global pool exists.
pub fn with_threads<R: Send>(
    threads: usize,
    work: impl FnOnce() -> R + Send,
) -> Result<R, ThreadPoolBuildError> {
    let builder = ThreadPoolBuilder::new().num_threads(threads);
    if threads == 1 {
        builder.use_current_thread().build_global()?;
        return Ok(work());
    }
    Ok(builder.build()?.install(work))
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
