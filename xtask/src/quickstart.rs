//! What the quickstart example must report: an int8 network as accurate as the float one, a quarter of
//! its size, measured by the program that users run first.
//!
//! With `--json` the example ends with one line that holds a JSON object. Times are shown and never
//! judged.

use serde_json::{Map, Value};

use crate::process::Failure;

/// What a field must satisfy, given the whole report.
enum Limit {
    /// Any finite number.
    Shown,
    /// At least this number.
    AtLeast(f64),
    /// At most this multiple of another field.
    AtMostTimes(f64, &'static str),
}

/// Every field of the report, with its limit. None may be missing.
///
/// The limits are those of the model in the repository; lower them only with a reason in the commit.
const FIELDS: &[(&str, Limit)] = &[
    ("float_accuracy", Limit::Shown),
    ("int8_accuracy", Limit::AtLeast(0.977)),
    ("agreement", Limit::Shown),
    ("sqnr_db", Limit::AtLeast(33.5)),
    ("float_bytes", Limit::Shown),
    ("int8_bytes", Limit::AtMostTimes(0.30, "float_bytes")),
    ("float_us", Limit::Shown),
    ("int8_us", Limit::Shown),
];

/// Checks the last line of the example's output and returns the values for the log, one a line.
pub fn check(output: &str) -> Result<String, Failure> {
    let line = output.lines().rfind(|line| !line.trim().is_empty());
    let line = line.ok_or_else(|| Failure::new("the quickstart printed nothing"))?;
    let report: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
        Failure::new(format!(
            "the quickstart's last line is not a JSON object ({error}): {line}"
        ))
    })?;
    let mut values = String::new();
    let mut wrong = Vec::new();
    for (name, limit) in FIELDS {
        match judge(&report, name, limit) {
            Ok(value) => values.push_str(&format!("    {name:<16}{value}\n")),
            Err(reason) => wrong.push(format!("    {name}: {reason}")),
        }
    }
    if wrong.is_empty() {
        Ok(values)
    } else {
        Err(Failure::new(format!(
            "the quickstart's report misses its limits:\n{}\n    in {line}",
            wrong.join("\n")
        )))
    }
}

/// The field's value if it keeps its limit, otherwise the reason with both numbers.
fn judge(report: &Map<String, Value>, name: &str, limit: &Limit) -> Result<f64, String> {
    let value = number(report, name)?;
    match limit {
        Limit::Shown => Ok(value),
        Limit::AtLeast(least) if value >= *least => Ok(value),
        Limit::AtLeast(least) => Err(format!("{value}, expected at least {least}")),
        Limit::AtMostTimes(factor, other) => {
            let most = factor * number(report, other)?;
            if value <= most {
                Ok(value)
            } else {
                Err(format!(
                    "{value}, expected at most {most} ({factor} of {other})"
                ))
            }
        }
    }
}

fn number(report: &Map<String, Value>, name: &str) -> Result<f64, String> {
    let value = report.get(name).ok_or("missing")?;
    value
        .as_f64()
        .ok_or_else(|| format!("{value} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = concat!(
        r#"{"float_accuracy":0.98,"int8_accuracy":0.977,"agreement":0.99,"sqnr_db":33.5,"#,
        r#""float_bytes":1000,"int8_bytes":300,"float_us":9e9,"int8_us":1.5}"#
    );

    fn reason(output: &str) -> String {
        check(output).expect_err("the report is wrong").to_string()
    }

    #[test]
    fn a_report_on_every_limit_passes_whatever_its_times() {
        let shown = check(&format!("talk before it\n{GOOD}\n\n")).expect("all limits are kept");
        assert_eq!(shown.lines().count(), FIELDS.len());
    }

    #[test]
    fn each_limit_is_enforced() {
        for (kept, missed, field) in [
            (
                "\"int8_accuracy\":0.977",
                "\"int8_accuracy\":0.9769",
                "int8_accuracy",
            ),
            ("\"sqnr_db\":33.5", "\"sqnr_db\":33.49", "sqnr_db"),
            ("\"int8_bytes\":300", "\"int8_bytes\":301", "int8_bytes"),
        ] {
            let message = reason(&GOOD.replace(kept, missed));
            assert!(message.contains(&format!("    {field}: ")), "{message}");
        }
    }

    #[test]
    fn every_field_is_required_and_numeric() {
        for (name, _) in FIELDS {
            let renamed = GOOD.replace(&format!("\"{name}\""), "\"other\"");
            assert!(reason(&renamed).contains(&format!("{name}: missing")));
        }
        // JSON has no NaN; serializers write null for it.
        let message = reason(&GOOD.replace("33.5", "null"));
        assert!(message.contains("null is not a number"), "{message}");
    }

    #[test]
    fn only_a_json_object_on_the_last_line_counts() {
        assert!(reason("\n \n").contains("printed nothing"));
        assert!(reason("[1, 2]").contains("not a JSON object"));
        assert!(reason(&format!("{GOOD}\ndone")).contains("not a JSON object"));
    }
}
