//! Written by `cargo xtask parity`: every path of `docs/parity.md`. That this file compiles is the test.
#![allow(unused_imports, reason = "naming a path is the proof that it exists")]

#[rustfmt::skip]
mod tensor {
    use qtensor_core::quantize_per_tensor as _;
    use qtensor_core::quantize_per_tensor_tensor_qparams as _;
    use qtensor_core::quantize_per_tensor_all as _;
    use qtensor_core::quantize_per_tensor_dynamic as _;
    use qtensor_core::quantize_per_channel as _;
    use qnn::Value::Quantized as _;
    use qtensor_core::make_per_tensor_quantized_tensor as _;
    use qtensor_core::make_per_channel_quantized_tensor as _;
    use qtensor_core::empty_affine_quantized as _;
    use qtensor_core::empty_per_channel_affine_quantized as _;
    use qtensor_core::choose_qparams_per_tensor as _;
    use qtensor_core::choose_qparams::choose_qparams_optimized as _;
    use qtensor_core::SubByteType as _;
    use qtensor_core::SubByteTensor as _;
    const _: fn() = || {
        let _ = <qtensor_core::QTensor>::dequantize;
        let _ = <qtensor_core::QTensor>::int_repr;
        let _ = <qtensor_core::QTensor as std::fmt::Display>::fmt;
        let _ = |q: &qtensor_core::QTensor, p: &str| (q.save(p), qtensor_core::QTensor::load(p));
        let _ = <qtensor_core::QTensor>::q_scale;
        let _ = <qtensor_core::QTensor>::q_zero_point;
        let _ = <qtensor_core::QTensor>::q_per_channel_scales;
        let _ = <qtensor_core::QTensor>::q_per_channel_zero_points;
        let _ = <qtensor_core::QTensor>::q_per_channel_axis;
        let _ = <qtensor_core::QTensor>::qscheme;
        let _ = <qtensor_core::QTensor as Clone>::clone;
        let _ = <qtensor_core::QTensor>::copy_from;
        let _ = <qtensor_core::QTensor>::empty_like;
        let _ = <qtensor_core::QTensor>::resize;
        let _ = <qtensor_core::QTensor>::item;
        let _ = <qtensor_core::QTensor>::set;
        let _ = <qtensor_core::QTensor>::fill;
        let _ = <qtensor_core::QTensor>::equal;
    };
}

#[rustfmt::skip]
mod tensor_ops {
    use qops::quantized::min as _;
    use qops::quantized::max as _;
    use qops::quantized::argmin as _;
    use qops::quantized::argmax as _;
    use qops::quantized::sort as _;
    use qops::quantized::argsort as _;
    use qops::quantized::topk as _;
    use qops::quantized::msort as _;
    use qops::quantized::stack as _;
    use qops::quantized::add as _;
    use qops::quantized::add_relu as _;
    use qops::quantized::add_out as _;
    use qops::quantized::add_relu_out as _;
    use qops::quantized::add_scalar as _;
    use qops::quantized::add_scalar_relu as _;
    use qops::quantized::add_scalar_out as _;
    use qops::quantized::cat as _;
    use qops::quantized::cat_out as _;
    use qops::quantized::cat_relu as _;
    use qops::quantized::cat_relu_out as _;
    use qops::quantized::mul as _;
    use qops::quantized::mul_relu as _;
    use qops::quantized::mul_out as _;
    use qops::quantized::mul_relu_out as _;
    use qops::quantized::mul_scalar as _;
    use qops::quantized::mul_scalar_relu as _;
    use qops::quantized::mul_scalar_out as _;
    use qops::quantized::matmul as _;
    use qops::quantized::mean as _;
    use qops::quantized::std as _;
    use qops::quantized::eq as _;
    use qops::quantized::ne as _;
    use qops::quantized::lt as _;
    use qops::quantized::le as _;
    use qops::quantized::gt as _;
    use qops::quantized::ge as _;
    use qops::quantized::relu as _;
    use qops::quantized::relu6 as _;
    use qops::quantized::prelu as _;
    use qops::quantized::threshold as _;
    use qops::quantized::clamp as _;
    use qops::quantized::sigmoid as _;
    use qops::quantized::tanh as _;
    use qops::quantized::gelu as _;
    use qops::quantized::softmax as _;
    use qops::quantized::channel_shuffle as _;
    use qops::quantized::pixel_shuffle as _;
    use qops::quantized::pad_with as _;
    use qops::quantized::pad as _;
    const _: fn() = || {
        let _ = <qtensor_core::QTensor>::transpose;
        let _ = <qtensor_core::QTensor>::permute;
        let _ = <qtensor_core::QTensor>::contiguous;
        let _ = <qtensor_core::QTensor>::view;
        let _ = <qtensor_core::QTensor>::reshape;
        let _ = <qtensor_core::QTensor>::flatten;
        let _ = <qtensor_core::QTensor>::squeeze;
        let _ = <qtensor_core::QTensor>::unsqueeze;
        let _ = <qtensor_core::QTensor>::select;
        let _ = <qtensor_core::QTensor>::slice;
        let _ = <qtensor_core::QTensor>::chunk;
        let _ = <qtensor_core::QTensor>::unbind;
        let _ = <qtensor_core::QTensor>::index;
        let _ = <qtensor_core::QTensor>::index_select;
        let _ = <qtensor_core::QTensor>::expand;
        let _ = <qtensor_core::QTensor>::repeat;
        let _ = <qtensor_core::QTensor>::flip;
        let _ = <qtensor_core::QTensor>::masked_fill;
        let _ = <qtensor_core::QTensor>::index_put;
    };
}

