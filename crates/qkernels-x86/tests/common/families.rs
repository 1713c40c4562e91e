//! Families of data that are hard on kernels: extremes, ties, sums at the edge of what fits.

use super::{Data, Model};

/// What weights and activations look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// Bytes of all values.
    Random,
    /// Activations up to 127 and weights between -64 and 63: pairs of products fit 16 bits.
    Small,
    /// All activations 255, all weights -128.
    Least,
    /// All activations 255, all weights 127.
    Greatest,
    /// Extremes of both signs, one after the other.
    Alternating,
    /// Rows whose greatest byte and columns whose greatest pair of weights lie at either side of the
    /// limit of 16 bits, in one layer.
    PairEdge,
    /// Activations below 8 and weights -1, 0 and 1: small sums, which multipliers make ties of.
    Unit,
}

impl Values {
    pub const ALL: [Values; 7] = [
        Values::Random,
        Values::Small,
        Values::Least,
        Values::Greatest,
        Values::Alternating,
        Values::PairEdge,
        Values::Unit,
    ];

    /// `n` columns of `k` weights.
    pub fn weights(self, data: &mut Data, n: usize, k: usize) -> Vec<i8> {
        let bytes = data.bytes(n * k).into_iter().enumerate();
        let value = |(i, byte): (usize, u8)| match self {
            Values::Random => byte as i8,
            Values::Small => (byte & 127) as i8 - 64,
            Values::Least => -128,
            Values::Greatest => 127,
            Values::Alternating => [127, -128][(i + i / k) % 2],
            // Sums of two neighbours: 127, 128, 129, 254, -129, -256.
            Values::PairEdge => [
                [127, 0],
                [127, 1],
                [127, 2],
                [127, 127],
                [-128, -1],
                [-128, -128],
            ][i / k % 6][i % 2],
            Values::Unit => (byte % 3) as i8 - 1,
        };
        bytes.map(value).collect()
    }

    /// `rows` rows of `len` activations.
    pub fn activations(self, data: &mut Data, rows: usize, len: usize) -> Vec<u8> {
        let bytes = data.bytes(rows * len).into_iter().enumerate();
        let value = |(i, byte): (usize, u8)| match self {
            Values::Random => byte,
            Values::Small => byte & 127,
            Values::Least | Values::Greatest => 255,
            Values::Alternating => [0, 255, 255][i % 3],
            Values::PairEdge => [127, 128, 254, 255][i / len.max(1) / 5 % 4].min(byte | 127),
            Values::Unit => byte & 7,
        };
        bytes.map(value).collect()
    }
}

/// What multipliers look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scaling {
    /// Outputs spread over the range of a byte.
    Spread,
    /// Powers of two, below one: many outputs lie between two integers.
    Ties,
    /// Far beyond every integer, of both signs.
    Overflow,
    /// One and more.
    Enlarging,
    /// Nothing remains.
    Vanishing,
}

impl Scaling {
    pub const ALL: [Scaling; 5] = [
        Scaling::Spread,
        Scaling::Ties,
        Scaling::Overflow,
        Scaling::Enlarging,
        Scaling::Vanishing,
    ];

    /// One multiplier for each of `n` outputs that sum `k` products.
    pub fn multipliers(self, n: usize, k: usize) -> Vec<f32> {
        let spread = 255.0 / (128.0 * 100.0 * (k as f32).sqrt());
        let value = |i: usize| match self {
            Scaling::Spread => spread * (0.5 + (i % 7) as f32 / 3.0),
            Scaling::Ties => [0.5, 0.25, -0.5, 1.0 / 64.0, 1.0 / 1024.0][i % 5],
            Scaling::Overflow => [1e9, 1e12, -1e12, f32::MAX, -f32::MAX][i % 5],
            Scaling::Enlarging => [1.0, 1.5, 3.0, -1.0, 77.7][i % 5],
            Scaling::Vanishing => [0.0, -0.0, 1e-45, f32::MIN_POSITIVE, 1e-20][i % 5],
        };
        (0..n).map(value).collect()
    }
}

/// A layer of these families.
pub fn model(
    data: &mut Data,
    values: Values,
    scaling: Scaling,
    input_zero_point: u8,
    [n, k]: [usize; 2],
) -> Model {
    let mut model = data.model(n, k);
    model.weight = values.weights(data, n, k);
    model.multipliers = scaling.multipliers(n, k);
    model.input_zero_point = input_zero_point;
    if values == Values::Unit {
        model.bias = (0..n as i32).map(|i| i % 5 - 2).collect();
    }
    model
}
