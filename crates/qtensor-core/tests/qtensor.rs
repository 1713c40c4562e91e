//! Quantized tensors as users meet them: views that carry the channel axis, writing, files, printing.

use qtensor_core::container::{self, Kind};
use qtensor_core::{
    DType, Error, IntTensor, MemoryFormat, QTensor, Quantizer, Tensor, empty_affine_quantized,
    quantize_linear, quantize_per_channel, quantize_per_tensor, quantize_with,
};

fn counted(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let values = (0..n).map(|i| i as f32 - n as f32 / 2.0).collect();
    Tensor::from_vec(values, shape).unwrap()
}

/// A qint8 tensor with a distinct scale and zero point for each channel.
fn per_channel(shape: &[usize], axis: usize) -> QTensor {
    let channels = shape[axis];
    let scales: Vec<f64> = (0..channels).map(|c| 0.5 * (c + 1) as f64).collect();
    let zero_points: Vec<i32> = (0..channels as i32).collect();
    quantize_per_channel(&counted(shape), &scales, &zero_points, axis, DType::QInt8).unwrap()
}

fn axis_of(q: &QTensor) -> usize {
    q.q_per_channel_axis().unwrap()
}

#[test]
fn the_channel_axis_follows_permutations() {
    let q = per_channel(&[2, 3, 4], 1);
    for (order, axis) in [
        ([1, 0, 2], 0),
        ([0, 2, 1], 2),
        ([2, 1, 0], 1),
        ([0, 1, 2], 1),
    ] {
        let view = q.permute(&order).unwrap();
        assert_eq!(axis_of(&view), axis, "{order:?}");
        assert_eq!(view.q_per_channel_scales().unwrap(), [0.5, 1.0, 1.5]);
        assert!(view.shares_storage_with(&q));
        assert_eq!(view.dequantize(), q.dequantize().permute(&order).unwrap());
    }
    assert_eq!(axis_of(&q.transpose(1, 2).unwrap()), 2);
}

#[test]
fn slicing_the_channel_axis_slices_the_map() {
    let q = per_channel(&[2, 5, 3], 1);
    let some = q.slice(1, 1, 5, 2).unwrap();
    assert_eq!(some.q_per_channel_scales().unwrap(), [1.0, 2.0]);
    assert_eq!(some.q_per_channel_zero_points().unwrap(), [1, 3]);
    assert_eq!(some.dequantize(), q.dequantize().slice(1, 1, 5, 2).unwrap());
    let other = q.slice(0, 1, 2, 1).unwrap();
    assert_eq!(other.quantizer(), q.quantizer());
    assert_eq!(
        other.dequantize(),
        q.dequantize().slice(0, 1, 2, 1).unwrap()
    );
}

#[test]
fn selecting_a_channel_gives_a_per_tensor_map() {
    let q = per_channel(&[2, 5, 3], 1);
    let one = q.select(1, 3).unwrap();
    assert_eq!(one.quantizer(), &Quantizer::per_tensor(2.0, 3));
    assert_eq!(one.dequantize(), q.dequantize().select(1, 3).unwrap());
    // Dropping a dimension before the axis moves it, one behind leaves it.
    assert_eq!(axis_of(&q.select(0, 1).unwrap()), 0);
    assert_eq!(axis_of(&q.select(2, 1).unwrap()), 1);
    let single = per_channel(&[2, 1, 3], 1);
    assert_eq!(
        single.squeeze(1).unwrap().quantizer(),
        &Quantizer::per_tensor(0.5, 0)
    );
}

