//! `cargo xtask valgrind`: tests of the kernels under valgrind's memcheck, on each instruction set that it can emulate.
//!
//! Memcheck sees every access to memory that was not allocated and every decision on bytes that were never written, in
//! safe code and in intrinsics alike. It runs a program some thirty times slower, so only the tests below run; they go
//! through every kernel. It is no part of `ci`: it takes minutes, and needs a program that few machines have. Without that
//! the command says so, and `QTENSOR_REQUIRE_VALGRIND=1` makes it a failure.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::isa::binaries::{self, Binary};
use crate::process::{self, Failure};

/// The variable that makes an absent valgrind a failure.
const REQUIRED_VARIABLE: &str = "QTENSOR_REQUIRE_VALGRIND";

/// The instruction sets that valgrind emulates; it knows no AVX-512 and no AMX.
const TIERS: &[&str] = &["scalar", "sse2", "avx2"];

/// Executables, and the filters of their tests.
const TESTS: &[(&str, &[&str])] = &[
    ("it", &["guarded::"]),
    ("it", &["corpus::"]),
    ("it", &["decoded::random_bytes"]),
];

/// What memcheck returns when it found something, unlike any test harness.
const FOUND: &str = "--error-exitcode=99";

/// Runs the tests of one tier or of all, or says that they did not run if there is no valgrind.
pub fn run(tier: Option<&str>) -> Result<(), Failure> {
    let required = std::env::var_os(REQUIRED_VARIABLE).is_some_and(|value| value != "0");
    let Some(version) = version("valgrind") else {
        return absent(required);
    };
    println!("{version}");
    let binaries = binaries::build(false)?;
    for tier in chosen(tier)? {
        for (name, filters) in TESTS {
            let mut command = command(tier, find(&binaries, name)?, filters);
            let start = Instant::now();
            let output = process::capture(&mut command)?;
            let passed = crate::isa::passed_tests(&output)?;
            let took = start.elapsed().as_secs_f64();
            let filter = filters.join(", ");
            println!("{tier:<8}{name:<14}{filter:<24}{passed:>4} passed, no error{took:>9.1} s");
        }
    }
    Ok(())
}

/// What the program calls itself; `None` if there is none.
fn version(program: &str) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.arg("--version").stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn absent(required: bool) -> Result<(), Failure> {
    let reason = "not run: valgrind is not installed";
    if required {
        return Err(Failure::new(format!(
            "{reason}, and {REQUIRED_VARIABLE} asks for it"
        )));
    }
    println!("{reason} (memcheck of the kernels on {})", TIERS.join(", "));
    Ok(())
}

fn chosen(tier: Option<&str>) -> Result<Vec<&'static str>, Failure> {
    let Some(name) = tier else {
        return Ok(TIERS.to_vec());
    };
    match TIERS.iter().find(|tier| **tier == name) {
        Some(tier) => Ok(vec![tier]),
        None => Err(Failure::new(format!(
            "valgrind does not emulate `{name}`; expected one of {}",
            TIERS.join(", ")
        ))),
    }
}

fn command(tier: &str, binary: &Binary, filters: &[&str]) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", FOUND, "--leak-check=no"])
        .arg(&binary.executable)
        .args(filters)
        .args(["--test-threads", "1"])
        .current_dir(&binary.package)
        .env("QTENSOR_ISA", tier);
    command
}

/// A test executable of the kernel crate: cargo adds a hash to its name.
fn find<'a>(binaries: &'a [Binary], name: &str) -> Result<&'a Binary, Failure> {
    let named = |binary: &&Binary| {
        binary.package.ends_with("qkernels-x86") && test_name(&binary.executable) == Some(name)
    };
    let found = binaries.iter().find(named);
    found.ok_or_else(|| Failure::new(format!("the kernel crate has no test `{name}`")))
}

fn test_name(executable: &Path) -> Option<&str> {
    let stem = executable.file_stem()?.to_str()?;
    stem.rsplit_once('-').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_by_the_names_of_their_files() {
        let binary = |path: &str| Binary {
            executable: path.into(),
            package: "crates/qkernels-x86".into(),
            filters: &[],
        };
        let all = [
            binary("target/debug/deps/it-0a1b"),
            binary("target/debug/deps/qkernels_x86-77"),
        ];
        assert!(
            find(&all, "qkernels_x86").is_ok_and(|b| b.executable.ends_with("qkernels_x86-77"))
        );
        assert!(find(&all, "golden").is_err());
        let line = process::describe(&command("avx2", &all[0], &["one"]));
        assert!(line.starts_with("QTENSOR_ISA=avx2 valgrind "), "{line}");
        assert!(line.ends_with("it-0a1b one --test-threads 1"), "{line}");
    }

    #[test]
    fn an_absent_valgrind_fails_only_if_it_is_required() {
        assert_eq!(version("no-such-program-anywhere"), None);
        assert!(absent(false).is_ok());
        let failure = absent(true).expect_err("it was required");
        assert!(
            failure
                .to_string()
                .starts_with("not run: valgrind is not installed")
        );
    }

    #[test]
    fn tiers_are_those_that_it_emulates() {
        assert_eq!(chosen(None).ok(), Some(TIERS.to_vec()));
        assert_eq!(chosen(Some("sse2")).ok(), Some(vec!["sse2"]));
        let failure = chosen(Some("amx")).expect_err("it knows no AMX");
        assert!(failure.to_string().contains("scalar, sse2, avx2"));
    }
}
