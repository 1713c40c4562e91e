//! `flow`: a network is loaded, fused, prepared, calibrated and converted; qparams and outputs are compared.

use qflow::{Outcome, load_state_dict};
use qtensor::prelude::*;

use crate::compare::{greatest_distance, same_scale};
use crate::flow_net::{CHAINS, Net};
use crate::group::Verdict;
use crate::observers::within_bins;
use crate::store::{Case, Fallible};

/// Float sums in another order move a calibrated range a little, and an integer here and there with it.
pub const MAY_DEVIATE: [(&str, &str); 2] = [
    (
        "histogram",
        "qparams as those of HistogramObserver, int8 output at least 40 dB over the difference",
    ),
    ("minmax", "int8 output at least 40 dB over the difference"),
];

/// How far our float model may be from PyTorch's.
const FLOAT_TOLERANCE: f32 = 1e-4;
/// The least signal-to-noise ratio of our int8 output against PyTorch's, in decibels.
const LEAST_SQNR: f64 = 40.0;

/// The whole way from the float weights to the int8 output.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let observer = case.text("observer")?;
    let (qconfig, histogram) = match observer {
        // PyTorch's default for x86, whose activations are in 0..127.
        "histogram" => (QConfig::fbgemm(), true),
        "minmax" => (QConfig::minmax(), false),
        other => return Err(format!("unknown observer {other}").into()),
    };
    let mut net = Net::new()?;
    load_state_dict(&mut net, case.floats_below("state.")?)?;
    let x: Value = case.float("x")?.into();
    close_to_float("y_float", case, &net, &x)?;
    fuse_modules(&mut net, &CHAINS)?;
    close_to_float("y_float after fusing", case, &net, &x)?;

    prepare(&mut net, &qconfig)?;
    let mut batches: Vec<Value> = Vec::new();
    while case.has(&format!("calib{}", batches.len())) {
        batches.push(case.float(&format!("calib{}", batches.len()))?.into());
    }
    calibrate(&net, batches)?;
    let report = convert(&mut net)?;

    let mut notes = differing_qparams(case, &report, histogram)?;
    let (y, theirs) = (net.forward(&x)?.to_tensor(), case.float("y")?);
    let distance = greatest_distance("y", &y, &theirs)?;
    let sqnr = metrics::sqnr_db(&theirs, &y)?;
    if distance > 0.0 {
        let pairs = y.to_vec().into_iter().zip(theirs.to_vec());
        let unequal = pairs.filter(|(a, b)| a != b).count();
        notes.push(format!(
            "{unequal} of {} outputs differ, by {distance} at most: {sqnr:.1} dB",
            y.numel()
        ));
    }
    if sqnr.is_nan() || sqnr < LEAST_SQNR {
        return Err(notes.join("; ").into());
    }
    if notes.is_empty() {
        return Ok(Verdict::Equal);
    }
    Ok(Verdict::Accepted(notes.join("; ")))
}

/// Requires that the float model computes what PyTorch's did.
fn close_to_float(what: &str, case: &Case, net: &Net, x: &Value) -> Fallible<()> {
    let y = qgrad::no_grad(|| net.forward(x))?.to_tensor();
    let distance = greatest_distance(what, &y, &case.float("y_float")?)?;
    if distance <= FLOAT_TOLERANCE {
        return Ok(());
    }
    Err(format!("{what}: the float model is up to {distance} away").into())
}

/// The places whose qparams are not equal but acceptable, in words.
fn differing_qparams(case: &Case, report: &Report, histogram: bool) -> Fallible<Vec<String>> {
    let places = case
        .value("qparams")?
        .as_object()
        .filter(|p| !p.is_empty())
        .ok_or("malformed case: no places in qparams")?;
    let mut notes = Vec::new();
    for (place, want) in places {
        let want = want["scale"].as_f64().zip(want["zero_point"].as_i64());
        let (scale, zero_point) = want.ok_or("malformed case: qparams lack a number")?;
        let row = report
            .row(place)
            .ok_or_else(|| format!("the report has no place {place}"))?;
        let Outcome::Converted(Some(ours)) = &row.outcome else {
            return Err(format!("{place} has no qparams: {:?}", row.outcome).into());
        };
        let our_zero_point = i64::from(ours.zero_point);
        if same_scale(ours.scale, scale) && our_zero_point == zero_point {
            continue;
        }
        let note = format!(
            "{place}: scale {} and not {scale}, zero point {our_zero_point} and not {zero_point}",
            ours.scale
        );
        if !(histogram && within_bins((ours.scale, our_zero_point), (scale, zero_point))) {
            return Err(note.into());
        }
        notes.push(note);
    }
    Ok(notes)
}
