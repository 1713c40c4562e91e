//! Any bytes are edits of a file of weights, which is an error or fits the model.
#![no_main]

#[path = "../../crates/qflow/tests/common/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod common;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    common::decode::safetensors(bytes);
});
