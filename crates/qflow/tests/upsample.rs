//! Modules that change an image's size, through the flow: float, int8 with the input's qparams, files.

use crate::common::batch;
use qflow::{Error, QConfig, from_bytes, quantize, to_bytes};
use qnn::quantized::functional as qf;
use qnn::{
    Conv2d, DeQuantStub, Module, QuantStub, Sequential, Upsample, UpsamplingBilinear2d,
    UpsamplingNearest2d, Value, describe, manual_seed, tap,
};
use qops::{Interpolation, ResizeTo};
use qtensor_core::{QTensor, Tensor};

fn net<M: Module<Input = Value, Output = Value>>(upsample: M) -> Sequential {
    manual_seed(5);
    Sequential::new()
        .push(QuantStub)
        .push(Conv2d::config(2, 3, 3).build().unwrap())
        .push(upsample)
        .push(Conv2d::config(3, 2, 3).build().unwrap())
        .push(DeQuantStub)
}

/// Quantizes a net around the module; `operation` gives what it makes of integers, in another way.
fn passes<M: Module<Input = Value, Output = Value> + Clone>(
    module: M,
    operation: impl Fn(&QTensor) -> qops::Result<QTensor>,
) {
    let x = batch(1, &[2, 2, 6, 7]);
    let mut int8 = net(module.clone());
    let float = int8.forward(&x).unwrap().to_tensor();
    let report = quantize(
        &mut int8,
        QConfig::x86(),
        (0..4).map(|s| batch(s, &[2, 2, 6, 7])),
    )
    .unwrap();
    assert_eq!(report.row("2").unwrap().after, module.kind());
    let (got, outputs) = tap::record(|| int8.forward(&x));
    let got = got.unwrap().to_tensor();
    assert!(qflow::metrics::sqnr_db(&float, &got).unwrap() > 30.0);
    let quantized = |i: usize| outputs[i].1.quantized("").unwrap();
    assert_eq!(quantized(2), &operation(quantized(1)).unwrap());
    assert_eq!(quantized(2).quantizer(), quantized(1).quantizer());

    let bytes = to_bytes(&int8).unwrap();
    let mut again = net(module);
    from_bytes(&mut again, &bytes).unwrap();
    assert_eq!(describe(&again), describe(&int8));
    assert_eq!(again.forward(&x).unwrap().to_tensor(), got);
}

#[test]
fn integers_pass_with_the_qparams_of_the_input() {
    let corners = Interpolation::Bilinear {
        align_corners: true,
    };
    let halves = Interpolation::Bilinear {
        align_corners: false,
    };
    let twice = ResizeTo::Factor(&[2.0, 2.0]);
    passes(UpsamplingNearest2d::by(&[2.0]), |q| {
        qf::upsample_nearest(q, twice)
    });
    passes(UpsamplingNearest2d::to(&[7, 9]), |q| {
        qf::upsample_nearest(q, ResizeTo::Size(&[7, 9]))
    });
    passes(UpsamplingBilinear2d::by(&[2.0, 2.0]), |q| {
        qf::upsample_bilinear(q, twice)
    });
    passes(UpsamplingBilinear2d::to(&[9]), |q| {
        qf::upsample(q, ResizeTo::Size(&[9, 9]), corners)
    });
    passes(Upsample::by(&[1.5, 2.5], halves), |q| {
        qf::interpolate(q, ResizeTo::Factor(&[1.5, 2.5]), halves)
    });
}

#[test]
fn gradients_pass_and_ranks_are_checked() {
    let x = qgrad::Var::parameter(Tensor::ones(&[1, 1, 2, 2]).unwrap());
    let y = UpsamplingNearest2d::by(&[3.0])
        .forward(&x.clone().into())
        .unwrap();
    let y = y.float("").unwrap().clone();
    y.backward_with(&Tensor::ones(&[1, 1, 6, 6]).unwrap())
        .unwrap();
    assert_eq!(x.grad().unwrap().to_vec(), [9.0; 4]);
    let line: Value = Tensor::ones(&[1, 1, 2]).unwrap().into();
    let error = UpsamplingNearest2d::by(&[2.0]).forward(&line).unwrap_err();
    assert!(error.to_string().contains("UpsamplingNearest2d"), "{error}");
    let line_up = Upsample::by(&[2.0], Interpolation::Nearest);
    assert_eq!(line_up.forward(&line).unwrap().shape(), [1, 1, 4]);
    for shape in [&[][..], &[3], &[2, 3]] {
        let x: Value = Tensor::ones(shape).unwrap().into();
        assert!(line_up.forward(&x).is_err(), "{shape:?}");
    }
}

#[test]
fn a_file_with_another_size_is_refused() {
    let bytes = to_bytes(&net(UpsamplingNearest2d::by(&[2.0]))).unwrap();
    let mut other = net(UpsamplingNearest2d::by(&[2.5]));
    let error = from_bytes(&mut other, &bytes).unwrap_err();
    assert!(matches!(error, Error::OtherConfig { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("2.5") && message.contains("scale_factor"),
        "{message}"
    );
}
