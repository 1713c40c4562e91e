//! The arguments that `cargo test` passes along, in the manner of Rust's own test harness.

/// What to run.
#[derive(Debug, Default, PartialEq)]
pub struct Arguments {
    /// Print the names instead of running anything.
    pub list: bool,
    /// Names must equal a filter rather than contain it.
    exact: bool,
    /// Run ignored tests alone; there are none.
    ignored: bool,
    filters: Vec<String>,
    skipped: Vec<String>,
}

/// Flags whose value is the next argument.
const WITH_VALUE: [&str; 7] = [
    "--test-threads",
    "--logfile",
    "--color",
    "--format",
    "--shuffle-seed",
    "--skip",
    "-Z",
];

impl Arguments {
    /// Reads the arguments behind the program's name. Flags without a meaning here are passed over.
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Arguments {
        let mut read = Arguments::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => read.list = true,
                "--exact" => read.exact = true,
                "--ignored" => read.ignored = true,
                flag if WITH_VALUE.contains(&flag) => {
                    let value = arguments.next();
                    if flag == "--skip" {
                        read.skipped.extend(value);
                    }
                }
                flag if flag.starts_with('-') => {
                    read.skipped
                        .extend(flag.strip_prefix("--skip=").map(str::to_string));
                }
                _ => read.filters.push(argument),
            }
        }
        read
    }

    /// Whether the group of this name is wanted.
    pub fn selects(&self, name: &str) -> bool {
        let matches = |filter: &String| match self.exact {
            true => name == filter,
            false => name.contains(filter.as_str()),
        };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skipped.iter().any(matches)
    }
}
