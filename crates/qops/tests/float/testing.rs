//! What the tests of this module share: reproducible values, indices, comparison with `f64` references.

use qtensor_core::Tensor;

/// A reproducible stream of values in [-1, 1).
pub struct Values(u64);

impl Values {
    /// A stream of its own for each seed.
    pub fn new(seed: u64) -> Values {
        Values(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next value: the high bits of a linear congruential generator (Knuth's MMIX constants).
    pub fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A tensor of the next values.
    pub fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let n = shape.iter().product();
        Tensor::from_vec((0..n).map(|_| self.next()).collect(), shape).unwrap()
    }
}

/// One to three spatial lengths as three, the missing leading ones being 1.
pub fn three(lengths: &[usize]) -> [usize; 3] {
    let mut all = [1; 3];
    all[3 - lengths.len()..].copy_from_slice(lengths);
    all
}

/// Calls `f` with every index of a shape.
pub fn each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let n: usize = shape.iter().product();
    for mut flat in 0..n {
        let mut at = vec![0; shape.len()];
        for dim in (0..shape.len()).rev() {
            at[dim] = flat % shape[dim];
            flat /= shape[dim];
        }
        f(&at);
    }
}

/// The element of `x` that broadcasting puts at `at`.
pub fn at_broadcast(x: &Tensor, at: &[usize]) -> f32 {
    let lead = at.len() - x.rank();
    let own: Vec<usize> = x
        .shape()
        .iter()
        .zip(&at[lead..])
        .map(|(&n, &i)| if n == 1 { 0 } else { i })
        .collect();
    x.get(&own).unwrap()
}

/// Asserts that `got` has the shape and, within `tolerance` absolute, the values of a reference.
#[track_caller]
pub fn assert_close(got: &Tensor, shape: &[usize], want: &[f64], tolerance: f64) {
    assert_eq!(got.shape(), shape);
    for (i, (g, w)) in got.to_vec().iter().zip(want).enumerate() {
        let off = (f64::from(*g) - w).abs();
        assert!(off <= tolerance, "element {i} of {shape:?}: {g}, want {w}");
    }
}
