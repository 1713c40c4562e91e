//! Comparing models place by place, ranking places, and leaving some in float.

use crate::common::{Net, calibration, converted, images};
use qflow::accuracy::{
    Bound, Measure, compare_model_outputs, compare_model_stub, compare_weights,
    get_matching_activations, quantize_within, rank_sensitivity,
};
use qflow::{Error, QConfig, calibrate, convert, fuse_all, prepare};
use qnn::{Place, Value, describe};

fn fused() -> Net {
    let mut net = Net::new();
    fuse_all(&mut net, &images(0)).unwrap();
    net
}

fn calibrated() -> Net {
    let mut net = fused();
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, calibration()).unwrap();
    net
}

fn output(net: &Net) -> Vec<f32> {
    net.forward(&images(100)).unwrap().to_tensor().to_vec()
}

#[test]
fn weights_are_compared_by_place_worst_first() {
    let rows = compare_weights(&fused(), &converted()).unwrap();
    let mut paths: Vec<&str> = rows.iter().map(|r| r.path.as_str()).collect();
    assert!(rows.windows(2).all(|w| w[0].sqnr_db <= w[1].sqnr_db));
    paths.sort_unstable();
    assert_eq!(paths, ["conv1", "conv2", "fc1", "fc2"]);
    for row in &rows {
        assert!(
            row.sqnr_db > 30.0 && row.worst_channel.1 <= row.sqnr_db,
            "{row:?}"
        );
        assert!(row.max_error > 0.0 && row.vanished < 0.1, "{row:?}");
    }
    // Before fusion the convolution has other numbers, and no quantized weight is far from what it stands for.
    let unfused = compare_weights(&Net::new(), &converted()).unwrap();
    assert!(unfused[0].sqnr_db < 20.0);
    let error = compare_weights(&qnn::Sequential::new(), &converted()).unwrap_err();
    assert!(error.to_string().contains("conv1.weight"), "{error}");
}

#[test]
fn errors_add_up_along_the_model_and_shadows_see_one_place_each() {
    let (float, int8) = (fused(), converted());
    let samples = [images(100), images(101)];
    let together = compare_model_outputs(&float, &int8, &samples).unwrap();
    let alone = compare_model_stub(&float, &int8, &samples).unwrap();
    let of = |rows: &[qflow::accuracy::PlaceError], path: &str| {
        rows.iter().find(|r| r.path == path).unwrap().sqnr_db
    };
    // Up to the first place both are the same; a later place alone is better than all before it together.
    assert_eq!(of(&together, "quant"), of(&alone, "quant"));
    assert!(of(&alone, "fc2") > of(&together, "fc2"));
    // A maximum commits no error of its own; what is left is the rounding of its input.
    assert!(of(&alone, "pool") > of(&together, "pool"));
    assert!(alone.iter().zip(&together).all(|(a, t)| a.path == t.path));

    let loggers = get_matching_activations(&float, &int8, &samples).unwrap();
    let fc2 = loggers.iter().find(|l| l.path == "fc2").unwrap();
    assert_eq!(
        (fc2.float.len(), fc2.quantized[1].shape()),
        (2, &[2, 5][..])
    );
    let outputs: Vec<f32> = fc2.quantized[0].to_vec();
    assert_eq!(outputs, output(&int8));
}

#[test]
fn ranking_leaves_the_model_as_it_was() {
    let mut net = calibrated();
    let tree = describe(&net);
    let samples = [images(100), images(101)];
    let mut calls = 0;
    let mut measure = Measure::new(&samples).with_metric(|_: &Net| {
        calls += 1;
        Ok::<f64, Error>(0.5)
    });
    let ranking = rank_sensitivity(&mut net, &mut measure).unwrap();
    drop(measure);
    // Two trials for each of quant, conv1, conv2, add, fc1 and fc2; and the float and the int8 model.
    assert_eq!((ranking.places.len(), calls), (6, 14));
    assert_eq!(tree, describe(&net));
    assert_eq!(ranking.float.sqnr_db, f64::INFINITY);
    // The metric never differs, so the ranking is that of the decibels.
    let db: Vec<f64> = ranking.places.iter().map(|p| p.alone.sqnr_db).collect();
    assert!(db.windows(2).all(|w| w[0] <= w[1]), "{db:?}");
    assert!(
        ranking
            .places
            .iter()
            .all(|p| p.left_out.sqnr_db >= ranking.int8.sqnr_db - 3.0)
    );
    // Calibration is as it was, too: conversion gives the model that it always gave.
    convert(&mut net).unwrap();
    assert_eq!(output(&net), output(&converted()));
}

