//! Which place costs the most: each quantized alone, and each left out of an otherwise int8 model.

use comfy_table::{CellAlignment, Table, TableComponent, presets};
use indicatif::{ProgressBar, ProgressStyle};
use qnn::Module;

use super::measure::{Measure, Score};
use super::switchboard::{Places, Switchboard};
use crate::error::Result;

/// What one place costs.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceSensitivity {
    /// The dotted name.
    pub path: String,
    /// The kind of its float module.
    pub kind: String,
    /// The score of the model with this place alone in int8.
    pub alone: Score,
    /// The score of the model with all places but this one in int8.
    pub left_out: Score,
    /// Bytes of its weights in float and in int8.
    pub bytes: (usize, usize),
}

/// The places of a model, the one that costs the most first. `Display` prints a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// The score of the float model.
    pub float: Score,
    /// The score with all places in int8.
    pub int8: Score,
    /// Sorted by the score with that place alone in int8, then by what leaving it out would give back.
    pub places: Vec<PlaceSensitivity>,
}

/// Ranks the places of a fused and calibrated model by what quantizing them costs.
///
/// Each is tried twice with its real int8 module: alone in the float model, and left out of the int8 model. Where values
/// change kind on the way, borders are set up for the time of the trial, on the grids that calibration found. The model is
/// float and calibrated again afterwards, in evaluation mode, also after an error; its observers see nothing of the trials.
///
/// # Errors
/// [`Error::NotPrepared`](crate::Error::NotPrepared), [`Error::Uncalibrated`](crate::Error::Uncalibrated),
/// [`Error::NoData`](crate::Error::NoData) without samples, those of forward passes, and
/// [`Error::Metric`](crate::Error::Metric).
///
/// ```
/// use qflow::accuracy::{Measure, rank_sensitivity};
/// use qflow::{QConfig, calibrate, prepare};
/// use qnn::{DeQuantStub, Linear, QuantStub, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let mut net = Sequential::new().push(QuantStub).push(Linear::new(4, 2)?).push(DeQuantStub);
/// let samples: Vec<Value> = vec![Tensor::from_vec(vec![0.5, -1.0, 0.25, 1.0], &[1, 4])?.into()];
/// prepare(&mut net, QConfig::x86())?;
/// calibrate(&net, samples.clone())?;
/// let ranking = rank_sensitivity(&mut net, &mut Measure::new(&samples))?;
/// assert_eq!(ranking.places.len(), 2);
/// assert!(ranking.places[0].alone.sqnr_db <= ranking.places[1].alone.sqnr_db);
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn rank_sensitivity<M: Module>(
    model: &mut M,
    measure: &mut Measure<'_, M>,
) -> Result<Sensitivity> {
    let sample = measure.sample("rank_sensitivity")?;
    let mut board = Switchboard::new(model, sample)?;
    rank(&mut board, measure)
}

/// As [`rank_sensitivity`], on a switchboard.
pub(crate) fn rank<M: Module>(
    board: &mut Switchboard<'_, M>,
    measure: &mut Measure<'_, M>,
) -> Result<Sensitivity> {
    let candidates = board.candidates();
    let all: Places = candidates.iter().cloned().collect();
    let bar = progress("ranking places", 2 * candidates.len() + 2);
    let mut score = |places: &Places| {
        board.switch(places)?;
        bar.inc(1);
        if places.is_empty() {
            measure.float(board.model())
        } else {
            measure.score(board.model())
        }
    };
    let float = score(&Places::new())?;
    let int8 = score(&all)?;
    let mut scores = Vec::new();
    for path in &candidates {
        let alone = score(&Places::from([path.clone()]))?;
        let mut others = all.clone();
        others.remove(path);
        // A model with a single place and nothing in it is the float model.
        let left_out = if others.is_empty() {
            float
        } else {
            score(&others)?
        };
        scores.push((path, alone, left_out));
    }
    bar.finish_and_clear();
    let mut places: Vec<PlaceSensitivity> = Vec::new();
    for (path, alone, left_out) in scores {
        let row = board.rows().iter().find(|row| &row.path == path);
        places.push(PlaceSensitivity {
            path: path.clone(),
            kind: row.map(|row| row.before.clone()).unwrap_or_default(),
            alone,
            left_out,
            bytes: row.map_or((0, 0), |row| (row.bytes_before, row.bytes_after)),
        });
    }
    let order = |a: &PlaceSensitivity, b: &PlaceSensitivity| {
        let alone = a.alone.compare(&b.alone);
        alone.then(b.left_out.compare(&a.left_out))
    };
    places.sort_by(order);
    board.switch(&Places::new())?;
    Ok(Sensitivity {
        float,
        int8,
        places,
    })
}

/// A progress bar where there is a terminal.
pub(crate) fn progress(what: &str, steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    let template = format!("{what} {{wide_bar}} {{pos}}/{{len}} trials, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// A metric with four decimals.
pub(crate) fn metric_text(score: &Score) -> String {
    score.metric.map_or(String::new(), |m| format!("{m:.4}"))
}

/// Decibels with one decimal.
pub(crate) fn db_text(db: f64) -> String {
    if db == f64::INFINITY {
        "exact".into()
    } else {
        format!("{db:.1}")
    }
}

impl std::fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_style(TableComponent::HeaderLines, '─');
        table.set_style(TableComponent::MiddleHeaderIntersections, '─');
        let header = ["place", "is", "alone", "dB", "left out", "dB"];
        table.set_header(header);
        let row = |path: &str, kind: &str, a: &Score, b: &Score| {
            [
                path.to_string(),
                kind.to_string(),
                metric_text(a),
                db_text(a.sqnr_db),
                metric_text(b),
                db_text(b.sqnr_db),
            ]
        };
        for p in &self.places {
            table.add_row(row(&p.path, &p.kind, &p.alone, &p.left_out));
        }
        for column in 2..header.len() {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{table}")?;
        let (float, int8) = (&self.float, &self.int8);
        let metric = match (float.metric, int8.metric) {
            (Some(a), Some(b)) => format!("; metric {a:.4} in float, {b:.4} in int8"),
            _ => String::new(),
        };
        write!(f, "all in int8: {} dB{metric}", db_text(int8.sqnr_db))
    }
}
