//! The report's page around its charts.

use std::fmt::Write;

use super::charts::{self, Bar};
use super::{Histogram, HtmlReport};
use crate::accuracy::sensitivity::{Sensitivity, db_text, metric_text};
use crate::error::Result;
use crate::report::{Outcome, Row};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2430; --paper: #fdfdfb; --faint: #d5d9e0; --soft: #5b6575; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ee; --paper: #14181f; --faint: #353c48; --soft: #a3adbd; } }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1.2rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
p, figcaption { max-width: 46rem; } figure { margin: 0; } figcaption { color: var(--soft); font-size: .9rem; }
svg { max-width: 100%; height: auto; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 1.2rem; }
.key::before { content: ''; display: inline-block; width: .8em; height: .8em; margin-right: .4em; background: var(--key); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--faint); text-align: left; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
";

/// Text for HTML, between tags and inside quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters, which SVG does not allow, are shown as what they are not: nothing.
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

pub(super) fn render(report: &HtmlReport) -> Result<String> {
    let title = escape(&report.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    overview(&mut out, report)?;
    errors(&mut out, report)?;
    if let Some(sensitivity) = &report.sensitivity {
        ranking(&mut out, sensitivity);
    }
    histograms(&mut out, &report.histograms)?;
    conversions(&mut out, &report.rows);
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(out)
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

fn overview(out: &mut String, report: &HtmlReport) -> Result<()> {
    let (before, after) = report.bytes();
    let (float_us, int8_us) = report.us;
    let percent = |part: f64, whole: f64| 100.0 * part / whole.max(f64::MIN_POSITIVE);
    let size = percent(after as f64, before as f64);
    let time = percent(int8_us, float_us);
    let kb = |bytes: usize| format!("{:.1} kB", bytes as f64 / 1000.0);
    let us = |time: f64| format!("{time:.0} µs");
    let rows = [
        (
            "weights and their numbers".to_string(),
            [
                Bar::new(100.0, kb(before), false),
                Bar::new(size, kb(after), true),
            ],
        ),
        (
            "time for the first sample".to_string(),
            [
                Bar::new(100.0, us(float_us), false),
                Bar::new(time, us(int8_us), true),
            ],
        ),
    ];
    let alternative = format!(
        "Bar chart: weights take {} in float and {} in int8; the first sample takes {} in float and {} in int8.",
        kb(before),
        kb(after),
        us(float_us),
        us(int8_us)
    );
    push(
        out,
        format_args!(
            "<h2>Size and time</h2>\n<figure>\n{}\n<figcaption>{} and {}. int8 takes {size:.0} % of the \
             bytes and {time:.0} % of the time, on the machine that made this page.</figcaption>\n</figure>\n",
            charts::bars(&rows, "percent of float", &alternative)?,
            key("#3b82d6", "float"),
            key("#d0751a", "int8"),
        ),
    );
    Ok(())
}

fn key(colour: &str, text: &str) -> String {
    format!("<span class=\"key\" style=\"--key: {colour}\">{text}</span>")
}

fn errors(out: &mut String, report: &HtmlReport) -> Result<()> {
    push(
        out,
        format_args!(
            "<h2>Error of each place</h2>\n<figure>\n{}\n<figcaption>Signal-to-quantization-noise ratio of each \
             place's output: {} with the float model's inputs, so that the error is its own; {} with the errors of all \
             places before it. 6 dB less are twice the error. A place whose own bar is short is where to \
             look first.</figcaption>\n</figure>\n",
            charts::sqnr(&report.errors)?,
            key("#3b82d6", "alone"),
            key("#d0751a", "together"),
        ),
    );
    Ok(())
}

fn ranking(out: &mut String, sensitivity: &Sensitivity) {
    out.push_str("<h2>What each place costs</h2>\n<p>The whole model's score with one place alone in int8, and with all \
        places but that one in int8. The most expensive place comes first.</p>\n");
    let header = [
        ("place", false),
        ("module", false),
        ("metric, alone", true),
        ("dB, alone", true),
        ("metric, left out", true),
        ("dB, left out", true),
    ];
    let rows = sensitivity.places.iter().map(|p| {
        vec![
            p.path.clone(),
            p.kind.clone(),
            metric_text(&p.alone),
            db_text(p.alone.sqnr_db),
            metric_text(&p.left_out),
            db_text(p.left_out.sqnr_db),
        ]
    });
    table(out, &header, rows);
}

fn histograms(out: &mut String, histograms: &[Histogram]) -> Result<()> {
    out.push_str("<h2>Activations</h2>\n<p>How often which value occurs, in float, on a logarithmic scale. The red lines are the \
        ends of what the integers can represent: values outside are clamped, and a range much wider than the values wastes \
        integers.</p>\n<div class=\"grid\">\n");
    for h in histograms {
        push(
            out,
            format_args!(
                "<figure>\n<strong>{}</strong>\n{}\n<figcaption>values {} to {}, range {} to {}, {:.3} % \
                 clamped</figcaption>\n</figure>\n",
                escape(&h.path),
                charts::histogram(h)?,
                charts::short(h.seen.0),
                charts::short(h.seen.1),
                charts::short(h.chosen.0),
                charts::short(h.chosen.1),
                100.0 * h.clipped
            ),
        );
    }
    out.push_str("</div>\n");
    Ok(())
}

fn conversions(out: &mut String, rows: &[Row]) {
    out.push_str("<h2>Conversion</h2>\n");
    let header = [
        ("place", false),
        ("module", false),
        ("scale", true),
        ("zero point", true),
        ("bytes", true),
        ("bytes in int8", true),
        ("note", false),
    ];
    let rows = rows.iter().map(|row| {
        let (scale, zero_point, note) = match &row.outcome {
            Outcome::Converted(Some(q)) => {
                (q.scale_text(), q.zero_point.to_string(), String::new())
            }
            Outcome::Converted(None) => Default::default(),
            Outcome::Unchanged(why) => (String::new(), String::new(), why.clone()),
        };
        vec![
            row.path.clone(),
            row.before.clone(),
            scale,
            zero_point,
            row.bytes_before.to_string(),
            row.bytes_after.to_string(),
            note,
        ]
    });
    table(out, &header, rows);
}

/// A table; the flag of a column says that it holds numbers.
fn table(out: &mut String, header: &[(&str, bool)], rows: impl Iterator<Item = Vec<String>>) {
    let class = |number: bool| if number { " class=\"number\"" } else { "" };
    out.push_str("<div class=\"scroll\">\n<table>\n<thead><tr>");
    for (name, number) in header {
        push(
            out,
            format_args!("<th scope=\"col\"{}>{name}</th>", class(*number)),
        );
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (cell, (_, number)) in row.iter().zip(header) {
            push(
                out,
                format_args!("<td{}>{}</td>", class(*number), escape(cell)),
            );
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}