#[rustfmt::skip]
mod nn_quantized_functional {
    use qops::quantized::relu as _;
    use qops::quantized::linear as _;
    use qops::quantized::conv2d as _;
    use qops::quantized::max_pool as _;
    use qops::quantized::avg_pool as _;
    use qops::quantized::conv1d as _;
    use qops::quantized::conv3d as _;
    use qops::quantized::max_pool as _;
    use qops::quantized::avg_pool as _;
    use qops::quantized::adaptive_avg_pool as _;
    use qops::quantized::adaptive_avg_pool as _;
    use qnn::quantized::functional::interpolate as _;
    use qnn::quantized::functional::upsample as _;
    use qnn::quantized::functional::upsample_bilinear as _;
    use qnn::quantized::functional::upsample_nearest as _;
    use qops::quantized::elu as _;
    use qops::quantized::celu as _;
    use qops::quantized::hardswish as _;
    use qops::quantized::leaky_relu as _;
    use qops::quantized::clamp as _;
    use qops::quantized::hardsigmoid as _;
    use qops::quantized::clamp as _;
    use qops::quantized::threshold as _;
}

#[rustfmt::skip]
mod nn_quantized {
    use qnn::quantized::Quantize as _;
    use qnn::quantized::DeQuantize as _;
    use qnn::quantized::Linear as _;
    use qnn::quantized::Conv2d as _;
    use qnn::quantized::Conv1d as _;
    use qnn::quantized::Conv3d as _;
    use qnn::quantized::ConvTranspose1d as _;
    use qnn::quantized::ConvTranspose2d as _;
    use qnn::quantized::ConvTranspose3d as _;
    use qnn::ReLU as _;
    use qnn::MaxPool2d as _;
    use qnn::Upsample as _;
    use qnn::UpsamplingNearest2d as _;
    use qnn::UpsamplingBilinear2d as _;
    use qnn::ReLU6 as _;
    use qnn::quantized::ELU as _;
    use qnn::quantized::Hardswish as _;
    use qnn::quantized::LeakyReLU as _;
    use qnn::quantized::PReLU as _;
    use qnn::quantized::Sigmoid as _;
    use qnn::quantized::Softmax as _;
    use qnn::quantized::BatchNorm2d as _;
    use qnn::quantized::BatchNorm3d as _;
    use qnn::quantized::LayerNorm as _;
    use qnn::quantized::GroupNorm as _;
    use qnn::quantized::InstanceNorm1d as _;
    use qnn::quantized::InstanceNorm2d as _;
    use qnn::quantized::InstanceNorm3d as _;
    use qnn::Dropout as _;
    use qnn::quantized::Embedding as _;
    use qnn::quantized::EmbeddingBag as _;
    use qnn::quantized::LSTM as _;
    use qnn::quantized::MultiheadAttention as _;
    use qnn::FloatFunctional as _;
    use qnn::QFunctional as _;
    use qops::quantized::PackedLinear as _;
    use qops::quantized::EmbeddingTable as _;
    use qnn::reference::Linear as _;
    use qnn::reference::Conv1d as _;
    use qnn::reference::Conv2d as _;
    use qnn::reference::Conv3d as _;
    use qnn::reference::ConvTranspose1d as _;
    use qnn::reference::ConvTranspose2d as _;
    use qnn::reference::ConvTranspose3d as _;
    use qnn::reference::Embedding as _;
    use qnn::reference::EmbeddingBag as _;
    use qnn::reference::RNNCell as _;
    use qnn::reference::LSTMCell as _;
    use qnn::reference::GRUCell as _;
    use qnn::reference::LSTM as _;
    use qnn::reference::GRU as _;
    use qnn::Dropout as _;
    use qops::quantized::batch_norm as _;
    const _: fn() = || {
        let _ = <qnn::Layer<qnn::FloatFunctional>>::add;
        let _ = <qnn::Layer<qnn::FloatFunctional>>::cat;
        let _ = <qnn::Layer<qnn::FloatFunctional>>::add_relu;
        let _ = <qnn::Layer<qnn::FloatFunctional>>::mul;
        let _ = <qnn::Layer<qnn::FloatFunctional>>::add_scalar;
        let _ = <qnn::Layer<qnn::FloatFunctional>>::mul_scalar;
        let _ = <qnn::Layer<qnn::FloatFunctional>>::matmul;
        let _ = <qnn::quantized::Conv2d>::from_float;
        let _ = <qnn::quantized::Conv2d>::from_reference;
        let _ = <qnn::quantized::Conv2d>::weight;
        let _ = <qnn::quantized::Conv2d>::bias;
        let _ = <qnn::quantized::Linear>::set_weight_bias;
        let _ = <dyn qnn::Node>::extra_repr;
        let _ = <qops::quantized::PackedLinear>::run;
        let _ = <qops::quantized::PackedLinear>::run_leaky_relu;
        let _ = <qops::quantized::PackedLinear>::run_tanh;
        let _ = <qops::quantized::PackedConv>::run;
        let _ = <qops::quantized::PackedConv>::run_add;
    };
}

