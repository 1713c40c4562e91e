//! Rules about single files: how they begin, how long they are, and that they are finished.

use super::report::Report;
use super::tree::Tree;

/// The most lines of a Rust file.
const MAX_LINES: usize = 500;
/// The most lines of a Rust file that holds only tests.
const MAX_TEST_LINES: usize = 800;

/// Every Rust file opens with `//!` and some words.
pub fn header(tree: &Tree) -> Report {
    let mut report = Report::new("files");
    for (file, _) in tree.rust() {
        report.checked += 1;
        let first = file.text.lines().next().unwrap_or_default();
        let purpose = first.strip_prefix("//!").map(str::trim);
        if purpose.is_none_or(str::is_empty) {
            report.findings.push(format!(
                "{}:1: opens with `{first}`, not with `//!` and a purpose",
                file.path
            ));
        }
    }
    report
}

/// No Rust file is longer than a sitting's reading.
pub fn length(tree: &Tree) -> Report {
    let mut report = Report::new("files");
    for (file, _) in tree.rust() {
        report.checked += 1;
        let most = if is_test_file(&file.path) {
            MAX_TEST_LINES
        } else {
            MAX_LINES
        };
        let lines = file.text.lines().count();
        if lines > most {
            report
                .findings
                .push(format!("{}: {lines} lines, at most {most}", file.path));
        }
    }
    report
}

/// A file in a `tests` directory, or a module called `tests`.
fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs")
}

/// No text file has blanks or a carriage return at the end of a line.
pub fn trailing_whitespace(tree: &Tree) -> Report {
    let mut report = Report::new("files");
    for file in tree.texts() {
        report.checked += 1;
        for (index, line) in file.text.split('\n').enumerate() {
            if line.ends_with(char::is_whitespace) {
                report
                    .findings
                    .push(format!("{}:{}: trailing blank", file.path, index + 1));
            }
        }
    }
    report
}

/// No placeholder macros, no ignored tests, no ignored documentation examples.
pub fn unfinished(tree: &Tree) -> Report {
    let mut report = Report::new("files");
    for (file, code) in tree.rust() {
        report.checked += 1;
        for (index, (text, code)) in file.text.lines().zip(code.lines()).enumerate() {
            let at = format!("{}:{}", file.path, index + 1);
            for placeholder in ["todo!", "unimplemented!", "#[ignore"] {
                if code.contains(placeholder) {
                    report.findings.push(format!("{at}: `{placeholder}`"));
                }
            }
            if opens_ignored_example(text) {
                report
                    .findings
                    .push(format!("{at}: this example is never compiled"));
            }
        }
    }
    report
}

/// Whether a documentation comment opens a code block that rustdoc skips.
///
/// `text`, `no_run` and `compile_fail` say what a block is; `ignore` only says that nobody looks.
fn opens_ignored_example(line: &str) -> bool {
    let line = line.trim_start();
    let comment = line
        .strip_prefix("///")
        .or_else(|| line.strip_prefix("//!"));
    comment
        .and_then(|comment| comment.trim_start().strip_prefix("```"))
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim().starts_with("ignore")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(rule: fn(&Tree) -> Report, path: &str, text: &str) -> Vec<String> {
        let report = rule(&Tree::from_texts(&[(path, text)]));
        assert_eq!(report.checked, 1);
        report.findings
    }

    #[test]
    fn header_fires_without_a_purpose() {
        for bad in ["", "fn f() {}\n", "// x\n", "\n//! x\n", "//!\n//! x\n"] {
            assert_eq!(findings(header, "a.rs", bad).len(), 1, "{bad:?}");
        }
        assert!(findings(header, "a.rs", "//! Why.\n").is_empty());
    }

    #[test]
    fn length_fires_one_line_above_the_limit() {
        let lines = |count| "//! x\n".repeat(count);
        assert!(findings(length, "src/a.rs", &lines(500)).is_empty());
        assert_eq!(
            findings(length, "src/a.rs", &lines(501)),
            ["src/a.rs: 501 lines, at most 500"]
        );
        for path in ["crates/a/tests/b.rs", "crates/a/src/c/tests.rs"] {
            assert!(findings(length, path, &lines(800)).is_empty());
            assert_eq!(findings(length, path, &lines(801)).len(), 1);
        }
    }

    #[test]
    fn whitespace_fires_with_the_line() {
        assert_eq!(
            findings(trailing_whitespace, "a.md", "x\ny \n\tz\t\n"),
            ["a.md:2: trailing blank", "a.md:3: trailing blank"]
        );
        assert_eq!(findings(trailing_whitespace, "a.md", "x\r\n").len(), 1);
        assert!(findings(trailing_whitespace, "a.md", "x\n\n  y\n").is_empty());
    }

    #[test]
    fn unfinished_fires_on_code_and_examples() {
        for bad in [
            "todo!()",
            "fn f() { unimplemented!(\"x\") }",
            "#[test]\n#[ignore = \"slow\"]\nfn t() {}",
            "/// ```ignore\n/// f();\n/// ```",
            "//! ```rust, ignore-x86_64",
        ] {
            assert_eq!(findings(unfinished, "a.rs", bad).len(), 1, "{bad}");
        }
        for good in [
            "// todo!",
            "\"#[ignore]\"",
            "/// ```text",
            "/// ```no_run",
            "/// ignore it",
        ] {
            assert!(findings(unfinished, "a.rs", good).is_empty(), "{good}");
        }
    }
}
