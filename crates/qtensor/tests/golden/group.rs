//! A group of cases: what checks them, and the count of what came out.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::store::{self, Case, Fallible};

/// What became of a case that did not fail.
pub enum Verdict {
    /// Equal in everything that is compared.
    Equal,
    /// Not equal, but within the deviation that the group allows for such cases; with the numbers.
    Accepted(String),
    /// There is nothing here yet that could compute it.
    NotChecked,
}

/// A group of cases and its check.
pub struct Group {
    /// The name of the group and of its file.
    pub name: &'static str,
    /// Compares a case; an error is a failure. `None` for a group of which nothing exists yet.
    pub check: Option<fn(&Case) -> Fallible<Verdict>>,
    /// Kinds of cases that may deviate, and how far. All others are equal or fail.
    pub may_deviate: &'static [(&'static str, &'static str)],
}

/// The cases of one kind (operation, module or observer).
#[derive(Default)]
pub struct Tally {
    pub cases: usize,
    pub equal: usize,
    pub accepted: usize,
    pub failed: usize,
    pub not_checked: usize,
}

/// The result of a group.
#[derive(Default)]
pub struct Summary {
    /// By kind of case.
    pub kinds: BTreeMap<String, Tally>,
    /// Failures and accepted deviations in words.
    pub notes: Vec<String>,
    /// A complaint about the group as a whole.
    pub broken: Option<String>,
}

impl Summary {
    /// The sum over all kinds.
    pub fn total(&self) -> Tally {
        self.kinds.values().fold(Tally::default(), |sum, t| Tally {
            cases: sum.cases + t.cases,
            equal: sum.equal + t.equal,
            accepted: sum.accepted + t.accepted,
            failed: sum.failed + t.failed,
            not_checked: sum.not_checked + t.not_checked,
        })
    }
}

impl Group {
    /// Reads the group's file in `folder` and checks every case.
    pub fn run(&self, folder: &Path) -> Summary {
        let path = folder.join(self.name).with_extension("safetensors");
        let mut summary = Summary::default();
        match store::read(&path) {
            Ok(cases) => {
                for case in &cases {
                    self.run_case(case, &mut summary);
                }
                let total = summary.total();
                if self.check.is_some() && total.not_checked == total.cases {
                    summary.broken = Some("no case of it was checked".into());
                }
            }
            Err(error) => summary.broken = Some(format!("{}: {error}", path.display())),
        }
        summary
    }

    fn run_case(&self, case: &Case, summary: &mut Summary) {
        let kind = case.subject().unwrap_or(self.name);
        let tally = summary.kinds.entry(kind.to_string()).or_default();
        tally.cases += 1;
        let verdict = match self.check {
            // A panic is a failure of its case; the others still run.
            Some(check) => catch_unwind(AssertUnwindSafe(|| check(case)))
                .unwrap_or_else(|_| Err("it panicked, see above".into())),
            None => Ok(Verdict::NotChecked),
        };
        let note = |word: &str, text: &str| {
            let (group, name, parameters) = (self.name, &case.name, case.parameters());
            format!("{word}: {group} / {kind} / {name}: {text}\n    {parameters}")
        };
        match verdict {
            Ok(Verdict::Equal) => tally.equal += 1,
            Ok(Verdict::NotChecked) => tally.not_checked += 1,
            Ok(Verdict::Accepted(text)) if self.rule(kind).is_some() => {
                tally.accepted += 1;
                summary.notes.push(note("accepted", &text));
            }
            Ok(Verdict::Accepted(text)) => {
                tally.failed += 1;
                summary.notes.push(note("FAILED", &text));
            }
            Err(error) => {
                tally.failed += 1;
                summary.notes.push(note("FAILED", &error.to_string()));
            }
        }
    }

    /// How far cases of a kind may deviate, if they may.
    pub fn rule(&self, kind: &str) -> Option<&'static str> {
        let rule = self.may_deviate.iter().find(|(k, _)| *k == kind)?;
        Some(rule.1)
    }
}
