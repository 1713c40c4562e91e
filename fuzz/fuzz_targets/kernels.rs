//! Any bytes name a call of a kernel; it runs on every tier of this CPU and is compared with the naive loops.
#![no_main]

#[path = "../../crates/qkernels-x86/tests/common/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod common;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    common::decode::check(bytes);
});
