//! Quantized tensors from parts, lists and ranges; 16-bit floats; sub-byte tensors. Recorded numbers are PyTorch 2.6's.

use qtensor_core::{
    DType, Error, IntTensor, MemoryFormat, QTensor, Quantizer, SubByteMap, SubByteTensor,
    SubByteType, Tensor, choose_qparams_per_tensor, dequantize_all,
    empty_per_channel_affine_quantized, f16, make_per_channel_quantized_tensor,
    make_per_tensor_quantized_tensor, quantize_per_channel, quantize_per_tensor,
    quantize_per_tensor_all, quantize_per_tensor_dynamic, quantize_per_tensor_tensor_qparams,
};

fn floats(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, &[values.len()]).unwrap()
}

fn said<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn dynamic_qparams_are_those_of_the_range() {
    let x = floats(&[-1.0, 0.0, 4.1]);
    for (dtype, reduce_range, ints, scale, zero_point) in [
        (DType::QUInt8, false, [0, 50, 255], 0.01999999962601007, 50),
        (
            DType::QInt8,
            false,
            [-128, -78, 127],
            0.01999999962601007,
            -78,
        ),
        (DType::QUInt8, true, [0, 25, 127], 0.040157479564035974, 25),
        (
            DType::QInt8,
            true,
            [-64, -39, 63],
            0.040157479564035974,
            -39,
        ),
    ] {
        let q = quantize_per_tensor_dynamic(&x, dtype, reduce_range).unwrap();
        assert_eq!(q.int_repr().to_i32_vec(), ints, "{dtype} {reduce_range}");
        assert_eq!(
            (q.q_scale().unwrap(), q.q_zero_point().unwrap()),
            (scale, zero_point)
        );
        if dtype == DType::QUInt8 {
            assert_eq!(
                choose_qparams_per_tensor(&x, reduce_range).unwrap(),
                (scale, zero_point)
            );
        }
    }
    assert!(said(quantize_per_tensor_dynamic(&x, DType::QInt32, false)).contains("qint32"));
    let none = said(choose_qparams_per_tensor(&floats(&[]), false));
    assert_eq!(
        none,
        "choose_qparams_per_tensor: shape [0] holds 1 values, 0 were given"
    );
    assert!(
        said(choose_qparams_per_tensor(
            &floats(&[1.0, f32::NAN, 0.0]),
            false
        ))
        .contains("NaN")
    );
    assert!(
        said(choose_qparams_per_tensor(
            &floats(&[1.0, f32::INFINITY]),
            false
        ))
        .contains("infinite")
    );
}

#[test]
fn tensors_and_lists_of_qparams() {
    let x = floats(&[-1.0, 0.5, 2.0]);
    let want = quantize_per_tensor(&x, 0.5, 10, DType::QUInt8).unwrap();
    let scale = Tensor::from_vec(vec![0.5], &[1]).unwrap();
    let quantized =
        |z: i64| quantize_per_tensor_tensor_qparams(&x, &scale, &Tensor::scalar(z), DType::QUInt8);
    assert_eq!(quantized(10).unwrap(), want);
    assert!(said(quantized(256)).contains("zero point 256 lies outside quint8 [0, 255]"));
    assert!(said(quantized(1 << 40)).contains("zero point 1099511627776 lies outside"));
    let two = Tensor::full(&[2], 1.0).unwrap();
    assert!(
        quantize_per_tensor_tensor_qparams(&x, &two, &Tensor::scalar(0), DType::QInt8).is_err()
    );
    let both = quantize_per_tensor_all(
        &[x.clone(), two.clone()],
        &[0.5, 0.25],
        &[10, 1],
        DType::QUInt8,
    )
    .unwrap();
    assert_eq!(both[0], want);
    assert_eq!(both[1].int_repr().to_i32_vec(), [5, 5]);
    assert_eq!(dequantize_all(&both), [want.dequantize(), two.clone()]);
    let few = said(quantize_per_tensor_all(
        &[x, two],
        &[0.5],
        &[1, 2],
        DType::QInt8,
    ));
    assert_eq!(
        few,
        "quantize_per_tensor (scales for a list of tensors): shape [2] holds 2 values, 1 were given"
    );
}

