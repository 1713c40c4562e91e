//! Similarities of sentences, in float and in int8.

use qtensor::prelude::Tensor;

/// A pair of sentences and how alike they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The first one's number.
    pub a: usize,
    /// The second one's.
    pub b: usize,
    /// The cosine of the angle between their vectors.
    pub cosine: f32,
}

/// All pairs of rows, most similar first.
pub fn pairs(vectors: &Tensor) -> Vec<Pair> {
    let rows = rows(vectors);
    let mut found: Vec<Pair> = (0..rows.len())
        .flat_map(|a| (a + 1..rows.len()).map(move |b| (a, b)))
        .map(|(a, b)| Pair {
            a,
            b,
            cosine: cosine(&rows[a], &rows[b]),
        })
        .collect();
    found.sort_by(|x, y| y.cosine.total_cmp(&x.cosine));
    found
}

/// The least cosine between rows of the same number.
pub fn worst(a: &Tensor, b: &Tensor) -> f32 {
    let pairs = rows(a).into_iter().zip(rows(b));
    pairs
        .map(|(a, b)| cosine(&a, &b))
        .fold(f32::INFINITY, f32::min)
}

fn rows(vectors: &Tensor) -> Vec<Vec<f32>> {
    let width = vectors.shape().last().copied().unwrap_or(1).max(1);
    let values = vectors.to_vec();
    values.chunks(width).map(<[f32]>::to_vec).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) as f32
}
