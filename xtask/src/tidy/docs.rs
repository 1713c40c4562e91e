//! Rules about paths in prose: those of the repository exist, those of a machine do not occur.

use super::report::Report;
use super::tree::Tree;

/// Endings that mark a word without a known directory as a file of this repository.
const FILE_ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".yml", ".sh"];

/// Directories at the root of a machine that are somebody's, not everybody's.
const MACHINE_DIRECTORIES: &[&str] = &["home", "Users", "root", "tmp", "work"];

/// In the guides, whatever stands in backticks and looks like a path of the repository exists.
pub fn backticked_paths(tree: &Tree) -> Report {
    let mut report = Report::new("paths");
    for file in tree.texts().filter(|file| is_guide(&file.path)) {
        for (index, line) in prose_lines(&file.text) {
            for span in backticked(line) {
                match judge(tree, span) {
                    Judgement::NotAPath => {}
                    Judgement::Exists => report.checked += 1,
                    Judgement::Missing => {
                        report.checked += 1;
                        report.findings.push(format!(
                            "{}:{}: `{span}` does not exist",
                            file.path,
                            index + 1
                        ));
                    }
                }
            }
        }
    }
    report
}

/// The guides: prose about the repository as it is now. A changelog also names what is gone.
fn is_guide(path: &str) -> bool {
    matches!(path, "README.md" | "ARCHITECTURE.md" | "CONTRIBUTING.md")
        || (path.starts_with("docs/") && path.ends_with(".md"))
}

/// The numbered lines outside fenced blocks, which hold programs and drawings.
fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The spans of a line that stand between single backticks.
fn backticked(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

enum Judgement {
    NotAPath,
    Exists,
    Missing,
}

/// A span is a path if it begins with a directory of the root, or ends like a file.
///
/// The first kind must exist as it stands. The second may leave out leading directories, as in
/// `isa/detect.rs`. Spans with other characters (`<name>`, `*`, calls) are patterns or code.
fn judge(tree: &Tree, span: &str) -> Judgement {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if span.is_empty() || !span.chars().all(plain) || span.starts_with('/') {
        return Judgement::NotAPath;
    }
    let path = span.trim_end_matches('/');
    let (first, nested) = path
        .split_once('/')
        .map_or((path, false), |(first, _)| (first, true));
    let in_a_directory = (nested || span.ends_with('/')) && tree.exists(first);
    let is_a_file = FILE_ENDINGS
        .iter()
        .any(|ending| path.ends_with(ending) && path.len() > ending.len());
    if in_a_directory && tree.exists(path) || is_a_file && tree.exists_as_suffix(path) {
        Judgement::Exists
    } else if in_a_directory || is_a_file {
        Judgement::Missing
    } else {
        Judgement::NotAPath
    }
}

/// No text file names a personal or temporary directory of a machine, or one beside the repository.
pub fn foreign_paths(tree: &Tree) -> Report {
    let mut report = Report::new("files");
    let sibling = ["..", "shared"].join("/");
    for file in tree.texts() {
        report.checked += 1;
        for (index, line) in file.text.lines().enumerate() {
            let machine = MACHINE_DIRECTORIES
                .iter()
                .find(|name| names_directory(line, name));
            if let Some(name) = machine {
                report
                    .findings
                    .push(format!("{}:{}: a path in /{name}", file.path, index + 1));
            }
            if line.contains(&sibling) {
                report
                    .findings
                    .push(format!("{}:{}: `{sibling}`", file.path, index + 1));
            }
        }
    }
    report
}

/// Whether the line holds `/name` as the first component of an absolute path.
fn names_directory(line: &str, name: &str) -> bool {
    line.match_indices('/').any(|(slash, _)| {
        let before = line[..slash].chars().next_back();
        let Some(after) = line[slash + 1..].strip_prefix(name) else {
            return false;
        };
        // After a word, a dot or a closing bracket the slash only continues a relative path or an URL.
        let continues = before.is_some_and(|c| c.is_alphanumeric() || "_-.~/)}]>*".contains(c));
        let longer = after
            .chars()
            .next()
            .is_some_and(|c| c.is_alphanumeric() || "_-.".contains(c));
        !continues && !longer
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide(text: &str) -> Report {
        backticked_paths(&Tree::from_texts(&[
            ("docs/guide.md", text),
            ("crates/a/src/isa/detect.rs", ""),
            (".ci/run", ""),
        ]))
    }

    #[test]
    fn doc_paths_fire_on_what_is_gone() {
        for bad in [
            "`crates/b`",
            "see `crates/a/src/x`",
            "`gone.rs`",
            "`a/detect.rs`",
            "`docs/x/`",
        ] {
            assert_eq!(guide(bad).findings.len(), 1, "{bad}");
        }
        assert_eq!(
            guide("x\n```text\n`gone.rs`\n```\n`gone.md`").findings,
            ["docs/guide.md:5: `gone.md` does not exist"]
        );
    }

    #[test]
    fn doc_paths_count_what_exists_and_leave_code_alone() {
        let good = guide("`crates/a/`, `crates/a/src`, `isa/detect.rs`, `.ci/run`, `guide.md`");
        assert!(good.holds() && good.checked == 5, "{:?}", good.findings);
        for code in [
            "`a / b`",
            "`f32`",
            "`crates/<name>/x.rs`",
            "`*.rs`",
            "`.rs`",
            "`and/or`",
        ] {
            assert_eq!(guide(code).checked, 0, "{code}");
        }
    }

    #[test]
    fn doc_paths_look_at_guides_only() {
        let elsewhere = [
            ("crates/a/README.md", "`gone.rs`"),
            ("CHANGELOG.md", "`gone.rs`"),
        ];
        assert_eq!(backticked_paths(&Tree::from_texts(&elsewhere)).checked, 0);
    }

    fn foreign(line: &str) -> usize {
        foreign_paths(&Tree::from_texts(&[("a.md", line)]))
            .findings
            .len()
    }

    #[test]
    fn foreign_paths_fire_on_each_directory() {
        // The names are put together here, because this file is checked as well.
        for name in MACHINE_DIRECTORIES {
            assert_eq!(foreign(&format!("see /{name}/someone/x")), 1);
            assert_eq!(foreign(&format!("\"/{name}\"")), 1);
            assert_eq!(foreign(&format!("(/{name}/x)")), 1);
        }
        assert_eq!(foreign(&["..", "shared", "docs"].join("/")), 1);
    }

    #[test]
    fn foreign_paths_leave_relative_paths_and_urls_alone() {
        for good in [
            "target/tmp/x",
            "https://a.b/home/x",
            "/homes/x",
            "work/x",
            "./tmp/x",
        ] {
            assert_eq!(foreign(good), 0, "{good}");
        }
    }
}
