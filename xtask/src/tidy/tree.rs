//! The repository's files as the rules see them.
//!
//! They are the files git tracks and those it would track (new and not ignored), so that a rule speaks
//! up before a file is added. On a clean clone the two are the same.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use super::code;
use crate::process::{self, Failure};

/// One text file.
pub struct SourceFile {
    /// Relative to the root, with forward slashes.
    pub path: String,
    /// The content.
    pub text: String,
    /// For Rust: the content with comments and the insides of literals blanked, line for line.
    pub code: Option<String>,
}

/// All files: the paths of every file, the texts of those that are text.
pub struct Tree {
    paths: BTreeSet<String>,
    texts: Vec<SourceFile>,
}

impl Tree {
    /// Reads the files of the repository at `root`.
    pub fn load(root: &Path) -> Result<Self, Failure> {
        let mut git = Command::new("git");
        git.current_dir(root);
        git.args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let listing = process::capture(&mut git)?;
        let mut tree = Self {
            paths: BTreeSet::new(),
            texts: Vec::new(),
        };
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            match fs::read(root.join(path)) {
                Ok(bytes) => tree.add(path, bytes),
                // Deleted in the working tree but still in the index.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::new(format!("cannot read {path}: {error}"))),
            }
        }
        Ok(tree)
    }

    /// A tree of these paths and contents.
    #[cfg(test)]
    pub fn from_texts(files: &[(&str, &str)]) -> Self {
        let mut tree = Self {
            paths: BTreeSet::new(),
            texts: Vec::new(),
        };
        for (path, text) in files {
            tree.add(path, text.as_bytes().to_vec());
        }
        tree
    }

    fn add(&mut self, path: &str, bytes: Vec<u8>) {
        self.paths.insert(path.to_owned());
        // A file is text if it is UTF-8 without NUL; others are data, of which only the path counts.
        let Ok(text) = String::from_utf8(bytes) else {
            return;
        };
        if text.contains('\0') {
            return;
        }
        let code = path.ends_with(".rs").then(|| code::blank(&text));
        self.texts.push(SourceFile {
            path: path.to_owned(),
            text,
            code,
        });
    }

    /// Every text file.
    pub fn texts(&self) -> impl Iterator<Item = &SourceFile> {
        self.texts.iter()
    }

    /// Every Rust file, with its code.
    pub fn rust(&self) -> impl Iterator<Item = (&SourceFile, &str)> {
        self.texts
            .iter()
            .filter_map(|file| Some((file, file.code.as_deref()?)))
    }

    /// The Rust files of libraries: `crates/*/src/`, without tests, examples and tools.
    pub fn library_rust(&self) -> impl Iterator<Item = (&SourceFile, &str)> {
        self.rust().filter(|(file, _)| {
            let mut parts = file.path.split('/');
            parts.next() == Some("crates") && parts.nth(1) == Some("src")
        })
    }

    /// The names of the directories in `crates/`.
    pub fn crates(&self) -> BTreeSet<&str> {
        self.paths
            .iter()
            .filter_map(|path| path.strip_prefix("crates/")?.split_once('/'))
            .map(|(name, _)| name)
            .collect()
    }

    /// The text of the file at exactly this path.
    pub fn text(&self, path: &str) -> Option<&str> {
        let file = self.texts.iter().find(|file| file.path == path)?;
        Some(&file.text)
    }

    /// Whether this is a file, or a directory that holds one.
    pub fn exists(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.paths.contains(path)
            || self
                .paths
                .range(inside.clone()..)
                .next()
                .is_some_and(|next| next.starts_with(&inside))
    }

    /// Whether some file's path is this one or ends in it, whole components only.
    pub fn exists_as_suffix(&self, path: &str) -> bool {
        let ending = format!("/{path}");
        self.paths.contains(path) || self.paths.iter().any(|other| other.ends_with(&ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::from_texts(&[
            ("crates/a/src/lib.rs", "fn f() {} // comment\n"),
            ("crates/a/tests/t.rs", ""),
            ("crates/b-c/Cargo.toml", ""),
            ("xtask/src/main.rs", ""),
            ("data/blob", "\0"),
        ])
    }

    #[test]
    fn library_files_are_those_in_a_crates_src() {
        let tree = tree();
        let found: Vec<_> = tree.library_rust().map(|(file, _)| &file.path).collect();
        assert_eq!(found, ["crates/a/src/lib.rs"]);
        assert_eq!(tree.rust().count(), 3);
        assert!(
            tree.library_rust()
                .all(|(_, code)| !code.contains("comment"))
        );
    }

    #[test]
    fn crates_are_directories() {
        assert_eq!(
            tree().crates().into_iter().collect::<Vec<_>>(),
            ["a", "b-c"]
        );
    }

    #[test]
    fn existence_is_by_whole_components() {
        let tree = tree();
        assert!(tree.exists("crates/a/src") && tree.exists("data/blob"));
        assert!(!tree.exists("crates/b") && !tree.exists("crates/a/src/lib"));
        assert!(tree.exists_as_suffix("src/lib.rs") && !tree.exists_as_suffix("c/lib.rs"));
        assert!(!tree.exists_as_suffix("ib.rs"));
    }

    #[test]
    fn data_has_a_path_and_no_text() {
        assert!(tree().exists("data/blob"));
        assert!(tree().text("data/blob").is_none());
    }
}
