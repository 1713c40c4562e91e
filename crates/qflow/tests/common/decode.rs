//! Damaged files, read: the result is an error, or a tensor or model that works.

use std::sync::LazyLock;

use qflow::{from_bytes, load_safetensors_bytes, quantize_dynamic, to_bytes};
use qnn::describe;
use qobserve::{HistogramObserver, MinMaxObserver, Observer, PerChannelMinMaxObserver};
use qtensor_core::container::{Kind, open};
use qtensor_core::{DType, QTensor, Tensor, quantize_per_channel, quantize_per_tensor};

use super::edits::{content, file};
use super::shrunk::Shrunk;
use super::{Net, converted, images};

/// What the bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Something was loaded, and could be used.
    Loaded,
    /// An error.
    Refused,
}

impl<T, E> From<Result<T, E>> for Read {
    fn from(result: Result<T, E>) -> Read {
        result.map_or(Read::Refused, |_| Read::Loaded)
    }
}

/// A file of a content that is known to be sound.
fn sound(kind: Kind, file: &[u8]) -> Vec<u8> {
    open(kind, file).expect("a file just written").to_vec()
}

/// Tensors, quantized tensors and observers.
pub fn tensors(bytes: &[u8]) -> Read {
    let Some((&which, bytes)) = bytes.split_first() else {
        return Read::Refused;
    };
    let x = Tensor::from_vec((0..24).map(|i| i as f32 - 7.5).collect(), &[2, 3, 4]);
    let x = x.expect("as many values as the shape holds");
    match which % 8 {
        0 | 1 => float_tensor(bytes, &x),
        2 => quantized(bytes, quantize_per_tensor(&x, 0.1, 3, DType::QUInt8)),
        3 => quantized(bytes, quantize_per_tensor(&x, 0.1, 3, DType::QInt32)),
        4 => {
            let (scales, zeros) = ([0.1, 0.3, 0.01], [1, 0, 2]);
            quantized(
                bytes,
                quantize_per_channel(&x, &scales, &zeros, 1, DType::QInt8),
            )
        }
        5 => observer(bytes, &x, MinMaxObserver::builder().build()),
        6 => {
            let builder = PerChannelMinMaxObserver::builder().ch_axis(1);
            observer(bytes, &x, builder.build())
        }
        _ => observer(bytes, &x, HistogramObserver::builder().bins(32).build()),
    }
}

fn float_tensor(bytes: &[u8], x: &Tensor) -> Read {
    let written = x.to_bytes().expect("a tensor can be written");
    let file = file(Kind::Tensor, bytes, &sound(Kind::Tensor, &written));
    let Ok(read) = Tensor::from_bytes(&file) else {
        return Read::Refused;
    };
    assert!(format!("{read:?} {read}").len() > 2);
    let again = read.to_bytes().expect("what was read can be written");
    let again = Tensor::from_bytes(&again).expect("what was written can be read");
    let bits = |t: &Tensor| t.to_vec().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!((again.shape(), bits(&again)), (read.shape(), bits(&read)));
    Read::Loaded
}

fn quantized(bytes: &[u8], q: qtensor_core::Result<QTensor>) -> Read {
    let written = q.and_then(|q| q.to_bytes()).expect("the qparams are valid");
    let file = file(Kind::QTensor, bytes, &sound(Kind::QTensor, &written));
    let Ok(read) = QTensor::from_bytes(&file) else {
        return Read::Refused;
    };
    assert!(format!("{read:?} {read}").len() > 2);
    assert_eq!(read.dequantize().shape(), read.shape());
    let again = read.to_bytes().expect("what was read can be written");
    assert_eq!(
        QTensor::from_bytes(&again).expect("what was written can be read"),
        read
    );
    Read::Loaded
}

