//! The rule about programs in prose: what a reader would copy has been compiled.

use super::report::Report;
use super::tree::Tree;

/// Where the guides become documentation tests.
const TESTS: &str = "docs/tests/src/lib.rs";

/// How a comment above a block says why nothing compiles it.
const REASON: &str = "<!-- not compiled: ";

/// Every guide is included in the documentation tests, and a block that looks like Rust is one for them, or says why not.
///
/// READMEs of crates are the documentation of their crates, which is tested anyway.
pub fn compiled(tree: &Tree) -> Report {
    let mut report = Report::new("guides");
    let tests = tree.text(TESTS).unwrap_or_default();
    for file in tree.texts().filter(|file| file.path.ends_with(".md")) {
        let guide = file.path == "README.md"
            || (file.path.starts_with("docs/") && file.path.matches('/').count() == 1);
        let included = format!("include_str!(\"../../../{}\")", file.path);
        if guide && !tests.contains(&included) {
            report
                .findings
                .push(format!("{}: no test includes it; see {TESTS}", file.path));
        }
        if guide || file.path.starts_with("crates/") {
            report.checked += 1;
            for line in uncompiled(&file.text) {
                report.findings.push(format!(
                    "{}:{line}: Rust that nothing compiles; tag it `rust`, or say `{REASON}why -->` above",
                    file.path
                ));
            }
        }
    }
    report
}

/// The numbers of the lines that open a block of uncompiled Rust without a reason above it.
fn uncompiled(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(tag) = lines[at].trim_start().strip_prefix("```") else {
            at += 1;
            continue;
        };
        let block = lines[at + 1..].iter();
        let length = block
            .clone()
            .position(|line| line.trim_start().starts_with("```"));
        let length = length.unwrap_or(lines.len() - at - 1);
        let skipped = tag.split(',').any(|tag| tag.trim().starts_with("ignore"));
        // A block without a tag is Rust to rustdoc.
        let other = !tag.is_empty() && !tag.split(',').any(|tag| tag.trim() == "rust");
        let reason = at > 0 && lines[at - 1].trim_start().starts_with(REASON);
        if (skipped || other && block.take(length).any(|line| is_rust(line))) && !reason {
            found.push(at + 1);
        }
        at += length + 2;
    }
    found
}

/// Whether a line begins like an item or a statement and ends like one.
fn is_rust(line: &str) -> bool {
    const STARTS: [&str; 9] = [
        "use ", "let ", "fn ", "pub ", "impl ", "struct ", "enum ", "#[", "mod ",
    ];
    let line = line.trim();
    STARTS.iter().any(|start| line.starts_with(start)) && line.ends_with([';', '{', '}', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        let tests = (
            "docs/tests/src/lib.rs",
            r#"include_str!("../../../docs/a.md")"#,
        );
        let report = compiled(&Tree::from_texts(&[("docs/a.md", text), tests]));
        assert_eq!(report.checked, 1);
        report.findings.len()
    }

    #[test]
    fn uncompiled_rust_is_found_unless_it_has_a_reason() {
        for bad in [
            "```ignore\nf();\n```",
            "```rust,ignore\nf();\n```",
            "```text\nlet x = 1;\n```",
            "Text.\n\n```\nok();\n```\n\n```text\n#[derive(Module)]\n```",
        ] {
            assert_eq!(findings(bad), 1, "{bad}");
        }
        for good in [
            "```rust\nlet x = 1;\n```",
            "```rust,no_run\nlet x = 1;\n```",
            "```\nlet x = 1;\n```",
            "```text\ncargo test\nlet us see\n```",
            "<!-- not compiled: it shows a mistake -->\n```text\nlet x = 1;\n```",
            "let x = 1;",
        ] {
            assert_eq!(findings(good), 0, "{good}");
        }
    }

    #[test]
    fn a_guide_without_a_test_is_found() {
        let report = compiled(&Tree::from_texts(&[
            ("docs/a.md", ""),
            ("docs/b/c.md", ""),
            ("docs/tests/src/lib.rs", ""),
        ]));
        assert_eq!(report.findings.len(), 1);
    }
}