#[test]
fn unsqueeze_and_expand_move_or_repeat_the_axis() {
    let q = per_channel(&[2, 3], 1);
    assert_eq!(axis_of(&q.unsqueeze(0).unwrap()), 2);
    assert_eq!(axis_of(&q.unsqueeze(1).unwrap()), 2);
    assert_eq!(axis_of(&q.unsqueeze(2).unwrap()), 1);
    let wide = q.unsqueeze(0).unwrap().expand(&[4, 2, 3]).unwrap();
    assert_eq!(axis_of(&wide), 2);
    assert_eq!(
        wide.dequantize(),
        q.dequantize().expand(&[4, 2, 3]).unwrap()
    );
    let led = q.expand(&[5, 2, 3]).unwrap();
    assert_eq!((axis_of(&led), led.shape()), (2, &[5, 2, 3][..]));
    let single = per_channel(&[1, 3], 0).expand(&[4, 3]).unwrap();
    assert_eq!(single.q_per_channel_scales().unwrap(), [0.5; 4]);
}

#[test]
fn reshapes_keep_the_axis_or_say_that_it_is_lost() {
    let q = per_channel(&[2, 3, 4], 1);
    for (shape, axis) in [
        (&[2, 3, 2, 2][..], 1),
        (&[1, 2, 3, 4], 2),
        (&[2, 1, 3, 4], 2),
        (&[2, 3, 4, 1], 1),
    ] {
        let view = q.view(shape).unwrap();
        assert_eq!(axis_of(&view), axis, "{shape:?}");
        assert_eq!(view.dequantize(), q.dequantize().view(shape).unwrap());
    }
    assert_eq!(axis_of(&per_channel(&[2, 3, 4], 0).flatten(1).unwrap()), 0);
    for shape in [&[6, 4][..], &[2, 12], &[24], &[3, 2, 4], &[2, 4, 3]] {
        assert_eq!(
            q.view(shape),
            Err(Error::ChannelAxisLost {
                operation: "view",
                axis: 1,
                from: vec![2, 3, 4],
                to: shape.to_vec()
            })
        );
    }
    // A strided tensor reshapes with a copy, and keeps the axis likewise.
    let moved = q.permute(&[2, 1, 0]).unwrap();
    assert!(matches!(moved.view(&[2, 2, 3, 2]), Ok(ref v) if axis_of(v) == 2));
    assert!(matches!(
        moved.reshape(&[12, 2]),
        Err(Error::ChannelAxisLost { .. })
    ));
}

#[test]
fn set_and_fill_quantize_with_the_elements_own_channel() {
    let mut q = per_channel(&[2, 3], 1);
    let before = q.clone();
    q.set(&[1, 2], 4.6).unwrap(); // 4.6 / 1.5 rounds to 3, plus zero point 2
    assert_eq!(q.int_repr().to_i32_vec()[5], 5);
    assert_eq!(q.get(&[1, 2]).unwrap(), 4.5);
    q.set(&[0, 0], 1e9).unwrap();
    assert_eq!(q.int_repr().to_i32_vec()[0], 127);
    assert_ne!(q, before);
    assert_eq!(before.get(&[1, 2]).unwrap(), 1.5); // the clone did not change
    q.fill(-3.0).unwrap();
    assert_eq!(q.int_repr().to_i32_vec(), [-6, -2, 0, -6, -2, 0]);
    assert_eq!(q.dequantize().to_vec(), [-3.0; 6]);
    assert!(matches!(
        q.set(&[2, 0], 0.0),
        Err(Error::OutOfRange {
            dim: 0,
            index: 2,
            len: 2,
            ..
        })
    ));
    assert!(matches!(q.set(&[0], 0.0), Err(Error::Rank { .. })));
}

