//! Cutting, gathering and indexing: examples by hand, what happens to a channel axis, and what each mistake is told.

use qtensor_core::{
    DType, Error, Index, IntTensor, QTensor, Quantizer, Tensor, make_per_channel_quantized_tensor,
    quantize_per_tensor,
};

fn counted(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::from_vec((0..n).map(|i| i as f32).collect(), shape).unwrap()
}

/// `[2, 3, 2]`, three channels along axis 1.
fn channels() -> QTensor {
    let ints = IntTensor::I8(Tensor::from_vec((0..12).collect(), &[2, 3, 2]).unwrap());
    make_per_channel_quantized_tensor(ints, &[0.5, 1.0, 2.0], &[0, 1, -1], 1).unwrap()
}

fn map(q: &QTensor) -> (Vec<f64>, Vec<i32>, usize) {
    match q.quantizer() {
        Quantizer::PerChannel {
            scales,
            zero_points,
            axis,
        } => (scales.to_vec(), zero_points.to_vec(), *axis),
        Quantizer::PerTensor { scale, zero_point } => (vec![*scale], vec![*zero_point], 99),
    }
}

fn said<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn the_channel_axis_follows() {
    let q = channels();
    let all = (vec![0.5, 1.0, 2.0], vec![0, 1, -1]);
    let along = |axis| (all.0.clone(), all.1.clone(), axis);
    assert_eq!(map(&q.transpose(1, 2).unwrap()), along(2));
    assert_eq!(map(&q.permute(&[1, 2, 0]).unwrap()), along(0));
    assert_eq!(map(&q.select(0, 1).unwrap()), along(0));
    assert_eq!(map(&q.unsqueeze(0).unwrap()), along(2));
    assert_eq!(map(&q.expand(&[4, 2, 3, 2]).unwrap()), along(2));
    assert_eq!(map(&q.flatten_dims(0, 0).unwrap()), along(1));
    assert_eq!(map(&q.unflatten(2, &[Some(2), None]).unwrap()), along(1));
    assert_eq!(map(&q.select(1, 2).unwrap()), (vec![2.0], vec![-1], 99));
    assert_eq!(
        map(&q.narrow(1, 1, 2).unwrap()),
        (vec![1.0, 2.0], vec![1, -1], 1)
    );
    assert_eq!(
        map(&q.slice(1, 0, 3, 2).unwrap()),
        (vec![0.5, 2.0], vec![0, -1], 1)
    );
    assert_eq!(
        map(&q.index_select(1, &[2, 2, 0]).unwrap()),
        (vec![2.0, 2.0, 0.5], vec![-1, -1, 0], 1)
    );
    assert_eq!(
        map(&q.flip(&[0, 1]).unwrap()),
        (vec![2.0, 1.0, 0.5], vec![-1, 1, 0], 1)
    );
    assert_eq!(map(&q.flip(&[0, 2]).unwrap()), along(1));
    let twice = q.repeat(&[1, 1, 2, 1]).unwrap();
    assert_eq!(
        map(&twice),
        (
            vec![0.5, 1.0, 2.0, 0.5, 1.0, 2.0],
            vec![0, 1, -1, 0, 1, -1],
            2
        )
    );
    let pieces = q.chunk(1, 2).unwrap();
    assert_eq!(map(&pieces[0]), (vec![0.5, 1.0], vec![0, 1], 1));
    assert_eq!(map(&pieces[1]), (vec![2.0], vec![-1], 1));
    assert_eq!(map(&q.unbind(1).unwrap()[1]), (vec![1.0], vec![1], 99));
    let rows = Tensor::from_vec(vec![-1, 0], &[2]).unwrap();
    let taken = q.index(&[Index::At(0), Index::Indices(&rows)]).unwrap();
    assert_eq!(map(&taken), (vec![2.0, 0.5], vec![-1, 0], 0));
    let mask = Tensor::from_vec(vec![1, 0, 1], &[3]).unwrap();
    let taken = q.index(&[Index::All, Index::Mask(&mask)]).unwrap();
    assert_eq!(map(&taken), (vec![0.5, 2.0], vec![0, -1], 1));
    // Two tensors with a dimension between them: theirs stands in front.
    let ends = Tensor::from_vec(vec![0, 1, 1, 0], &[2, 2]).unwrap();
    let taken = q
        .index(&[Index::Indices(&ends), Index::All, Index::Indices(&ends)])
        .unwrap();
    assert_eq!((taken.shape(), map(&taken)), (&[2, 2, 3][..], along(2)));
}

