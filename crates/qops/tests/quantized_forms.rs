//! `…_out` and `…_like_first` against the forms with explicit qparams, byte for byte.

use crate::common::*;
use qops::Error;
use qops::quantized::*;
use qtensor_core::{DType, MemoryFormat, QTensor};

type Explicit = fn(&QTensor, &QTensor, OutQParams) -> qops::Result<QTensor>;
type LikeFirst = fn(&QTensor, &QTensor) -> qops::Result<QTensor>;
type Into = fn(&QTensor, &QTensor, &mut QTensor) -> qops::Result<()>;

const BINARY: [(Explicit, LikeFirst, Into); 4] = [
    (add, add_like_first, add_out),
    (add_relu, add_relu_like_first, add_relu_out),
    (mul, mul_like_first, mul_out),
    (mul_relu, mul_relu_like_first, mul_relu_out),
];

type Joined = fn(&[&QTensor], usize, Option<OutQParams>) -> qops::Result<QTensor>;
type JoinedInto = fn(&[&QTensor], usize, &mut QTensor) -> qops::Result<()>;

const JOINED: [(Joined, JoinedInto); 2] = [(cat, cat_out), (cat_relu, cat_relu_out)];

/// Where the integers lie, to tell whether a destination was written in place.
fn address(x: &QTensor) -> usize {
    use qtensor_core::IntTensor;
    let formats = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast];
    let found = formats.iter().find_map(|&format| match x.int_repr() {
        IntTensor::U8(t) => t.dense_slice(format).map(|s| s.as_ptr() as usize),
        IntTensor::I8(t) => t.dense_slice(format).map(|s| s.as_ptr() as usize),
        IntTensor::I32(_) => None,
    });
    found.unwrap()
}

/// Destinations of a shape in every state: alone in either memory order, shared, a strided view.
fn destinations(rng: &mut Rng, shape: &[usize], dtype: DType) -> Vec<QTensor> {
    layouts(&activation(rng, shape, dtype))
}

#[test]
fn the_first_operands_map_is_the_default() {
    let mut rng = Rng::new(1);
    for dtype in EIGHT_BIT {
        let a = activation(&mut rng, &[2, 3, 4, 5], dtype);
        let b = activation(&mut rng, &[3, 1, 5], dtype);
        let own = OutQParams::of(&a).unwrap();
        for (explicit, like_first, _) in BINARY {
            assert_eq!(like_first(&a, &b).unwrap(), explicit(&a, &b, own).unwrap());
        }
        let c = activation(&mut rng, &[2, 7, 4, 5], dtype);
        for (joined, _) in JOINED {
            assert_eq!(
                joined(&[&a, &c], 1, None).unwrap(),
                joined(&[&a, &c], 1, Some(own)).unwrap()
            );
        }
    }
}

#[test]
fn results_in_a_destination_are_those_of_its_map() {
    let mut rng = Rng::new(2);
    for dtype in EIGHT_BIT {
        for (left, right) in [
            (&[2, 3, 4, 5][..], &[2, 3, 4, 5][..]),
            (&[2, 3, 4, 5], &[3, 1, 1]),
            (&[5], &[4, 5]),
            (&[], &[]),
            (&[0, 3], &[1, 3]),
        ] {
            let (a, b) = (
                activation(&mut rng, left, dtype),
                activation(&mut rng, right, dtype),
            );
            for (explicit, _, into) in BINARY {
                let shape = explicit(&a, &b, OutQParams::new(1.0, 0)).unwrap();
                for mut out in destinations(&mut rng, shape.shape(), dtype) {
                    let want = explicit(&a, &b, OutQParams::of(&out).unwrap()).unwrap();
                    let before = out.clone();
                    into(&a, &b, &mut out).unwrap();
                    assert_eq!(out, want, "{left:?} {right:?} {dtype}");
                    // The clone still holds what it held, in memory of its own.
                    assert!(before.numel() == 0 || !before.shares_storage_with(&out));
                    let kept = before.clone();
                    into(&a, &b, &mut out).unwrap();
                    assert_eq!((out, before), (want, kept));
                }
            }
        }
    }
}

