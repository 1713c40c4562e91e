//! The histogram observer against histograms and ranges worked out by hand.

use qobserve::{Error, HistogramObserver, Observer};
use qtensor_core::{DType, MemoryFormat, QScheme, Quantizer, Tensor};

fn row(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, &[values.len()]).unwrap()
}

fn with_bins(bins: usize) -> HistogramObserver {
    HistogramObserver::builder().bins(bins).build().unwrap()
}

fn per_tensor(scale: f32, zero_point: i32) -> Quantizer {
    Quantizer::per_tensor(scale.into(), zero_point)
}

#[test]
fn three_bins_by_hand() {
    let mut observer = with_bins(3);
    observer.observe(&row(&[2.0, 3.0, 4.0, 5.0])).unwrap();
    assert_eq!(observer.counts(), [1.0, 1.0, 2.0]);
    assert_eq!(observer.range(), Some((2.0, 5.0)));
    // Bins [2,3) and [3,4) go to [2,4), bin [4,5] to [4,6); 5 joins it and 6, 7, 8 make the last.
    observer.observe(&row(&[5.0, 6.0, 7.0, 8.0])).unwrap();
    assert_eq!(observer.counts(), [2.0, 3.0, 3.0]);
    assert_eq!(observer.range(), Some((2.0, 8.0)));
    // The first move always counts: 8 > 0.99999 · 8 passes the last bin by.
    assert_eq!(observer.clipped_range(), Some((2.0, 6.0)));
    assert_eq!(
        observer.calculate_qparams().unwrap(),
        per_tensor(6.0 / 255.0, 0)
    );
}

#[test]
fn a_bin_that_straddles_an_edge_is_split_in_sixteenths() {
    let mut observer = with_bins(2);
    observer.observe(&row(&[0.0, 1.0, 3.0, 4.0])).unwrap();
    assert_eq!(observer.counts(), [2.0, 2.0]);
    // The new middle is 2.5. Of the bin [2, 4], parts of width 1/8 with middles 2.0625 .. 2.4375 lie
    // below it: 4 of 16.
    observer.observe(&row(&[5.0])).unwrap();
    assert_eq!(observer.counts(), [2.5, 2.5]);
    assert_eq!(observer.range(), Some((0.0, 5.0)));
}

#[test]
fn an_unchanged_range_only_adds() {
    let mut observer = with_bins(4);
    observer.observe(&row(&[0.0, 1.0, 2.0, 3.0, 4.0])).unwrap();
    assert_eq!(observer.counts(), [1.0, 1.0, 1.0, 2.0]);
    observer.observe(&row(&[0.5, 0.5, 3.5])).unwrap();
    assert_eq!(observer.counts(), [3.0, 1.0, 1.0, 3.0]);
}

#[test]
fn a_constant_lies_in_the_middle_bin_and_keeps_its_count() {
    let mut observer = HistogramObserver::default();
    observer.observe(&row(&[5.0; 7])).unwrap();
    assert_eq!(observer.counts()[1024], 7.0);
    assert_eq!(observer.counts().iter().sum::<f64>(), 7.0);
    assert_eq!(observer.clipped_range(), Some((5.0, 5.0)));
    assert_eq!(
        observer.calculate_qparams().unwrap(),
        per_tensor(5.0 / 255.0, 0)
    );
    // PyTorch 2.6 would count the seven fives as two here.
    let mut observer = with_bins(4);
    observer.observe(&row(&[1.0; 7])).unwrap();
    observer.observe(&row(&[0.0, 1.0, 4.0])).unwrap();
    assert_eq!(observer.counts(), [1.0, 8.0, 0.0, 1.0]);
    // The reverse: a constant joins a range.
    let mut observer = with_bins(4);
    observer.observe(&row(&[0.0, 4.0])).unwrap();
    observer.observe(&row(&[6.0, 6.0])).unwrap();
    assert_eq!(observer.counts().iter().sum::<f64>(), 4.0);
    assert_eq!(observer.counts()[3], 2.0);
}

#[test]
fn zeros_and_data_of_any_magnitude_work() {
    let mut zeros = HistogramObserver::default();
    zeros.observe(&Tensor::zeros(&[9]).unwrap()).unwrap();
    assert_eq!(
        zeros.calculate_qparams().unwrap(),
        per_tensor(f32::EPSILON, 0)
    );
    // The same shape of data at every magnitude is clipped at the same bins.
    // An exponential distribution up to 12.9, of which about 11 are worth keeping.
    let base: Vec<f32> = (1..200_000).map(|i| -(i as f32 / 200_000.0).ln()).collect();
    let kept = |factor: f32| {
        let mut observer = HistogramObserver::default();
        let values: Vec<f32> = base.iter().map(|v| v * factor).collect();
        observer.observe(&row(&values)).unwrap();
        let (lo, hi) = observer.clipped_range().unwrap();
        (lo / factor, hi / factor)
    };
    let unit = kept(1.0);
    assert!(unit.0 < 0.1 && unit.1 < 12.0, "{unit:?}");
    for exponent in [-100, -40, 40, 100, 120] {
        assert_eq!(kept(2f32.powi(exponent)), unit, "2^{exponent}");
    }
}

