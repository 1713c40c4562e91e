//! The table that the example prints, and its report for other programs.

use comfy_table::{CellAlignment, Table, TableComponent, presets};

use crate::study::{Quality, Row, Study};

/// A title and its rows.
pub type Group = (&'static str, Vec<Row>);

/// A row for each configuration, in groups.
pub fn table(study: &Study, groups: &[Group]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header([
        "360 test images",
        "accuracy",
        "SQNR",
        "spoilt: accuracy",
        "SQNR",
    ]);
    table.add_row(["float".into(), percent(study.float_accuracy)]);
    for (title, rows) in groups {
        table.add_row([*title]);
        for row in rows {
            let mut cells = vec![format!("  {}", row.name)];
            for Quality { accuracy, sqnr_db } in [row.clean, row.spoilt] {
                cells.extend([percent(accuracy), format!("{sqnr_db:.1} dB")]);
            }
            table.add_row(cells);
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// One JSON object.
pub fn json(study: &Study, groups: &[Group]) -> serde_json::Value {
    let rows: Vec<serde_json::Value> = groups
        .iter()
        .flat_map(|(title, rows)| rows.iter().map(move |row| (title, row)))
        .map(|(title, row)| {
            serde_json::json!({
                "group": title,
                "name": row.name,
                "accuracy": row.clean.accuracy,
                "sqnr_db": row.clean.sqnr_db,
                "spoilt_accuracy": row.spoilt.accuracy,
                "spoilt_sqnr_db": row.spoilt.sqnr_db,
            })
        })
        .collect();
    serde_json::json!({ "float_accuracy": study.float_accuracy, "rows": rows })
}

fn percent(x: f64) -> String {
    format!("{:.2} %", 100.0 * x)
}