#[test]
fn a_lost_channel_axis_is_an_error_that_says_so() {
    let q = channels();
    let lost = "the channel axis 1 of shape [2, 3, 2] would not survive as one dimension of";
    assert_eq!(said(q.flatten(0)), format!("flatten: {lost} [12]"));
    assert_eq!(
        said(q.flatten_dims(1, 2)),
        format!("flatten: {lost} [2, 6]")
    );
    let twins = q.index_select(1, &[0, 1, 2, 0]).unwrap();
    assert!(
        said(twins.unflatten(1, &[Some(2), Some(2)]))
            .starts_with("unflatten: the channel axis 1 of")
    );
    assert_eq!(map(&q.unflatten(1, &[Some(1), Some(3)]).unwrap()).2, 2);
    let ends = Tensor::from_vec(vec![0, 1], &[2]).unwrap();
    let both = [Index::Indices(&ends), Index::Indices(&ends)];
    assert_eq!(said(q.index(&both)), format!("index: {lost} [2, 2]"));
    let mask = Tensor::full(&[2, 3, 2], 1u8).unwrap();
    assert_eq!(
        said(q.index(&[Index::Mask(&mask)])),
        format!("index: {lost} [12]")
    );
    assert!(said(q.masked_select(&mask)).contains("needs a per-tensor"));
    assert!(said(q.clone().resize(&[2])).contains("needs a per-tensor"));
}

#[test]
fn index_expressions_read_as_in_python() {
    let x = counted(&[2, 3, 4]);
    let take = |indices: &[Index<'_>]| {
        let y = x.index(indices).unwrap();
        (y.shape().to_vec(), y.to_vec())
    };
    let range = Index::Range {
        start: 1,
        end: 4,
        step: 2,
    };
    assert_eq!(
        take(&[Index::At(-1), Index::At(0), range]),
        (vec![2], vec![13.0, 15.0])
    );
    assert!(
        x.index(&[Index::At(1), Index::All, range])
            .unwrap()
            .shares_storage_with(&x)
    );
    let (a, b) = (
        Tensor::from_vec(vec![0i64, 1], &[2, 1]).unwrap(),
        Tensor::from_vec(vec![2i64, 0], &[2]).unwrap(),
    );
    let pairs = take(&[Index::Indices(&a), Index::Indices(&b), Index::At(3)]);
    assert_eq!(pairs, (vec![2, 2], vec![11.0, 3.0, 23.0, 15.0]));
    let apart = take(&[
        Index::Indices(&b.map(|i| i / 2)),
        Index::Range {
            start: 0,
            end: 1,
            step: 1,
        },
        Index::Indices(&b),
    ]);
    assert_eq!(apart, (vec![2, 1], vec![14.0, 0.0]));
    let mask = x.map(|v| u8::from(v % 10.0 == 3.0));
    assert_eq!(
        take(&[Index::Mask(&mask)]),
        (vec![3], vec![3.0, 13.0, 23.0])
    );
    assert_eq!(take(&[]).0, [2, 3, 4]);
}

#[test]
fn writes_quantize_with_the_map_that_is_there() {
    let mut q = quantize_per_tensor(&counted(&[2, 3]), 0.5, 10, DType::QUInt8).unwrap();
    let before = q.clone();
    q.index_put(
        &[
            Index::At(0),
            Index::Range {
                start: 1,
                end: 3,
                step: 1,
            },
        ],
        &Tensor::from_vec(vec![-99.0, 0.74], &[2]).unwrap(),
    )
    .unwrap();
    assert_eq!(q.int_repr().to_i32_vec(), [10, 0, 11, 16, 18, 20]);
    assert_eq!(before.int_repr().to_i32_vec(), [10, 12, 14, 16, 18, 20]);
    q.masked_fill(&Tensor::from_vec(vec![1, 0], &[2, 1]).unwrap(), 100.0)
        .unwrap();
    assert_eq!(q.int_repr().to_i32_vec(), [210, 210, 210, 16, 18, 20]);
    let mut q = channels();
    q.index_put(
        &[
            Index::All,
            Index::Range {
                start: 1,
                end: 3,
                step: 1,
            },
            Index::At(0),
        ],
        &Tensor::scalar(4.0),
    )
    .unwrap();
    assert_eq!(
        q.int_repr().to_i32_vec(),
        [0, 1, 5, 3, 1, 5, 6, 7, 5, 9, 1, 11]
    );
    q.masked_fill(&Tensor::scalar(1), -1.0).unwrap();
    assert_eq!(q.int_repr().to_i32_vec()[..6], [-2, -2, 0, 0, -1, -1]); // −1 is half a step of 2, and rounds to the even one
    // Of several values for one element the last one stays.
    let mut x = counted(&[3]);
    let twice = Tensor::from_vec(vec![1i64, 1], &[2]).unwrap();
    x.index_put(
        &[Index::Indices(&twice)],
        &Tensor::from_vec(vec![8.0, 9.0], &[2]).unwrap(),
    )
    .unwrap();
    assert_eq!(x.to_vec(), [0.0, 9.0, 2.0]);
}

