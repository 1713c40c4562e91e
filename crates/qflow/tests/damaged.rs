//! Damaged files: every byte changed in turn and every truncation is an error or loads something that works, never a
//! panic, and never takes more memory than a small multiple of the file's size.

#[allow(dead_code, reason = "the other tests use the rest")]
mod common;

use allocation_counter::measure;
use common::edits::varint;
use common::shrunk::Shrunk;
use common::{Net, converted, images};
use qflow::{
    QConfig, calibrate, from_bytes, load_safetensors_bytes, prepare, quantize_dynamic,
    save_safetensors, state_dict, to_bytes,
};
use qnn::{Linear, Module, QuantStub, Sequential, Value, describe, manual_seed};
use qobserve::{HistogramObserver, MinMaxObserver, Observer, PerChannelMinMaxObserver};
use qtensor_core::container::{Kind, open, seal};
use qtensor_core::{DType, QTensor, Tensor, quantize_per_channel, quantize_per_tensor};
use rayon::ThreadPoolBuilder;

/// Runs a test on a thread whose pool is itself: memory is counted thread by thread, and whatever is handed to the pool
/// must be counted too.
fn on_one_thread(test: impl FnOnce() + Send) {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(test);
}

/// Every truncation of a file, and the file with every byte changed in a few ways: single bits, all bits, and a length
/// that no file has.
fn damages(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    let places = 0..bytes.len();
    let cuts = places
        .clone()
        .map(|n| (format!("cut at {n}"), bytes[..n].to_vec()));
    let flips = places.clone().flat_map(move |at| {
        [1, 0x80, 0xff, 1 << (at % 8)].map(|mask| {
            let mut copy = bytes.to_vec();
            copy[at] ^= mask;
            (format!("byte {at} ^ {mask}"), copy)
        })
    });
    let claims = places.flat_map(move |at| {
        [20, 40, 62].map(|bits| {
            let mut copy = bytes.to_vec();
            copy.splice(at..=at, varint(1 << bits));
            (format!("2^{bits} at byte {at}"), copy)
        })
    });
    cuts.chain(flips).chain(claims)
}

/// How many damaged files were refused, and how many loaded.
struct Seen {
    refused: usize,
    loaded: usize,
}

/// Loads every damaged form, measures the memory that this takes beside the file, and uses what was loaded.
///
/// The bound is a small multiple of the file's length, and what an error and a few small tables take.
fn read_all<T>(
    bytes: &[u8],
    mut load: impl FnMut(&[u8], &str) -> Option<T>,
    mut run: impl FnMut(T, &str),
) -> Seen {
    const TIMES: usize = 24;
    const FEW: usize = 16 << 10;
    let (mut refused, mut loaded) = (0, 0);
    for (what, damaged) in damages(bytes) {
        let mut result = None;
        let used = measure(|| result = load(&damaged, &what)).bytes_max;
        let length = bytes.len();
        assert!(
            used <= (TIMES * length + FEW) as u64,
            "{what}: {used} bytes of memory for a file of {length}"
        );
        match result {
            Some(result) => {
                loaded += 1;
                run(result, &what);
            }
            None => refused += 1,
        }
    }
    Seen { refused, loaded }
}

/// As [`read_all`], with the damage inside an envelope whose checksum is right.
fn read_sealed<T>(
    kind: Kind,
    file: &[u8],
    mut load: impl FnMut(&[u8], &str) -> Option<T>,
    run: impl FnMut(T, &str),
) -> Seen {
    let content = open(kind, file).unwrap();
    read_all(
        content,
        |damaged, what| load(&seal(kind, damaged), what),
        run,
    )
}

/// Bare damage is always found.
fn refused_everywhere<T>(file: &[u8], mut load: impl FnMut(&[u8]) -> Option<T>) {
    read_all(
        file,
        |damaged, _| load(damaged),
        |_, what| panic!("{what}: not found"),
    );
}

#[test]
fn tensors() {
    on_one_thread(|| {
        let x = Tensor::from_vec((0..24).map(|i| i as f32 - 7.5).collect(), &[2, 3, 4]).unwrap();
        let file = x.to_bytes().unwrap();
        refused_everywhere(&file, |b| Tensor::from_bytes(b).ok());
        let seen = read_sealed(
            Kind::Tensor,
            &file,
            |b, _| Tensor::from_bytes(b).ok(),
            |read, what| assert_eq!(read.to_vec().len(), 24, "{what}"),
        );
        assert!(seen.refused > 100 && seen.loaded > 100);
        for q in [
            quantize_per_tensor(&x, 0.1, 3, DType::QUInt8),
            quantize_per_tensor(&x, 0.1, 3, DType::QInt32),
            quantize_per_channel(&x, &[0.1, 0.3, 0.01], &[1, 0, 2], 1, DType::QInt8),
        ] {
            let file = q.unwrap().to_bytes().unwrap();
            refused_everywhere(&file, |b| QTensor::from_bytes(b).ok());
            let seen = read_sealed(
                Kind::QTensor,
                &file,
                |b, _| QTensor::from_bytes(b).ok(),
                |read, what| assert_eq!(read.dequantize().shape(), read.shape(), "{what}"),
            );
            assert!(seen.refused > 50 && seen.loaded > 50);
        }
    });
}

