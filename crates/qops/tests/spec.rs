//! Strides, paddings and windows: the lengths that they give, and what is refused.

use qops::{ConvSpec, ConvTransposeSpec, Error, PoolSpec};

#[test]
fn missing_axes_do_nothing_and_are_checked() {
    let line = ConvSpec::new(&[2], &[1], &[3], 4).unwrap();
    assert_eq!(
        line,
        ConvSpec {
            stride: [1, 1, 2],
            padding: [0, 0, 1],
            dilation: [1, 1, 3],
            groups: 4,
        }
    );
    let plane = ConvSpec::new(&[2, 1], &[0, 0], &[1, 1], 1).unwrap();
    assert_eq!(plane.check_spatial(2), Ok(()));
    let message = plane.check_spatial(1).unwrap_err().to_string();
    assert_eq!(
        message,
        "conv: stride must be 1 along axes that the input does not have, got 2"
    );
    assert!(
        PoolSpec::new(&[2, 2], &[], &[])
            .unwrap()
            .check_spatial("max_pool", 1)
            .is_err()
    );
}

#[test]
fn slices_of_other_lengths_and_zeros_are_refused() {
    for (stride, padding, dilation, groups, name) in [
        (&[][..], &[][..], &[][..], 1, "stride"),
        (&[1; 4], &[0; 4], &[1; 4], 1, "stride"),
        (&[1, 1], &[0], &[1, 1], 1, "padding"),
        (&[1, 1], &[0, 0], &[1], 1, "dilation"),
        (&[1, 0], &[0, 0], &[1, 1], 1, "stride"),
        (&[1, 1], &[0, 0], &[1, 0], 1, "dilation"),
        (&[1, 1], &[0, 0], &[1, 1], 0, "groups"),
    ] {
        let error = ConvSpec::new(stride, padding, dilation, groups).unwrap_err();
        assert!(
            matches!(error, Error::Argument { argument, .. } if argument == name),
            "{error}"
        );
    }
    let mut padded = PoolSpec::new(&[3, 3], &[2, 2], &[2, 0]).unwrap();
    assert!(padded.validate("max_pool").is_err());
    padded.dilation = [1, 2, 2];
    assert_eq!(padded.validate("max_pool"), Ok(()));
    assert!(PoolSpec::new(&[0], &[], &[]).is_err());
    assert!(PoolSpec::new(&[], &[], &[]).is_err());
    assert!(PoolSpec::new(&[1; 5], &[], &[]).is_err());
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let spec = ConvSpec::new(&[1, 1], &[1, 0], &[2, 1], 1).unwrap();
    assert_eq!(spec.output([1, 3, 3], [1, 3, 3]).unwrap(), [1, 1, 1]);
    assert_eq!(
        spec.output([1, 2, 3], [1, 3, 3]),
        Err(Error::Window {
            operation: "conv",
            axis: 1,
            window: 5,
            input: 4
        })
    );
    for [stride, padding, dilation] in [[1 << 41, 0, 1], [1, 1 << 41, 1], [1, 0, usize::MAX]] {
        let error = ConvSpec::new(&[stride], &[padding], &[dilation], 1).unwrap_err();
        assert!(error.to_string().contains("1099511627776"), "{error}");
    }
    let mut pool = PoolSpec::new(&[3], &[1 << 41], &[]).unwrap();
    assert!(pool.output("max_pool", [1, 1, 4]).is_err());
    pool.stride = [1, 1, 1 << 40];
    assert_eq!(pool.output("max_pool", [1, 1, 4]).unwrap(), [1; 3]);
}