fn observer<O: Observer + Clone>(bytes: &[u8], x: &Tensor, fresh: qobserve::Result<O>) -> Read {
    let mut observer = fresh.expect("the settings are valid");
    let mut other = observer.clone();
    observer.observe(x).expect("a finite tensor");
    let written = observer.to_bytes().expect("a state can be written");
    let file = file(Kind::Observer, bytes, &sound(Kind::Observer, &written));
    if other.restore(&file).is_err() {
        assert!(!other.has_observed(), "a refused state was taken over");
        return Read::Refused;
    }
    drop(other.calculate_qparams());
    drop(other.observe(x));
    drop(other.merge(&observer));
    drop(other.calculate_qparams());
    Read::Loaded
}

/// Models: static ones, dynamic ones and float ones.
pub fn models(bytes: &[u8]) -> Read {
    static STATIC: LazyLock<Vec<u8>> =
        LazyLock::new(|| to_bytes(&converted()).expect("a model can be written"));
    static FLOAT: LazyLock<Vec<u8>> =
        LazyLock::new(|| to_bytes(&Net::new()).expect("a model can be written"));
    static DYNAMIC: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut model = Shrunk::new();
        quantize_dynamic(&mut model, Shrunk::spec()).expect("the model is quantizable");
        to_bytes(&model).expect("a model can be written")
    });
    let Some((&which, bytes)) = bytes.split_first() else {
        return Read::Refused;
    };
    match which % 5 {
        0 | 1 => {
            let net = Net::new();
            model(bytes, &STATIC, net, |net| drop(net.forward(&images(0))))
        }
        2 | 3 => model(bytes, &DYNAMIC, Shrunk::new(), |net| drop(net.run())),
        _ => model(bytes, &FLOAT, Net::new(), |net| {
            drop(net.forward(&images(0)))
        }),
    }
}

fn model<M: qnn::Node>(bytes: &[u8], written: &[u8], mut model: M, run: impl Fn(&M)) -> Read {
    let before = (describe(&model), to_bytes(&model).ok());
    let file = file(Kind::Model, bytes, &sound(Kind::Model, written));
    if let Err(error) = from_bytes(&mut model, &file) {
        assert!(!error.to_string().is_empty());
        let after = (describe(&model), to_bytes(&model).ok());
        assert_eq!(after, before, "a refused file changed the model: {error}");
        return Read::Refused;
    }
    run(&model);
    let again = to_bytes(&model).expect("what was read can be written");
    from_bytes(&mut model, &again).expect("what was written can be read");
    assert!(to_bytes(&model).is_ok_and(|twice| twice == again));
    Read::Loaded
}

/// Weights as safetensors. The header, whose length stands in the first eight bytes, is edited, or the whole file.
pub fn safetensors(bytes: &[u8]) -> Read {
    static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("net.safetensors");
        qflow::save_safetensors(&Net::new(), &path).expect("weights can be written");
        std::fs::read(path).expect("a file just written")
    });
    let Some((&which, bytes)) = bytes.split_first() else {
        return Read::Refused;
    };
    let file = if which % 4 == 0 {
        content(bytes, &SOUND)
    } else {
        let length = u64::from_le_bytes(SOUND[..8].try_into().expect("eight bytes")) as usize;
        let header = content(bytes, &SOUND[8..8 + length]);
        let length = (header.len() as u64).to_le_bytes();
        [
            &length[..],
            &header,
            &SOUND[8 + header.len().min(SOUND.len() - 8)..],
        ]
        .concat()
    };
    if let Ok(tensors) = qflow::read_safetensors(&file) {
        let elements: usize = tensors.values().map(Tensor::numel).sum();
        assert!(
            elements <= file.len(),
            "{elements} elements in {} bytes",
            file.len()
        );
    }
    let mut net = Net::new();
    let before = qflow::state_dict(&net);
    if let Err(error) = load_safetensors_bytes(&mut net, &file) {
        assert!(!error.to_string().is_empty());
        let same = qflow::state_dict(&net) == before;
        assert!(same, "refused weights changed the model: {error}");
        return Read::Refused;
    }
    drop(net.forward(&images(0)));
    Read::Loaded
}