#[test]
fn resized_tensors_are_filled_with_real_zeros() {
    let mut q = quantize_per_tensor(&counted(&[2, 2]), 0.5, 10, DType::QInt8).unwrap();
    q.resize(&[2, 3]).unwrap();
    assert_eq!(q.int_repr().to_i32_vec(), [10, 12, 14, 16, 10, 10]);
    q.resize(&[2]).unwrap();
    assert_eq!(q.int_repr().to_i32_vec(), [10, 12]);
    assert!(said(q.resize(&[usize::MAX, 2])).contains("more elements"));
}

#[test]
fn chunks_and_splits_count_as_pytorchs() {
    let lengths = |pieces: Vec<Tensor>| pieces.iter().map(|t| t.shape()[0]).collect::<Vec<_>>();
    assert_eq!(lengths(counted(&[10]).chunk(0, 4).unwrap()), [3, 3, 3, 1]);
    assert_eq!(lengths(counted(&[6]).chunk(0, 4).unwrap()), [2, 2, 2]);
    assert_eq!(lengths(counted(&[0]).chunk(0, 3).unwrap()), [0, 0, 0]);
    assert_eq!(lengths(counted(&[0]).split(0, 0).unwrap()), [0]);
    assert_eq!(lengths(counted(&[5]).split(0, 2).unwrap()), [2, 2, 1]);
}

#[test]
fn mistakes_are_named_with_both_numbers() {
    let x = counted(&[2, 3]);
    let indices = |i: i64| Tensor::from_vec(vec![i], &[1]).unwrap();
    for (message, want) in [
        (
            said(x.narrow(1, 2, 2)),
            "narrow: index 4 is outside dimension 1 of length 3",
        ),
        (
            said(x.narrow(1, 1, usize::MAX)),
            "narrow: index 18446744073709551615 is outside dimension 1 of length 3",
        ),
        (
            said(x.split(1, 0)),
            "split: the step along dimension 1 must be at least 1, got 0",
        ),
        (
            said(x.chunk(2, 1)),
            "chunk: dimension 2 does not exist in shape [2, 3] of 2 dimensions",
        ),
        (
            said(x.split_sizes(1, &[1, 1])),
            "split_sizes (the sum of the sizes): shape [2, 3] holds 3 values, 2 were given",
        ),
        (
            said(x.unbind(5)),
            "unbind: dimension 5 does not exist in shape [2, 3] of 2 dimensions",
        ),
        (
            said(x.flatten_dims(1, 0)),
            "flatten: along dimension 1, start 1 lies behind end 0",
        ),
        (
            said(x.unflatten(1, &[Some(2), None])),
            "unflatten (lengths that multiply to that of the dimension): expected shape [3], got [2, 1]",
        ),
        (
            said(x.index_select(1, &[0, 3])),
            "index_select: index 3 is outside dimension 1 of length 3",
        ),
        (
            said(x.flip(&[0, 0])),
            "flip: dimension 0 comes twice in [0, 0]",
        ),
        (
            said(x.repeat(&[2])),
            "repeat (one number for each dimension): expected at least 2 dimensions, got 1 (shape [2, 3])",
        ),
        (
            said(x.index(&[Index::At(2)])),
            "index: index 2 is outside dimension 0 of length 2",
        ),
        (
            said(x.index(&[Index::All, Index::At(-4)])),
            "index: index -4 is outside dimension 1 of length 3",
        ),
        (
            said(x.index(&[Index::Indices(&indices(i64::MIN))])),
            "index: index -9223372036854775808 is outside dimension 0 of length 2",
        ),
        (
            said(x.index(&[Index::All, Index::All, Index::At(0)])),
            "index: dimension 2 does not exist in shape [2, 3] of 2 dimensions",
        ),
        (
            said(x.index(&[Index::Mask(&Tensor::full(&[2, 2], 1).unwrap())])),
            "index: expected shape [2, 3], got [2, 2]",
        ),
        (
            said(x.clone().index_put(&[Index::At(0)], &counted(&[2]))),
            "index_put: expected shape [3], got [2]",
        ),
        (
            said(x.clone().masked_fill(&Tensor::full(&[2], 1).unwrap(), 0.0)),
            "masked_fill: expected shape [2, 3], got [2]",
        ),
        (
            said(x.masked_select(&Tensor::full(&[2], 1).unwrap())),
            "masked_select: expected shape [2, 3], got [2]",
        ),
    ] {
        assert_eq!(message, want);
    }
    assert!(said(x.repeat(&[usize::MAX, 1])).contains("more elements than memory"));
    assert_eq!(
        counted(&[0]).repeat(&[usize::MAX / 64]).unwrap().shape(),
        [0]
    );
    let (two, three) = (
        Tensor::full(&[2], 0i64).unwrap(),
        Tensor::full(&[3], 0i64).unwrap(),
    );
    assert_eq!(
        said(x.index(&[Index::Indices(&two), Index::Indices(&three)])),
        "index: expected shape [2], got [3]"
    );
}
