//! Automatic mode: as many places in int8 as a bound on accuracy allows.

use indicatif::ProgressBar;
use qnn::Module;

use super::measure::{Measure, Score};
use super::sensitivity::{Sensitivity, db_text, progress, rank};
use super::switchboard::{Places, Switchboard};
use crate::error::Result;
use crate::report::Report;

/// How good the model must be in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At least this share of the float model's metric, such as 0.99. Without a metric no model but the float one
    /// reaches it; use [`AtLeast`](Bound::AtLeast) decibels then.
    OfFloat(f64),
    /// At least this metric, or this SQNR in decibels where there is no metric.
    AtLeast(f64),
}

impl Bound {
    /// Whether a model keeps the bound.
    pub fn holds(&self, score: &Score, float: &Score) -> bool {
        score.value() >= self.limit(float)
    }

    /// The least value that keeps the bound.
    pub fn limit(&self, float: &Score) -> f64 {
        match *self {
            Bound::OfFloat(share) => share * float.value(),
            Bound::AtLeast(value) => value,
        }
    }
}

/// A combination that was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The places in float, worst first.
    pub left_in_float: Vec<String>,
    /// What that gave.
    pub score: Score,
    /// Whether it keeps the bound.
    pub holds: bool,
}

/// The outcome of [`quantize_within`]. `Display` says what was tried and what came of it.
#[derive(Clone, Debug)]
pub struct Automatic {
    /// Whether the model that was left behind keeps the bound.
    pub reached: bool,
    /// The bound.
    pub bound: Bound,
    /// The score of that model.
    pub score: Score,
    /// Its places in float, worst first.
    pub left_in_float: Vec<String>,
    /// Everything that was tried, in order.
    pub trail: Vec<Trial>,
    /// The ranking that the search followed.
    pub sensitivity: Sensitivity,
    /// What became of each place.
    pub report: Report,
}

/// Converts a fused and calibrated model, and leaves the worst places in float until the bound holds.
///
/// Places are ranked as by [`rank_sensitivity`](super::rank_sensitivity) and left in float one after the other, the most
/// expensive first; once the bound holds, each of them is tried in int8 again, the cheapest first, and stays so if
/// the bound still holds. If no combination reaches the bound, the model becomes the best that was found (of equally
/// good ones, the one with the fewest float places), and [`reached`](Automatic::reached) is false: that is an
/// answer and not an error.
///
/// In the converted model, borders ([`qnn::Bridge`]) stand where values change kind; model files keep them.
///
/// # Errors
/// As [`rank_sensitivity`](super::rank_sensitivity). The model is float and calibrated again then.
///
/// ```
/// use qflow::accuracy::{Bound, Measure, quantize_within};
/// use qflow::{QConfig, calibrate, prepare};
/// use qnn::{DeQuantStub, Linear, QuantStub, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let mut net = Sequential::new().push(QuantStub).push(Linear::new(4, 2)?).push(DeQuantStub);
/// let samples: Vec<Value> = vec![Tensor::from_vec(vec![0.5, -1.0, 0.25, 1.0], &[1, 4])?.into()];
/// prepare(&mut net, QConfig::x86())?;
/// calibrate(&net, samples.clone())?;
/// let found = quantize_within(&mut net, &mut Measure::new(&samples), Bound::AtLeast(20.0))?;
/// assert!(found.reached && found.left_in_float.is_empty());
/// # Ok::<(), qflow::Error>(())
/// ```
#[doc(alias = "accuracy_aware")]
#[doc(alias = "automatic")]
pub fn quantize_within<M: Module>(
    model: &mut M,
    measure: &mut Measure<'_, M>,
    bound: Bound,
) -> Result<Automatic> {
    let sample = measure.sample("quantize_within")?;
    let mut board = Switchboard::new(model, sample)?;
    let sensitivity = rank(&mut board, measure)?;
    let all: Places = board.candidates().into_iter().collect();
    let worst: Vec<String> = sensitivity.places.iter().map(|p| p.path.clone()).collect();
    let mut search = Search {
        bar: progress("leaving places in float", worst.len()),
        trail: Vec::new(),
        all,
        bound,
        float: sensitivity.float,
    };
    search.note(Vec::new(), sensitivity.int8);
    search.leave(&mut board, measure, &worst)?;
    search.take_back(&mut board, measure)?;
    search.bar.finish_and_clear();
    let best = search.best();
    let int8 = search.int8(&best.left_in_float);
    let report = board.finish(&int8)?;
    Ok(Automatic {
        reached: best.holds,
        bound,
        score: best.score,
        left_in_float: best.left_in_float,
        trail: search.trail,
        sensitivity,
        report,
    })
}

