//! Any bytes are edits of a model file, which is an error or a model that runs.
#![no_main]

#[path = "../../crates/qflow/tests/common/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod common;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    common::decode::models(bytes);
});