#[rustfmt::skip]
mod nn_quantized_dynamic {
    use qnn::dynamic::Linear as _;
    use qnn::dynamic::LSTM as _;
    use qnn::dynamic::GRU as _;
    use qnn::dynamic::RNN as _;
    use qnn::dynamic::RNNCell as _;
    use qnn::dynamic::LSTMCell as _;
    use qnn::dynamic::GRUCell as _;
    use qnn::dynamic::Conv1d as _;
    use qnn::dynamic::Conv2d as _;
    use qnn::dynamic::Conv3d as _;
    use qnn::dynamic::ConvTranspose1d as _;
    use qnn::dynamic::ConvTranspose2d as _;
    use qnn::dynamic::ConvTranspose3d as _;
    use qnn::dynamic::Recurrent as _;
    use qnn::dynamic::RecurrentCell as _;
    use qops::recurrent::DynamicGates as _;
    use qnn::PackedSequence as _;
    const _: fn() = || {
        let _ = <qops::recurrent::DynamicGates>::new;
        let _ = <qnn::PackedSequence>::pack_unsorted;
        let _ = <dyn qnn::Node>::state;
        let _ = <dyn qnn::Node>::state;
    };
}

#[rustfmt::skip]
mod intrinsic_float {
    use qnn::intrinsic::ConvReLU1d as _;
    use qnn::intrinsic::ConvReLU2d as _;
    use qnn::intrinsic::ConvReLU3d as _;
    use qnn::intrinsic::ConvBn1d as _;
    use qnn::intrinsic::ConvBn2d as _;
    use qnn::intrinsic::ConvBn3d as _;
    use qnn::intrinsic::LinearReLU as _;
    use qnn::intrinsic::LinearBn1d as _;
    use qnn::intrinsic::BNReLU2d as _;
    use qnn::intrinsic::BNReLU3d as _;
    use qnn::intrinsic::LinearLeakyReLU as _;
    use qnn::intrinsic::LinearTanh as _;
    use qnn::intrinsic::ConvAdd2d as _;
    use qnn::intrinsic::ConvAddReLU2d as _;
    const _: fn() = || {
        let _ = qnn::intrinsic::Fused::<qnn::intrinsic::ConvBn1d>::new;
        let _ = qnn::intrinsic::Fused::<qnn::intrinsic::ConvBn2d>::new;
        let _ = qnn::intrinsic::Fused::<qnn::intrinsic::ConvBn3d>::new;
    };
}

