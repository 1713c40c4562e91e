//! The observers without a range of their own, and those that cut a histogram in other ways.

use qobserve::{
    Error, FixedQParamsObserver, HistogramObserver, MseObserver, NoopObserver, Observer,
    PercentileObserver, PlaceholderObserver, RecordingObserver,
};
use qtensor_core::{DType, QScheme, Quantizer, Tensor};

fn vector(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, &[values.len()]).unwrap()
}

/// A thousand values between −1 and 3, most of them near 1.
fn bell() -> Tensor {
    let value = |i: usize| {
        let t = (i * 7919 % 1000) as f32 / 500.0 - 1.0;
        1.0 + 2.0 * t * t * t
    };
    vector(&(0..1000).map(value).collect::<Vec<_>>())
}

#[test]
fn passive_observers_keep_nothing_and_have_no_qparams() {
    let observers: [Box<dyn Observer>; 2] = [
        Box::new(PlaceholderObserver::new(DType::QInt8, true)),
        Box::new(NoopObserver::new(DType::QInt8)),
    ];
    for mut observer in observers {
        observer.observe(&vector(&[1.0, f32::NAN])).unwrap();
        assert!(!observer.has_observed());
        assert_eq!(observer.dtype(), DType::QInt8);
        assert!(matches!(
            observer.calculate_qparams(),
            Err(Error::Unsupported { .. })
        ));
        let bytes = observer.to_bytes().unwrap();
        observer.restore(&bytes).unwrap();
        assert!(observer.restore(&bytes[1..]).is_err());
        let copy = observer.clone();
        observer.merge(&*copy).unwrap();
        let error = observer.merge(&HistogramObserver::default()).unwrap_err();
        assert!(matches!(error, Error::KindMismatch { .. }), "{error}");
    }
}

#[test]
fn recordings_are_bounded_merge_and_survive() {
    let mut a = RecordingObserver::with_capacity(3);
    for i in 0..5 {
        a.observe(&vector(&[i as f32])).unwrap();
    }
    a.observe(&vector(&[])).unwrap();
    let values = |r: &RecordingObserver| r.tensors().flat_map(Tensor::to_vec).collect::<Vec<_>>();
    assert_eq!(values(&a), [2.0, 3.0, 4.0]);
    let mut b = RecordingObserver::with_capacity(3);
    b.restore(&a.to_bytes().unwrap()).unwrap();
    assert_eq!(values(&b), values(&a));
    let mut c = RecordingObserver::with_capacity(2);
    c.observe(&vector(&[9.0])).unwrap();
    a.merge(&c).unwrap();
    assert_eq!(values(&a), [3.0, 4.0, 9.0]);
    a.reset();
    assert!(!a.has_observed() && a.calculate_qparams().is_err());
}

#[test]
fn fixed_qparams_stay_whatever_comes() {
    let mut sigmoid = FixedQParamsObserver::range_0_to_1();
    sigmoid.observe(&vector(&[-5.0, 90.0])).unwrap();
    let want = Quantizer::per_tensor(1.0 / 256.0, 0);
    assert_eq!(sigmoid.calculate_qparams().unwrap(), want);
    assert!(matches!(
        sigmoid.observe(&vector(&[f32::NAN])),
        Err(Error::NaN { .. })
    ));
    let mut tanh = FixedQParamsObserver::range_neg1_to_1();
    assert_eq!(tanh.range(), Some((-1.0, 127.0 / 128.0)));
    assert!(matches!(
        tanh.merge(&sigmoid),
        Err(Error::SettingsMismatch { .. })
    ));
    let bytes = sigmoid.to_bytes().unwrap();
    assert!(matches!(
        tanh.restore(&bytes),
        Err(Error::SettingsMismatch { .. })
    ));
    sigmoid.restore(&bytes).unwrap();
    assert!(FixedQParamsObserver::new(0.0, 0, DType::QInt8).is_err());
}