#[test]
fn copying_from_floats_keeps_the_map_and_from_integers_takes_it() {
    let x = counted(&[2, 3]);
    let mut q = quantize_per_tensor(&x, 0.5, 10, DType::QUInt8).unwrap();
    let y = Tensor::full(&[2, 3], 2.0).unwrap();
    q.copy_from_float(&y).unwrap();
    assert_eq!(q.int_repr().to_i32_vec(), [14; 6]);
    assert_eq!(q.q_scale().unwrap(), 0.5);

    let other = quantize_per_tensor(&x, 0.25, 100, DType::QUInt8).unwrap();
    q.copy_from(&other).unwrap();
    assert_eq!(q, other);
    assert_eq!(q.q_zero_point().unwrap(), 100);

    let signed = quantize_per_tensor(&x, 0.25, 0, DType::QInt8).unwrap();
    assert_eq!(
        q.copy_from(&signed),
        Err(Error::DTypeMismatch {
            operation: "copy_from",
            expected: DType::QUInt8,
            actual: DType::QInt8
        })
    );
    let wrong = q
        .copy_from_float(&counted(&[3, 2]))
        .unwrap_err()
        .to_string();
    assert!(
        wrong.contains("[2, 3]") && wrong.contains("[3, 2]"),
        "{wrong}"
    );
    assert!(matches!(
        q.copy_from(&other.transpose(0, 1).unwrap()),
        Err(Error::ShapeMismatch { .. })
    ));
}

#[test]
fn equality_is_type_map_shape_and_integers() {
    let x = counted(&[2, 3]);
    let q = quantize_per_tensor(&x, 1.0, 0, DType::QInt8).unwrap();
    assert!(q.equal(&quantize_linear(&x, 1.0, 0, DType::QInt8).unwrap()));
    let same_map = quantize_with(&x, Quantizer::per_tensor(1.0, 0), DType::QInt8).unwrap();
    assert!(q.equal(&same_map));
    // The same memory in another order is equal, and strides do not count.
    assert!(
        q.equal(
            &q.transpose(0, 1)
                .unwrap()
                .contiguous()
                .transpose(0, 1)
                .unwrap()
        )
    );
    let as_type = |dtype| quantize_per_tensor(&x.map(f32::abs), 1.0, 0, dtype).unwrap();
    assert!(!as_type(DType::QInt8).equal(&as_type(DType::QUInt8)));
    assert!(
        !q.equal(
            &QTensor::from_parts(q.int_repr().clone(), Quantizer::per_tensor(2.0, 0)).unwrap()
        )
    );
    assert!(
        !q.equal(
            &QTensor::from_parts(q.int_repr().clone(), Quantizer::per_tensor(1.0, 1)).unwrap()
        )
    );
    assert!(!q.equal(&q.view(&[3, 2]).unwrap()));
    let mut changed = q.clone();
    changed.set(&[1, 2], 9.0).unwrap();
    assert!(!q.equal(&changed));
    // One scale for all channels is another map than one for the tensor.
    let c = quantize_per_channel(&x, &[1.0; 2], &[0; 2], 0, DType::QInt8).unwrap();
    assert_eq!(c.int_repr(), q.int_repr());
    assert!(!c.equal(&q));
}

#[test]
fn quantizing_does_not_depend_on_the_layout() {
    let x = counted(&[2, 3, 4, 5]).map(|v| v * 0.37);
    let views = [
        x.to_memory_format(MemoryFormat::ChannelsLast).unwrap(),
        x.permute(&[3, 1, 0, 2]).unwrap(),
        x.slice(3, 0, 5, 2).unwrap(),
        x.select(2, 1).unwrap(),
        x.slice(0, 0, 1, 1).unwrap().expand(&[3, 3, 4, 5]).unwrap(),
    ];
    for view in &views {
        for dtype in DType::ALL {
            let got = quantize_per_tensor(view, 0.3, 7, dtype).unwrap();
            let want = quantize_per_tensor(&view.contiguous(), 0.3, 7, dtype).unwrap();
            assert_eq!(got, want, "{dtype} {:?}", view.layout());
            assert_eq!(got.dequantize(), want.dequantize());
            for axis in 0..view.rank() {
                let n = view.shape()[axis];
                let scales: Vec<f64> = (0..n).map(|c| 0.1 + c as f64 * 0.07).collect();
                let zeros: Vec<i32> = (0..n as i32).collect();
                let quantize = |t: &Tensor| quantize_per_channel(t, &scales, &zeros, axis, dtype);
                let (got, want) = (
                    quantize(view).unwrap(),
                    quantize(&view.contiguous()).unwrap(),
                );
                assert_eq!(got, want);
                assert_eq!(got.dequantize(), want.dequantize());
            }
        }
    }
    // A channels-last float gives channels-last integers, and back.
    let last = quantize_per_tensor(&views[0], 0.3, 7, DType::QUInt8).unwrap();
    assert!(last.layout().is_dense_in(MemoryFormat::ChannelsLast));
    assert!(
        last.dequantize()
            .layout()
            .is_dense_in(MemoryFormat::ChannelsLast)
    );
}

