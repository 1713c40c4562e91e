//! Child processes: where they run, how they are shown, and what a failure says.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Why a command of this tool failed, in words for the person who ran it.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The repository's root: the parent of this package.
///
/// Cargo says at run time where the package lies. The path of compile time is only the fallback, for
/// it is wrong when two clones share one target directory.
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.join("..")
}

/// A `cargo` command in the repository's root, with the cargo that runs this tool.
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The command as one would type it: variables first, and the program without its directory.
pub fn describe(command: &Command) -> String {
    let mut words = Vec::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!(
                "{}={}",
                key.to_string_lossy(),
                quoted(&value.to_string_lossy())
            ));
        }
    }
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    words.push(name.to_string_lossy().into_owned());
    words.extend(
        command
            .get_args()
            .map(|word| quoted(&word.to_string_lossy())),
    );
    words.join(" ")
}

/// Runs the command with this process's output and fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command
        .status()
        .map_err(|error| not_started(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} ended with {status}",
            describe(command)
        )))
    }
}

/// Runs the command and returns its standard output; its error output stays visible.
pub fn capture(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "{} ended with {}, and had printed:\n{}",
            describe(command),
            output.status,
            String::from_utf8_lossy(&output.stdout)
        )));
    }
    String::from_utf8(output.stdout).map_err(|error| {
        Failure::new(format!(
            "{} printed invalid UTF-8: {error}",
            describe(command)
        ))
    })
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} could not start: {error}", describe(command)))
}

/// The word, in quotes if a shell would split it.
fn quoted(word: &str) -> String {
    if word.contains(char::is_whitespace) {
        format!("\"{word}\"")
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_it_is_typed() {
        let mut command = Command::new("some/dir/cargo");
        command
            .args(["doc", "--no-deps"])
            .env("FLAGS", "-D warnings");
        assert_eq!(
            describe(&command),
            "FLAGS=\"-D warnings\" cargo doc --no-deps"
        );
    }

    #[test]
    fn failing_and_missing_programs_are_failures() {
        assert!(run(cargo().arg("--version").stdout(Stdio::null())).is_ok());
        let failed = run(cargo().arg("--no-such-option").stderr(Stdio::null()));
        assert!(failed.is_err_and(|failure| failure.to_string().contains("ended with")));
        let missing = capture(&mut Command::new("no-such-program-anywhere"));
        assert!(missing.is_err_and(|failure| failure.to_string().contains("could not start")));
    }

    #[test]
    fn captured_output_is_returned() {
        let version = capture(cargo().arg("--version"));
        assert!(version.is_ok_and(|text| text.starts_with("cargo ")));
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
