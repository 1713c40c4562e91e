//! Calls decoded from random bytes, as the fuzz target of the repository runs them, for a moment.

use std::cell::Cell;

use crate::common::Data;
use crate::common::decode::{Call, check};
use proptest::prelude::*;

/// Most bytes name a call that is small enough to be checked; otherwise this would test nothing.
#[test]
fn random_bytes_are_calls_that_are_exact() {
    let mut data = Data::new(31);
    let (checked, refused) = (Cell::new(0), Cell::new(0));
    let mut transposed = 0;
    for len in 0..3000 {
        let bytes = data.bytes(len % 96);
        match check(&bytes) {
            Call::Checked => {
                checked.set(checked.get() + 1);
                transposed += i32::from(bytes.first().is_some_and(|byte| byte % 10 > 7));
            }
            Call::Refused => refused.set(refused.get() + 1),
            Call::Large => {}
        }
    }
    assert!(
        checked.get() > 1000,
        "only {} calls were checked",
        checked.get()
    );
    assert!(
        refused.get() > 30,
        "only {} calls were refused",
        refused.get()
    );
    assert!(
        transposed > 100,
        "only {transposed} transposed convolutions were checked"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_exact(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
        check(&bytes);
    }
}
