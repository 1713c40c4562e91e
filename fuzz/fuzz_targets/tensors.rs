//! Any bytes are edits of a file of a tensor or of an observer's state, which is an error or can be used.
#![no_main]

#[path = "../../crates/qflow/tests/common/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod common;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    common::decode::tensors(bytes);
});
