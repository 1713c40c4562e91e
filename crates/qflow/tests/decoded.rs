//! Damaged files decoded from random bytes, as the fuzz targets `models`, `safetensors` and `tensors` read them, for a moment.

use crate::common::decode::{self, Read};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Reads many damaged files; some must be sound and some refused, otherwise this would test nothing.
fn read(count: usize, most: usize, read: fn(&[u8]) -> Read) {
    let mut rng = ChaCha8Rng::seed_from_u64(most as u64);
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..count {
        // A few edits, or none but what the first bytes choose.
        let len = rng.random_range(0..most);
        let bytes: Vec<u8> = (0..len).map(|_| rng.random()).collect();
        match read(&bytes) {
            Read::Loaded => loaded += 1,
            Read::Refused => refused += 1,
        }
    }
    assert!(loaded > count / 50, "{loaded} loaded, {refused} refused");
    assert!(refused > count / 50, "{loaded} loaded, {refused} refused");
}

#[test]
fn tensors_and_observers() {
    read(30_000, 14, decode::tensors);
}

#[test]
fn models() {
    read(3_000, 12, decode::models);
}

#[test]
fn safetensors() {
    read(3_000, 12, decode::safetensors);
}
