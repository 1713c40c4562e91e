//! Presets whose activations are quantized as they come, and what stands in for their observers.

use qobserve::{Error, QConfig, QuantType, Result};
use qtensor_core::Tensor;

#[test]
fn presets_tell_their_kind() {
    let kinds = [
        (QConfig::minmax(), QuantType::Static, false),
        (QConfig::dynamic(), QuantType::Dynamic, false),
        (
            QConfig::default_dynamic_qconfig(),
            QuantType::Dynamic,
            false,
        ),
        (QConfig::float16_dynamic_qconfig(), QuantType::Dynamic, true),
        (
            QConfig::float_qparams_weight_only_qconfig_4bit(),
            QuantType::WeightOnly,
            false,
        ),
    ];
    for (qconfig, quant_type, float16) in kinds {
        assert_eq!(
            (qconfig.quant_type(), qconfig.is_float16()),
            (quant_type, float16),
            "{qconfig:?}"
        );
    }
    let pytorch = QConfig::per_channel_dynamic_qconfig().dynamic_quant();
    assert!(pytorch.is_some_and(|d| d.per_tensor && d.reduce_range));
}

#[test]
fn stand_ins_have_no_qparams_and_merge_with_their_kind_alone() -> Result<()> {
    let mut one = QConfig::dynamic().activation.build();
    one.observe(&Tensor::ones(&[3]).map_err(Error::from)?)?;
    assert!(!one.has_observed());
    assert!(matches!(
        one.calculate_qparams(),
        Err(Error::Unsupported { .. })
    ));
    let other = QConfig::float16_dynamic_qconfig().weight.build();
    assert!(matches!(
        one.merge(&*other),
        Err(Error::KindMismatch { .. })
    ));
    one.merge(&*one.clone())
}
