//! The charts of the report as SVG.
//!
//! Text and axes are drawn in a marker colour that becomes the page's own text colour, and nothing is painted behind them, so
//! that charts follow the light or dark scheme of the page.

use std::fmt::Display;

use plotters::prelude::*;

use super::{Errors, Histogram, OPERATION};
use crate::error::{Error, Result};

/// Stands for the colour of the page's text.
const INK: RGBColor = RGBColor(1, 2, 3);
const INK_TEXT: &str = "#010203";
/// Blue and orange with enough contrast on white and on black.
const FIRST: RGBColor = RGBColor(0x3b, 0x82, 0xd6);
const SECOND: RGBColor = RGBColor(0xd0, 0x75, 0x1a);
const MARK: RGBColor = RGBColor(0xd6, 0x3b, 0x4f);

const WIDTH: u32 = 720;
/// Pixels for the name and the two bars of a place.
const ROW: u32 = 46;

fn chart_error(error: impl Display) -> Error {
    Error::Repair {
        operation: OPERATION,
        what: format!("a chart cannot be drawn: {error}"),
    }
}

/// Draws on a canvas; the result carries a description for readers who do not see it.
fn svg(
    (width, height): (u32, u32),
    alternative: &str,
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<()>,
) -> Result<String> {
    let mut out = String::new();
    {
        let area = SVGBackend::with_string(&mut out, (width, height)).into_drawing_area();
        draw(&area)?;
        area.present().map_err(chart_error)?;
    }
    let label = super::page::escape(alternative);
    Ok(out.replace(INK_TEXT, "currentColor").replacen(
        "<svg ",
        &format!("<svg role=\"img\" aria-label=\"{label}\" "),
        1,
    ))
}

fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// A number for a label.
pub(super) fn short(v: f64) -> String {
    let size = v.abs();
    if v == 0.0 {
        "0".into()
    } else if !(1e-3..1e5).contains(&size) {
        format!("{v:.1e}")
    } else if size < 1.0 {
        format!("{v:.3}")
    } else {
        format!("{v:.1}")
    }
}

/// One bar: its label, its length, what is written behind it.
pub(super) struct Bar {
    pub(super) length: f64,
    pub(super) text: String,
    second: bool,
}

impl Bar {
    pub(super) fn new(length: f64, text: String, second: bool) -> Bar {
        Bar {
            length,
            text,
            second,
        }
    }
}

/// Named pairs of bars, one below the other.
pub(super) fn bars(rows: &[(String, [Bar; 2])], unit: &str, alternative: &str) -> Result<String> {
    let lengths = || rows.iter().flat_map(|(_, bars)| bars).map(|bar| bar.length);
    let finite = || lengths().filter(|l| l.is_finite());
    let most = finite().fold(1.0, f64::max);
    let least = finite().fold(0.0, f64::min);
    // Room for the numbers behind the longest bar.
    let end = most + 0.14 * (most - least);
    let height = rows.len() as u32 * ROW + 44;
    svg((WIDTH, height), alternative, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_left(12)
            .margin_right(12)
            .x_label_area_size(40)
            .build_cartesian_2d(least..end, -(rows.len() as f64)..0.0)
            .map_err(chart_error)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(8)
            .x_desc(unit)
            .axis_style(INK.mix(0.6))
            .bold_line_style(INK.mix(0.15))
            .light_line_style(TRANSPARENT)
            .label_style(text(12))
            .axis_desc_style(text(12))
            .x_label_formatter(&|v| short(*v))
            .draw()
            .map_err(chart_error)?;
        for (i, (name, bars)) in rows.iter().enumerate() {
            let top = -(i as f64);
            // The plotter escapes text, but lets characters pass that SVG does not allow.
            let name: String = name.chars().filter(|c| !c.is_control()).collect();
            let label = Text::new(name, (least, top - 0.04), text(13));
            chart
                .draw_series(std::iter::once(label))
                .map_err(chart_error)?;
            for (j, bar) in bars.iter().enumerate() {
                let y = top - 0.38 - 0.29 * j as f64;
                // What is exact reaches to the right end.
                let length = if bar.length.is_finite() {
                    bar.length
                } else {
                    most
                };
                let fill = if bar.second { SECOND } else { FIRST }.filled();
                let shape = Rectangle::new([(0.0, y), (length, y - 0.24)], fill);
                chart
                    .draw_series(std::iter::once(shape))
                    .map_err(chart_error)?;
                let at = (length.max(0.0) + 0.006 * (end - least), y + 0.02);
                let number = Text::new(bar.text.clone(), at, text(11));
                chart
                    .draw_series(std::iter::once(number))
                    .map_err(chart_error)?;
            }
        }
        Ok(())
    })
}

/// The signal-to-noise ratios of all places.
pub(super) fn sqnr(errors: &[Errors]) -> Result<String> {
    let db = super::super::sensitivity::db_text;
    let rows: Vec<(String, [Bar; 2])> = errors
        .iter()
        .map(|e| {
            let bar = |value: f64, second| Bar::new(value, format!("{} dB", db(value)), second);
            let bars = [bar(e.alone.sqnr_db, false), bar(e.together.sqnr_db, true)];
            (e.alone.path.clone(), bars)
        })
        .collect();
    let listed: Vec<String> = errors
        .iter()
        .map(|e| {
            format!(
                "{}: {} alone, {} together",
                e.alone.path,
                db(e.alone.sqnr_db),
                db(e.together.sqnr_db)
            )
        })
        .collect();
    let alternative = format!(
        "Bar chart of the signal-to-quantization-noise ratio of each place in decibels. {}",
        listed.join("; ")
    );
    bars(&rows, "decibels, the more the better", &alternative)
}

/// The activations of one place, with the ends of the chosen range.
pub(super) fn histogram(h: &Histogram) -> Result<String> {
    let alternative = format!(
        "Histogram of the activations of {}: from {} to {}, chosen range {} to {}, {:.3} % outside.",
        h.path,
        short(h.seen.0),
        short(h.seen.1),
        short(h.chosen.0),
        short(h.chosen.1),
        100.0 * h.clipped
    );
    // Logarithms of counts: a ReLU's zeros would hide all other bins.
    let height = |count: &f64| (1.0 + count).ln();
    let most = h.counts.iter().map(height).fold(1.0, f64::max);
    let margin = 0.03 * (h.ends.1 - h.ends.0).max(f64::MIN_POSITIVE);
    let width = (h.ends.1 - h.ends.0) / h.counts.len() as f64;
    svg((340, 170), &alternative, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_left(10)
            .margin_right(10)
            .margin_top(8)
            .x_label_area_size(26)
            .build_cartesian_2d(h.ends.0 - margin..h.ends.1 + margin, 0.0..most * 1.08)
            .map_err(chart_error)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .disable_y_axis()
            .x_labels(5)
            .axis_style(INK.mix(0.6))
            .label_style(text(11))
            .x_label_formatter(&|v| short(*v))
            .draw()
            .map_err(chart_error)?;
        let shapes = h.counts.iter().enumerate().filter(|(_, c)| **c > 0.0);
        let shapes = shapes.map(|(i, count)| {
            let left = h.ends.0 + width * i as f64;
            Rectangle::new(
                [(left, 0.0), (left + width * 0.92, height(count))],
                FIRST.filled(),
            )
        });
        chart.draw_series(shapes).map_err(chart_error)?;
        let line =
            |x: f64| PathElement::new(vec![(x, 0.0), (x, most * 1.08)], MARK.stroke_width(2));
        chart
            .draw_series([line(h.chosen.0), line(h.chosen.1)])
            .map_err(chart_error)?;
        Ok(())
    })
}