#[rustfmt::skip]
mod intrinsic_quantized {
    use qnn::intrinsic::quantized::ConvReLU2d as _;
    use qnn::intrinsic::quantized::LinearReLU as _;
    use qnn::intrinsic::quantized::ConvReLU1d as _;
    use qnn::intrinsic::quantized::ConvReLU3d as _;
    use qnn::intrinsic::quantized::BNReLU2d as _;
    use qnn::intrinsic::quantized::BNReLU3d as _;
    use qnn::intrinsic::quantized::LinearLeakyReLU as _;
    use qnn::intrinsic::quantized::LinearTanh as _;
    use qnn::intrinsic::quantized::ConvAdd2d as _;
    use qnn::intrinsic::quantized::ConvAddReLU2d as _;
    use qnn::intrinsic::quantized::dynamic::LinearReLU as _;
}

#[rustfmt::skip]
mod quantizable {
    use qnn::quantizable::LSTM as _;
    use qnn::quantizable::LSTMCell as _;
    use qnn::quantizable::MultiheadAttention as _;
    const _: fn() = || {
        let _ = <qnn::quantized::MultiheadAttention>::dequantize;
    };
}

#[rustfmt::skip]
mod nn_qat {
    use qnn::qat::Linear as _;
    use qnn::qat::Conv2d as _;
    use qnn::qat::Conv1d as _;
    use qnn::qat::Conv3d as _;
    use qnn::qat::Embedding as _;
    use qnn::qat::EmbeddingBag as _;
    const _: fn() = || {
        let _ = <qnn::qat::Linear>::to_dynamic;
        let _ = <qnn::qat::Linear>::from_float;
        let _ = <qnn::qat::Linear>::to_float;
    };
}

#[rustfmt::skip]
mod intrinsic_qat {
    use qnn::intrinsic::qat::ConvBn2d as _;
    use qnn::intrinsic::qat::ConvBnReLU2d as _;
    use qnn::intrinsic::qat::ConvReLU2d as _;
    use qnn::intrinsic::qat::LinearReLU as _;
    use qnn::intrinsic::qat::ConvBn1d as _;
    use qnn::intrinsic::qat::ConvBn3d as _;
    use qnn::intrinsic::qat::ConvBnReLU1d as _;
    use qnn::intrinsic::qat::ConvBnReLU3d as _;
    use qnn::intrinsic::qat::ConvReLU1d as _;
    use qnn::intrinsic::qat::ConvReLU3d as _;
    use qnn::intrinsic::qat::LinearBn1d as _;
    use qnn::update_bn_stats as _;
    use qnn::freeze_bn_stats as _;
    const _: fn() = || {
        let _ = <qnn::intrinsic::qat::ConvBn2d>::reset_running_stats;
        let _ = <qnn::intrinsic::qat::ConvBn2d>::reset_bn_parameters;
        let _ = <qnn::intrinsic::qat::ConvBn2d>::to_float;
    };
}

#[rustfmt::skip]
mod observers {
    use qobserve::Observer as _;
    use qobserve::Settings as _;
    use qobserve::MinMaxObserver as _;
    use qobserve::MovingAverageMinMaxObserver as _;
    use qobserve::PerChannelMinMaxObserver as _;
    use qobserve::MovingAveragePerChannelMinMaxObserver as _;
    use qobserve::HistogramObserver as _;
    use qobserve::FixedQParamsObserver as _;
    use qobserve::PlaceholderObserver as _;
    use qobserve::NoopObserver as _;
    use qobserve::RecordingObserver as _;
    use qflow::get_observer_state_dict as _;
    use qflow::load_observer_state_dict as _;
    use qobserve::presets::default_observer as _;
    use qobserve::presets::default_weight_observer as _;
    use qobserve::presets::default_per_channel_weight_observer as _;
    use qobserve::presets::default_histogram_observer as _;
    use qobserve::presets::default_placeholder_observer as _;
    use qobserve::presets::default_debug_observer as _;
    use qobserve::presets::default_dynamic_quant_observer as _;
    use qobserve::presets::default_float_qparams_observer as _;
    use qobserve::presets::default_float_qparams_observer_4bit as _;
    use qobserve::presets::default_fixed_qparams_range_0to1_observer as _;
    use qobserve::presets::default_fixed_qparams_range_neg1to1_observer as _;
    use qobserve::presets::weight_observer_range_neg_127_to_127 as _;
    use qobserve::presets::per_channel_weight_observer_range_neg_127_to_127 as _;
    const _: fn() = || {
        let _ = <qobserve::ObserverBuilder<qobserve::MinMaxObserver>>::factory;
        let _ = || qobserve::ObserverFactory::new("mine", || Box::new(qobserve::MinMaxObserver::default()));
        let _ = <dyn qobserve::Observer>::calculate_qparams;
        let _ = <dyn qobserve::Observer>::reset;
        let _ = <qobserve::RecordingObserver>::tensors;
    };
}

