//! Merging and saving: what shards saw adds up, and no damaged state gets in.

use qobserve::{
    Error, HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver, Observer, PerChannelMinMaxObserver, QConfig,
};
use qtensor_core::Tensor;
use qtensor_core::container::{self, Kind};

fn batch(seed: usize) -> Tensor {
    let values: Vec<f32> = (0..60)
        .map(|i| ((i * 31 + seed * 17) % 61) as f32 * (1.0 + seed as f32) - 40.0)
        .collect();
    Tensor::from_vec(values, &[4, 15]).unwrap()
}

/// One of each type, small, that saw a few batches.
fn observers(batches: std::ops::Range<usize>) -> Vec<Box<dyn Observer>> {
    let mut all: Vec<Box<dyn Observer>> = vec![
        Box::new(MinMaxObserver::default()),
        Box::new(MovingAverageMinMaxObserver::default()),
        Box::new(PerChannelMinMaxObserver::default()),
        Box::new(MovingAveragePerChannelMinMaxObserver::default()),
        Box::new(HistogramObserver::builder().bins(8).build().unwrap()),
    ];
    for observer in &mut all {
        for seed in batches.clone() {
            observer.observe(&batch(seed)).unwrap();
        }
    }
    all
}

fn fresh(observer: &dyn Observer) -> Box<dyn Observer> {
    let mut copy = observer.clone_box();
    copy.reset();
    assert!(!copy.has_observed());
    copy
}

#[test]
fn merged_extremes_equal_sequential_ones() {
    let (whole, first, second) = (observers(0..5), observers(0..2), observers(2..5));
    for at in [0, 2] {
        let mut merged = first[at].clone();
        merged.merge(&*second[at]).unwrap();
        assert_eq!(
            merged.to_bytes().unwrap(),
            whole[at].to_bytes().unwrap(),
            "{}",
            merged.name()
        );
    }
}

#[test]
fn merging_into_or_from_nothing_copies() {
    for observer in observers(0..3) {
        let bytes = observer.to_bytes().unwrap();
        let mut into = fresh(&*observer);
        into.merge(&*observer).unwrap();
        assert_eq!(into.to_bytes().unwrap(), bytes);
        into.merge(&*fresh(&*observer)).unwrap();
        assert_eq!(into.to_bytes().unwrap(), bytes);
    }
}

#[test]
fn merged_averages_are_weighted_by_batches() {
    let row = |v: &[f32]| Tensor::from_slice(v, &[v.len()]).unwrap();
    let (mut a, mut b) = (
        MovingAverageMinMaxObserver::default(),
        MovingAverageMinMaxObserver::default(),
    );
    a.observe(&row(&[-1.0, 4.0])).unwrap();
    for _ in 0..3 {
        b.observe(&row(&[-5.0, 0.0])).unwrap();
    }
    let mut ab = a.clone();
    ab.merge(&b).unwrap();
    assert_eq!(ab.range(), Some((-4.0, 1.0)));
    b.merge(&a).unwrap();
    assert_eq!(b, ab);
}

#[test]
fn merged_histograms_cover_both_ranges() {
    let row = |v: &[f32]| Tensor::from_slice(v, &[v.len()]).unwrap();
    let observed = |v: &[f32]| {
        let mut observer = HistogramObserver::builder().bins(3).build().unwrap();
        observer.observe(&row(v)).unwrap();
        observer
    };
    // The hand-computed case: spread [2, 5] over [2, 8] and add [5, 8] spread over it, whose bins
    // [5,6) goes to [4,6) and [6,7), [7,8] to the last.
    let mut merged = observed(&[2.0, 3.0, 4.0, 5.0]);
    merged.merge(&observed(&[5.0, 6.0, 7.0, 8.0])).unwrap();
    assert_eq!(merged.counts(), [2.0, 3.0, 3.0]);
    assert_eq!(merged.range(), Some((2.0, 8.0)));
    // Constants keep their counts on either side.
    let mut merged = observed(&[0.0, 3.0]);
    merged.merge(&observed(&[6.0; 5])).unwrap();
    assert_eq!(merged.counts(), [1.0, 1.0, 5.0]);
    let mut merged = observed(&[6.0; 5]);
    merged.merge(&observed(&[0.0, 3.0])).unwrap();
    assert_eq!(merged.counts(), [1.0, 1.0, 5.0]);
}

#[test]
fn merging_wants_the_same_kind_settings_and_channels() {
    let all = observers(0..1);
    for a in &all {
        for b in &all {
            let result = a.clone().merge(&**b);
            assert_eq!(result.is_ok(), a.name() == b.name());
            if a.name() != b.name() {
                assert_eq!(
                    result,
                    Err(Error::KindMismatch {
                        operation: "merge",
                        expected: a.name(),
                        actual: b.name().to_string()
                    })
                );
            }
        }
    }
    let mut reduced = MinMaxObserver::builder()
        .reduce_range(true)
        .build()
        .unwrap();
    let error = reduced.merge(&*all[0]).unwrap_err();
    assert!(matches!(error, Error::SettingsMismatch { .. }));
    let text = error.to_string();
    assert!(
        text.contains("0..=127") && text.contains("0..=255"),
        "{text}"
    );
    let mut three = PerChannelMinMaxObserver::default();
    three.observe(&Tensor::ones(&[3]).unwrap()).unwrap();
    assert!(matches!(
        three.merge(&*all[2]),
        Err(Error::ChannelCount {
            expected: 3,
            actual: 4,
            ..
        })
    ));
}

