//! A fixed corpus of calls, the hashes of whose results are in the repository.
//!
//! The other tests compare tiers that one machine has. These hashes compare machines: a tier that was
//! never at hand when the file was written is held to the bytes of all others the first time it runs.
//! Inputs are ChaCha8 streams, one for each call, keyed by its number; results are hashed with SHA-256,
//! floats as little-endian words.
//!
//! ```text
//! cargo test -p qkernels-x86 --test it corpus::
//! QTENSOR_BLESS=1 cargo test -p qkernels-x86 --test it corpus::    # writes the file anew
//! ```
//!
//! Only a decision to change results, or a new call at the end of the corpus, changes the file.

mod calls;

use std::fmt::Write;
use std::path::PathBuf;

use crate::common::isas;
use calls::Call;
use qkernels_x86::Context;
use sha2::{Digest, Sha256};

/// The hashes, one line a call: SHA-256 and the call's name.
const HASHES: &str = include_str!("hashes.txt");

/// The line of a call's result.
fn line(call: &Call, result: &[u8]) -> String {
    let mut line = String::new();
    for byte in Sha256::digest(result) {
        write!(line, "{byte:02x}").expect("a string takes any text");
    }
    line + "  " + &call.name
}

/// The lines of all calls on one tier and number of threads.
fn lines(ctx: &Context) -> Vec<String> {
    let calls = calls::corpus();
    calls
        .iter()
        .map(|call| line(call, &(call.run)(ctx)))
        .collect()
}

#[test]
fn results_have_the_hashes_of_the_repository() {
    let mut all: Vec<(Context, Vec<String>)> = Vec::new();
    for isa in isas() {
        for threads in [1, 3] {
            let ctx = Context::with(isa, threads);
            all.push((ctx, lines(&ctx)));
        }
    }
    let (_, first) = &all[0];
    for (ctx, lines) in &all {
        assert_eq!(lines, first, "{ctx:?} differs from {:?}", all[0].0);
    }
    if std::env::var_os("QTENSOR_BLESS").is_some_and(|value| value == "1") {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/hashes.txt");
        std::fs::write(&path, first.join("\n") + "\n").expect("the hashes can be written");
        return;
    }
    let recorded: Vec<&str> = HASHES.lines().collect();
    assert_eq!(
        first.len(),
        recorded.len(),
        "calls, and lines of hashes.txt"
    );
    for (line, recorded) in first.iter().zip(recorded) {
        assert_eq!(line, recorded);
    }
}

#[test]
fn calls_have_names_of_their_own_and_results_that_differ() {
    let calls = calls::corpus();
    let mut names: Vec<_> = calls.iter().map(|call| &call.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), calls.len());
    // Bytes that are all alike would hide a fault.
    let ctx = Context::with(isas()[0], 1);
    for call in &calls {
        let result = (call.run)(&ctx);
        let varied = result.iter().any(|byte| *byte != result[0]);
        assert!(
            varied,
            "{}: all {} bytes are alike",
            call.name,
            result.len()
        );
    }
}
