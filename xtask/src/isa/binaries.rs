//! The test executables that run once per instruction set: built once, found in cargo's messages.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{self, Failure};

/// The tests of each tier: the directory of a package, the executables (all if none is named), and a filter of their tests.
const TESTS: &[(&str, Option<&str>, &[&str])] = &[
    ("qkernels-x86", None, &[]),
    // Its other files do not come to the kernels.
    ("qops", Some("it"), &["quantized_"]),
];

/// An executable, the directory of its package, where cargo would run it, and the filter of its tests.
pub struct Binary {
    pub executable: PathBuf,
    pub package: PathBuf,
    pub filters: &'static [&'static str],
}

/// Builds the tests, of the whole workspace if that shares the artifacts of other steps.
pub fn build(whole_workspace: bool) -> Result<Vec<Binary>, Failure> {
    let mut command = process::cargo();
    command.args(["test", "--no-run", "--quiet", "--tests"]);
    command.arg("--message-format=json-render-diagnostics");
    if whole_workspace {
        command.arg("--workspace");
    } else {
        for (package, ..) in TESTS {
            command.args(["-p", package]);
        }
    }
    println!("$ {}", process::describe(&command));
    let binaries = select(&process::capture(&mut command)?)?;
    for (package, ..) in TESTS {
        if !binaries
            .iter()
            .any(|binary| binary.package.ends_with(package))
        {
            return Err(Failure::new(format!(
                "found no test executable of `{package}`"
            )));
        }
    }
    Ok(binaries)
}

/// Builds the example that lists the tiers, with the features of the whole workspace if that shares the artifacts of other
/// steps; `cargo run` has those of one package alone, for which half of the dependencies are compiled once more.
pub fn list_of_tiers(whole_workspace: bool) -> Result<PathBuf, Failure> {
    let mut command = process::cargo();
    command.args(["build", "--quiet", "--example", "tiers"]);
    command.arg("--message-format=json-render-diagnostics");
    if whole_workspace {
        command.arg("--workspace");
    } else {
        command.args(["-p", "qkernels-x86"]);
    }
    let messages = process::capture(&mut command)?;
    example(&messages)?.ok_or_else(|| Failure::new("cargo built no example `tiers`"))
}

/// The executable of an example among cargo's messages.
fn example(messages: &str) -> Result<Option<PathBuf>, Failure> {
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message = parse(line)?;
        if message["target"]["name"] == "tiers"
            && let Some(executable) = message["executable"].as_str()
        {
            return Ok(Some(executable.into()));
        }
    }
    Ok(None)
}

fn parse(line: &str) -> Result<Value, Failure> {
    serde_json::from_str(line)
        .map_err(|error| Failure::new(format!("cargo's message `{line}`: {error}")))
}

/// The executables of [`TESTS`] among cargo's messages, one JSON object a line.
fn select(messages: &str) -> Result<Vec<Binary>, Failure> {
    let mut binaries = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message = parse(line)?;
        let (Some(executable), Some(manifest), Some(name)) = (
            message["executable"].as_str(),
            message["manifest_path"].as_str(),
            message["target"]["name"].as_str(),
        ) else {
            continue;
        };
        let package = Path::new(manifest).parent().unwrap_or(Path::new(""));
        let wanted = TESTS.iter().find(|(directory, only, _)| {
            package.ends_with(directory) && only.is_none_or(|only| only == name)
        });
        if let Some((.., filters)) = wanted
            && message["profile"]["test"] == Value::Bool(true)
        {
            binaries.push(Binary {
                executable: executable.into(),
                package: package.to_owned(),
                filters,
            });
        }
    }
    Ok(binaries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(package: &str, name: &str, test: bool) -> String {
        format!(
            r#"{{"manifest_path":"ws/crates/{package}/Cargo.toml","executable":"target/{name}",
                "target":{{"name":"{name}"}},"profile":{{"test":{test}}}}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn only_the_wanted_test_executables_are_selected() {
        let messages = [
            message("qkernels-x86", "qkernels_x86", true),
            message("qkernels-x86", "tiers", false),
            message("qops", "qops", true),
            message("qops", "it", true),
            message("qnn", "it", true),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            "text between the messages".to_owned(),
        ];
        let found = select(&messages.join("\n")).expect("every line is a message");
        let found: Vec<_> = found
            .iter()
            .map(|binary| (binary.executable.as_path(), binary.filters))
            .collect();
        assert_eq!(
            found,
            [
                (Path::new("target/qkernels_x86"), &[][..]),
                (Path::new("target/it"), &["quantized_"][..])
            ]
        );
        assert!(select("{broken").is_err());
        let tiers = example(&messages.join("\n")).expect("every line is a message");
        assert_eq!(tiers.as_deref(), Some(Path::new("target/tiers")));
        assert!(example(&messages[0]).is_ok_and(|none| none.is_none()));
    }
}
