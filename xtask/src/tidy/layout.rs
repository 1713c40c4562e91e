//! Rules about crates: what each may depend on, and the files each must have.

use super::report::Report;
use super::tree::Tree;

/// The stack, lowest first. A crate depends only on crates before it.
const STACK: &[&str] = &[
    "qtensor-core",
    "qkernels-x86",
    "qops",
    "qgrad",
    "qobserve",
    "qnn-derive",
    "qnn",
    "qflow",
    "qmodels",
    "qtensor",
];

/// Members beside the stack, on which no crate of the stack may depend.
const TOOLS: &[&str] = &["qtensor-benches", "qtensor-docs", "xtask"];

/// The files of every crate.
const CRATE_FILES: &[&str] = &["README.md", "src/error.rs"];

/// Files a crate does without: crate, file, reason.
const CRATES_WITHOUT: &[(&str, &str, &str)] = &[
    (
        "qnn-derive",
        "src/error.rs",
        "a derive macro reports through `syn::Error`, at the user's line",
    ),
    (
        "qtensor",
        "src/error.rs",
        "the umbrella holds no logic; it re-exports the errors of the crates below",
    ),
];

/// Every dependency between members, development dependencies too, points down the stack.
pub fn stack_order(tree: &Tree) -> Report {
    let mut report = Report::new("crates");
    for name in tree.crates() {
        report.checked += 1;
        let manifest = format!("crates/{name}/Cargo.toml");
        let Some(own) = STACK.iter().position(|other| *other == name) else {
            report.findings.push(format!(
                "crates/{name}: not in the stack; give it a place in xtask/src/tidy/layout.rs"
            ));
            continue;
        };
        let Some(text) = tree.text(&manifest) else {
            report.findings.push(format!("{manifest}: missing"));
            continue;
        };
        for dependency in dependencies(text) {
            let place = STACK.iter().position(|other| *other == dependency);
            if place.is_some_and(|place| place >= own) || TOOLS.contains(&dependency) {
                report.findings.push(format!(
                    "{manifest}: `{name}` may not depend on `{dependency}`"
                ));
            }
        }
    }
    report
}

/// The packages that a manifest's dependency tables name, of every kind and target.
///
/// Reads the two ways of writing them, `name = ..` below `[dependencies]` and `[dependencies.name]`,
/// and the key `package` that renames one.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // Inside a table of dependencies, its lines are names; inside the table of one, its keys.
    let mut names = false;
    let mut keys = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default().trim();
            let parts: Vec<_> = header.split('.').map(unquoted).collect();
            names = parts
                .last()
                .is_some_and(|last| last.ends_with("dependencies"));
            keys = parts.len() >= 2 && parts[parts.len() - 2].ends_with("dependencies");
            if keys {
                found.extend(parts.last());
            }
            continue;
        }
        if line.starts_with('#') || !(names || keys) {
            continue;
        }
        if names && let Some(name) = line.split(['.', '=']).next() {
            found.push(unquoted(name));
        }
        if let Some((_, value)) = line.split_once("package")
            && let Some(value) = value.trim_start().strip_prefix('=')
        {
            found.extend(value.split('"').nth(1));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn unquoted(word: &str) -> &str {
    word.trim().trim_matches(['"', '\''])
}

/// Every crate has the files of [`CRATE_FILES`], or a reason to do without.
pub fn crate_files(tree: &Tree) -> Report {
    let mut report = Report::new("crates");
    for name in tree.crates() {
        report.checked += 1;
        for file in CRATE_FILES {
            let path = format!("crates/{name}/{file}");
            let present = tree.exists(&path);
            let without = CRATES_WITHOUT
                .iter()
                .find(|(other, missing, _)| *other == name && missing == file);
            match (present, without) {
                (true, None) => {}
                (false, None) => report.findings.push(format!("{path}: missing")),
                (false, Some((.., reason))) => report.excused.push(format!("{path}: {reason}")),
                (true, Some(_)) => report.findings.push(format!(
                    "{path}: exists, so its exception in xtask/src/tidy/layout.rs excuses nothing"
                )),
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_findings(name: &str, manifest: &str) -> Vec<String> {
        let path = format!("crates/{name}/Cargo.toml");
        stack_order(&Tree::from_texts(&[(&path, manifest)])).findings
    }

    #[test]
    fn dependencies_are_read_in_every_spelling() {
        let manifest = r#"
            [package]
            name = "a"
            [dependencies]
            b.workspace = true
            c = { path = "../c", version = "1" }
            "d" = "1" # comment
            renamed = { package = "e" }
            [dev-dependencies.f]
            path = "../f"
            package = "g"
            [target.'cfg(unix)'.build-dependencies]
            h = "1"
            [features]
            i = []
        "#;
        assert_eq!(
            dependencies(manifest),
            ["b", "c", "d", "renamed", "e", "f", "g", "h"]
        );
    }

    #[test]
    fn stack_order_fires_upwards_sideways_and_on_tools() {
        for (name, manifest) in [
            ("qops", "[dependencies]\nqnn.workspace = true\n"),
            ("qops", "[dependencies]\nqops.workspace = true\n"),
            (
                "qops",
                "[dev-dependencies]\nqgrad = { path = \"../qgrad\" }\n",
            ),
            ("qtensor-core", "[dependencies.qtensor]\nworkspace = true\n"),
            ("qtensor", "[dev-dependencies]\nqtensor-benches = \"0.1\"\n"),
            ("qmystery", "[dependencies]\n"),
        ] {
            assert_eq!(
                order_findings(name, manifest).len(),
                1,
                "{name}: {manifest}"
            );
        }
        let good = "[dependencies]\nqtensor-core.workspace = true\nserde = \"1\"\n";
        assert!(order_findings("qops", good).is_empty());
    }

    #[test]
    fn a_crate_without_a_manifest_is_found() {
        let tree = Tree::from_texts(&[("crates/qops/src/lib.rs", "")]);
        assert_eq!(
            stack_order(&tree).findings,
            ["crates/qops/Cargo.toml: missing"]
        );
    }

    #[test]
    fn crate_files_fire_when_missing_and_when_excused_for_nothing() {
        let bare = Tree::from_texts(&[("crates/qops/src/lib.rs", "")]);
        assert_eq!(
            crate_files(&bare).findings,
            [
                "crates/qops/README.md: missing",
                "crates/qops/src/error.rs: missing"
            ]
        );
        let macros = [
            ("crates/qnn-derive/README.md", ""),
            ("crates/qnn-derive/src/error.rs", ""),
        ];
        assert_eq!(crate_files(&Tree::from_texts(&macros)).findings.len(), 1);
        let report = crate_files(&Tree::from_texts(&macros[..1]));
        assert!(report.holds() && report.excused.len() == 1);
    }

    #[test]
    fn every_exception_names_a_crate_of_the_stack() {
        for (name, file, _) in CRATES_WITHOUT {
            assert!(
                STACK.contains(name) && CRATE_FILES.contains(file),
                "{name} {file}"
            );
        }
    }
}
