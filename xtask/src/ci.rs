//! `cargo xtask ci`: everything a change must pass, cheapest first, stopping at the first failure.
//!
//! Each step is announced with the command that repeats it by hand. The table at the end says what ran,
//! how long it took and what was never reached, so that a short run cannot pass for a full one.

use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;

use crate::process::{self, Failure};
use crate::{codegen, isa, parity, quickstart, tidy};

/// How a step decides.
enum Action {
    /// A cargo command that must succeed: extra variables, then arguments.
    Cargo(
        &'static [(&'static str, &'static str)],
        &'static [&'static str],
    ),
    /// The textual rules, in this process.
    Tidy,
    /// Whether the written tables are up to date, in this process.
    Parity,
    /// The kernel tests, tier by tier.
    Isa,
    /// The machine code of the kernels.
    Codegen,
    /// A cargo command whose output is judged as well.
    Quickstart(&'static [&'static str]),
    /// Packaging, which accepts uncommitted files everywhere but in CI.
    Package(&'static [&'static str]),
}

struct Step {
    name: &'static str,
    action: Action,
    /// What usually helps when this step fails.
    hint: &'static str,
}

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        action: Action::Cargo(&[], &["fmt", "--all", "--check"]),
        hint: "`cargo fmt --all` formats the workspace",
    },
    Step {
        name: "tidy",
        action: Action::Tidy,
        hint: "each line above names a file and the rule; the rules are in xtask/src/tidy.rs",
    },
    Step {
        name: "parity",
        action: Action::Parity,
        hint: "`cargo xtask parity` writes the files from the tables in xtask/src/parity/",
    },
    Step {
        name: "clippy",
        action: Action::Cargo(
            &[],
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
        hint: "fix the cause; an `allow` needs a reason beside it",
    },
    Step {
        name: "doc",
        action: Action::Cargo(
            &[("RUSTDOCFLAGS", "-D warnings")],
            &["doc", "--workspace", "--no-deps"],
        ),
        hint: "every public item is documented and every link resolves",
    },
    Step {
        name: "test",
        action: Action::Cargo(&[], &["test", "--workspace"]),
        hint: "repeat one crate with `cargo test -p <crate>`",
    },
    Step {
        name: "isa",
        action: Action::Isa,
        hint: "repeat one tier with `QTENSOR_ISA=<tier> cargo test -p qkernels-x86`",
    },
    Step {
        name: "codegen",
        action: Action::Codegen,
        hint: "the table of loops is in xtask/src/codegen/kernels.rs; docs/kernels.md says what they need",
    },
    Step {
        name: "quickstart",
        action: Action::Quickstart(&[
            "run",
            "--config",
            "xtask/optimized.toml",
            "-p",
            "qtensor",
            "--example",
            "quickstart",
            "--",
            "--json",
        ]),
        hint: "the limits are in xtask/src/quickstart.rs",
    },
    Step {
        name: "package",
        action: Action::Package(&[
            "package",
            "--workspace",
            "--exclude",
            "qtensor-benches",
            "--exclude",
            "qtensor-docs",
            "--exclude",
            "xtask",
            "--no-verify",
        ]),
        hint: "crates.io would refuse this crate; in CI the tree must be clean as well",
    },
];

/// What became of a step.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Passed,
    Failed,
    NotReached,
}

/// The names that `ci` accepts as arguments.
pub fn step_names() -> PossibleValuesParser {
    PossibleValuesParser::new(STEPS.iter().map(|step| step.name))
}

