//! The min/max observers against values computed by hand.

use qobserve::{
    Error, MinMaxObserver, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver,
    Observer, PerChannelMinMaxObserver,
};
use qtensor_core::{DType, MemoryFormat, QScheme, Quantizer, Tensor};

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape).unwrap()
}

fn row(values: &[f32]) -> Tensor {
    tensor(values, &[values.len()])
}

fn per_tensor(scale: f32, zero_point: i32) -> Quantizer {
    Quantizer::per_tensor(scale.into(), zero_point)
}

#[test]
fn running_extremes_give_affine_qparams() {
    let mut observer = MinMaxObserver::default();
    assert!(!observer.has_observed());
    assert_eq!(observer.range(), None);
    observer.observe(&row(&[-1.0, 0.5])).unwrap();
    observer.observe(&row(&[0.25, 3.0])).unwrap();
    observer.observe(&row(&[0.0])).unwrap();
    assert_eq!(
        (observer.mins(), observer.maxs()),
        (&[-1.0][..], &[3.0][..])
    );
    // s = 4/255; z = 0 − rne(−1 / s) = rne(63.75).
    assert_eq!(
        observer.calculate_qparams().unwrap(),
        per_tensor(4.0 / 255.0, 64)
    );
}

#[test]
fn every_integer_range_has_its_divisor() {
    let x = row(&[-2.0, 1.0]);
    let qparams = |dtype, qscheme, reduce| {
        let mut observer = MinMaxObserver::builder()
            .dtype(dtype)
            .qscheme(qscheme)
            .reduce_range(reduce)
            .build()
            .unwrap();
        observer.observe(&x).unwrap();
        observer.calculate_qparams().unwrap()
    };
    use DType::{QInt8, QUInt8};
    use QScheme::{PerTensorAffine as Affine, PerTensorSymmetric as Symmetric};
    assert_eq!(
        qparams(QUInt8, Affine, true),
        per_tensor(3.0 / 127.0, 85) // 2 / (3/127) = 84.67
    );
    assert_eq!(qparams(QInt8, Affine, false), per_tensor(3.0 / 255.0, 42));
    assert_eq!(qparams(QInt8, Affine, true), per_tensor(3.0 / 127.0, 21));
    assert_eq!(qparams(QInt8, Symmetric, false), per_tensor(2.0 / 127.5, 0));
    assert_eq!(qparams(QInt8, Symmetric, true), per_tensor(2.0 / 63.5, 0));
    assert_eq!(
        qparams(QUInt8, Symmetric, false),
        per_tensor(2.0 / 127.5, 128)
    );
}

#[test]
fn custom_ranges_and_eps_are_used() {
    let mut narrow = MinMaxObserver::builder()
        .dtype(DType::QInt8)
        .qscheme(QScheme::PerTensorSymmetric)
        .quant_range(-127, 127)
        .eps(1.0 / 4096.0)
        .build()
        .unwrap();
    narrow.observe(&row(&[-1.0, 0.5])).unwrap();
    assert_eq!(
        narrow.calculate_qparams().unwrap(),
        per_tensor(1.0 / 127.0, 0)
    );
    narrow.reset();
    assert!(!narrow.has_observed());
    narrow.observe(&row(&[1e-6])).unwrap();
    assert_eq!(
        narrow.calculate_qparams().unwrap(),
        per_tensor(1.0 / 4096.0, 0)
    );

    let mut four_bits = MinMaxObserver::builder()
        .quant_range(0, 15)
        .build()
        .unwrap();
    four_bits.observe(&row(&[0.0, 30.0])).unwrap();
    assert_eq!(four_bits.calculate_qparams().unwrap(), per_tensor(2.0, 0));
}

#[test]
fn constants_zeros_and_tiny_data_are_not_special() {
    let qparams = |values: &[f32]| {
        let mut observer = MinMaxObserver::default();
        observer.observe(&row(values)).unwrap();
        observer.calculate_qparams().unwrap()
    };
    assert_eq!(qparams(&[5.0; 7]), per_tensor(5.0 / 255.0, 0));
    assert_eq!(qparams(&[-5.0; 7]), per_tensor(5.0 / 255.0, 255));
    assert_eq!(qparams(&[0.0; 7]), per_tensor(f32::EPSILON, 0));
    // A range below eps: z = rne(1e-9 / eps) = 0.
    assert_eq!(qparams(&[-1e-9, 1e-9]), per_tensor(f32::EPSILON, 0));
}

