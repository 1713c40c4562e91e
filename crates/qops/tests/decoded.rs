//! Calls decoded from random bytes, as the fuzz target `ops` runs them, for a moment.

use crate::common::Rng;
use crate::decode::{Call, check};

/// Bytes that the fuzz target once failed on.
const FOUND: &[&[u8]] = &[
    b"\x03\xff\xff\xed\xff\xff\xff\xfa\xd0\x6f\x8f\x27\xf9\xfc\xa0\x50\xbf\x08\x08",
    b"\x04\x03\xc9\x8a\x62\xbb\xbb\x87\x62\x87\x87\x87\x87\x2f\xc1\x8f",
    b"\x04\xcd\x2b\x01\x8a\x8a\x1d\x21\x1d\x8a\x1d\x1d\xff\x1d\x1f\x8a\xfc\xff\xff\x00\x00\x00\x1d\x09\x09\x09\x09\x12\x09\x09\x09\x09\x09\x09\x03\x60\x02\xb3\x00\x41\x29",
    b"\x04\xff\x27\x41\x03\x10\x41\xff\x2e\xff\x27\x41\x03\x10\x41\xff\x00\xb5\x00\x07\x80\x10\xf5\x32\xf5\x1f\x24\x00\xb5\x00\x07\x80\x10\xf5\x32\xf5\x1f\x24\xff\x01",
];

/// Most bytes name a call that is answered, and many one that is compared; otherwise this would test nothing.
#[test]
fn random_bytes_are_calls_with_an_answer() {
    let mut rng = Rng::new(47);
    let mut seen = [0; 4];
    for count in 0..40_000 {
        let bytes: Vec<u8> = (0..count % 160).map(|_| rng.int(0, 255) as u8).collect();
        seen[match check(&bytes) {
            Call::Computed => 0,
            Call::Compared => 1,
            Call::Refused => 2,
            Call::Large => 3,
        }] += 1;
    }
    let [computed, compared, refused, large] = seen;
    assert!(computed > 6000 && compared > 10_000, "{seen:?}");
    assert!(refused > 4000 && large < 2000, "{seen:?}");
}

/// What once failed, and calls near to it.
#[test]
fn findings_stay_repaired() {
    let mut rng = Rng::new(48);
    for found in FOUND {
        check(found);
        for _ in 0..2000 {
            let mut bytes = found.to_vec();
            for _ in 0..rng.int(1, 3) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.int(0, 255) as u8;
            }
            check(&bytes);
        }
    }
}
