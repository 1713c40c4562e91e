//! The table that the example prints, and its report for other programs.

use comfy_table::{CellAlignment, Table, TableComponent, presets};
use qtensor::qflow::PlaceSteps;

/// What is measured of each network.
pub struct Measured {
    /// Share of test rows that are right.
    pub accuracy: f64,
    /// Signal-to-quantization-noise ratio of the logits, against the float network.
    pub sqnr_db: f64,
    /// Size of the model's file.
    pub bytes: usize,
    /// Microseconds for one image.
    pub us: f64,
}

/// The networks in the order of the rows: a name, and its key in the report.
const NETWORKS: [(&str, &str); 6] = [
    ("float", "float_accuracy"),
    ("int8, calibrated", "ptq_accuracy"),
    ("int8, trained", "qat_accuracy"),
    ("3-bit weights per tensor, calibrated", "hard_ptq_accuracy"),
    ("3-bit weights per tensor, trained", "hard_qat_accuracy"),
    (
        "3-bit weights per tensor, scales learned",
        "hard_lsq_accuracy",
    ),
];

/// Prints a row for each network, and how far the trained network and its int8 form are apart.
pub fn print(rows: &[Measured], steps: &[PlaceSteps]) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header([
        "360 test images",
        "accuracy",
        "SQNR",
        "size",
        "time for one",
    ]);
    for ((name, _), m) in NETWORKS.iter().zip(rows) {
        table.add_row([
            name.to_string(),
            format!("{:.2} %", 100.0 * m.accuracy),
            if m.sqnr_db.is_finite() {
                format!("{:.1} dB", m.sqnr_db)
            } else {
                String::new()
            },
            format!("{:.1} kB", m.bytes as f64 / 1000.0),
            format!("{:.1} µs", m.us),
        ]);
    }
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}\n");
    println!(
        "Training changes the logits on purpose, so the SQNR of trained networks says how far they have moved.\n\
         Weights of three bits are stored in eight here.\n"
    );
    println!("The trained network and its int8 form, given the same inputs, differ by at most:");
    for place in steps.iter().filter(|place| place.steps > 0) {
        println!(
            "  {:<18} {} step in {} of {} integers",
            place.path, place.steps, place.unequal, place.elements
        );
    }
    let equal = steps.iter().filter(|place| place.steps == 0).count();
    println!("  and not at all at the other {equal} places");
}

/// One JSON object.
pub fn json(rows: &[Measured], steps: &[PlaceSteps]) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    for ((_, key), m) in NETWORKS.iter().zip(rows) {
        object.insert(key.to_string(), m.accuracy.into());
    }
    let greatest = steps.iter().map(|place| place.steps).max();
    object.insert("max_step_difference".into(), greatest.into());
    object.into()
}
