//! The protocol: one call to warm up, then turns of calls until the time is over; the median of the fastest turn counts.
//!
//! A shared machine runs at half its speed for seconds, whenever its neighbours are busy. A median across such a change is of
//! neither speed, and one of a slow turn says what the neighbours did.

use std::hint::black_box;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use qtensor::prelude::*;
use qtensor::qkernels_x86::{Isa, Peak};

use crate::Failure;
use crate::bench::Bench;
use crate::case::{Case, Variant};
use crate::report::Row;

/// Calls of a turn at least.
const LEAST_CALLS: usize = 3;

/// Seconds of a turn.
const TURN: f64 = 0.1;

/// How long the peak is measured.
const PEAK_BUDGET: Duration = Duration::from_millis(200);

/// What all cases of a run share.
pub struct Session {
    /// The instruction set.
    pub isa: Isa,
    /// Threads of the pool in which everything runs.
    pub threads: usize,
    /// Seconds for each case and variant.
    pub seconds: f64,
    /// The peak of one thread.
    pub peak: Peak,
    progress: ProgressBar,
}

impl Session {
    /// Measures the peak and shows the progress from now on, where there is a terminal.
    pub fn new(threads: usize, seconds: f64) -> Result<Session, Failure> {
        let isa = Isa::active()?;
        let progress = ProgressBar::new_spinner();
        progress.set_style(ProgressStyle::with_template(
            "{elapsed:>4} {prefix}: {msg}",
        )?);
        let session = Session {
            isa,
            threads,
            seconds,
            peak: isa.measure_peak(PEAK_BUDGET),
            progress,
        };
        Ok(session)
    }

    /// Shows what is going on.
    pub fn say(&self, case: &str, what: &str) {
        self.progress.set_prefix(case.to_string());
        self.progress.set_message(what.to_string());
        self.progress.tick();
    }

    /// The peak of all threads, in products a second.
    pub fn peak_macs(&self) -> f64 {
        self.peak.macs_per_second * self.threads as f64
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}

/// The times of the calls of one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// The median of the fastest turn, in seconds.
    pub median: f64,
    /// The least, in seconds.
    pub min: f64,
}

impl Timing {
    /// Of times in seconds, in any order; there is at least one.
    pub fn of(mut times: Vec<f64>) -> Timing {
        times.sort_by(f64::total_cmp);
        Timing {
            median: times[times.len() / 2],
            min: times[0],
        }
    }

    /// The least of both turns: their lesser median and their least time.
    fn faster(self, other: Timing) -> Timing {
        Timing {
            median: self.median.min(other.median),
            min: self.min.min(other.min),
        }
    }
}

/// Times `call` for about so many seconds.
pub fn timed(seconds: f64, mut call: impl FnMut() -> Result<Value>) -> Result<Timing, Failure> {
    black_box(call()?);
    let start = Instant::now();
    let mut best = turn(seconds.min(TURN), &mut call)?;
    while start.elapsed().as_secs_f64() < seconds {
        best = best.faster(turn(TURN, &mut call)?);
    }
    Ok(best)
}

/// The times of one turn of about so many seconds.
fn turn(seconds: f64, call: &mut impl FnMut() -> Result<Value>) -> Result<Timing, Failure> {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < LEAST_CALLS || start.elapsed().as_secs_f64() < seconds {
        let before = Instant::now();
        let result = black_box(call()?);
        times.push(before.elapsed().as_secs_f64());
        // Peers' results live until the next call, too.
        drop(result);
    }
    Ok(Timing::of(times))
}

/// Measures the wanted variants of a case.
pub fn case(case: Case, wanted: &[Variant], session: &Session) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    if wanted.is_empty() {
        return Ok(rows);
    }
    let mut bench = Bench::float(case, session)?;
    for variant in wanted {
        let what = match variant {
            Variant::F32 => "timing float",
            Variant::Static => {
                bench.convert(session)?;
                "timing int8"
            }
            Variant::Dynamic => {
                bench.convert_dynamic(session)?;
                "timing dynamic int8"
            }
        };
        let timing = bench.time(session, what, |call| call())?;
        rows.push(Row::new(case.id(), *variant, timing, bench.macs, session));
    }
    Ok(rows)
}

/// A number of seconds, for the command line.
pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds from 0 to 3600".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_calls_are_timed_behind_one_that_is_not() {
        let mut calls = 0;
        let timing = timed(0.0, || {
            calls += 1;
            Ok(Tensor::scalar(1.0).into())
        });
        assert!(timing.is_ok_and(|t| t.min <= t.median));
        assert_eq!(calls, 4);
    }

    #[test]
    fn the_median_of_the_fastest_turn_counts() {
        let slow = Timing::of(vec![4.0, 2.0, 3.0]);
        let fast = Timing::of(vec![2.5, 9.0, 2.4]);
        let expected = Timing {
            median: 2.5,
            min: 2.0,
        };
        assert_eq!(slow.faster(fast), expected);
        assert_eq!(fast.faster(slow), expected);
    }

    #[test]
    fn the_median_is_that_of_the_sorted_times() {
        let timing = Timing::of(vec![3.0, 1.0, 10.0]);
        assert_eq!(
            timing,
            Timing {
                median: 3.0,
                min: 1.0
            }
        );
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["-1", "inf", "NaN", "1e9", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
