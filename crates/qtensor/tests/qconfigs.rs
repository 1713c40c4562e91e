//! The example `qconfigs`: what the guide `docs/choosing-qconfigs.md` concludes from its table.

#[path = "../examples/qconfigs/configurations.rs"]
mod configurations;
#[path = "../examples/qconfigs/study.rs"]
mod study;

use configurations::{Named, activations, engines, weights};
use study::{Row, Study};

fn row(study: &Study, group: Vec<Named>, name: &str) -> Row {
    let found = group.into_iter().find(|(n, _)| n == name);
    let (name, qconfig) = found.expect(name);
    let row = study.measure(name, &qconfig).unwrap();
    // As the example prints it.
    assert!(row.clean.sqnr_db > 0.0, "{}", row.name);
    row
}

#[test]
fn the_conclusions_of_the_guide_hold() {
    let study = Study::new().unwrap();
    let x86 = row(&study, engines().unwrap(), "x86");
    let fbgemm = row(&study, engines().unwrap(), "fbgemm");
    let per_tensor = row(&study, engines().unwrap(), "qnnpack");
    // A bit less for activations, and one scale for all channels of a weight, each cost decibels.
    assert!(x86.clean.sqnr_db > fbgemm.clean.sqnr_db + 1.0);
    assert!(x86.clean.sqnr_db > per_tensor.clean.sqnr_db + 1.0);
    assert!(x86.clean.accuracy > study.float_accuracy - 0.01);

    // A percentile that cuts off the spoilt pixels wins where there are some, and loses where there are none.
    let percentile = row(&study, activations().unwrap(), "Percentile 99.9");
    assert!(percentile.spoilt.sqnr_db > x86.spoilt.sqnr_db + 3.0);
    assert!(percentile.clean.sqnr_db < x86.clean.sqnr_db - 3.0);

    // Three bits live from a scale for each channel.
    let channel = row(&study, weights().unwrap(), "3 bits per channel");
    let tensor = row(&study, weights().unwrap(), "3 bits per tensor");
    assert!(channel.clean.accuracy > tensor.clean.accuracy + 0.1);
}