#[rustfmt::skip]
mod fake_quants {
    use qobserve::FakeQuant as _;
    use qobserve::FakeQuantize as _;
    use qobserve::FixedQParamsFakeQuantize as _;
    use qobserve::FusedMovingAvgObsFakeQuantize as _;
    use qobserve::LearnableFakeQuantize as _;
    use qobserve::fake_quantize as _;
    use qobserve::fake_quantize as _;
    use qnn::set_quantizing as _;
    use qnn::set_quantizing as _;
    use qnn::set_observing as _;
    use qnn::set_observing as _;
    use qobserve::presets::default_fake_quant as _;
    use qobserve::presets::default_weight_fake_quant as _;
    use qobserve::presets::default_per_channel_weight_fake_quant as _;
    use qobserve::presets::default_dynamic_fake_quant as _;
    use qobserve::presets::default_histogram_fake_quant as _;
    use qobserve::presets::default_embedding_fake_quant as _;
    use qobserve::presets::default_embedding_fake_quant_4bit as _;
    use qobserve::presets::default_fixed_qparams_range_0to1_fake_quant as _;
    use qobserve::presets::default_fixed_qparams_range_neg1to1_fake_quant as _;
    use qobserve::presets::default_fused_act_fake_quant as _;
    use qobserve::presets::default_fused_wt_fake_quant as _;
    use qobserve::presets::default_fused_per_channel_wt_fake_quant as _;
    use qobserve::presets::fused_wt_fake_quant_range_neg_127_to_127 as _;
    use qobserve::presets::fused_per_channel_wt_fake_quant_range_neg_127_to_127 as _;
    const _: fn() = || {
        let _ = <dyn qobserve::Observer>::forward;
    };
}

#[rustfmt::skip]
mod qconfig {
    use qobserve::QConfig as _;
    use qflow::QConfigSpec as _;
    use qobserve::get_default_qconfig as _;
    use qobserve::get_default_qat_qconfig as _;
    use qobserve::qconfig_equals as _;
    use qflow::QConfigSpec as _;
    const _: fn() = || {
        let _ = <qnn::Layer<qnn::Linear>>::with_qconfig;
        let _ = <qobserve::QConfig>::default_qconfig;
        let _ = <qobserve::QConfig>::default_debug_qconfig;
        let _ = <qobserve::QConfig>::default_per_channel_qconfig;
        let _ = <qobserve::QConfig>::default_dynamic_qconfig;
        let _ = <qobserve::QConfig>::per_channel_dynamic_qconfig;
        let _ = <qobserve::QConfig>::float16_dynamic_qconfig;
        let _ = <qobserve::QConfig>::float16_static_qconfig;
        let _ = <qobserve::QConfig>::float_qparams_weight_only_qconfig;
        let _ = <qobserve::QConfig>::float_qparams_weight_only_qconfig_4bit;
        let _ = <qobserve::QConfig>::default_qat_qconfig;
        let _ = <qobserve::QConfig>::default_qat_qconfig_v2;
        let _ = <qobserve::QConfig>::default_dynamic_qat_qconfig;
        let _ = <qobserve::QConfig>::default_weight_only_qconfig;
        let _ = <qobserve::QConfig>::default_activation_only_qconfig;
        let _ = <qobserve::QConfig>::default_quint8_weight_qconfig;
        let _ = <qobserve::QConfig>::default_symmetric_qnnpack_qconfig;
        let _ = <qobserve::QConfig>::default_per_channel_symmetric_qnnpack_qconfig;
        let _ = <qobserve::QConfig>::default_symmetric_qnnpack_qat_qconfig;
        let _ = <qobserve::QConfig>::default_per_channel_symmetric_qnnpack_qat_qconfig;
        let _ = <qobserve::QConfig>::default_embedding_qat_qconfig;
        let _ = <qobserve::QConfig>::default_embedding_qat_qconfig_4bit;
    };
}

