//! Contents that no program of ours writes, in envelopes whose checksums are right.

use qtensor_core::container::{Kind, seal};
use qtensor_core::{Error, MAX_RANK, QTensor, Tensor};

/// A float tensor as a file has it: its shape, then the bytes of its values.
fn tensor(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let content = postcard::to_stdvec(&(shape, bytes)).unwrap();
    seal(Kind::Tensor, &content)
}

#[test]
fn what_is_written_here_is_what_a_file_has() {
    let x = Tensor::from_vec(vec![1.0, 2.0], &[2, 1]).unwrap();
    assert_eq!(x.to_bytes().unwrap(), tensor(&[2, 1], &[1.0, 2.0]));
}

#[test]
fn a_tensor_has_at_most_64_dimensions() {
    // Printing takes a step of the stack for each, and this file of 100 kB would have exhausted it.
    assert!(Tensor::from_bytes(&tensor(&[1; 100_000], &[7.0])).is_err());
    let text = Tensor::ones(&[1; 100_000]).unwrap_err().to_string();
    assert!(
        text.contains("at most 64") && text.contains("100000"),
        "{text}"
    );
    let most = Tensor::from_bytes(&tensor(&[1; MAX_RANK], &[7.0])).unwrap();
    assert!(format!("{most}").contains("[[7."));
    assert!(matches!(
        most.unsqueeze(0),
        Err(Error::Rank { actual: 65, .. })
    ));
    assert!(most.expand(&[1; 65]).is_err() && most.view(&[1; 65]).is_err());
}

#[test]
fn shapes_multiply_to_the_amount_of_data_without_overflow() {
    for shape in [
        &[1 << 62, 1 << 62][..],
        &[1 << 63, 2],
        &[usize::MAX],
        &[1 << 32, 1 << 32, 0],
        &[3],
        &[0],
    ] {
        let file = tensor(shape, &[7.0, 8.0]);
        assert!(Tensor::from_bytes(&file).is_err(), "{shape:?}");
    }
    let error = Tensor::from_bytes(&tensor(&[3], &[7.0, 8.0])).unwrap_err();
    let text = error.to_string();
    assert!(text.contains('3') && text.contains('2'), "{text}");
}

#[test]
fn a_length_beyond_the_end_takes_no_memory() {
    // The claim of 2^63 - 1 dimensions, scales or bytes, at every place of a sound quantized tensor.
    let x = Tensor::from_vec(vec![1.0, 2.0], &[2, 1]).unwrap();
    let map = (&[0.5, 0.25], &[0, 0]);
    let q = qtensor_core::quantize_per_channel(&x, map.0, map.1, 0, qtensor_core::DType::QInt8);
    let file = q.unwrap().to_bytes().unwrap();
    let content = &file[24..];
    for at in 0..content.len() {
        let mut claim = content[..at].to_vec();
        claim.extend([0xff; 8]);
        claim.push(0x7f);
        assert!(
            QTensor::from_bytes(&seal(Kind::QTensor, &claim)).is_err(),
            "at {at}"
        );
    }
}
