//! The test executables that run once per instruction set: built once, found in cargo's messages.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{self, Failure};

/// The tests of each tier: the directory of a package, and what the names of its test files begin with.
const TESTS: &[(&str, &str)] = &[("qkernels-x86", ""), ("qops", "quantized_")];

/// An executable, and the directory of its package, where cargo would run it.
pub struct Binary {
    pub executable: PathBuf,
    pub package: PathBuf,
}

/// Builds the tests, of the whole workspace if that shares the artifacts of other steps.
pub fn build(whole_workspace: bool) -> Result<Vec<Binary>, Failure> {
    let mut command = process::cargo();
    command.args(["test", "--no-run", "--quiet", "--lib", "--tests"]);
    command.arg("--message-format=json-render-diagnostics");
    if whole_workspace {
        command.arg("--workspace");
    } else {
        for (package, _) in TESTS {
            command.args(["-p", package]);
        }
    }
    println!("$ {}", process::describe(&command));
    let binaries = select(&process::capture(&mut command)?)?;
    for (package, start) in TESTS {
        if !binaries
            .iter()
            .any(|binary| binary.package.ends_with(package))
        {
            return Err(Failure::new(format!(
                "found no test of `{package}` whose name begins with `{start}`"
            )));
        }
    }
    Ok(binaries)
}

/// The executables of [`TESTS`] among cargo's messages, one JSON object a line.
fn select(messages: &str) -> Result<Vec<Binary>, Failure> {
    let mut binaries = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value = serde_json::from_str(line)
            .map_err(|error| Failure::new(format!("cargo's message `{line}`: {error}")))?;
        let (Some(executable), Some(manifest), Some(name)) = (
            message["executable"].as_str(),
            message["manifest_path"].as_str(),
            message["target"]["name"].as_str(),
        ) else {
            continue;
        };
        let package = Path::new(manifest).parent().unwrap_or(Path::new(""));
        let wanted = TESTS
            .iter()
            .any(|(directory, start)| package.ends_with(directory) && name.starts_with(start));
        if wanted && message["profile"]["test"] == Value::Bool(true) {
            binaries.push(Binary {
                executable: executable.into(),
                package: package.to_owned(),
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
            message("qkernels-x86", "dense", true),
            message("qkernels-x86", "tiers", false),
            message("qops", "qops", true),
            message("qops", "quantized_conv", true),
            message("qnn", "quantized", true),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            "text between the messages".to_owned(),
        ];
        let found = select(&messages.join("\n")).expect("every line is a message");
        let found: Vec<_> = found.iter().map(|binary| &binary.executable).collect();
        assert_eq!(
            found,
            [
                Path::new("target/dense"),
                Path::new("target/quantized_conv")
            ]
        );
        assert!(select("{broken").is_err());
    }
}
