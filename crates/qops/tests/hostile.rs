//! Arguments at the edges of their types: an error or a right answer, without a panic and without memory for what is not there.

use crate::common::{self, quantized as integers};
use qops::float::{
    self, adaptive_avg_pool_backward, avg_pool_backward, channel_shuffle, conv,
    conv_weight_gradient, interpolate, matmul, max_dim, pad_with, slice_backward, softmax, sort,
    topk,
};
use qops::quantized::{
    self, Activation, OutQParams, PackedConv, layer_norm, max_pool, relu, relu6,
};
use qops::recurrent::{Cell, Direction, FloatGates, run_direction};
use qops::{ConvSpec, Interpolation, PadMode, PoolSpec, ResizeTo};
use qtensor_core::{DType, Tensor};

#[test]
fn dimensions_and_starts_near_the_end_of_their_type() {
    let x = Tensor::ones(&[2, 3]).unwrap();
    for dim in [2, usize::MAX - 1, usize::MAX] {
        let error = softmax(&x, dim).unwrap_err().to_string();
        assert!(error.contains(&dim.to_string()), "{error}");
    }
    for start in [8, usize::MAX - 1, usize::MAX] {
        assert!(slice_backward(&x, &[2, 9], 1, start, 1).is_err(), "{start}");
    }
}

/// No image, but planes of 2^34 elements: nothing is made for them.
#[test]
fn convolutions_of_no_images_take_no_memory() {
    let spec = ConvSpec::new(&[1, 1], &[1 << 17, 1 << 17], &[1, 1], 2).unwrap();
    let (x, w) = (
        Tensor::zeros(&[0, 2, 1, 1]).unwrap(),
        Tensor::ones(&[2, 1, 1, 1]).unwrap(),
    );
    let y = conv(&x, &w, None, &spec).unwrap();
    let size = (1 << 18) + 1;
    assert_eq!(y.shape(), [0, 2, size, size]);
    let dw = conv_weight_gradient(&y, &x, w.shape(), &spec).unwrap();
    assert_eq!((dw.shape(), dw.to_vec()), (w.shape(), vec![0.0; 2]));
}

/// Their zero points may be any `i32`, which the arithmetic of bytes must not see.
#[test]
fn wide_integers_are_refused_before_anything_is_computed() {
    for zero_point in [i32::MIN, 0, i32::MAX] {
        let x = integers(&[1, 2], &[2], DType::QInt32, 0.5, zero_point);
        assert!(relu(&x).is_err() && relu6(&x).is_err());
    }
}

/// In `ceil_mode` a window may be larger than the padded input, by less than a stride.
#[test]
fn a_window_hangs_over_the_end_of_a_short_input() {
    let x = integers(&[1, 2, 4, 3, 5, 5], &[3, 1, 2], DType::QUInt8, 1.0, 0);
    let mut spec = PoolSpec::new(&[4], &[3], &[0]).unwrap();
    spec.ceil_mode = true;
    let y = max_pool(&x, &spec).unwrap();
    assert_eq!(
        (y.shape(), common::ints(&y)),
        (&[3, 1, 1][..], vec![2, 4, 5])
    );
}

/// The gradient is small, whatever output its operation would have had.
#[test]
fn gradients_of_other_shapes_are_refused_before_windows_are_listed() {
    let grad = Tensor::zeros(&[0, 1, 1 << 40]).unwrap();
    assert!(adaptive_avg_pool_backward(&grad, &[1, 1, 5]).is_err());
    let spec = PoolSpec::new(&[1 << 39], &[1], &[1 << 38]).unwrap();
    let grad = Tensor::zeros(&[1, 1, 5]).unwrap();
    assert!(avg_pool_backward(&grad, &[1, 1, 5], &spec).is_err());
}

/// Padding of which the strides leave nothing: an error, or the products with the only real element.
#[test]
fn convolutions_of_padding_take_no_memory_for_it() {
    let (far, out) = (1 << 39, OutQParams::new(1.0, 0));
    let x = integers(&[3], &[1, 1, 1], DType::QUInt8, 1.0, 0);
    let w = integers(&[1, 2, 3], &[1, 1, 3], DType::QInt8, 1.0, 0);
    let spec = ConvSpec::new(&[far], &[far], &[1], 1).unwrap();
    let conv = PackedConv::new(&w, None, &spec).unwrap();
    if let Ok(y) = conv.run(&x, out, Activation::None) {
        assert_eq!(common::ints(&y), [0, 3]);
    }
}