#[test]
fn states_survive_a_round_trip() {
    for observer in observers(0..3) {
        let bytes = observer.to_bytes().unwrap();
        let mut copy = fresh(&*observer);
        copy.restore(&bytes).unwrap();
        assert_eq!(copy.to_bytes().unwrap(), bytes);
        assert_eq!(copy.range(), observer.range());
        assert_eq!(copy.calculate_qparams(), observer.calculate_qparams());
        // It goes on from there as the original does.
        let mut original = observer.clone();
        original.observe(&batch(9)).unwrap();
        copy.observe(&batch(9)).unwrap();
        assert_eq!(copy.to_bytes().unwrap(), original.to_bytes().unwrap());
        // A state without data is a state too.
        let nothing = fresh(&*observer).to_bytes().unwrap();
        copy.restore(&nothing).unwrap();
        assert!(!copy.has_observed());
    }
}

#[test]
fn restoring_wants_the_same_kind_and_settings() {
    let all = observers(0..2);
    let bytes = all[0].to_bytes().unwrap();
    let mut other = MovingAverageMinMaxObserver::default();
    assert!(matches!(
        other.restore(&bytes),
        Err(Error::KindMismatch {
            operation: "restore",
            ..
        })
    ));
    let mut other = MinMaxObserver::builder().eps(0.5).build().unwrap();
    assert!(matches!(
        other.restore(&bytes),
        Err(Error::SettingsMismatch {
            operation: "restore",
            ..
        })
    ));
    let tensor = Tensor::ones(&[2]).unwrap().to_bytes().unwrap();
    assert!(matches!(
        other.restore(&tensor),
        Err(Error::Tensor(qtensor_core::Error::WrongKind { .. }))
    ));
}

