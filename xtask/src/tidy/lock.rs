//! The rule that building needs no C compiler: `Cargo.lock` names every package, so that one which compiles C is found even
//! where a dependency of a dependency brings it.

use super::report::Report;
use super::tree::Tree;

/// Packages by which build scripts compile, generate or look for C.
const BUILDERS: &[&str] = &[
    "autotools",
    "bindgen",
    "cc",
    "cmake",
    "cxx-build",
    "nasm-rs",
    "pkg-config",
];

/// No package of the workspace's lock file builds C. (Fuzz targets have a lock file of their own, and cargo-fuzz needs it.)
pub fn builds_no_c(tree: &Tree) -> Report {
    let mut report = Report::new("packages");
    let lock = tree.text("Cargo.lock").unwrap_or_default();
    let mut package = "";
    for (number, line) in lock.lines().enumerate() {
        if let Some(name) = value(line, "name = ") {
            report.checked += 1;
            package = name;
        }
        // A dependency with several versions in the file is followed by one of them.
        let dependency = value(line, " ").and_then(|text| text.split(' ').next());
        if let Some(builder) = dependency.filter(|name| BUILDERS.contains(name)) {
            let number = number + 1;
            report
                .findings
                .push(format!("Cargo.lock:{number}: {package} needs {builder}"));
        }
    }
    report
}

/// What is between the quotes of a line that begins so.
fn value<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    let quoted = line.strip_prefix(start)?.strip_prefix('"')?;
    quoted.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(dependency: &str) -> Vec<String> {
        let lock = format!(
            "[[package]]\nname = \"stack\"\nversion = \"1.0.0\"\ndependencies = [\n \"{dependency}\",\n]\n"
        );
        let report = builds_no_c(&Tree::from_texts(&[("Cargo.lock", &lock)]));
        assert_eq!(report.checked, 1);
        report.findings
    }

    #[test]
    fn what_compiles_c_is_found_with_the_package_that_needs_it() {
        assert_eq!(findings("cc"), ["Cargo.lock:5: stack needs cc"]);
        assert_eq!(findings("cmake 0.1.2"), ["Cargo.lock:5: stack needs cmake"]);
        assert_eq!(findings("ccc"), [""; 0]);
    }
}
