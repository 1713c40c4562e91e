//! The conversion report: what became of every place, and why some stayed float.

use comfy_table::{CellAlignment, Table, TableComponent, presets};
use qnn::quantized::QParams;

/// What happened to a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It holds an int8 module now, with these output qparams (none where the output is float).
    Converted(Option<QParams>),
    /// It holds what it held, for this reason.
    Unchanged(String),
}

/// One place of a [`Report`].
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The dotted name.
    pub path: String,
    /// The kind of module before.
    pub before: String,
    /// The kind of module now.
    pub after: String,
    /// What happened.
    pub outcome: Outcome,
    /// Bytes of weights and numbers before.
    pub bytes_before: usize,
    /// Bytes of weights and numbers now.
    pub bytes_after: usize,
}

/// What became of every place of a model. `Display` prints a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(rows: Vec<Row>) -> Report {
        Report { rows }
    }

    /// All places, in the model's order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row of one place.
    pub fn row(&self, path: &str) -> Option<&Row> {
        self.rows.iter().find(|r| r.path == path)
    }

    /// The places that hold int8 modules now.
    pub fn converted(&self) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(|r| matches!(r.outcome, Outcome::Converted(_)))
    }

    /// Bytes of all weights before and now.
    pub fn bytes(&self) -> (usize, usize) {
        self.rows
            .iter()
            .fold((0, 0), |(b, a), r| (b + r.bytes_before, a + r.bytes_after))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_style(TableComponent::HeaderLines, '─');
        table.set_style(TableComponent::MiddleHeaderIntersections, '─');
        table.set_header([
            "place",
            "was",
            "is",
            "scale",
            "zero point",
            "bytes",
            "bytes now",
            "note",
        ]);
        for row in &self.rows {
            let (scale, zero_point, note) = match &row.outcome {
                Outcome::Converted(Some(q)) => {
                    (q.scale_text(), q.zero_point.to_string(), String::new())
                }
                Outcome::Converted(None) => (String::new(), String::new(), String::new()),
                Outcome::Unchanged(why) => (String::new(), String::new(), why.clone()),
            };
            let bytes = |n: usize| if n == 0 { String::new() } else { n.to_string() };
            table.add_row([
                row.path.clone(),
                row.before.clone(),
                row.after.clone(),
                scale,
                zero_point,
                bytes(row.bytes_before),
                bytes(row.bytes_after),
                note,
            ]);
        }
        for column in 3..7 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let (before, after) = self.bytes();
        let converted = self.converted().count();
        writeln!(f, "{table}")?;
        write!(
            f,
            "{converted} of {} places are int8; {before} bytes of weights became {after}",
            self.rows.len()
        )
    }
}