#[test]
fn observers() {
    on_one_thread(|| {
        let x = images(0).to_tensor();
        let fresh: [fn() -> Box<dyn Observer>; 3] = [
            || Box::new(MinMaxObserver::builder().build().unwrap()),
            || {
                let builder = PerChannelMinMaxObserver::builder().ch_axis(1);
                Box::new(builder.build().unwrap())
            },
            || Box::new(HistogramObserver::builder().bins(64).build().unwrap()),
        ];
        for fresh in fresh {
            let mut observer = fresh();
            observer.observe(&x).unwrap();
            let file = observer.to_bytes().unwrap();
            let restored = |bytes: &[u8]| {
                let mut other = fresh();
                let restored = other.restore(bytes).is_ok();
                assert!(restored || !other.has_observed());
                restored.then_some(other)
            };
            refused_everywhere(&file, restored);
            let seen = read_sealed(
                Kind::Observer,
                &file,
                |b, _| restored(b),
                |mut other, _| {
                    drop(other.calculate_qparams());
                    drop(other.observe(&x));
                    drop(other.calculate_qparams());
                },
            );
            assert!(seen.refused > 20);
        }
    });
}

/// A file of a model, read into fresh ones.
fn model<M: qnn::Node>(file: &[u8], fresh: fn() -> M, run: impl Fn(&M)) {
    let untouched = (describe(&fresh()), to_bytes(&fresh()).unwrap());
    let mut model = fresh();
    refused_everywhere(file, |b| from_bytes(&mut model, b).ok());
    // A model that refused a file is as it was, so that the next file finds it fresh.
    let mut spare = Some(model);
    let seen = read_sealed(
        Kind::Model,
        file,
        |b, what| {
            let mut model = spare.take().unwrap_or_else(fresh);
            let Err(error) = from_bytes(&mut model, b) else {
                return Some(model);
            };
            let now = (describe(&model), to_bytes(&model).unwrap());
            assert!(now == untouched, "{what}: {error}");
            spare = Some(model);
            None
        },
        |model, _| run(&model),
    );
    let Seen { refused, loaded } = seen;
    assert!(refused > 100 && loaded > 50, "{refused}, {loaded}");
}

#[test]
fn a_static_model() {
    on_one_thread(|| {
        let file = to_bytes(&converted()).unwrap();
        model(&file, Net::new, |net| drop(net.forward(&images(0))));
    });
}

#[test]
fn a_dynamic_model() {
    on_one_thread(|| {
        let mut net = Shrunk::new();
        quantize_dynamic(&mut net, Shrunk::spec()).unwrap();
        let file = to_bytes(&net).unwrap();
        model(&file, Shrunk::new, |net| drop(net.run()));
    });
}

/// A model between preparation and conversion, whose file has the states of its observers behind the modules.
#[test]
fn a_calibrated_model() {
    on_one_thread(|| {
        let fresh = || {
            manual_seed(5);
            let layer = Linear::new(2, 2).unwrap();
            let mut net = Sequential::new().push(QuantStub).push(layer);
            prepare(&mut net, QConfig::minmax()).unwrap();
            net
        };
        let net = fresh();
        let x = Tensor::from_vec(vec![-1.0, 2.0], &[1, 2]).unwrap();
        calibrate(&net, [Value::from(x.clone())]).unwrap();
        let file = to_bytes(&net).unwrap();
        model(&file, fresh, |net| drop(net.forward(&x.clone().into())));
    });
}

#[test]
fn weights() {
    on_one_thread(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        save_safetensors(&Shrunk::new(), &path).unwrap();
        let file = std::fs::read(path).unwrap();
        let untouched = state_dict(&Shrunk::new());
        let mut spare = None;
        let seen = read_all(
            &file,
            |b, what| {
                let mut net = spare.take().unwrap_or_else(Shrunk::new);
                let Err(error) = load_safetensors_bytes(&mut net, b) else {
                    return Some(net);
                };
                assert!(state_dict(&net) == untouched, "{what}: {error}");
                spare = Some(net);
                None
            },
            |net, _| drop(net.run()),
        );
        // There is no checksum: a changed number is another number.
        assert!(seen.refused > 500 && seen.loaded > 500);
    });
}