#[test]
fn eight_bits_take_a_quarter_of_the_file() {
    let x = counted(&[100, 100]);
    let q = quantize_per_tensor(&x, 0.5, 0, DType::QInt8).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (int8, float) = (folder.path().join("q.qt"), folder.path().join("f.qt"));
    q.save(&int8).unwrap();
    x.save(&float).unwrap();
    let size = |path| std::fs::metadata(path).unwrap().len();
    assert!(size(&int8) <= 10_100, "{} bytes", size(&int8));
    assert!(size(&float) >= 40_000, "{} bytes", size(&float));
    assert_eq!(QTensor::load(&int8).unwrap(), q);
    assert_eq!(Tensor::load(&float).unwrap(), x);
    let missing = QTensor::load(folder.path().join("none.qt")).unwrap_err();
    assert!(missing.to_string().contains("none.qt"), "{missing}");
}

/// One tensor of each type and map, one empty, one strided.
fn samples() -> Vec<QTensor> {
    let x = counted(&[2, 3, 4]);
    let mut all = Vec::new();
    for dtype in DType::ALL {
        all.push(quantize_per_tensor(&x, 0.1, 3, dtype).unwrap());
        all.push(quantize_per_channel(&x, &[0.5, 0.1, 0.25], &[1, 0, 2], 1, dtype).unwrap());
        all.push(quantize_per_channel(&x, &[0.5, 0.25], &[0, 0], 0, dtype).unwrap());
    }
    all.push(per_channel(&[2, 3, 4], 1).permute(&[2, 1, 0]).unwrap());
    let map = Quantizer::per_channel(&[0.5; 3], &[0; 3], 1);
    all.push(empty_affine_quantized(&[0, 3], map, DType::QInt8).unwrap());
    all.push(quantize_per_tensor(&Tensor::scalar(1.5), 0.5, 0, DType::QUInt8).unwrap());
    all
}

#[test]
fn all_types_and_maps_survive_a_file() {
    for q in samples() {
        let bytes = q.to_bytes().unwrap();
        let back = QTensor::from_bytes(&bytes).unwrap();
        assert_eq!(back, q);
        assert_eq!(back.dequantize(), q.dequantize());
        assert_eq!(back.to_bytes().unwrap(), bytes);
    }
    for x in [
        counted(&[2, 3]),
        Tensor::zeros(&[0, 2]).unwrap(),
        Tensor::scalar(2.5),
    ] {
        assert_eq!(Tensor::from_bytes(&x.to_bytes().unwrap()).unwrap(), x);
    }
}

