//! `cargo xtask isa`: the kernel tests once for each instruction set, that one alone.
//!
//! The plain tests compare every tier within one process. Here `QTENSOR_ISA` names one tier after the
//! other, so the operations above the kernels run on it too, and the table says which tiers ran and what
//! the CPU lacks for the others. `QTENSOR_REQUIRE_ISA` (names with commas, or `all`) makes such an
//! absence a failure, for machines that are there to test a tier.

pub mod binaries;

use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{self, Failure};
use binaries::Binary;

/// The variable that names the one tier to use.
const TIER_VARIABLE: &str = "QTENSOR_ISA";
/// The variable that names the tiers which must have run.
const REQUIRED_VARIABLE: &str = "QTENSOR_REQUIRE_ISA";

/// One line of the table.
struct Row {
    tier: Tier,
    outcome: Outcome,
}

/// An instruction set, and what this CPU lacks for it.
#[derive(Debug, PartialEq)]
struct Tier {
    name: String,
    missing: Vec<String>,
}

/// What became of a tier.
enum Outcome {
    /// So many tests passed, in this time.
    Passed(usize, Duration),
    /// Some test failed, or none ran.
    Failed(Failure),
    /// The CPU cannot run it.
    NotAvailable,
}

/// Runs the tests of every tier that this CPU has, prints the table, and fails if a test failed or a
/// required tier did not run. `in_ci` builds as the tests of the whole workspace are built.
pub fn run(in_ci: bool) -> Result<(), Failure> {
    let mut list = Command::new(binaries::list_of_tiers(in_ci)?);
    let tiers = parse_tiers(&process::capture(&mut list)?)?;
    let required = std::env::var(REQUIRED_VARIABLE).unwrap_or_default();
    let required = parse_required(&required, &tiers)?;
    let binaries = binaries::build(in_ci)?;
    let mut rows = Vec::new();
    for tier in tiers {
        let outcome = if tier.missing.is_empty() {
            println!("{} test binaries on {}", binaries.len(), tier.name);
            test(&tier.name, &binaries)
        } else {
            Outcome::NotAvailable
        };
        rows.push(Row { tier, outcome });
    }
    println!("\n{}", table(&rows));
    verdict(&rows, &required)
}

/// Runs all tests on one tier.
fn test(tier: &str, binaries: &[Binary]) -> Outcome {
    let start = Instant::now();
    let mut passed = 0;
    for binary in binaries {
        let mut command = Command::new(&binary.executable);
        command.args(binary.filters).current_dir(&binary.package);
        command.env(TIER_VARIABLE, tier);
        match process::capture(&mut command).and_then(|output| passed_tests(&output)) {
            Ok(count) => passed += count,
            Err(failure) => return Outcome::Failed(failure),
        }
    }
    Outcome::Passed(passed, start.elapsed())
}

/// The number in the result line of a test binary; none at all is a failure.
pub fn passed_tests(output: &str) -> Result<usize, Failure> {
    let counts = output.lines().filter_map(|line| {
        let rest = line.strip_prefix("test result: ok. ")?;
        rest.split_once(" passed")?.0.parse::<usize>().ok()
    });
    match counts.sum() {
        0 => Err(Failure::new("not a single test ran")),
        count => Ok(count),
    }
}

/// Reads the list that the example `tiers` prints.
fn parse_tiers(listing: &str) -> Result<Vec<Tier>, Failure> {
    let tiers: Vec<Tier> = listing
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            match (words.next(), words.next().as_deref()) {
                (Some(name), None) => Some((name, Vec::new())),
                (Some(name), Some("lacks")) => Some((name, words.collect())),
                _ => None,
            }
            .map(|(name, missing)| Tier { name, missing })
            .ok_or_else(|| Failure::new(format!("`{line}` names no tier")))
        })
        .collect::<Result<_, _>>()?;
    if tiers.is_empty() {
        return Err(Failure::new("the kernel crate lists no tier"));
    }
    Ok(tiers)
}

/// The tiers that must run, by the value of the variable.
fn parse_required(value: &str, tiers: &[Tier]) -> Result<Vec<String>, Failure> {
    let names = || tiers.iter().map(|tier| tier.name.clone());
    if value.trim() == "all" {
        return Ok(names().collect());
    }
    let mut required = Vec::new();
    for name in value
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        if !names().any(|known| known == name) {
            return Err(Failure::new(format!(
                "{REQUIRED_VARIABLE} names `{name}`; expected `all` or some of {}",
                names().collect::<Vec<_>>().join(", ")
            )));
        }
        required.push(name.to_owned());
    }
    Ok(required)
}

