//! Tables of embeddings in 8 and 4 bits.

use qops::Error;
use qops::quantized::{BagMode, EmbeddingTable, float_bags};
use qtensor_core::Tensor;

fn weight(rows: usize, width: usize) -> Tensor {
    let values = (0..rows * width).map(|i| ((i * i) as f32 * 0.7).sin() * (1 + i / width) as f32);
    Tensor::from_vec(values.collect(), &[rows, width]).expect("as many values as the shape holds")
}

fn indices(values: &[i64]) -> Tensor<i64> {
    Tensor::from_slice(values, &[values.len()]).expect("a vector")
}

#[test]
fn elements_are_within_half_a_step_of_their_row() {
    for (bits, steps) in [(8, 255.0), (4, 15.0)] {
        for width in [1, 2, 7, 16] {
            let w = weight(5, width);
            let table = EmbeddingTable::quantize(&w, bits).unwrap();
            let y = table.lookup(&indices(&[0, 1, 2, 3, 4])).unwrap();
            assert_eq!(
                table.bytes().len(),
                5 * (width * usize::from(bits)).div_ceil(8)
            );
            for (row, (got, want)) in y
                .to_vec()
                .chunks(width)
                .zip(w.to_vec().chunks(width))
                .enumerate()
            {
                let max = want.iter().copied().fold(f32::MIN, f32::max);
                let min = want.iter().copied().fold(f32::MAX, f32::min);
                let step = if width == 1 { 1.0 } else { (max - min) / steps };
                for (got, want) in got.iter().zip(want) {
                    assert!((got - want).abs() <= step * 0.5001, "{bits} {width} {row}");
                }
            }
        }
    }
}

#[test]
fn integers_have_the_formula_of_real_qparams() {
    // The numbers of a row 0, 1, …, 255 times 0.5, less 3: its integers count up.
    let row: Vec<f32> = (0..256).map(|i| i as f32 * 0.5 - 3.0).collect();
    let table = EmbeddingTable::quantize(&Tensor::from_vec(row, &[1, 256]).unwrap(), 8).unwrap();
    assert_eq!(
        (table.scales(), table.zero_points()),
        (&[0.5][..], &[6.0][..])
    );
    assert_eq!(table.bytes(), (0..=255).collect::<Vec<u8>>());
    // Four bits: the first of a pair is the low half.
    let row = Tensor::from_vec(vec![0.0, 1.0, 15.0], &[1, 3]).unwrap();
    let table = EmbeddingTable::quantize(&row, 4).unwrap();
    assert_eq!(table.bytes(), [0x10, 0x0f]);
}

#[test]
fn bags_are_sums_means_and_maxima_of_rows() {
    let w = weight(6, 5);
    let (picked, offsets) = (indices(&[0, 3, 3, 5, 1]), indices(&[0, 3, 3]));
    let table = EmbeddingTable::quantize(&w, 8).unwrap();
    let dense = table.lookup(&indices(&[0, 1, 2, 3, 4, 5])).unwrap();
    for mode in [BagMode::Sum, BagMode::Mean, BagMode::Max] {
        let got = table.bags(&picked, &offsets, mode).unwrap();
        assert_eq!(got, float_bags(&dense, &picked, &offsets, mode).unwrap());
        assert_eq!(got.to_vec()[5..10], [0.0; 5], "an empty bag");
        let of = |bag: &[usize], u: usize| -> f32 {
            let values = bag.iter().map(|&row| dense.get(&[row, u]).unwrap());
            match mode {
                BagMode::Sum => values.sum(),
                BagMode::Mean => values.sum::<f32>() / bag.len() as f32,
                BagMode::Max => values.fold(f32::MIN, f32::max),
            }
        };
        for u in 0..5 {
            assert!((got.get(&[0, u]).unwrap() - of(&[0, 3, 3], u)).abs() < 1e-5);
            assert!((got.get(&[2, u]).unwrap() - of(&[5, 1], u)).abs() < 1e-5);
        }
    }
}

#[test]
fn mistakes_show_their_numbers() {
    let table = EmbeddingTable::quantize(&weight(3, 2), 8).unwrap();
    let text = table.lookup(&indices(&[1, 3])).unwrap_err().to_string();
    assert!(
        text.contains("0..3") && text.contains("3 at position 1"),
        "{text}"
    );
    assert!(table.lookup(&indices(&[-1])).is_err());
    for offsets in [&[1, 2][..], &[0, 2, 1], &[0, 3], &[-1]] {
        let text = table.bags(&indices(&[1, 2]), &indices(offsets), BagMode::Sum);
        assert!(
            matches!(
                text,
                Err(Error::Argument {
                    argument: "offsets",
                    ..
                })
            ),
            "{offsets:?}"
        );
    }
    assert!(EmbeddingTable::quantize(&weight(3, 2), 5).is_err());
    let mut nan = weight(3, 2);
    nan.set(&[2, 1], f32::NAN).unwrap();
    assert!(matches!(
        EmbeddingTable::quantize(&nan, 8),
        Err(Error::NotFinite { index, .. }) if index == [2, 1]
    ));
    let short = EmbeddingTable::from_parts([3, 3], 4, vec![0; 5], vec![1.0; 3], vec![0.0; 3]);
    assert!(matches!(
        short,
        Err(Error::Length {
            expected: 6,
            actual: 5,
            ..
        })
    ));
}