/// What was tried so far.
struct Search {
    bar: ProgressBar,
    trail: Vec<Trial>,
    all: Places,
    bound: Bound,
    float: Score,
}

impl Search {
    fn int8(&self, left: &[String]) -> Places {
        let stays = |path: &&String| !left.contains(path);
        self.all.iter().filter(stays).cloned().collect()
    }

    fn note(&mut self, left_in_float: Vec<String>, score: Score) -> bool {
        let holds = self.bound.holds(&score, &self.float);
        self.trail.push(Trial {
            left_in_float,
            score,
            holds,
        });
        holds
    }

    fn try_out<M: Module>(
        &mut self,
        board: &mut Switchboard<'_, M>,
        measure: &mut Measure<'_, M>,
        left: &[String],
    ) -> Result<bool> {
        board.switch(&self.int8(left))?;
        let score = measure.score(board.model())?;
        self.bar.inc(1);
        Ok(self.note(left.to_vec(), score))
    }

    /// Leaves one more place in float, the worst first, until the bound holds.
    fn leave<M: Module>(
        &mut self,
        board: &mut Switchboard<'_, M>,
        measure: &mut Measure<'_, M>,
        worst: &[String],
    ) -> Result<()> {
        let mut holds = self.trail.iter().any(|trial| trial.holds);
        for count in 1..=worst.len() {
            if holds {
                break;
            }
            holds = self.try_out(board, measure, &worst[..count])?;
        }
        Ok(())
    }

    /// Tries each place that was left in float in int8 again, the cheapest first.
    fn take_back<M: Module>(
        &mut self,
        board: &mut Switchboard<'_, M>,
        measure: &mut Measure<'_, M>,
    ) -> Result<()> {
        let Some(last) = self.trail.last().filter(|trial| trial.holds) else {
            return Ok(());
        };
        let mut left = last.left_in_float.clone();
        // The last one of them is what made the bound hold.
        for path in left.clone().iter().rev().skip(1) {
            let fewer: Vec<String> = left.iter().filter(|p| *p != path).cloned().collect();
            if self.try_out(board, measure, &fewer)? {
                left = fewer;
            }
        }
        Ok(())
    }

    /// Of the combinations that keep the bound the one with the fewest float places, or the best of all.
    fn best(&self) -> Trial {
        let order = |a: &&Trial, b: &&Trial| {
            let fewer = b.left_in_float.len().cmp(&a.left_in_float.len());
            let better = a.score.compare(&b.score);
            let held = a.holds.cmp(&b.holds);
            held.then(if a.holds && b.holds {
                fewer.then(better)
            } else {
                better.then(fewer)
            })
        };
        let best = self.trail.iter().max_by(order).cloned();
        best.unwrap_or_else(|| Trial {
            left_in_float: Vec::new(),
            score: self.float,
            holds: false,
        })
    }
}

/// `0.9750 (31.2 dB)`, or the decibels alone.
fn text(score: &Score) -> String {
    match score.metric {
        Some(metric) => format!("{metric:.4} ({} dB)", db_text(score.sqnr_db)),
        None => format!("{} dB", db_text(score.sqnr_db)),
    }
}

impl std::fmt::Display for Automatic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let float = &self.sensitivity.float;
        for trial in &self.trail {
            let left = match trial.left_in_float.as_slice() {
                [] => "all in int8".to_string(),
                places => format!("in float: {}", places.join(", ")),
            };
            let mark = if trial.holds { "holds" } else { "too low" };
            writeln!(f, "  {:<22} {mark:<8} {left}", text(&trial.score))?;
        }
        let limit = self.bound.limit(float);
        let places = match self.left_in_float.as_slice() {
            [] => "no place in float".to_string(),
            [one] => format!("{one} in float"),
            several => format!("{} places in float: {}", several.len(), several.join(", ")),
        };
        if self.reached {
            write!(
                f,
                "Bound {limit:.4} kept: {}, with {places}.",
                text(&self.score)
            )
        } else {
            write!(
                f,
                "Bound {limit:.4} NOT reached by any of {} combinations; the best is {}, with {places}.",
                self.trail.len(),
                text(&self.score)
            )
        }
    }
}