#[rustfmt::skip]
mod flow {
    use qnn::QuantStub as _;
    use qnn::DeQuantStub as _;
    use qflow::fuse_modules as _;
    use qnn::QuantWrapper as _;
    use qflow::add_quant_dequant as _;
    use qflow::fuse_modules_qat as _;
    use qflow::fuse_known_modules as _;
    use qnn::intrinsic::fold_conv as _;
    use qflow::fuse_known_modules as _;
    use qnn::intrinsic::fold_linear as _;
    use qnn::intrinsic::fold_conv_transpose as _;
    use qflow::get_fuser_method as _;
    use qflow::propagate_qconfig as _;
    use qflow::prepare as _;
    use qflow::calibrate as _;
    use qflow::convert as _;
    use qflow::quantize as _;
    use qflow::quantize_dynamic as _;
    use qflow::prepare_qat as _;
    use qflow::quantize_qat as _;
    use qflow::swap_module as _;
    use qflow::convert as _;
    use qflow::quantize as _;
    use qflow::get_default_static_quant_module_mappings as _;
    use qflow::get_default_dynamic_quant_module_mappings as _;
    use qflow::get_default_qat_module_mappings as _;
    use qflow::get_embedding_static_quant_module_mappings as _;
    use qflow::get_default_qat_module_mappings as _;
    use qflow::get_default_static_quant_reference_module_mappings as _;
    use qflow::get_default_qconfig_propagation_list as _;
    use qflow::Mapping as _;
    use qflow::no_observer_set as _;
    use qflow::Mapping as _;
    use qflow::calibrate as _;
    use qobserve::QuantType as _;
    use qtensor_core::choose_qparams::calculate_qparams as _;
    use qnn::tap::record as _;
    use qobserve::get_default_qconfig as _;
    const _: fn() = || {
        let _ = <qflow::Mapping>::has::<qnn::Linear>;
        let _ = <qflow::Mapping>::has::<qnn::Linear>;
        let _ = <qflow::Mapping>::combined;
        let _ = <dyn qobserve::Observer>::calculate_qparams;
    };
}

#[rustfmt::skip]
mod numeric_suite {
    use qflow::accuracy::compare_weights as _;
    use qflow::accuracy::compare_model_stub as _;
    use qflow::accuracy::get_shadow_activations as _;
    use qflow::accuracy::compare_model_outputs as _;
    use qflow::accuracy::get_matching_activations as _;
    use qflow::accuracy::get_matching_activations as _;
    use qflow::accuracy::get_matching_activations as _;
    use qflow::accuracy::get_matching_activations as _;
    use qflow::accuracy::Logger as _;
    use qflow::accuracy::Logger as _;
    use qflow::accuracy::Logger as _;
    use qflow::accuracy::get_shadow_activations as _;
}

#[rustfmt::skip]
mod equalization_correction_rounding {
    use qflow::accuracy::equalize as _;
    use qflow::accuracy::equalize as _;
    use qflow::accuracy::correct_bias as _;
    use qflow::accuracy::BiasCorrection as _;
    use qnn::walk as _;
    use qnn::join as _;
    use qflow::accuracy::adaround as _;
    use qflow::accuracy::adaround as _;
    use qflow::accuracy::AdaRoundOptions as _;
    const _: fn() = || {
        let _ = <dyn qnn::Place>::path;
        let _ = <dyn qnn::Node>::load_state;
        let _ = <dyn qnn::Node>::load_state;
        let _ = <dyn qnn::Node>::state;
        let _ = <dyn qnn::Node>::state;
        let _ = <qnn::State>::contains;
        let _ = <dyn qnn::Node>::state;
    };
}

#[rustfmt::skip]
mod serialization {
    use qflow::save as _;
    const _: fn() = || {
        let _ = |q: &qtensor_core::QTensor| q.to_bytes();
        let _ = <qnn::quantized::Linear>::from_state;
        let _ = <qnn::quantized::Conv2d>::from_state;
        let _ = <qnn::dynamic::Linear>::from_state;
        let _ = <qnn::dynamic::LSTM>::from_state;
        let _ = <dyn qobserve::Observer>::to_bytes;
        let _ = <dyn qobserve::Observer>::restore;
        let _ = <qnn::QFunctional>::from_state;
    };
}
