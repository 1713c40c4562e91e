//! The document and the compiled proof.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::row::{Group, Here, Row};
use crate::process::Failure;

/// The texts of all test files and of sources with unit tests, by their paths from the root.
pub struct Tests(BTreeMap<String, String>);

impl Tests {
    /// Reads every Rust file below `crates/`.
    pub fn read(root: &Path) -> Result<Tests, Failure> {
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::from("crates")];
        while let Some(folder) = folders.pop() {
            let fail = |e: std::io::Error| Failure::new(format!("{}: {e}", folder.display()));
            for entry in fs::read_dir(root.join(&folder)).map_err(fail)? {
                let entry = entry.map_err(fail)?;
                let path = folder.join(entry.file_name());
                if entry.path().is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let text = fs::read_to_string(entry.path()).map_err(fail)?;
                    files.insert(path.to_string_lossy().replace('\\', "/"), text);
                }
            }
        }
        Ok(Tests(files))
    }

    /// The file and the function of `end/of/file.rs::function`, which must be there exactly once.
    fn find<'a>(&'a self, test: &'a str) -> Result<(&'a str, &'a str), Failure> {
        let Some((end, function)) = test.rsplit_once("::") else {
            return Err(Failure::new(format!("{test:?} is not file.rs::function")));
        };
        let declared = format!("fn {function}(");
        let mut found = self
            .0
            .iter()
            .filter(|(path, text)| path.ends_with(&format!("/{end}")) && text.contains(&declared));
        match (found.next(), found.next()) {
            (Some((path, _)), None) => Ok((path, function)),
            (None, _) => Err(Failure::new(format!("there is no test {test}"))),
            _ => Err(Failure::new(format!("there are several tests {test}"))),
        }
    }
}

/// `docs/parity.md`.
pub fn document(groups: &[Group], tests: &Tests) -> Result<String, Failure> {
    let mut out = String::from(
        "# What PyTorch has, and where it is here\n\n\
         The reference is eager-mode quantization in PyTorch 2.6; graph modes (FX, TorchScript, PT2E) are not in question.\n\
         `cargo xtask parity` writes this file from the tables in `xtask/src/parity/`, and `crates/qtensor/tests/parity.rs`, which names\n\
         every path to the compiler. A row with a test is what the project was begun for; the test covers it.\n\n",
    );
    let _ = writeln!(out, "{}\n", summary(groups));
    for group in groups {
        let _ = writeln!(
            out,
            "## {}\n\n| PyTorch | here | covered by | note |\n|---|---|---|---|",
            group.title
        );
        for row in group.rows {
            let _ = writeln!(out, "{}", line(row, tests)?);
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    Ok(out)
}

fn line(row: &Row, tests: &Tests) -> Result<String, Failure> {
    let here = match &row.here {
        Here::Item(path) | Here::Other(path, _) => format!("`{path}`"),
        Here::Method(of, method) | Here::Object(of, method) => format!("`{of}::{method}`"),
        Here::Absent(why) => format!("no: {why}"),
    };
    let test = match (row.seed, &row.here) {
        (Some(_), Here::Absent(_)) => {
            return Err(Failure::new(format!(
                "{} was to be here from the first",
                row.name
            )));
        }
        (Some(test), _) => {
            let (path, function) = tests.find(test)?;
            format!("`{function}` in `{path}`")
        }
        (None, _) => String::new(),
    };
    Ok(format!(
        "| `{}` | {here} | {test} | {} |",
        row.name, row.note
    ))
}

/// How many rows there are, and how many are here.
pub fn summary(groups: &[Group]) -> String {
    let rows = || groups.iter().flat_map(|g| g.rows);
    let absent = rows().filter(|r| matches!(r.here, Here::Absent(_))).count();
    let (all, seeds) = (rows().count(), rows().filter(|r| r.seed.is_some()).count());
    format!(
        "Of {all} items {} are here, among them all {seeds} of the first design; {absent} are not, each with the reason.",
        all - absent
    )
}

/// `crates/qtensor/tests/parity.rs`.
pub fn proof(groups: &[Group]) -> String {
    let mut out = String::from(
        "//! Written by `cargo xtask parity`: every path of `docs/parity.md`. That this file compiles is the test.\n\
         #![allow(unused_imports, reason = \"naming a path is the proof that it exists\")]\n",
    );
    for group in groups {
        let _ = write!(out, "\n#[rustfmt::skip]\nmod {} {{\n", module(group.title));
        let mut named = Vec::new();
        for row in group.rows {
            match &row.here {
                Here::Item(path) => {
                    let _ = writeln!(out, "    use {path} as _;");
                }
                Here::Method(of, method) => named.push(format!("<{of}>::{method}")),
                Here::Object(of, method) => named.push(format!("<dyn {of}>::{method}")),
                Here::Other(_, proof) => named.push(proof.to_string()),
                Here::Absent(_) => {}
            }
        }
        if !named.is_empty() {
            out.push_str("    const _: fn() = || {\n");
            for proof in named {
                let _ = writeln!(out, "        let _ = {proof};");
            }
            out.push_str("    };\n");
        }
        out.push_str("}\n");
    }
    out
}

/// `nn.quantized` becomes `nn_quantized`.
fn module(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::row::{absent, item, method, object, other};

    const ROWS: &[Row] = &[
        item("linear", "qops::quantized::linear").seed("linear.rs::exact"),
        method("q_scale", "qtensor_core::QTensor", "q_scale").note("per tensor"),
        object("reset", "qobserve::Observer", "reset"),
        other("repr", "Display", "1 + 1"),
        absent("gone", "nobody needs it"),
    ];

    fn tests() -> Tests {
        let text = "fn exact() {}".to_string();
        Tests(BTreeMap::from([(
            "crates/a/tests/linear.rs".to_string(),
            text,
        )]))
    }

    fn group() -> Group {
        Group {
            title: "nn.quantized (int8)",
            rows: ROWS,
        }
    }

    #[test]
    fn every_row_is_a_line_and_a_path_for_the_compiler() {
        let document = document(&[group()], &tests()).unwrap();
        for line in [
            "| `linear` | `qops::quantized::linear` | `exact` in `crates/a/tests/linear.rs` |  |",
            "| `q_scale` | `qtensor_core::QTensor::q_scale` |  | per tensor |",
            "| `gone` | no: nobody needs it |  |  |",
            "Of 5 items 4 are here, among them all 1 of the first design; 1 are not, each with the reason.",
        ] {
            assert!(document.contains(line), "{document}");
        }
        let proof = proof(&[group()]);
        for line in [
            "mod nn_quantized_int8 {",
            "    use qops::quantized::linear as _;",
            "        let _ = <qtensor_core::QTensor>::q_scale;",
            "        let _ = <dyn qobserve::Observer>::reset;",
            "        let _ = 1 + 1;",
        ] {
            assert!(proof.contains(line), "{proof}");
        }
        assert!(!proof.contains("gone"));
    }

    #[test]
    fn a_test_that_is_not_there_and_a_missing_seed_are_failures() {
        for test in ["linear.rs::other", "conv.rs::exact", "exact"] {
            assert!(tests().find(test).is_err(), "{test}");
        }
        let row = absent("linear", "lost").seed("linear.rs::exact");
        assert!(line(&row, &tests()).is_err());
    }
}
