//! The order of packed weights, and the limit of their depth.

use super::*;

#[test]
fn lines_hold_four_products_of_sixteen_columns() -> Result<()> {
    let (n, k) = (18, 6);
    let w: Vec<i8> = (0..n * k).map(|i| (i % 127) as i8).collect();
    let packed = PackedWeights::linear(&w, n, k)?;
    let Form::Dense(dense) = packed.form() else {
        unreachable!("linear layers are dense")
    };
    assert_eq!((dense.panels(), dense.depth()), (2, 2));
    for column in 0..32 {
        for c in 0..8 {
            let line = dense.lines(0, column / 16, 1)[c / 4].0;
            let want = if column < n && c < k {
                w[column * k + c]
            } else {
                0
            };
            assert_eq!(
                line[column % 16 * 4 + c % 4],
                want,
                "column {column}, channel {c}"
            );
        }
    }
    Ok(())
}

#[test]
fn other_weights_are_packed_as_the_first_were() -> Result<()> {
    let w: Vec<i8> = (0..36).map(|i| (i % 7) as i8 - 3).collect();
    let other: Vec<i8> = w.iter().map(|&q| q * 2).collect();
    let shape = ConvShape {
        batch: 0,
        in_channels: 2,
        out_channels: 2,
        groups: 1,
        input: [1, 3, 3],
        kernel: [1, 3, 3],
        stride: [1; 3],
        padding: [0; 3],
        dilation: [1; 3],
    };
    for (first, want) in [
        (
            PackedWeights::linear(&w, 3, 12)?,
            PackedWeights::linear(&other, 3, 12)?,
        ),
        (
            PackedWeights::conv(&w, &shape)?,
            PackedWeights::conv(&other, &shape)?,
        ),
    ] {
        let again = first.repacked(&other)?;
        assert_eq!(format!("{again:?}"), format!("{want:?}"));
        assert!(matches!(
            first.repacked(&other[1..]),
            Err(Error::Length {
                expected: 36,
                actual: 35,
                ..
            })
        ));
    }
    Ok(())
}

#[test]
fn the_deepest_allowed_sum_fits_and_one_more_product_is_refused() {
    assert!(255i64 * 128 * MAX_REDUCTION as i64 <= i64::from(i32::MAX));
    let w = vec![-128i8; MAX_REDUCTION + 1];
    let refused = PackedWeights::linear(&w, 1, w.len()).map(|packed| packed.outputs());
    let error = Error::Depth {
        operation: "linear weights",
        limit: 65_000,
        actual: 65_001,
    };
    assert_eq!(refused, Err(error));
    let packed = PackedWeights::linear(&w[1..], 1, MAX_REDUCTION)
        .map(|packed| packed.column_sums().to_vec());
    assert_eq!(packed, Ok(vec![-128 * 65_000]));
}