#[test]
fn every_flipped_bit_and_every_cut_is_an_error() {
    for observer in observers(0..3) {
        let bytes = observer.to_bytes().unwrap();
        let mut target = fresh(&*observer);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(target.restore(&damaged).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(target.restore(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(!target.has_observed(), "a refused state left something");
    }
}

/// With the checksum made right again, a flipped bit gives an error or a sound state.
#[test]
fn resealed_damage_is_an_error_or_a_sound_state() {
    for observer in observers(0..3) {
        let bytes = observer.to_bytes().unwrap();
        let content = container::open(Kind::Observer, &bytes).unwrap();
        let (mut refused, mut taken) = (0, 0);
        for bit in 0..content.len() * 8 {
            let mut damaged = content.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mut target = fresh(&*observer);
            match target.restore(&container::seal(Kind::Observer, &damaged)) {
                Err(_) => {
                    refused += 1;
                    assert!(!target.has_observed());
                }
                Ok(()) => {
                    taken += 1;
                    let (min, max) = target.range().unwrap();
                    assert!(min.is_finite() && max.is_finite() && min <= max);
                    if let Ok(quantizer) = target.calculate_qparams() {
                        let shape = [4, 15];
                        quantizer.validate("test", target.dtype(), &shape).unwrap();
                    }
                }
            }
        }
        assert!(refused > 0 && taken > 0, "{refused} and {taken}");
    }
}

/// The content of a saved state, with other statistics behind the right name and settings.
fn forged<S: serde::Serialize>(observer: &dyn Observer, statistics: &S) -> Vec<u8> {
    // The statistics of an observer without data: empty mins, empty maxs and zero batches, or no
    // histogram.
    let bytes = fresh(observer).to_bytes().unwrap();
    let content = container::open(Kind::Observer, &bytes).unwrap();
    let tail = if observer.name() == "HistogramObserver" {
        1
    } else {
        3
    };
    let mut forged = content[..content.len() - tail].to_vec();
    forged.extend(postcard::to_stdvec(statistics).unwrap());
    container::seal(Kind::Observer, &forged)
}

#[test]
fn hostile_statistics_are_refused() {
    let mut histogram = HistogramObserver::builder().bins(3).build().unwrap();
    let good = vec![1.0f64, 0.0, 2.0];
    type Forged = Option<(f32, f32, Vec<f64>)>;
    let state = |min, max, counts: &[f64]| -> Forged { Some((min, max, counts.to_vec())) };
    histogram
        .restore(&forged(&histogram.clone(), &state(0.0, 1.0, &good)))
        .unwrap();
    let kept = histogram.clone();
    for bad in [
        state(1.0, 0.0, &good),
        state(f32::NAN, 1.0, &good),
        state(0.0, f32::INFINITY, &good),
        state(0.0, 1.0, &good[..2]),
        state(0.0, 1.0, &[1.0; 4]),
        state(0.0, 1.0, &[]),
        state(0.0, 1.0, &[0.0; 3]),
        state(0.0, 1.0, &[1.0, -1.0, 1.0]),
        state(0.0, 1.0, &[1.0, f64::NAN, 1.0]),
        state(0.0, 1.0, &[f64::MAX; 3]),
        state(1.0, 1.0, &good),
    ] {
        let bytes = forged(&histogram, &bad);
        let result = histogram.restore(&bytes);
        assert!(matches!(result, Err(Error::Malformed { .. })), "{bad:?}");
        assert_eq!(histogram, kept);
    }
    // A length of 2^60 with nothing behind it allocates nothing.
    let huge = (1u8, 0.0f32, 1.0f32, 1u64 << 60);
    assert!(histogram.restore(&forged(&kept, &huge)).is_err());

    let mut channels = PerChannelMinMaxObserver::default();
    let mut tensor = MinMaxObserver::default();
    let two = |a: f32, b: f32| vec![a, b];
    channels
        .restore(&forged(
            &channels.clone(),
            &(two(0.0, -1.0), two(1.0, 1.0), 4u64),
        ))
        .unwrap();
    for bad in [
        (two(0.0, 2.0), two(1.0, 1.0), 1u64),
        (two(0.0, 0.0), vec![1.0], 1),
        (two(0.0, f32::NEG_INFINITY), two(1.0, 1.0), 1),
        (two(0.0, 0.0), two(1.0, 1.0), 0),
        (vec![], vec![], 1),
    ] {
        let bytes = forged(&channels, &bad);
        assert!(matches!(
            channels.restore(&bytes),
            Err(Error::Malformed { .. })
        ));
    }
    let bytes = forged(&tensor, &(two(0.0, 0.0), two(1.0, 1.0), 1u64));
    assert!(matches!(
        tensor.restore(&bytes),
        Err(Error::Malformed { .. })
    ));
}

#[test]
fn presets_build_what_they_say() {
    const FUSED: &str = "FusedMovingAvgObsFakeQuantize";
    let expected = [
        ("x86", "HistogramObserver", 255, "PerChannelMinMaxObserver"),
        (
            "fbgemm",
            "HistogramObserver",
            127,
            "PerChannelMinMaxObserver",
        ),
        (
            "onednn",
            "HistogramObserver",
            255,
            "PerChannelMinMaxObserver",
        ),
        ("qnnpack", "HistogramObserver", 255, "MinMaxObserver"),
        ("default", "MinMaxObserver", 127, "MinMaxObserver"),
        ("minmax", "MinMaxObserver", 255, "PerChannelMinMaxObserver"),
        ("x86_qat", FUSED, 255, "FakeQuantize"),
        ("fbgemm_qat", FUSED, 127, FUSED),
        ("qnnpack_qat", FUSED, 255, FUSED),
        ("lsq", FUSED, 255, "LearnableFakeQuantize"),
    ];
    assert!(QConfig::names().eq(expected.map(|e| e.0)));
    for (name, activation, max, weight) in expected {
        let qconfig = QConfig::by_name(name).unwrap();
        let (a, w) = (qconfig.activation.build(), qconfig.weight.build());
        assert_eq!((a.name(), w.name()), (activation, weight), "{name}");
        assert_eq!((a.quant_range().min, a.quant_range().max), (0, max));
        assert_eq!((w.quant_range().min, w.quant_range().max), (-128, 127));
        assert!(w.qscheme().is_symmetric() && !a.qscheme().is_symmetric());
        assert!(qconfig.activation.name().starts_with(activation));
    }
    let error = QConfig::by_name("tpu").unwrap_err().to_string();
    assert!(
        error.contains("tpu") && error.contains("qnnpack"),
        "{error}"
    );
}

/// A type that implements only what the trait demands.
#[derive(Clone, Debug)]
struct Minimal;

impl Observer for Minimal {
    fn name(&self) -> &'static str {
        "Minimal"
    }
    fn observe(&mut self, _: &Tensor) -> qobserve::Result<()> {
        Ok(())
    }
    fn calculate_qparams(&self) -> qobserve::Result<qtensor_core::Quantizer> {
        Ok(qtensor_core::Quantizer::per_tensor(1.0, 0))
    }
    fn has_observed(&self) -> bool {
        true
    }
    fn dtype(&self) -> qtensor_core::DType {
        qtensor_core::DType::QUInt8
    }
    fn reset(&mut self) {}
    fn clone_box(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[test]
fn optional_operations_say_that_they_are_missing() {
    let mut minimal: Box<dyn Observer> = Box::new(Minimal);
    let missing = |operation| Error::Unsupported {
        observer: "Minimal",
        operation,
    };
    assert_eq!(minimal.to_bytes(), Err(missing("to_bytes")));
    assert_eq!(minimal.restore(&[]), Err(missing("restore")));
    assert_eq!(minimal.clone().merge(&*minimal), Err(missing("merge")));
    assert_eq!(minimal.range(), None);
    assert!(matches!(
        MinMaxObserver::default().merge(&*minimal),
        Err(Error::KindMismatch { .. })
    ));
}