/// Whether nothing failed and nothing required is absent.
fn verdict(rows: &[Row], required: &[String]) -> Result<(), Failure> {
    let mut reasons = Vec::new();
    for Row { tier, outcome } in rows {
        match outcome {
            Outcome::Passed(..) => {}
            Outcome::Failed(failure) => reasons.push(format!("{}: {failure}", tier.name)),
            Outcome::NotAvailable if required.contains(&tier.name) => reasons.push(format!(
                "{}: required by {REQUIRED_VARIABLE}, but the CPU lacks {}",
                tier.name,
                tier.missing.join(", ")
            )),
            Outcome::NotAvailable => {}
        }
    }
    if reasons.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(reasons.join("\n")))
    }
}

/// One line a tier.
fn table(rows: &[Row]) -> String {
    let mut lines = vec![format!(
        "{:<12}{:<8}{:>9}  result",
        "tier", "passed", "seconds"
    )];
    for Row { tier, outcome } in rows {
        let (passed, seconds, result) = match outcome {
            Outcome::Passed(count, took) => (
                count.to_string(),
                format!("{:.1}", took.as_secs_f64()),
                "ok".to_owned(),
            ),
            Outcome::Failed(_) => ("-".to_owned(), "-".to_owned(), "FAILED".to_owned()),
            Outcome::NotAvailable => (
                "-".to_owned(),
                "-".to_owned(),
                format!("not available: the CPU lacks {}", tier.missing.join(", ")),
            ),
        };
        lines.push(format!(
            "{:<12}{passed:<8}{seconds:>9}  {result}",
            tier.name
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers() -> Vec<Tier> {
        parse_tiers("scalar\nbig lacks f g\n").expect("both lines name a tier")
    }

    fn rows(scalar: Outcome) -> Vec<Row> {
        let mut rows: Vec<Row> = tiers()
            .into_iter()
            .map(|tier| Row {
                tier,
                outcome: Outcome::NotAvailable,
            })
            .collect();
        rows[0].outcome = scalar;
        rows
    }

    #[test]
    fn the_list_of_tiers_is_read_and_nonsense_refused() {
        let found = tiers();
        assert_eq!(
            (found[0].name.as_str(), found[0].missing.len()),
            ("scalar", 0)
        );
        assert_eq!((found[1].name.as_str(), found[1].missing.len()), ("big", 2));
        for bad in ["", "scalar runs\n", "scalar\n\n"] {
            assert!(parse_tiers(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn required_tiers_are_known_ones() {
        let required = |value| parse_required(value, &tiers()).map_err(|error| error.to_string());
        assert_eq!(required(""), Ok(vec![]));
        assert_eq!(
            required("all"),
            Ok(vec!["scalar".to_owned(), "big".to_owned()])
        );
        assert_eq!(required(" big, "), Ok(vec!["big".to_owned()]));
        assert_eq!(
            required("scalar,bigger"),
            Err("QTENSOR_REQUIRE_ISA names `bigger`; expected `all` or some of scalar, big".into())
        );
    }

    #[test]
    fn results_are_summed_and_no_test_is_a_failure() {
        let output = "test a ... ok\ntest result: ok. 3 passed; 0 failed\nx\n\
                      test result: ok. 4 passed; 0 failed; 0 ignored\n";
        assert_eq!(passed_tests(output).ok(), Some(7));
        assert!(passed_tests("test result: ok. 0 passed; 0 failed").is_err());
        assert!(passed_tests("").is_err());
    }

    #[test]
    fn an_absent_tier_fails_only_if_it_is_required() {
        let rows = rows(Outcome::Passed(7, Duration::from_millis(1250)));
        assert!(verdict(&rows, &[]).is_ok());
        assert!(verdict(&rows, &["scalar".to_owned()]).is_ok());
        let failure = verdict(&rows, &["big".to_owned()]).expect_err("`big` is absent");
        assert!(failure.to_string().contains("lacks f, g"), "{failure}");
        let text = table(&rows);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["scalar", "7", "1.2", "ok"]
        );
        assert!(lines[2].ends_with("not available: the CPU lacks f, g"));
    }

    #[test]
    fn a_failed_tier_is_a_failure() {
        let rows = rows(Outcome::Failed(Failure::new("the test broke")));
        let failure = verdict(&rows, &[]).expect_err("a tier failed");
        assert_eq!(failure.to_string(), "scalar: the test broke");
        assert!(table(&rows).contains("FAILED"));
    }
}