#[test]
fn moving_averages_start_at_the_first_batch() {
    let mut observer = MovingAverageMinMaxObserver::builder()
        .averaging_constant(0.25)
        .build()
        .unwrap();
    observer.observe(&row(&[-1.0, 2.0])).unwrap();
    assert_eq!(observer.range(), Some((-1.0, 2.0)));
    observer.observe(&row(&[-3.0, 10.0])).unwrap();
    assert_eq!(observer.range(), Some((-1.5, 4.0)));
    observer.observe(&row(&[-1.5, 0.0])).unwrap();
    assert_eq!(observer.range(), Some((-1.5, 3.0)));

    let mut memoryless = MovingAverageMinMaxObserver::builder()
        .averaging_constant(1.0)
        .build()
        .unwrap();
    memoryless.observe(&row(&[-1.0, 2.0])).unwrap();
    memoryless.observe(&row(&[0.5, 1.0])).unwrap();
    assert_eq!(memoryless.range(), Some((0.5, 1.0)));
    // The distance of these two overflows f32, their average does not.
    let mut far = MovingAverageMinMaxObserver::builder()
        .averaging_constant(0.5)
        .build()
        .unwrap();
    far.observe(&row(&[-3e38])).unwrap();
    far.observe(&row(&[3e38])).unwrap();
    assert_eq!(far.range(), Some((0.0, 0.0)));
}

#[test]
fn channels_are_separate_along_any_axis() {
    // [[1, -2, 3], [-4, 5, 6]]
    let x = tensor(&[1.0, -2.0, 3.0, -4.0, 5.0, 6.0], &[2, 3]);
    let observed = |axis, x: &Tensor| {
        let mut observer = PerChannelMinMaxObserver::builder()
            .dtype(DType::QInt8)
            .ch_axis(axis)
            .build()
            .unwrap();
        observer.observe(x).unwrap();
        observer
    };
    let rows = observed(0, &x);
    assert_eq!(
        (rows.mins(), rows.maxs()),
        (&[-2.0, -4.0][..], &[3.0, 6.0][..])
    );
    assert_eq!(rows.range(), Some((-4.0, 6.0)));
    let columns = observed(1, &x);
    assert_eq!(columns.mins(), [-4.0, -2.0, 3.0]);
    assert_eq!(columns.maxs(), [1.0, 5.0, 6.0]);
    // s = {5, 7, 6}/255; z = −128 + rne({4, 2, 0} / s).
    assert_eq!(
        columns.calculate_qparams().unwrap(),
        Quantizer::per_channel(
            &[5.0f32 / 255.0, 7.0 / 255.0, 6.0 / 255.0].map(f64::from),
            &[76, -55, -128],
            1
        )
    );
    // A transposed view is the same data along the other axis.
    assert_eq!(observed(1, &x.transpose(0, 1).unwrap()).mins(), rows.mins());
    let mut moving = MovingAveragePerChannelMinMaxObserver::builder()
        .averaging_constant(0.5)
        .build()
        .unwrap();
    moving.observe(&x).unwrap();
    moving.observe(&Tensor::zeros(&[2, 3]).unwrap()).unwrap();
    assert_eq!(
        (moving.mins(), moving.maxs()),
        (&[-1.0, -2.0][..], &[1.5, 3.0][..])
    );
}

#[test]
fn layout_does_not_matter() {
    let values: Vec<f32> = (0..120).map(|i| ((i * 53) % 120) as f32 - 40.0).collect();
    let x = tensor(&values, &[2, 3, 4, 5]);
    let strided = x
        .unsqueeze(0)
        .unwrap()
        .expand(&[2, 2, 3, 4, 5])
        .unwrap()
        .select(0, 1)
        .unwrap();
    for other in [
        x.to_memory_format(MemoryFormat::ChannelsLast).unwrap(),
        x.permute(&[3, 2, 1, 0])
            .unwrap()
            .permute(&[3, 2, 1, 0])
            .unwrap(),
        strided,
    ] {
        for axis in 0..4 {
            let build = || {
                PerChannelMinMaxObserver::builder()
                    .ch_axis(axis)
                    .build()
                    .unwrap()
            };
            let (mut a, mut b) = (build(), build());
            a.observe(&x).unwrap();
            b.observe(&other).unwrap();
            assert_eq!(a, b);
        }
    }
    let mut part = MinMaxObserver::default();
    part.observe(&x.slice(3, 1, 5, 2).unwrap()).unwrap();
    let kept = values.iter().enumerate().filter(|(i, _)| i % 5 % 2 == 1);
    let (lo, hi) = kept.fold((f32::MAX, f32::MIN), |(lo, hi), (_, &v)| {
        (lo.min(v), hi.max(v))
    });
    assert_eq!(part.range(), Some((lo, hi)));
}