#[test]
fn parts_make_tensors() {
    let ints = || IntTensor::I8(Tensor::from_vec(vec![1, 2, 3, 4], &[2, 2]).unwrap());
    let q = make_per_tensor_quantized_tensor(ints(), 0.5, 1).unwrap();
    assert_eq!(q.dequantize().to_vec(), [0.0, 0.5, 1.0, 1.5]);
    let q = make_per_channel_quantized_tensor(ints(), &[0.5, 2.0], &[0, 1], 1).unwrap();
    assert_eq!(q.dequantize().to_vec(), [0.5, 2.0, 1.5, 6.0]);
    assert!(
        said(make_per_channel_quantized_tensor(ints(), &[0.5], &[0], 1))
            .contains("axis 1 has 2 channels, but 1 scales")
    );
    let empty = empty_per_channel_affine_quantized(&[2, 2], &[0.5, 2.0], &[3, 4], 0, DType::QUInt8)
        .unwrap();
    assert_eq!(empty.dequantize().to_vec(), [-1.5, -1.5, -8.0, -8.0]);
}

#[test]
fn empty_like_keeps_all_but_the_integers() {
    let x = Tensor::full(&[1, 2, 2, 2], 1.0)
        .unwrap()
        .to_memory_format(MemoryFormat::ChannelsLast)
        .unwrap();
    let q = quantize_per_tensor(&x, 0.5, 3, DType::QInt8).unwrap();
    let like = q.empty_like().unwrap();
    assert_eq!(
        (like.shape(), like.dtype(), like.quantizer()),
        (q.shape(), q.dtype(), q.quantizer())
    );
    assert_eq!(like.layout().strides(), q.layout().strides());
    assert_eq!(like.int_repr().to_i32_vec(), [0; 8]);
    let c = quantize_per_channel(&x, &[0.5, 1.0], &[0, 1], 1, DType::QUInt8).unwrap();
    assert_eq!(c.empty_like().unwrap().quantizer(), c.quantizer());
}

#[test]
fn half_precision_keeps_eleven_bits() {
    let x = floats(&[1.0, -0.5, 2049.0, 2051.0, 65504.0, 65520.0, 1e-8]);
    let half: Tensor<f16> = x.to_f16();
    assert_eq!(
        half.dequantize().to_vec(),
        [1.0, -0.5, 2048.0, 2052.0, 65504.0, f32::INFINITY, 0.0]
    );
    assert_eq!(half.reshape(&[7, 1]).unwrap().shape(), [7, 1]);
}

fn per_tensor(scale: f64, zero_point: i32) -> SubByteMap {
    SubByteMap::Affine(Quantizer::per_tensor(scale, zero_point))
}

#[test]
fn sub_bytes_pack_low_bits_first_and_a_part_of_the_last_byte() {
    let x = floats(&[-0.5, 0.0, 1.0, 9.0, f32::NAN, -9.0, 0.25]);
    let q = SubByteTensor::quantize(&x, per_tensor(0.5, 1), SubByteType::QUInt4x2).unwrap();
    assert_eq!(q.int_repr().to_vec(), [0, 1, 3, 15, 15, 0, 1]); // 0.25 is half a step, and rounds to the even one
    assert_eq!(q.packed(), [0x10, 0xf3, 0x0f, 0x01]);
    assert_eq!(
        q.dequantize().to_vec(),
        [-0.5, 0.0, 1.0, 7.0, 7.0, -0.5, 0.0]
    );
    assert_eq!(q.get(&[3]).unwrap(), 7.0);
    assert!(said(q.get(&[7])).contains("index 7"));
    let q = SubByteTensor::quantize(&x, per_tensor(0.5, 1), SubByteType::QUInt2x4).unwrap();
    assert_eq!(q.int_repr().to_vec(), [0, 1, 3, 3, 3, 0, 1]);
    assert_eq!(q.packed(), [0b11_11_01_00, 0b01_00_11]);
    for numel in 0..9 {
        for kind in [SubByteType::QUInt4x2, SubByteType::QUInt2x4] {
            let ints: Vec<u8> = (0..numel)
                .map(|i| (i * 7 % (kind.greatest() as usize + 1)) as u8)
                .collect();
            let ints = Tensor::from_vec(ints, &[numel]).unwrap();
            let q = SubByteTensor::from_ints(&ints, per_tensor(0.5, 1), kind).unwrap();
            assert_eq!(
                (q.int_repr(), q.packed().len()),
                (ints, (numel * kind.bits()).div_ceil(8))
            );
            let again = SubByteTensor::from_packed(q.packed(), &[numel], per_tensor(0.5, 1), kind);
            assert_eq!(again.unwrap(), q);
        }
    }
}