#[test]
fn percentiles_and_least_squares_cut_outliers_off() {
    // Clamping one value of 40 by a little costs less than a coarser grid for 100,000 others.
    let mut all = bell().to_vec().repeat(100);
    all[17] = 40.0;
    let x = vector(&all);
    let mut percentile = PercentileObserver::builder()
        .percentile(99.5)
        .build()
        .unwrap();
    let mut mse = MseObserver::default();
    for observer in [&mut percentile as &mut dyn Observer, &mut mse] {
        observer.observe(&x).unwrap();
        assert_eq!(observer.range(), Some((-1.0, 40.0)));
        let Quantizer::PerTensor { scale, .. } = observer.calculate_qparams().unwrap() else {
            unreachable!("it is per tensor");
        };
        assert!(scale < 0.95 * 41.0 / 255.0, "{}: {scale}", observer.name());
    }
    // Without outliers, the least error keeps nearly everything.
    let mut mse = MseObserver::default();
    mse.observe(&bell()).unwrap();
    let (min, max) = mse.clipped_range().unwrap();
    assert!(min < -0.9 && max > 2.9, "{min}..{max}");
}

#[test]
fn binned_observers_merge_save_and_keep_apart() {
    let mut a = PercentileObserver::default();
    let mut b = PercentileObserver::default();
    a.observe(&bell()).unwrap();
    b.observe(&vector(&[-3.0, 5.0])).unwrap();
    a.merge(&b).unwrap();
    assert_eq!(a.range(), Some((-3.0, 5.0)));
    let mut restored = PercentileObserver::default();
    restored.restore(&a.to_bytes().unwrap()).unwrap();
    assert_eq!(restored, a);
    let mut mse = MseObserver::default();
    assert!(matches!(
        mse.restore(&a.to_bytes().unwrap()),
        Err(Error::KindMismatch { .. })
    ));
    assert!(matches!(mse.merge(&a), Err(Error::KindMismatch { .. })));
    let mut other = PercentileObserver::builder()
        .percentile(90.0)
        .build()
        .unwrap();
    assert!(matches!(
        other.merge(&a),
        Err(Error::SettingsMismatch { .. })
    ));
    for bad in [50.0, 100.5, f32::NAN] {
        assert!(
            PercentileObserver::builder()
                .percentile(bad)
                .build()
                .is_err(),
            "{bad}"
        );
    }
    assert!(MseObserver::builder().dtype(DType::QInt32).build().is_err());
    let error = mse.observe(&vector(&[f32::NAN])).unwrap_err();
    assert!(error.to_string().starts_with("MseObserver"), "{error}");
}

#[test]
fn symmetric_least_squares_measure_the_symmetric_grid() {
    let mut weights = MseObserver::builder()
        .dtype(DType::QInt8)
        .qscheme(QScheme::PerTensorSymmetric)
        .quant_range(-8, 7)
        .build()
        .unwrap();
    let mut min_max = 0f32;
    let values: Vec<f32> = (0..4000)
        .map(|i| ((i * 37 % 2001) as f32 / 1000.0 - 1.0).powi(3))
        .collect();
    values.iter().for_each(|v| min_max = min_max.max(v.abs()));
    weights.observe(&vector(&values)).unwrap();
    let Quantizer::PerTensor {
        scale,
        zero_point: 0,
    } = weights.calculate_qparams().unwrap()
    else {
        unreachable!("it is symmetric and per tensor");
    };
    let error = |scale: f64| -> f64 {
        let grid = |v: &f32| {
            let q = (f64::from(*v) / scale).round_ties_even().clamp(-8.0, 7.0);
            (f64::from(*v) - q * scale).powi(2)
        };
        values.iter().map(grid).sum()
    };
    let widest = f64::from(min_max) / 7.5;
    assert!(error(scale) < error(widest), "{scale}");
    for percent in 10..=100 {
        let other = error(widest * f64::from(percent) / 100.0);
        assert!(error(scale) <= 1.03 * other, "{percent}");
    }
}