#[test]
fn empty_batches_change_nothing() {
    let empty = Tensor::zeros(&[0, 3]).unwrap();
    let mut observers: Vec<Box<dyn Observer>> = vec![
        Box::new(MinMaxObserver::default()),
        Box::new(MovingAverageMinMaxObserver::default()),
        Box::new(PerChannelMinMaxObserver::default()),
        Box::new(MovingAveragePerChannelMinMaxObserver::default()),
    ];
    for observer in &mut observers {
        observer.observe(&empty).unwrap();
        assert!(!observer.has_observed());
        assert_eq!(
            observer.calculate_qparams(),
            Err(Error::NeverObserved {
                observer: observer.name()
            })
        );
        observer.observe(&Tensor::ones(&[2, 3]).unwrap()).unwrap();
        let before = observer.to_bytes().unwrap();
        observer.observe(&empty).unwrap();
        assert_eq!(observer.to_bytes().unwrap(), before);
    }
}

#[test]
fn nan_and_infinity_are_errors_that_leave_the_state() {
    let mut observers: Vec<Box<dyn Observer>> = vec![
        Box::new(MinMaxObserver::default()),
        Box::new(MovingAverageMinMaxObserver::default()),
        Box::new(PerChannelMinMaxObserver::default()),
        Box::new(MovingAveragePerChannelMinMaxObserver::default()),
    ];
    for observer in &mut observers {
        observer.observe(&Tensor::ones(&[2, 3]).unwrap()).unwrap();
        let before = observer.to_bytes().unwrap();
        let name = observer.name();
        let x = tensor(&[1.0, f32::INFINITY, f32::NAN, 0.0, f32::NAN, 9.0], &[2, 3]);
        assert_eq!(
            observer.observe(&x),
            Err(Error::NaN {
                observer: name,
                count: 2,
                total: 6,
                first: 2
            })
        );
        let x = tensor(&[1.0, 2.0, 3.0, f32::NEG_INFINITY, 5.0, 9.0], &[2, 3]);
        assert_eq!(
            observer.observe(&x),
            Err(Error::Infinite {
                observer: name,
                count: 1,
                total: 6,
                first: 3
            })
        );
        // The place is the logical one, whatever the memory order.
        let at = |error| match error {
            Err(Error::Infinite { first, .. }) => first,
            other => panic!("{other:?}"),
        };
        assert_eq!(at(observer.observe(&x.transpose(0, 1).unwrap())), 1);
        assert_eq!(observer.to_bytes().unwrap(), before);
    }
}

#[test]
fn per_channel_observers_check_the_shape() {
    let mut observer = PerChannelMinMaxObserver::builder()
        .ch_axis(1)
        .build()
        .unwrap();
    assert_eq!(
        observer.observe(&row(&[1.0])),
        Err(Error::NoSuchAxis {
            observer: "PerChannelMinMaxObserver",
            axis: 1,
            shape: vec![1]
        })
    );
    observer.observe(&Tensor::ones(&[2, 3]).unwrap()).unwrap();
    assert_eq!(
        observer.observe(&Tensor::ones(&[2, 4]).unwrap()),
        Err(Error::ChannelCount {
            observer: "PerChannelMinMaxObserver",
            axis: 1,
            expected: 3,
            actual: 4
        })
    );
}

#[test]
fn a_range_wider_than_f32_has_no_scale() {
    let mut observer = MinMaxObserver::default();
    observer.observe(&row(&[f32::MIN, f32::MAX])).unwrap();
    assert!(matches!(
        observer.calculate_qparams(),
        Err(Error::Tensor(qtensor_core::Error::InvalidRange { .. }))
    ));
}

#[test]
fn builders_refuse_what_makes_no_sense() {
    let setting = |result: Result<(), Error>| match result {
        Err(Error::InvalidSetting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    let min_max = MinMaxObserver::builder;
    assert_eq!(
        setting(
            min_max()
                .qscheme(QScheme::PerChannelAffine)
                .build()
                .map(drop)
        ),
        "qscheme"
    );
    assert_eq!(
        setting(
            PerChannelMinMaxObserver::builder()
                .qscheme(QScheme::PerTensorAffine)
                .build()
                .map(drop)
        ),
        "qscheme"
    );
    assert_eq!(
        setting(
            min_max()
                .qscheme(QScheme::PerTensorSymmetric)
                .reduce_range(true)
                .build()
                .map(drop)
        ),
        "reduce_range"
    );
    for eps in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45] {
        assert_eq!(setting(min_max().eps(eps).build().map(drop)), "eps");
    }
    for c in [0.0, -0.5, 1.5, f32::NAN] {
        let builder = MovingAverageMinMaxObserver::builder().averaging_constant(c);
        assert_eq!(setting(builder.factory().map(drop)), "averaging_constant");
    }
    for (lo, hi) in [(1, 255), (0, 256), (5, 5), (-1, 255)] {
        assert!(matches!(
            min_max().quant_range(lo, hi).build(),
            Err(Error::Tensor(qtensor_core::Error::InvalidRange { .. }))
        ));
    }
}