#[test]
fn damaged_files_are_errors() {
    for q in samples() {
        let bytes = q.to_bytes().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(QTensor::from_bytes(&damaged).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(QTensor::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(
            QTensor::from_bytes(&longer),
            Err(Error::WrongLength { .. })
        ));
        assert!(matches!(
            Tensor::from_bytes(&bytes),
            Err(Error::WrongKind { .. })
        ));
        let with = |at: usize, value: u8| {
            let mut edited = bytes.clone();
            edited[at] = value;
            QTensor::from_bytes(&edited)
        };
        assert!(matches!(with(0, b'P'), Err(Error::WrongMagic { .. })));
        assert!(matches!(
            with(8, 0x7f),
            Err(Error::UnknownVersion {
                found: 0x7f,
                supported: container::VERSION
            })
        ));
    }
    assert!(matches!(
        QTensor::from_bytes(b""),
        Err(Error::WrongMagic { .. })
    ));
}

/// With the checksum made right again, damage is an error or another sound tensor.
#[test]
fn resealed_damage_never_gives_an_unsound_tensor() {
    for q in samples() {
        let bytes = q.to_bytes().unwrap();
        let content = container::open(Kind::QTensor, &bytes).unwrap();
        for bit in 0..content.len() * 8 {
            let mut damaged = content.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = QTensor::from_bytes(&container::seal(Kind::QTensor, &damaged)) {
                let valid = read
                    .quantizer()
                    .validate("test", read.dtype(), read.shape());
                assert_eq!(valid, Ok(()), "bit {bit}");
                assert_eq!(read.dequantize().numel(), read.numel());
            }
        }
    }
}

#[test]
fn hostile_lengths_are_refused_without_allocating() {
    // Shape and data of a float tensor: a postcard sequence of lengths, then a byte string.
    let float = |shape: &[u64], claimed: u64, data: &[u8]| {
        let mut content = postcard::to_stdvec(shape).unwrap();
        content.extend(postcard::to_stdvec(&claimed).unwrap());
        content.extend(data);
        Tensor::from_bytes(&container::seal(Kind::Tensor, &content))
    };
    assert_eq!(float(&[1], 4, &[0, 0, 128, 63]).unwrap().to_vec(), [1.0]);
    for (shape, claimed) in [
        (&[1 << 40][..], 4),
        (&[u64::MAX, 2], 4),
        (&[0, u64::MAX, 16], 0),
        (&[2], 4),
        (&[1], 1 << 60),
        (&[1], 3),
    ] {
        let result = float(shape, claimed, &[0, 0, 128, 63]);
        assert!(
            matches!(
                result,
                Err(Error::Malformed(_) | Error::ValueCount { .. } | Error::TooLarge { .. })
            ),
            "{shape:?} {claimed}: {result:?}"
        );
    }
    // A sequence that claims 2^60 dimensions.
    let content = postcard::to_stdvec(&(1u64 << 60)).unwrap();
    for kind in [Kind::Tensor, Kind::QTensor] {
        let sealed = container::seal(kind, &content);
        assert!(Tensor::from_bytes(&sealed).is_err() && QTensor::from_bytes(&sealed).is_err());
    }
}

#[test]
fn printing_shows_values_and_debugging_integers() {
    let x = Tensor::from_vec(vec![-1.0, 0.5, 2.0, 0.25], &[2, 2]).unwrap();
    let q = quantize_per_channel(&x, &[0.5, 0.25], &[0, 1], 0, DType::QInt8).unwrap();
    assert_eq!(
        q.to_string(),
        "tensor([[-1.0000,  0.5000],\n        [ 2.0000,  0.2500]], size=[2, 2], dtype=qint8, \
         quantization_scheme=per_channel_affine, scale=[0.5, 0.25], zero_point=[0, 1], axis=0)"
    );
    assert_eq!(
        format!("{q:?}"),
        "QTensor([[-2,  1],\n         [ 9,  2]], qint8, scales=[0.5, 0.25], zero_points=[0, 1], axis=0)"
    );
    // Many channels and many elements are shortened.
    let n = 64;
    let wide = quantize_per_channel(
        &Tensor::ones(&[n, n]).unwrap(),
        &vec![0.5; n],
        &vec![0; n],
        0,
        DType::QInt8,
    )
    .unwrap();
    for text in [wide.to_string(), format!("{wide:?}")] {
        assert!(
            text.contains("[0.5, 0.5, 0.5, ..., 0.5, 0.5, 0.5]"),
            "{text}"
        );
        assert!(text.lines().count() <= 8 && text.len() < 1000, "{text}");
        assert!(text.contains("...,"), "{text}");
    }
}

#[test]
fn integers_read_back_as_they_were_put_in() {
    for (dtype, values) in [
        (DType::QUInt8, [0, 1, 255]),
        (DType::QInt8, [-128, 0, 127]),
        (DType::QInt32, [i32::MIN, 0, i32::MAX]),
    ] {
        let ints = IntTensor::from_i32(&values, &[3], dtype).unwrap();
        let q = QTensor::from_parts(ints, Quantizer::per_tensor(1.0, 0)).unwrap();
        assert_eq!(q.int_repr().to_i32_vec(), values);
        assert_eq!(QTensor::from_bytes(&q.to_bytes().unwrap()).unwrap(), q);
        assert_eq!(q.bytes(), 3 * dtype.size() + 12);
    }
    let one = quantize_per_tensor(&Tensor::scalar(1.5), 0.5, 2, DType::QUInt8).unwrap();
    assert_eq!(one.item().unwrap(), 1.5);
}

#[test]
fn bytes_count_the_map_as_files_write_it() {
    let ints = IntTensor::from_i32(&[1; 64 * 9], &[64, 9], DType::QInt8).unwrap();
    let q = |scale: f64, zero_point: i32| {
        let map = Quantizer::per_channel(&[scale; 64], &[zero_point; 64], 0);
        QTensor::from_parts(ints.clone(), map).unwrap()
    };
    // Scales that f32 holds or does not, zero points that are all 0, that take one byte (zigzag, below 64) or two.
    for (scale, zero_point, map) in [(0.5, 0, 4), (0.1, 0, 8), (0.5, 5, 8), (0.1, 100, 12)] {
        let q = q(scale, zero_point);
        assert_eq!(q.bytes(), 64 * 9 + 64 * map);
        let file = q.to_bytes().unwrap().len();
        let saved = match zero_point {
            0 => 0,
            5 => 64 * 3,
            _ => 64 * 2,
        };
        let headers = file + saved - q.bytes();
        assert!((24..48).contains(&headers), "{headers}");
    }
}

#[test]
fn bytes_are_written_in_place_only_where_nobody_else_reads_them() {
    for dtype in [DType::QUInt8, DType::QInt8] {
        let ints = IntTensor::from_i32(&[1, 2, 3, 4, 5, 6], &[1, 3, 2], dtype).unwrap();
        let mut q = QTensor::from_parts(ints, Quantizer::per_tensor(1.0, 0)).unwrap();
        assert!(q.dense_bytes_mut(MemoryFormat::ChannelsLast).is_none());
        let bytes = q.dense_bytes_mut(MemoryFormat::Contiguous).unwrap();
        bytes.copy_from_slice(&[9, 8, 7, 6, 5, 4]);
        assert_eq!(q.int_repr().to_i32_vec(), [9, 8, 7, 6, 5, 4]);
        let other = q.clone();
        assert!(q.dense_bytes_mut(MemoryFormat::Contiguous).is_none());
        drop(other);
        let mut last = q.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
        last.dense_bytes_mut(MemoryFormat::ChannelsLast).unwrap()[1] = 100;
        assert_eq!(last.int_repr().to_i32_vec(), [9, 8, 100, 6, 5, 4]);
        let mut part = last.slice(1, 1, 3, 1).unwrap().contiguous();
        assert_eq!(
            part.dense_bytes_mut(MemoryFormat::Contiguous)
                .unwrap()
                .len(),
            4
        );
    }
    let ints = IntTensor::from_i32(&[1], &[1], DType::QInt32).unwrap();
    let mut words = QTensor::from_parts(ints, Quantizer::per_tensor(1.0, 0)).unwrap();
    assert!(words.dense_bytes_mut(MemoryFormat::Contiguous).is_none());
}
