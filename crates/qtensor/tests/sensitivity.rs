//! The example `sensitivity`: the damaged place is found, and left in float alone.

#[path = "../examples/sensitivity/damage.rs"]
mod damage;
#[path = "../examples/sensitivity/study.rs"]
mod study;

use study::Study;

#[test]
fn the_damaged_place_is_ranked_first_and_left_in_float_alone() {
    let study = Study::run().unwrap();
    let json = study.json();
    assert_eq!(json["ranking"][0]["place"], study.damaged());
    assert_eq!(json["left_in_float"], serde_json::json!([study.damaged()]));
    assert!(study.automatic.reached);
    assert!(study.recovered() >= 0.99, "{json}");
    assert!(study.float_accuracy >= 0.97, "{json}");
    // Without the damage int8 loses next to nothing, with it nearly everything.
    assert!(study.int8_accuracy < 0.5, "{json}");
    let places = &study.automatic.sensitivity.places;
    assert!(places[0].alone.metric < places[1].alone.metric);
    let page = study.report.html().unwrap();
    assert!(page.contains(study.damaged()) && page.contains("What each place costs"));
    let text = study.automatic.to_string();
    assert!(
        text.contains("kept") && text.contains(study.damaged()),
        "{text}"
    );
}