/// Runs the steps called `names`, or all of them if there are no names, and prints the table.
pub fn run(names: &[String]) -> Result<(), Failure> {
    let steps: Vec<&Step> = STEPS
        .iter()
        .filter(|step| names.is_empty() || names.iter().any(|name| name == step.name))
        .collect();
    let mut rows = Vec::with_capacity(steps.len());
    let mut failure = None;
    for (index, step) in steps.iter().enumerate() {
        if failure.is_some() {
            rows.push((step.name, Outcome::NotReached, Duration::ZERO));
            continue;
        }
        println!(
            "\n[{}/{}] {}: {}",
            index + 1,
            steps.len(),
            step.name,
            command_line(step)
        );
        let start = Instant::now();
        let result = perform(step);
        let took = start.elapsed();
        println!(
            "[{}/{}] {}: {:.1} s",
            index + 1,
            steps.len(),
            step.name,
            took.as_secs_f64()
        );
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(cause) => {
                failure = Some(Failure::new(format!(
                    "step `{}` failed\n  cause: {cause}\n  repeat: {}\n  hint: {}",
                    step.name,
                    command_line(step),
                    step.hint
                )));
                Outcome::Failed
            }
        };
        rows.push((step.name, outcome, took));
    }
    println!("\n{}", table(&rows));
    match failure {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn perform(step: &Step) -> Result<(), Failure> {
    match &step.action {
        Action::Tidy => tidy::run(),
        Action::Parity => parity::run(true),
        Action::Isa => isa::run(true),
        Action::Codegen => codegen::run(),
        Action::Cargo(..) | Action::Package(_) => process::run(&mut command(&step.action)),
        Action::Quickstart(_) => {
            let output = process::capture(&mut command(&step.action))?;
            print!("{}", quickstart::check(&output)?);
            Ok(())
        }
    }
}

/// The child process of an action. For what runs in this one, the command that repeats it by hand.
fn command(action: &Action) -> std::process::Command {
    let mut command = process::cargo();
    match action {
        Action::Cargo(variables, args) => {
            command.envs(variables.iter().copied()).args(*args);
        }
        Action::Tidy => {
            command.args(["xtask", "tidy"]);
        }
        Action::Parity => {
            command.args(["xtask", "parity"]);
        }
        Action::Isa => {
            command.args(["xtask", "isa"]);
        }
        Action::Codegen => {
            command.args(["xtask", "codegen"]);
        }
        Action::Quickstart(args) => {
            command.args(*args);
        }
        Action::Package(args) => {
            command.args(*args);
            if std::env::var_os("CI").is_none() {
                command.arg("--allow-dirty");
            }
        }
    }
    command
}

fn command_line(step: &Step) -> String {
    process::describe(&command(&step.action))
}

/// One line for each step and one for the total.
fn table(rows: &[(&str, Outcome, Duration)]) -> String {
    let mut lines = vec![format!("{:<12}{:<14}{:>9}", "step", "result", "seconds")];
    for (name, outcome, took) in rows {
        let (word, seconds) = match outcome {
            Outcome::Passed => ("ok", format!("{:.1}", took.as_secs_f64())),
            Outcome::Failed => ("FAILED", format!("{:.1}", took.as_secs_f64())),
            Outcome::NotReached => ("not reached", "-".to_owned()),
        };
        lines.push(format!("{name:<12}{word:<14}{seconds:>9}"));
    }
    let passed = rows.iter().filter(|row| row.1 == Outcome::Passed).count();
    let total: Duration = rows.iter().map(|row| row.2).sum();
    let sum = format!("{passed} of {} ok", rows.len());
    lines.push(format!(
        "{:<12}{sum:<14}{:>9.1}",
        "total",
        total.as_secs_f64()
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_can_be_repeated_by_hand() {
        for step in STEPS {
            let line = command_line(step);
            assert!(line.contains("cargo"), "{}: {line}", step.name);
        }
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(
            names,
            [
                "fmt",
                "tidy",
                "parity",
                "clippy",
                "doc",
                "test",
                "isa",
                "codegen",
                "quickstart",
                "package"
            ]
        );
    }

    #[test]
    fn documentation_warnings_are_errors() {
        let doc = STEPS
            .iter()
            .find(|step| step.name == "doc")
            .map(command_line);
        assert_eq!(
            doc.as_deref(),
            Some("RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps")
        );
    }

    #[test]
    fn the_table_tells_failed_from_not_reached() {
        let rows = [
            ("fmt", Outcome::Passed, Duration::from_millis(1500)),
            ("tidy", Outcome::Failed, Duration::from_millis(250)),
            ("clippy", Outcome::NotReached, Duration::ZERO),
        ];
        let text = table(&rows);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["fmt", "ok", "1.5"]
        );
        assert!(lines[2].contains("FAILED"));
        assert!(lines[3].contains("not reached"));
        assert!(
            lines[4].contains("1 of 3 ok") && lines[4].ends_with("1.8"),
            "{text}"
        );
    }
}
