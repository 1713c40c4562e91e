//! Any bytes name an operation on tensors, which is an error, or the same whatever the layout and as its formula says.
#![no_main]

#[path = "../../crates/qops/tests/common/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod common;
#[path = "../../crates/qops/tests/decode/mod.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    decode::check(bytes);
});