#[test]
fn ceil_mode_adds_a_window_that_starts_inside() {
    // By hand, after the formula of pooling_output_shape in PyTorch.
    for (input, kernel, stride, padding, floor, ceil) in [
        (5, 2, 2, 0, 2, 3),
        (6, 3, 2, 0, 2, 3),
        (4, 2, 2, 1, 3, 3),
        (5, 3, 3, 1, 2, 2),
        (3, 1, 2, 0, 2, 2),
        (7, 3, 4, 1, 2, 2),
        (8, 3, 4, 0, 2, 2),
        (9, 3, 4, 0, 2, 3),
    ] {
        let mut spec = PoolSpec::new(&[kernel], &[stride], &[padding]).unwrap();
        assert_eq!(spec.output("max_pool", [1, 1, input]).unwrap()[2], floor);
        spec.ceil_mode = true;
        let got = spec.output("max_pool", [1, 1, input]).unwrap()[2];
        assert_eq!(got, ceil, "{input} {kernel} {stride} {padding}");
    }
    let mut wide = PoolSpec::new(&[3], &[2], &[]).unwrap();
    assert!(wide.output("max_pool", [1, 1, 2]).is_err());
    wide.ceil_mode = true;
    assert_eq!(wide.output("max_pool", [1, 1, 2]).unwrap(), [1, 1, 1]);
    assert!(wide.output("max_pool", [1, 1, 0]).is_err());
}

#[test]
fn lengths_are_those_that_the_adjoint_maps_back() {
    for (kernel, stride, padding, dilation) in
        [(3, 2, 1, 1), (4, 2, 1, 1), (1, 3, 0, 2), (5, 3, 2, 3)]
    {
        for output_padding in 0..stride {
            let spec =
                ConvTransposeSpec::new(&[stride], &[padding], &[output_padding], &[dilation], 1)
                    .unwrap();
            for input in 2..6 {
                let output = spec.output([1, 1, input], [1, 1, kernel]).unwrap();
                let back = spec.adjoint().output(output, [1, 1, kernel]).unwrap();
                assert_eq!(back, [1, 1, input], "{spec:?}");
                let chosen = spec
                    .with_output_size([1, 1, input], [1, 1, kernel], &output[2..])
                    .unwrap();
                assert_eq!(chosen, spec);
            }
        }
    }
}

#[test]
fn mistakes_show_both_numbers() {
    let new = |stride: &[usize], output_padding: &[usize], dilation: &[usize], groups| {
        ConvTransposeSpec::new(
            stride,
            &vec![0; stride.len()],
            output_padding,
            dilation,
            groups,
        )
        .map_err(|error| error.to_string())
    };
    let message = new(&[2, 2], &[0, 2], &[1, 2], 1).unwrap_err();
    assert_eq!(
        message,
        "conv_transpose: output_padding must be less than 2, the greater of stride and dilation, got 2"
    );
    // PyTorch allows as much as the greater of both.
    assert!(new(&[1, 2], &[2, 1], &[3, 1], 1).is_ok());
    for (stride, output_padding, dilation, groups) in [
        (&[0][..], &[0][..], &[1][..], 1),
        (&[1], &[0], &[0], 1),
        (&[1], &[0], &[1], 0),
        (&[1], &[0, 0], &[1], 1),
        (&[], &[], &[], 1),
        (&[1; 4], &[0; 4], &[1; 4], 1),
    ] {
        assert!(new(stride, output_padding, dilation, groups).is_err());
    }
    let spec = ConvTransposeSpec::new(&[2], &[2], &[0], &[1], 1).unwrap();
    let message = spec.output([1, 1, 1], [1, 1, 3]).unwrap_err().to_string();
    assert!(
        message.contains("at most 1") && message.contains("got 2"),
        "{message}"
    );
    assert!(spec.output([1, 1, 0], [1, 1, 3]).is_err());
    assert!(spec.output([1, 1, 3], [1, 1, 0]).is_err());
    let message = spec
        .with_output_size([1, 1, 3], [1, 1, 3], &[5])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("3 to 4") && message.contains("got 5"),
        "{message}"
    );
    for huge in [
        ConvTransposeSpec {
            stride: [1, 1, usize::MAX],
            ..Default::default()
        },
        ConvTransposeSpec {
            dilation: [1, 1, usize::MAX],
            ..Default::default()
        },
        ConvTransposeSpec {
            padding: [0, 0, usize::MAX],
            ..Default::default()
        },
    ] {
        assert!(huge.output([1, 1, 3], [1, 1, 3]).is_err());
    }
    let plane = ConvTransposeSpec::new(&[2, 1], &[0, 0], &[1, 0], &[1, 1], 1).unwrap();
    assert!(plane.check_spatial(2).is_ok());
    assert!(plane.check_spatial(1).is_err());
}