/// A tensor without elements may have any lengths; lists of their indices are made of moderate ones alone.
#[test]
fn lists_of_indices_are_bounded_where_no_elements_bound_them() {
    let x = Tensor::<f32>::zeros(&[1, 2, 0, 4]).unwrap();
    let far = 1 << 40;
    assert!(x.repeat(&[1, far, 1, 1]).is_err());
    let still_none = x.repeat(&[1, 9, far, 1]).unwrap();
    assert_eq!(still_none.shape(), [1, 18, 0, 4]);
    assert_eq!(x.repeat(&[1, 9, 2, 1]).unwrap().shape(), [1, 18, 0, 4]);
    assert!(x.chunk(2, far).is_err());
    assert_eq!(x.chunk(2, 3).unwrap().len(), 3);
    let long = x.expand(&[far, 2, 0, 4]).unwrap();
    assert!(long.flip(&[0]).is_err());
    let sides = [(0, 0), (far, 0), (0, 0), (0, 0)];
    assert!(pad_with(&x, &sides, PadMode::Replicate).is_err());
    let q = integers(&[1], &[1, 1], DType::QUInt8, 1.0, 0);
    assert!(quantized::pad(&q, &[(1 << 34, 0), (1 << 34, 0)], 0.0).is_err());
    let none = Tensor::zeros(&[0, 2, 3, 4]).unwrap();
    assert!(interpolate(&none, ResizeTo::Size(&[far, 1]), Interpolation::Nearest).is_err());
    let wide = Tensor::<f32>::zeros(&[0, 1 << 40]).unwrap();
    assert!(channel_shuffle(&wide, 2).is_err());
}

#[test]
fn norms_refuse_lengths_and_zero_points_beyond_their_types() {
    let x = integers(&[1, 2], &[2], DType::QInt8, 0.5, 0);
    let out = OutQParams::new(0.5, 0);
    let norm = |lengths: &[usize], out| layer_norm(&x, lengths, None, None, 1e-5, out);
    let message = norm(&[usize::MAX, 2], out).unwrap_err().to_string();
    assert!(message.contains(&usize::MAX.to_string()), "{message}");
    let wide = OutQParams::new(0.5, i32::MAX);
    let message = norm(&[2], wide).unwrap_err().to_string();
    assert!(message.contains(&i32::MAX.to_string()), "{message}");
}

/// Widths of no whole gates, states and batch sizes of other lengths, and a stride past all memory.
#[test]
fn recurrent_layers_refuse_what_does_not_fit_their_weights() {
    let gates = |width: usize, hidden: usize| {
        let (w, u) = (Tensor::ones(&[width, 2]), Tensor::ones(&[width, hidden]));
        FloatGates::new(&w.unwrap(), &u.unwrap(), None, None).unwrap()
    };
    let x = Tensor::ones(&[3, 2]).unwrap();
    let run = |gates, cell, batch_sizes: &[usize], states, stride| {
        let (mut h, mut c, mut out) = (vec![0.5; states], Vec::new(), vec![0.0; 12]);
        let direction = Direction {
            cell,
            batch_sizes,
            reverse: false,
            h: &mut h,
            c: &mut c,
            out: &mut out,
            stride,
        };
        run_direction(&gates, &x, direction).map_err(|error| error.to_string())
    };
    assert_eq!(run(gates(4, 4), Cell::RnnTanh, &[3], 12, 4), Ok(()));
    for (answer, numbers) in [
        (run(gates(8, 4), Cell::Gru, &[3], 12, 4), ["3 gates", "8"]),
        (run(gates(12, 5), Cell::Gru, &[3], 12, 4), ["15", "12"]),
        (run(gates(4, 4), Cell::RnnTanh, &[3], 11, 4), ["12", "11"]),
        (run(gates(4, 4), Cell::RnnTanh, &[3], 13, 4), ["12", "13"]),
        (
            run(gates(4, 4), Cell::RnnTanh, &[usize::MAX, 4], 12, 4),
            ["3", "18446744073709551615"],
        ),
        (
            run(gates(4, 4), Cell::RnnTanh, &[1, 1, 1], 4, usize::MAX / 2),
            ["4", "0"],
        ),
    ] {
        let message = answer.unwrap_err();
        assert!(numbers.iter().all(|n| message.contains(n)), "{message}");
    }
}

/// Tensors without elements, one of whose dimensions is far longer than memory.
#[test]
fn nothing_is_listed_for_what_has_no_elements() {
    let far = 1 << 50;
    let none = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let x = none(&[far, 0]);
    for (y, at) in [
        sort(&x, Some(0), true).unwrap(),
        topk(&x, far, Some(0), false).unwrap(),
    ] {
        assert_eq!((y.shape(), at.shape()), (x.shape(), x.shape()));
    }
    let (y, at) = max_dim(&none(&[far, 3, 0]), 1).unwrap();
    assert_eq!((y.shape(), at.shape()), (x.shape(), x.shape()));
    let y = matmul(&none(&[far, 0, 3]), &none(&[far, 3, 0])).unwrap();
    assert_eq!(y.shape(), [far, 0, 0]);
    let rows = none(&[0, far]);
    let y = float::layer_norm(&rows, &[far], None, None, 1e-5).unwrap();
    assert_eq!(y.shape(), rows.shape());
}