#[test]
fn concatenations_in_a_destination_are_those_of_its_map() {
    let mut rng = Rng::new(3);
    for dtype in EIGHT_BIT {
        let a = activation(&mut rng, &[2, 3, 4, 5], dtype);
        for (dim, other) in [[1, 3, 4, 5], [2, 6, 4, 5], [2, 3, 1, 5], [2, 3, 4, 2]]
            .iter()
            .enumerate()
        {
            let b = activation(&mut rng, other, dtype);
            let mut shape = a.shape().to_vec();
            shape[dim] += other[dim];
            for (joined, into) in JOINED {
                for mut out in destinations(&mut rng, &shape, dtype) {
                    let map = OutQParams::of(&out).unwrap();
                    let want = joined(&[&a, &b], dim, Some(map)).unwrap();
                    into(&[&a, &b], dim, &mut out).unwrap();
                    assert_eq!(out, want, "{dim} {dtype}");
                }
            }
        }
    }
}

#[test]
fn memory_is_reused_if_nobody_shares_it_and_keeps_its_order() {
    let mut rng = Rng::new(4);
    for dtype in EIGHT_BIT {
        let shape = [2, 16, 20, 20];
        let a = activation(&mut rng, &shape, dtype);
        let half = activation(&mut rng, &[2, 8, 20, 20], dtype);
        for format in [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast] {
            let fresh = |rng: &mut Rng| activation(rng, &shape, dtype).to_memory_format(format);
            let mut out = fresh(&mut rng).unwrap();
            let place = address(&out);
            for (_, _, into) in BINARY {
                into(&a, &a, &mut out).unwrap();
                assert_eq!(address(&out), place);
            }
            for (_, into) in JOINED {
                into(&[&half, &half], 1, &mut out).unwrap();
                assert_eq!(address(&out), place);
            }
            assert!(out.layout().is_dense_in(format));
            let shared = out.clone();
            add_out(&a, &a, &mut out).unwrap();
            assert_ne!(address(&out), address(&shared));
            assert!(out.layout().is_dense_in(format));
        }
    }
}

#[test]
fn destinations_that_do_not_fit_are_refused_and_left_alone() {
    let mut rng = Rng::new(5);
    let a = activation(&mut rng, &[2, 3], DType::QUInt8);
    let check = |mut out: QTensor, says: [&str; 2]| {
        let before = ints(&out);
        let mut errors: Vec<Error> = Vec::new();
        for (_, _, into) in BINARY {
            errors.extend(into(&a, &a, &mut out).err());
        }
        for (_, into) in JOINED {
            errors.extend(into(&[&a], 0, &mut out).err());
        }
        assert_eq!(errors.len(), 6);
        for error in errors {
            let message = error.to_string();
            assert!(says.iter().all(|s| message.contains(s)), "{message}");
            assert!(message.contains("_out"), "{message}");
        }
        assert_eq!(ints(&out), before);
    };
    check(
        activation(&mut rng, &[3, 2], DType::QUInt8),
        ["[2, 3]", "[3, 2]"],
    );
    check(
        activation(&mut rng, &[1, 2, 3], DType::QUInt8),
        ["[2, 3]", "[1, 2, 3]"],
    );
    check(
        activation(&mut rng, &[2, 3], DType::QInt8),
        ["quint8", "qint8"],
    );
    // A zero point that only the wider type can have.
    let signed = activation(&mut rng, &[2, 3], DType::QInt8);
    let mut wide = quantized(&[0; 6], &[2, 3], DType::QInt32, 0.5, i32::MAX);
    for (_, into) in JOINED {
        let error = into(&[&signed], 0, &mut wide).unwrap_err();
        assert!(matches!(error, Error::DTypesDiffer { .. }), "{error}");
    }
    check(
        weights(&mut rng, &[2, 3], true),
        ["per-tensor", "per-channel"],
    );
    let mut out = a.clone();
    assert!(matches!(
        cat_out(&[], 0, &mut out),
        Err(Error::Empty { .. })
    ));
    let tiny = quantized(&[1; 6], &[2, 3], DType::QUInt8, 1e-30, 0);
    assert!(matches!(
        mul_out(&tiny, &tiny, &mut out),
        Err(Error::Multiplier { .. })
    ));
    assert_eq!(out, a);
}