#[test]
fn ranges_that_overflow_are_counted_and_reported() {
    let mut observer = with_bins(4);
    observer
        .observe(&row(&[-3e38, -2e38, 0.0, 2e38, 3e38]))
        .unwrap();
    assert_eq!(observer.counts(), [2.0, 0.0, 1.0, 2.0]);
    assert!(matches!(
        observer.calculate_qparams(),
        Err(Error::Tensor(qtensor_core::Error::InvalidRange { .. }))
    ));
    observer.observe(&row(&[f32::MIN, f32::MAX])).unwrap();
    assert_eq!(observer.counts().iter().sum::<f64>(), 7.0);
}

#[test]
fn a_thin_tail_is_cut_off() {
    // Clipping one value at 1.05 costs 0.05² = 0.0025. Quantizing 200,000 values to steps of 1/256
    // instead of 1.05/256 saves 200,000 · (1.05² − 1) / 256² / 12 = 0.026.
    let mut values: Vec<f32> = (0..200_000).map(|i| i as f32 / 200_000.0).collect();
    values.push(1.05);
    let mut observer = HistogramObserver::default();
    observer.observe(&row(&values)).unwrap();
    let (lo, hi) = observer.clipped_range().unwrap();
    assert!(lo < 0.002 && hi < 1.002, "[{lo}, {hi}]");
    assert_eq!(observer.range(), Some((0.0, 1.05)));
    let scale = observer.calculate_qparams().unwrap().channel(0).unwrap().0;
    assert_eq!(scale, hi / 255.0);
}

#[test]
fn other_types_and_schemes_use_the_same_search() {
    let values: Vec<f32> = (0..=400).map(|i| i as f32 / 100.0 - 2.0).collect();
    let mut affine = HistogramObserver::default();
    affine.observe(&row(&values)).unwrap();
    let (lo, hi) = affine.clipped_range().unwrap();
    let mut signed = HistogramObserver::builder()
        .dtype(DType::QInt8)
        .qscheme(QScheme::PerTensorSymmetric)
        .build()
        .unwrap();
    signed.observe(&row(&values)).unwrap();
    assert_eq!(signed.clipped_range(), Some((lo, hi)));
    assert_eq!(
        signed.calculate_qparams().unwrap(),
        per_tensor((-lo).max(hi) / 127.5, 0)
    );
}

#[test]
fn layout_does_not_matter() {
    let values: Vec<f32> = (0..120).map(|i| ((i * 53) % 120) as f32 / 7.0).collect();
    let x = Tensor::from_vec(values, &[2, 3, 4, 5]).unwrap();
    let mut plain = with_bins(64);
    plain.observe(&x).unwrap();
    for other in [
        x.to_memory_format(MemoryFormat::ChannelsLast).unwrap(),
        x.permute(&[2, 0, 3, 1]).unwrap(),
    ] {
        let mut observer = with_bins(64);
        observer.observe(&other).unwrap();
        assert_eq!(observer, plain);
    }
}

#[test]
fn infinities_are_an_error_or_ignored_and_nan_is_always_an_error() {
    let x = row(&[0.0, f32::INFINITY, 1.0, f32::NEG_INFINITY, 2.0]);
    let mut strict = with_bins(2);
    strict.observe(&row(&[0.0, 2.0])).unwrap();
    let before = strict.clone();
    assert_eq!(
        strict.observe(&x),
        Err(Error::Infinite {
            observer: "HistogramObserver",
            count: 2,
            total: 5,
            first: 1
        })
    );
    assert_eq!(strict, before);

    let mut lenient = HistogramObserver::builder()
        .bins(2)
        .ignore_infinity(true)
        .build()
        .unwrap();
    lenient.observe(&row(&[f32::INFINITY; 3])).unwrap();
    assert!(!lenient.has_observed());
    lenient.observe(&x).unwrap();
    assert_eq!(lenient.counts(), [1.0, 2.0]);
    let nan = row(&[f32::INFINITY, f32::NAN]);
    assert!(matches!(
        lenient.observe(&nan),
        Err(Error::NaN {
            count: 1,
            first: 1,
            ..
        })
    ));
}

#[test]
fn empty_batches_and_resets() {
    let mut observer = with_bins(4);
    observer.observe(&Tensor::zeros(&[0]).unwrap()).unwrap();
    assert!(!observer.has_observed() && observer.counts().is_empty());
    assert!(matches!(
        observer.calculate_qparams(),
        Err(Error::NeverObserved { .. })
    ));
    observer.observe(&row(&[1.0, 2.0])).unwrap();
    observer.reset();
    assert_eq!(observer, with_bins(4));
}

#[test]
fn builders_refuse_unusable_bins_and_types() {
    for bins in [0, 131_073, usize::MAX] {
        assert!(matches!(
            HistogramObserver::builder().bins(bins).build(),
            Err(Error::InvalidSetting {
                setting: "bins",
                ..
            })
        ));
    }
    assert!(matches!(
        HistogramObserver::builder().dtype(DType::QInt32).build(),
        Err(Error::InvalidSetting {
            setting: "dtype",
            ..
        })
    ));
    let mut one = with_bins(1);
    one.observe(&row(&[0.0, 255.0])).unwrap();
    assert_eq!(one.calculate_qparams().unwrap(), per_tensor(1.0, 0));
}
