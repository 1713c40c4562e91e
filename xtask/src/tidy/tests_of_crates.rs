//! The rule that every file of tests is compiled: each crate has one executable of integration tests, and a file that no
//! module of it names would never run.

use super::report::Report;
use super::tree::Tree;

/// Every Rust file directly in a crate's `tests`, and every folder of tests with a `mod.rs`, is a module of
/// `tests/main.rs` or the path of a target in the manifest; and cargo makes no executables of its own.
pub fn compiled(tree: &Tree) -> Report {
    let mut report = Report::new("files");
    for name in tree.crates() {
        let folder = format!("crates/{name}/tests/");
        let manifest = tree.text(&format!("crates/{name}/Cargo.toml"));
        let manifest = manifest.unwrap_or_default();
        let main = tree
            .rust()
            .find(|(file, _)| file.path == format!("{folder}main.rs"));
        let main = main.map_or("", |(_, code)| code);
        let mut any = false;
        for (file, _) in tree.rust() {
            let Some(inside) = file.path.strip_prefix(&folder) else {
                continue;
            };
            any = true;
            let Some(module) = module(inside) else {
                continue;
            };
            report.checked += 1;
            let declared = main.lines().any(|line| line == format!("mod {module};"));
            let target = manifest.contains(&format!("path = \"tests/{inside}\""));
            if !declared && !target {
                report.findings.push(format!(
                    "{}: neither a module of {folder}main.rs nor a target of the manifest",
                    file.path
                ));
            }
        }
        if any && !manifest.lines().any(|line| line == "autotests = false") {
            report.findings.push(format!(
                "crates/{name}/Cargo.toml: has no line `autotests = false`, so each file of tests is linked alone"
            ));
        }
    }
    report
}

/// The name by which `main.rs` knows a file, if it has to know it: `a` of `a.rs` and of `a/mod.rs`.
fn module(inside: &str) -> Option<&str> {
    let stem = inside.strip_suffix(".rs")?;
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    (!stem.contains('/')).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "autotests = false\n[[test]]\npath = \"tests/main.rs\"\n";

    fn findings(manifest: &str, main: &str) -> Vec<String> {
        let tree = Tree::from_texts(&[
            ("crates/a/Cargo.toml", manifest),
            ("crates/a/tests/main.rs", main),
            ("crates/a/tests/one.rs", ""),
            ("crates/a/tests/two/mod.rs", ""),
            ("crates/a/tests/two/part.rs", ""),
        ]);
        let report = compiled(&tree);
        assert_eq!(report.checked, 3);
        report.findings
    }

    #[test]
    fn a_file_that_nothing_names_is_found() {
        assert_eq!(findings(MANIFEST, "mod one;\nmod two;\n"), [""; 0]);
        for (main, missing) in [
            ("mod one;\n", "two/mod.rs"),
            ("// mod one;\nmod two;\n", "one.rs"),
        ] {
            let found = findings(MANIFEST, main);
            assert!(found.len() == 1 && found[0].contains(missing), "{found:?}");
        }
        let apart = format!("{MANIFEST}[[test]]\npath = \"tests/one.rs\"\n");
        assert_eq!(findings(&apart, "mod two;\n"), [""; 0]);
    }

    #[test]
    fn executables_that_cargo_makes_by_itself_are_found() {
        let manifest = MANIFEST.replace("autotests = false\n", "");
        let found = findings(&manifest, "mod one;\nmod two;\n");
        assert!(
            found.len() == 1 && found[0].contains("autotests"),
            "{found:?}"
        );
    }
}
