//! `cargo xtask tidy`: the repository's promises that a text search can check.
//!
//! Each rule is one function from the [`Tree`] to a [`Report`], listed in [`RULES`] and unit-tested on
//! an example that breaks it. The output counts what each rule looked at, and a rule that looked at
//! nothing fails: a renamed directory must not turn a check off in silence.

mod address;
mod code;
mod docs;
mod files;
mod guides;
mod layout;
mod lock;
mod report;
mod tests_of_crates;
mod tree;

use crate::process::{self, Failure};
use report::Report;
use tree::Tree;

struct Rule {
    name: &'static str,
    /// The rule in one sentence, printed when it is broken.
    says: &'static str,
    check: fn(&Tree) -> Report,
}

const RULES: &[Rule] = &[
    Rule {
        name: "header",
        says: "every .rs file opens with `//!` and its purpose",
        check: files::header,
    },
    Rule {
        name: "length",
        says: "small rooms: at most 500 lines in a .rs file, 800 in a file of tests",
        check: files::length,
    },
    Rule {
        name: "whitespace",
        says: "no line ends in a blank, and no carriage returns",
        check: files::trailing_whitespace,
    },
    Rule {
        name: "unfinished",
        says: "no `todo!`, no `unimplemented!`, no ignored test or example",
        check: files::unfinished,
    },
    Rule {
        name: "unsafe",
        says: "`unsafe` lives in crates/qkernels-x86/src/isa/ alone",
        check: address::unsafe_code,
    },
    Rule {
        name: "arch",
        says: "only crates/qkernels-x86/src/isa/ imports `core::arch`",
        check: address::arch_intrinsics,
    },
    Rule {
        name: "environment",
        says: "libraries read the environment and the CPU's features in isa/detect.rs alone",
        check: address::environment,
    },
    Rule {
        name: "rounding",
        says: "libraries round in crates/qtensor-core/src/rounding.rs alone",
        check: address::rounding,
    },
    Rule {
        name: "stack",
        says: "a crate depends only on crates below it in the stack",
        check: layout::stack_order,
    },
    Rule {
        name: "crate-files",
        says: "every crate has README.md and src/error.rs",
        check: layout::crate_files,
    },
    Rule {
        name: "tests",
        says: "every file in a crate's tests/ is a module of tests/main.rs or a target of the manifest",
        check: tests_of_crates::compiled,
    },
    Rule {
        name: "no-c",
        says: "building needs no C compiler: no package of Cargo.lock depends on one that compiles C",
        check: lock::builds_no_c,
    },
    Rule {
        name: "doc-paths",
        says: "a path in backticks in the guides exists",
        check: docs::backticked_paths,
    },
    Rule {
        name: "guides",
        says: "every guide is compiled by docs/tests/, and Rust that is not says why in a comment above",
        check: guides::compiled,
    },
    Rule {
        name: "foreign-paths",
        says: "no file names a directory of somebody's machine",
        check: docs::foreign_paths,
    },
];

/// Checks every rule on the working tree, prints one line a rule, and fails if any is broken.
pub fn run() -> Result<(), Failure> {
    let tree = Tree::load(&process::root())?;
    let mut broken = 0;
    for rule in RULES {
        let report = (rule.check)(&tree);
        println!(
            "{:<14}{:>6} {:<11}{}",
            rule.name,
            report.checked,
            report.unit,
            verdict(&report)
        );
        for excuse in &report.excused {
            println!("    excused: {excuse}");
        }
        for finding in &report.findings {
            println!("    {finding}");
        }
        if !report.holds() {
            println!("    rule: {}", rule.says);
            broken += 1;
        }
    }
    if broken == 0 {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{broken} of {} tidy rules are broken; see above",
            RULES.len()
        )))
    }
}

fn verdict(report: &Report) -> String {
    match (report.findings.len(), report.checked) {
        (0, 0) => "NOTHING CHECKED".to_owned(),
        (0, _) => "ok".to_owned(),
        (count, _) => format!("{count} BROKEN"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_an_empty_tree_no_rule_holds() {
        let empty = Tree::from_texts(&[]);
        for rule in RULES {
            let report = (rule.check)(&empty);
            assert!(
                !report.holds(),
                "`{}` holds without looking at anything",
                rule.name
            );
        }
    }

    #[test]
    fn rule_names_are_distinct() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(RULES[..index].iter().all(|other| other.name != rule.name));
        }
    }
}
