//! What a rule found, and how much it looked at.

/// The outcome of one rule.
pub struct Report {
    /// How many things the rule looked at.
    pub checked: usize,
    /// What those things are, in the plural.
    pub unit: &'static str,
    /// One line for each breach: place first, then what is wrong there.
    pub findings: Vec<String>,
    /// Breaches that an [`Exception`] covers, with its reason.
    pub excused: Vec<String>,
}

/// A file that may break a rule, and why. One that excuses nothing is itself a finding.
pub struct Exception {
    /// The file, relative to the repository's root.
    pub path: &'static str,
    /// Why the rule does not fit there.
    pub reason: &'static str,
}

impl Report {
    /// An empty report that counts `unit`.
    pub fn new(unit: &'static str) -> Self {
        Self {
            checked: 0,
            unit,
            findings: Vec::new(),
            excused: Vec::new(),
        }
    }

    /// Whether the rule looked at something and found no breach.
    pub fn holds(&self) -> bool {
        self.checked > 0 && self.findings.is_empty()
    }

    /// Moves the findings in excepted files to `excused`, and reports exceptions without a use.
    ///
    /// Findings must begin with `path:`, as all findings about a file do.
    pub fn except(mut self, exceptions: &[Exception]) -> Self {
        for Exception { path, reason } in exceptions {
            let at = format!("{path}:");
            let (covered, rest): (Vec<_>, Vec<_>) = self
                .findings
                .into_iter()
                .partition(|finding| finding.starts_with(&at));
            self.findings = rest;
            if covered.is_empty() {
                self.findings
                    .push(format!("{path}: the exception ({reason}) excuses nothing"));
            }
            self.excused.extend(
                covered
                    .iter()
                    .map(|finding| format!("{finding} ({reason})")),
            );
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCEPTION: Exception = Exception {
        path: "a.rs",
        reason: "because",
    };

    #[test]
    fn a_report_that_looked_at_nothing_does_not_hold() {
        let mut report = Report::new("files");
        assert!(!report.holds());
        report.checked = 1;
        assert!(report.holds());
        report.findings.push("a.rs:1: wrong".to_owned());
        assert!(!report.holds());
    }

    #[test]
    fn an_exception_covers_its_file_only() {
        let mut report = Report::new("files");
        report.checked = 2;
        report.findings = vec!["a.rs:1: wrong".to_owned(), "dir/a.rs:1: wrong".to_owned()];
        let report = report.except(&[EXCEPTION]);
        assert_eq!(report.findings, ["dir/a.rs:1: wrong"]);
        assert_eq!(report.excused, ["a.rs:1: wrong (because)"]);
    }

    #[test]
    fn an_exception_without_a_use_is_a_finding() {
        let mut report = Report::new("files");
        report.checked = 1;
        assert!(!report.except(&[EXCEPTION]).holds());
    }
}