#[test]
fn all_int8_on_trial_is_the_converted_model() {
    let mut net = calibrated();
    let (samples, int8) = ([images(100)], output(&converted()));
    let mut same = Vec::new();
    let mut measure = Measure::new(&samples).with_metric(|net: &Net| {
        same.push(output(net) == int8);
        Ok::<f64, Error>(0.0)
    });
    rank_sensitivity(&mut net, &mut measure).unwrap();
    drop(measure);
    // The float model first, the int8 model second, then each place alone and left out. Without the first place's module a
    // border does the same.
    assert_eq!(same[..4], [false, true, false, true]);
    assert!(same[4..].iter().all(|s| !s), "{same:?}");
}

#[test]
fn a_bound_in_decibels_is_kept_with_places_in_float_and_survives_a_file() {
    let samples = [images(100), images(101)];
    let mut net = calibrated();
    let ranking = rank_sensitivity(&mut net, &mut Measure::new(&samples)).unwrap();
    let bound = Bound::AtLeast(ranking.int8.sqnr_db + 2.0);
    let found = quantize_within(&mut net, &mut Measure::new(&samples), bound).unwrap();
    assert!(found.reached && !found.left_in_float.is_empty(), "{found}");
    assert!(found.left_in_float.len() < 6, "{found}");
    assert!(found.trail.len() >= 2 && !found.trail[0].holds);
    for place in &found.left_in_float {
        let row = found.report.row(place).unwrap();
        assert_eq!(row.before, row.after, "{place}");
    }
    let bytes = qflow::to_bytes(&net).unwrap();
    let mut reloaded = fused();
    qflow::from_bytes(&mut reloaded, &bytes).unwrap();
    assert_eq!(output(&reloaded), output(&net));
    assert_eq!(qflow::to_bytes(&reloaded).unwrap(), bytes);
    // A file without borders takes those of the model away.
    let mut other = fused();
    other.conv2.set_bridge(Some(qnn::Bridge::ToFloat));
    qflow::from_bytes(&mut other, &qflow::to_bytes(&converted()).unwrap()).unwrap();
    assert_eq!(output(&other), output(&converted()));
}

#[test]
fn a_bound_out_of_reach_gives_the_best_and_says_so() {
    let samples = [images(100)];
    let mut net = calibrated();
    let mut measure = Measure::new(&samples).with_metric(|_: &Net| Ok::<f64, Error>(0.25));
    let found = quantize_within(&mut net, &mut measure, Bound::AtLeast(0.5)).unwrap();
    assert!(!found.reached);
    // The metric is the same everywhere, so the decibels decide: all in float is exact.
    assert_eq!(found.left_in_float.len(), 6);
    assert!(
        found.to_string().contains("NOT reached by any of 7"),
        "{found}"
    );
    assert_eq!(output(&net), output(&fused()));
}

#[test]
fn mistakes_are_errors_and_leave_the_model_float_and_calibrated() {
    let samples = [images(100)];
    let mut net = fused();
    let error = rank_sensitivity(&mut net, &mut Measure::new(&samples)).unwrap_err();
    assert!(matches!(error, Error::NotPrepared), "{error}");
    prepare(&mut net, QConfig::x86()).unwrap();
    let error = rank_sensitivity(&mut net, &mut Measure::new(&samples)).unwrap_err();
    assert!(matches!(error, Error::Uncalibrated(_)), "{error}");

    let mut net = calibrated();
    let none: [Value; 0] = [];
    let error = rank_sensitivity(&mut net, &mut Measure::new(&none)).unwrap_err();
    assert!(error.to_string().contains("rank_sensitivity"), "{error}");
    let mut calls = 0;
    let mut measure = Measure::new(&samples).with_metric(|_: &Net| {
        calls += 1;
        if calls < 5 {
            Ok(1.0)
        } else {
            Err("no labels for batch 3")
        }
    });
    let error = rank_sensitivity(&mut net, &mut measure).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the metric failed: no labels for batch 3"
    );
    drop(measure);
    convert(&mut net).unwrap();
    assert_eq!(output(&net), output(&converted()));
}
