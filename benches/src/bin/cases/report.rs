//! The rows of a run, as JSON for tools and as a table for people.

use std::fmt;
use std::path::Path;

use comfy_table::{CellAlignment, Table, TableComponent, presets};
use qtensor_core::container::write_file;
use serde::Serialize;

use crate::Failure;
use crate::case::Variant;
use crate::measure::{Session, Timing};

/// One case in one variant.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    case: String,
    variant: Variant,
    ms_median: f64,
    ms_min: f64,
    /// Thousand millions of products a second, in the median.
    gmacs: f64,
    /// Of the peak of int8 products, also for float.
    fraction_of_peak: f64,
}

impl Row {
    pub fn new(
        case: String,
        variant: Variant,
        timing: Timing,
        macs: u64,
        session: &Session,
    ) -> Row {
        let rate = macs as f64 / timing.median;
        Row {
            case,
            variant,
            ms_median: timing.median * 1e3,
            ms_min: timing.min * 1e3,
            gmacs: rate / 1e9,
            fraction_of_peak: rate / session.peak_macs(),
        }
    }
}

/// All rows, and what they were measured with.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    isa: &'static str,
    threads: usize,
    peak_gmacs: f64,
    ghz: Option<f64>,
    rows: Vec<Row>,
}

impl Report {
    pub fn new(session: &Session, rows: Vec<Row>) -> Report {
        Report {
            isa: session.isa.name(),
            threads: session.threads,
            peak_gmacs: session.peak_macs() / 1e9,
            ghz: session.peak.hz.map(|hz| hz / 1e9),
            rows,
        }
    }

    /// Writes the JSON, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(write_file(path, &json)?)
    }
}

/// One line about the machine, above every table.
pub fn machine(isa: &str, threads: usize, peak_gmacs: f64, ghz: Option<f64>) -> String {
    let s = if threads == 1 { "" } else { "s" };
    let clock = ghz.map_or(String::new(), |ghz| {
        let cycle = peak_gmacs / threads as f64 / ghz;
        format!(" ({cycle:.1} MAC a cycle and thread at {ghz:.2} GHz)")
    });
    format!("{isa}, {threads} thread{s}, peak {peak_gmacs:.1} GMAC/s{clock}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}",
            machine(self.isa, self.threads, self.peak_gmacs, self.ghz)
        )?;
        let header = [
            "case",
            "variant",
            "ms, median",
            "ms, least",
            "GMAC/s",
            "of peak",
        ];
        let rows = self.rows.iter().map(|row| {
            let variant = match row.variant {
                Variant::F32 => "f32",
                Variant::Static => "static",
                Variant::Dynamic => "dynamic",
            };
            [
                row.case.clone(),
                variant.into(),
                format!("{:.3}", row.ms_median),
                format!("{:.3}", row.ms_min),
                format!("{:.1}", row.gmacs),
                percent(row.fraction_of_peak),
            ]
        });
        f.write_str(&table(header, rows, 2))
    }
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A table whose columns from `numbers` on are aligned to the right.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    numbers: usize,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header(header);
    table.add_rows(rows);
    for column in numbers..N {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use qtensor::qkernels_x86::Isa;

    fn report() -> Report {
        let mut session = Session::new(2, 0.0).expect("the environment names an instruction set");
        session.peak = Isa::available()[0].measure_peak(Duration::ZERO);
        session.peak.macs_per_second = 1e9;
        session.peak.hz = Some(5e8);
        let timing = Timing {
            median: 0.002,
            min: 0.001,
        };
        let row = Row::new(
            "linear_1x2x3".into(),
            Variant::Static,
            timing,
            2_000_000,
            &session,
        );
        Report::new(&session, vec![row])
    }

    #[test]
    fn the_file_has_the_fields_that_other_tools_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("rows.json");
        report().write(&path).expect("the folder is writable");
        let text = std::fs::read_to_string(&path).expect("the file was written");
        let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(json["threads"], 2);
        assert_eq!(json["peak_gmacs"], 2.0);
        assert_eq!(json["ghz"], 0.5);
        let row = serde_json::json!({
            "case": "linear_1x2x3", "variant": "static", "ms_median": 2.0, "ms_min": 1.0,
            "gmacs": 1.0, "fraction_of_peak": 0.5,
        });
        assert_eq!(json["rows"], serde_json::json!([row]));
    }

    #[test]
    fn the_table_has_the_rates() {
        let text = report().to_string();
        assert!(
            text.contains("2 threads, peak 2.0 GMAC/s (2.0 MAC a cycle and thread at 0.50 GHz)"),
            "{text}"
        );
        for word in ["linear_1x2x3", "static", "2.000", "1.000", "50 %"] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }
}
