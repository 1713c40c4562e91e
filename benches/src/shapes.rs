//! The layers that are measured, named after the networks they are typical of.

use qkernels_x86::{ConvShape, PoolShape, TransposedShape};

/// Rows, outputs and inputs of a linear layer.
pub type Linear = [usize; 3];

/// A square product; the feed-forward layer of BERT-base for 128 tokens, and for one.
pub const LINEAR: [Linear; 3] = [[1024, 1024, 1024], [128, 768, 3072], [1, 768, 3072]];

/// `linear-MxNxK`.
pub fn linear_name([m, n, k]: Linear) -> String {
    format!("linear-{m}x{n}x{k}")
}

/// Convolutions of residual and mobile networks: the stem, the two halves of a bottleneck, a depthwise layer, and one with a
/// kernel as large as ConvNeXt's.
pub const CONV: [(&str, ConvShape); 5] = [
    ("conv3x3-56x56x64", square(64, 64, 1, 56, 3, 1)),
    ("conv1x1-56x56x64to256", square(64, 256, 1, 56, 1, 1)),
    ("depthwise3x3-28x28x192", square(192, 192, 192, 28, 3, 1)),
    ("stem3x3s2-224x224x3to32", square(3, 32, 1, 224, 3, 2)),
    ("depthwise7x7-14x14x384", square(384, 384, 384, 14, 7, 1)),
];

/// Convolutions of residual networks in groups of four and of eight channels (ResNeXt, RegNet), between stages too.
pub const GROUPED: [(&str, ConvShape); 5] = [
    ("grouped3x3-56x56x128by4", square(128, 128, 32, 56, 3, 1)),
    ("grouped3x3s2-56x56x128by4", square(128, 128, 32, 56, 3, 2)),
    ("grouped3x3-28x28x256by8", square(256, 256, 32, 28, 3, 1)),
    ("grouped3x3s2-28x28x256by8", square(256, 256, 32, 28, 3, 2)),
    ("grouped3x3-14x14x152by8", square(152, 152, 19, 14, 3, 1)),
];

/// The last convolution of a bottleneck, whose results are added to what the block began with.
pub const EXPANSION: (&str, ConvShape) = ("conv1x1-add-56x56x64to256", CONV[1].1);

/// Layers of decoders: doubling an image with a kernel of twice the stride, of the stride, and in between; a last one to
/// colours; and a step of an audio decoder.
pub const TRANSPOSED: [(&str, TransposedShape); 5] = [
    (
        "up4x4s2-16x16x128to64",
        up([128, 64], [1, 16, 16], [1, 4, 4], 2, 1, 0),
    ),
    (
        "up2x2s2-28x28x128to64",
        up([128, 64], [1, 28, 28], [1, 2, 2], 2, 0, 0),
    ),
    (
        "up3x3s2-16x16x128to64",
        up([128, 64], [1, 16, 16], [1, 3, 3], 2, 1, 1),
    ),
    (
        "up4x4s2-32x32x64to3",
        up([64, 3], [1, 32, 32], [1, 4, 4], 2, 1, 0),
    ),
    (
        "up16s8-128x128to64",
        up([128, 64], [1, 1, 128], [1, 1, 16], 8, 4, 0),
    ),
];

/// A max pool between stem and body.
pub const MAX_POOL: (&str, PoolShape) = ("maxpool3x3s2-112x112x64", window(64, 112, 3, 2, 1));

/// An average pool between two stages.
pub const AVG_POOL: (&str, PoolShape) = ("avgpool2x2s2-56x56x256", window(256, 56, 2, 2, 0));

/// Elements of the elementwise benches: the output of a bottleneck, 56 x 56 x 256.
pub const ELEMENTS: usize = 56 * 56 * 256;

/// One image of `side * side`, "same" padding.
const fn square(
    in_channels: usize,
    out_channels: usize,
    groups: usize,
    side: usize,
    kernel: usize,
    stride: usize,
) -> ConvShape {
    ConvShape {
        batch: 1,
        in_channels,
        out_channels,
        groups,
        input: [1, side, side],
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        padding: [0, kernel / 2, kernel / 2],
        dilation: [1; 3],
    }
}

/// One image or line, enlarged by `stride` along the axes that the kernel covers.
const fn up(
    channels: [usize; 2],
    input: [usize; 3],
    kernel: [usize; 3],
    stride: usize,
    padding: usize,
    output_padding: usize,
) -> TransposedShape {
    let [tall, step] = if kernel[1] > 1 { [1, stride] } else { [0, 1] };
    TransposedShape {
        batch: 1,
        in_channels: channels[0],
        out_channels: channels[1],
        groups: 1,
        input,
        kernel,
        stride: [1, step, stride],
        padding: [0, tall * padding, padding],
        output_padding: [0, tall * output_padding, output_padding],
        dilation: [1; 3],
    }
}

/// Windows over one image of `side * side`.
const fn window(
    channels: usize,
    side: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> PoolShape {
    PoolShape {
        batch: 1,
        channels,
        input: [1, side, side],
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        padding: [0, padding, padding],
        dilation: [1; 3],
        ceil_mode: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_tell_the_output() {
        let outputs: Vec<_> = CONV.iter().map(|(_, shape)| shape.output()[2]).collect();
        assert_eq!(outputs, [56, 56, 28, 112, 14]);
        let outputs: Vec<_> = GROUPED.iter().map(|(_, shape)| shape.output()[2]).collect();
        assert_eq!(outputs, [56, 28, 28, 14, 14]);
        let outputs: Vec<_> = TRANSPOSED.iter().map(|(_, s)| s.output()[2]).collect();
        assert_eq!(outputs, [32, 56, 32, 64, 1024]);
        assert_eq!(MAX_POOL.1.output(), [1, 56, 56]);
        assert_eq!(AVG_POOL.1.output(), [1, 28, 28]);
        assert_eq!(linear_name(LINEAR[2]), "linear-1x768x3072");
    }

    #[test]
    fn every_shape_is_valid() {
        for (name, shape) in CONV.into_iter().chain(GROUPED) {
            assert_eq!(shape.validate(), Ok(()), "{name}");
        }
        for (name, shape) in TRANSPOSED {
            assert_eq!(shape.validate(), Ok(()), "{name}");
        }
        for (name, shape) in [MAX_POOL, AVG_POOL] {
            assert_eq!(shape.validate(), Ok(()), "{name}");
        }
    }
}
