//! Calls decoded from random bytes, as the fuzz target `ops` runs them, for a moment.

mod common;
mod decode;

use common::Rng;
use decode::{Call, check};

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
    assert!(computed > 8000 && compared > 2000, "{seen:?}");
    assert!(refused > 4000 && large < 2000, "{seen:?}");
}