#[test]
fn sub_byte_channels_and_real_zero_points() {
    let x = Tensor::from_vec(vec![-1.0, 0.0, 2.0, 1.0, 2.0, 3.0], &[2, 3]).unwrap();
    let turned = x.transpose(0, 1).unwrap();
    let map = |axis| SubByteMap::Affine(Quantizer::per_channel(&[1.0, 0.5], &[2, 1], axis));
    let q = SubByteTensor::quantize(&x, map(0), SubByteType::QUInt4x2).unwrap();
    assert_eq!(q.int_repr().to_vec(), [1, 2, 4, 3, 5, 7]);
    assert_eq!(q.dequantize(), x);
    let q = SubByteTensor::quantize(&turned, map(1), SubByteType::QUInt4x2).unwrap();
    assert_eq!((q.dequantize(), q.get(&[2, 1]).unwrap()), (turned, 3.0));
    let map = SubByteMap::FloatQParams {
        scales: [1.0, 0.5].into(),
        zero_points: [1.25, -1.5].into(),
        axis: 0,
    };
    let q = SubByteTensor::quantize(&x, map, SubByteType::QUInt4x2).unwrap();
    assert_eq!(q.int_repr().to_vec(), [0, 1, 3, 0, 2, 4]); // the sum is rounded, halves to even
    assert_eq!(
        q.dequantize().to_vec(),
        [-1.25, -0.25, 1.75, 0.75, 1.75, 2.75]
    );
}

#[test]
fn what_no_sub_byte_tensor_can_be_is_refused() {
    let x = floats(&[0.0, 1.0, 2.0]);
    let kind = SubByteType::QUInt2x4;
    let quantized = |map| said(SubByteTensor::quantize(&x, map, kind));
    assert!(quantized(per_tensor(0.5, 4)).contains("zero point 4 lies outside"));
    assert!(quantized(per_tensor(0.0, 0)).contains("scale must be"));
    let channels = SubByteMap::Affine(Quantizer::per_channel(&[1.0; 3], &[0, 3, 4], 0));
    assert!(quantized(channels).contains("(channel 2)"));
    let real = |n: usize, z: f32, axis| SubByteMap::FloatQParams {
        scales: vec![1.0; n].into(),
        zero_points: vec![z; n].into(),
        axis,
    };
    assert!(quantized(real(2, 0.0, 0)).contains("axis 0 has 3 channels, but 2 scales"));
    assert!(quantized(real(3, 0.0, 1)).contains("dimension 1 does not exist"));
    assert!(quantized(real(3, f32::NAN, 0)).contains("must be finite"));
    let packed =
        |bytes: &[u8], n: usize| SubByteTensor::from_packed(bytes, &[n], per_tensor(0.5, 1), kind);
    assert_eq!(
        said(packed(&[0], 5)),
        "from_packed (bytes): shape [5] holds 2 values, 1 were given"
    );
    assert!(
        said(packed(&[0b0100_0000], 3))
            .contains("6 bits of the last byte are used, but it is 0x40")
    );
    assert!(packed(&[0b1100_0000], 4).is_ok());
    assert!(said(packed(&[], usize::MAX)).contains("more elements"));
    let ints = Tensor::from_vec(vec![0u8, 4], &[2]).unwrap();
    assert!(
        said(SubByteTensor::from_ints(&ints, per_tensor(0.5, 1), kind)).contains("up to 3, got 4")
    );
}

#[test]
fn sub_bytes_are_read_as_they_were_written_or_refused() {
    let x = floats(&[0.0, 1.0, 2.0]);
    let map = SubByteMap::FloatQParams {
        scales: [0.5; 3].into(),
        zero_points: [0.25; 3].into(),
        axis: 0,
    };
    for map in [map, per_tensor(0.5, 1)] {
        let q = SubByteTensor::quantize(&x, map, SubByteType::QUInt4x2).unwrap();
        let bytes = postcard::to_stdvec(&q).unwrap();
        assert_eq!(postcard::from_bytes::<SubByteTensor>(&bytes).unwrap(), q);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            // Whatever is read is a sound tensor.
            if let Ok(q) = postcard::from_bytes::<SubByteTensor>(&damaged) {
                assert_eq!(q.dequantize().numel(), q.numel());
            }
        }
    }
}

#[test]
fn copies_between_quantized_tensors_take_the_map() {
    let mut a = quantize_per_tensor(&floats(&[1.0, 2.0]), 0.5, 10, DType::QUInt8).unwrap();
    let b: QTensor = quantize_per_tensor(&floats(&[3.0, 4.0]), 0.25, 1, DType::QUInt8).unwrap();
    a.copy_from(&b).unwrap();
    assert!(a.equal(&b));
    a.copy_from_float(&floats(&[0.1, 9.0])).unwrap();
    assert_eq!(
        (a.quantizer(), a.int_repr().to_i32_vec()),
        (b.quantizer(), vec![1, 37])
    );
}
