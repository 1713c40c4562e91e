//! Model files and weight files: the same outputs after a round trip, and an error for every damage.

mod common;

use common::{Net, converted, images};
use qflow::{
    Error, QConfig, from_bytes, fuse_all, load, load_safetensors, load_safetensors_bytes, save,
    save_safetensors, state_dict, to_bytes,
};
use qnn::{Linear, Sequential, describe};
use qtensor_core::Error as TensorError;

#[test]
fn a_converted_model_reloads_to_the_same_outputs_and_bytes() {
    let net = converted();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.qt");
    save(&net, &path).unwrap();
    let mut again = Net::new();
    load(&mut again, &path).unwrap();
    assert_eq!(describe(&again), describe(&net));
    let (a, b) = (
        net.forward(&images(4)).unwrap(),
        again.forward(&images(4)).unwrap(),
    );
    assert_eq!(a.to_tensor().to_vec(), b.to_tensor().to_vec());
    assert_eq!(to_bytes(&again).unwrap(), to_bytes(&net).unwrap());
    // Loading over an already converted model works too.
    load(&mut again, &path).unwrap();
    assert_eq!(to_bytes(&again).unwrap(), std::fs::read(&path).unwrap());
}

#[test]
fn a_float_model_reloads_too_fused_or_not() {
    let mut net = Net::new();
    for fused in [false, true] {
        if fused {
            fuse_all(&mut net, &images(0)).unwrap();
        }
        let bytes = to_bytes(&net).unwrap();
        qnn::manual_seed(99);
        let mut again = Net::new();
        if fused {
            let error = from_bytes(&mut again, &bytes).unwrap_err().to_string();
            assert!(
                error.starts_with("conv1") && error.contains("ConvReLU6_2d"),
                "{error}"
            );
            fuse_all(&mut again, &images(0)).unwrap();
        }
        from_bytes(&mut again, &bytes).unwrap();
        let (a, b) = (
            net.forward(&images(4)).unwrap(),
            again.forward(&images(4)).unwrap(),
        );
        assert_eq!(a.to_tensor().to_vec(), b.to_tensor().to_vec());
    }
}

#[test]
fn truncated_files_are_errors_at_every_length() {
    let bytes = to_bytes(&converted()).unwrap();
    let mut net = Net::new();
    for length in (0..bytes.len())
        .step_by(13)
        .chain(bytes.len() - 20..bytes.len())
    {
        let error = from_bytes(&mut net, &bytes[..length]).unwrap_err();
        let expected = matches!(
            error,
            Error::Tensor(TensorError::WrongMagic { .. } | TensorError::WrongLength { .. })
        );
        assert!(expected, "{length} bytes: {error}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_an_error() {
    let bytes = to_bytes(&converted()).unwrap();
    let mut net = Net::new();
    let before = describe(&net);
    for at in (0..bytes.len()).step_by(7).chain(0..24) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(from_bytes(&mut net, &damaged).is_err(), "byte {at}");
    }
    assert_eq!(describe(&net), before);
}

#[test]
fn resealed_damage_is_an_error_or_a_consistent_model_and_never_a_panic() {
    // With a valid checksum, the content itself must be read as if hostile.
    use qtensor_core::container::{Kind, open, seal};
    let bytes = to_bytes(&converted()).unwrap();
    let content = open(Kind::Model, &bytes).unwrap().to_vec();
    let mut refused = 0;
    for at in (0..content.len()).step_by(3) {
        let mut damaged = content.clone();
        damaged[at] ^= 1 << (at % 8);
        let mut net = Net::new();
        match from_bytes(&mut net, &seal(Kind::Model, &damaged)) {
            Ok(()) => drop(net.forward(&images(0))),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
    let cut = seal(Kind::Model, &content[..content.len() / 2]);
    assert!(matches!(
        from_bytes(&mut Net::new(), &cut),
        Err(Error::Tensor(TensorError::Malformed(_)))
    ));
}

#[test]
fn wrong_magic_unknown_version_and_another_kind_are_told_apart() {
    let mut net = Net::new();
    let bytes = to_bytes(&net).unwrap();
    let magic = from_bytes(&mut net, b"PK\x03\x04 a zip file, not a model").unwrap_err();
    assert!(
        matches!(magic, Error::Tensor(TensorError::WrongMagic { .. })),
        "{magic}"
    );
    let mut newer = bytes.clone();
    newer[8] = 7;
    let version = from_bytes(&mut net, &newer).unwrap_err();
    assert!(
        version.to_string().contains('7') && version.to_string().contains("version"),
        "{version}"
    );
    let tensor = images(0).to_tensor().to_bytes().unwrap();
    let kind = from_bytes(&mut net, &tensor).unwrap_err().to_string();
    assert!(
        kind.contains("model") && kind.contains("float tensor"),
        "{kind}"
    );
    let missing = load(&mut net, "no/such/file.qt").unwrap_err().to_string();
    assert!(missing.contains("no/such/file.qt"), "{missing}");
}

#[test]
fn a_file_for_another_model_names_the_keys() {
    let other = Sequential::new().push(Linear::new(4, 4).unwrap());
    let error = from_bytes(&mut Net::new(), &to_bytes(&other).unwrap()).unwrap_err();
    let Error::OtherModel {
        missing,
        unexpected,
    } = &error
    else {
        panic!("{error}")
    };
    assert!(
        missing.contains(&"conv1".to_string()) && unexpected == &["0"],
        "{error}"
    );

    let wider = Sequential::new().push(Linear::new(4, 5).unwrap());
    let mut narrow = Sequential::new().push(Linear::new(4, 4).unwrap());
    let error = from_bytes(&mut narrow, &to_bytes(&wider).unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("0.") && error.contains("[5") && error.contains("[4"),
        "{error}"
    );
}

#[test]
fn weights_round_trip_through_safetensors() {
    let net = Net::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    save_safetensors(&net, &path).unwrap();
    let mut again = Net::new();
    again.fc1 = Linear::new(32, 16).unwrap().into();
    load_safetensors(&mut again, &path).unwrap();
    assert_eq!(state_dict(&again), state_dict(&net));
    let bytes = std::fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(97) {
        assert!(
            load_safetensors_bytes(&mut again, &bytes[..length]).is_err(),
            "{length} bytes"
        );
    }
    std::fs::write(&path, b"not safetensors").unwrap();
    let error = load_safetensors(&mut again, &path).unwrap_err().to_string();
    assert!(error.contains("net.safetensors"), "{error}");
}

#[test]
fn presets_do_not_change_the_files_form() {
    // Every preset's model must reload; the per-tensor ones have other maps inside.
    for name in ["x86", "qnnpack"] {
        let mut net = Net::new();
        qflow::quantize(
            &mut net,
            QConfig::by_name(name).unwrap(),
            common::calibration(),
        )
        .unwrap();
        let mut again = Net::new();
        from_bytes(&mut again, &to_bytes(&net).unwrap()).unwrap();
        assert_eq!(to_bytes(&again).unwrap(), to_bytes(&net).unwrap(), "{name}");
    }
}
