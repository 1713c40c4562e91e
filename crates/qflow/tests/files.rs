//! Model files and weight files: the same outputs after a round trip, and an error for every damage.

use crate::common::{self, Net, converted, images};
use qflow::{
    Error, QConfig, from_bytes, fuse_all, load, load_safetensors, load_safetensors_bytes, save,
    save_safetensors, state_dict, to_bytes,
};
use qnn::{
    AdaptiveAvgPool2d, BatchNorm2d, Conv2d, DeQuantStub, Flatten, Layer, Linear, MaxPool2d,
    QuantStub, Sequential, describe,
};
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
    let untouched = describe(&Net::new());
    let mut refused = 0;
    for at in (0..content.len()).step_by(3) {
        let mut damaged = content.clone();
        damaged[at] ^= 1 << (at % 8);
        let mut net = Net::new();
        match from_bytes(&mut net, &seal(Kind::Model, &damaged)) {
            Ok(()) => drop(net.forward(&images(0))),
            Err(error) => {
                refused += 1;
                assert_eq!(describe(&net), untouched, "{error}");
            }
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

fn small(features: usize, pool: usize) -> Sequential {
    Sequential::new()
        .push(QuantStub)
        .push(Conv2d::config(3, 4, 3).padding(1).build().unwrap())
        .push(MaxPool2d::new(pool))
        .push(AdaptiveAvgPool2d::new(1))
        .push(Flatten::new())
        .push(Linear::new(4, features).unwrap())
        .push(DeQuantStub)
}

#[test]
fn an_int8_file_for_another_architecture_names_the_key_and_changes_nothing() {
    let mut net = small(5, 2);
    qflow::quantize(&mut net, QConfig::minmax(), common::calibration()).unwrap();
    let bytes = to_bytes(&net).unwrap();
    let strided = Sequential::new()
        .push(QuantStub)
        .push(
            Conv2d::config(3, 4, 3)
                .padding(1)
                .stride(2)
                .build()
                .unwrap(),
        )
        .push(MaxPool2d::new(2))
        .push(AdaptiveAvgPool2d::new(1))
        .push(Flatten::new())
        .push(Linear::new(4, 5).unwrap())
        .push(DeQuantStub);
    let reordered = Sequential::new()
        .push(QuantStub)
        .push(Conv2d::config(3, 4, 3).padding(1).build().unwrap())
        .push(AdaptiveAvgPool2d::new(1))
        .push(MaxPool2d::new(1))
        .push(Flatten::new())
        .push(Linear::new(4, 5).unwrap())
        .push(DeQuantStub);
    let others = [
        (small(3, 2), "5.bias: the file has shape [5], the model [3]"),
        (
            small(5, 3),
            "2.kernel_size: the file has [2, 2], the model [3, 3]",
        ),
        (strided, "1.stride: the file has [1, 1], the model [2, 2]"),
        (
            reordered,
            "2: the file holds a MaxPool2d, which is no form of the model's AdaptiveAvgPool2d",
        ),
    ];
    for (mut other, message) in others {
        let before = describe(&other);
        let error = from_bytes(&mut other, &bytes).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(describe(&other), before);
    }
    from_bytes(&mut small(5, 2), &bytes).unwrap();
}

#[test]
fn an_epsilon_is_part_of_the_architecture() {
    let net = Sequential::new().push(BatchNorm2d::new(2).unwrap().with_eps(0.5));
    let mut other = Sequential::new().push(BatchNorm2d::new(2).unwrap());
    let error = from_bytes(&mut other, &to_bytes(&net).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("0.eps") && error.contains("0.5"), "{error}");
}

#[test]
fn a_model_that_is_a_single_module_or_place_is_saved_too() {
    let x = common::batch(1, &[2, 3]);
    let net = Linear::new(3, 2).unwrap();
    let mut again = Linear::new(3, 2).unwrap();
    assert_ne!(net.weight(), again.weight());
    from_bytes(&mut again, &to_bytes(&net).unwrap()).unwrap();
    assert_eq!(net.weight(), again.weight());
    let mut place: Layer<QuantStub> = QuantStub.into();
    qflow::prepare(&mut place, QConfig::minmax()).unwrap();
    qflow::calibrate(&place, [x]).unwrap();
    qflow::convert(&mut place).unwrap();
    let mut other: Layer<QuantStub> = QuantStub.into();
    from_bytes(&mut other, &to_bytes(&place).unwrap()).unwrap();
    assert_eq!(describe(&other), describe(&place));
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
    for name in ["x86", "fbgemm", "onednn", "qnnpack", "default", "minmax"] {
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

/// A content that ends early, in an envelope that is sound, is an error that names the place.
#[test]
fn errors_inside_of_files_name_the_place() {
    use qtensor_core::container::{Kind, open, seal};
    let file = to_bytes(&Net::new()).unwrap();
    let content = open(Kind::Model, &file).unwrap();
    let name = b"conv2";
    let at = content.windows(5).position(|w| w == name).unwrap();
    let cut = seal(Kind::Model, &content[..at + 40]);
    let text = from_bytes(&mut Net::new(), &cut).unwrap_err().to_string();
    assert!(text.contains("conv2") && text.contains("at byte"), "{text}");
}
