//! Transposed convolutions put together of their parts, as the operators above the kernels do it.

use qkernels_x86::{Context, PackedWeights, Requant, TransposedShape, conv, linear, reference};

use super::{Model, isas};

impl Model {
    /// The output of a transposed convolution by its parts, on one instruction set.
    pub fn conv_transpose(&self, context: &Context, x: &[u8], shape: &TransposedShape) -> Vec<u8> {
        let output: usize = shape.output().iter().product();
        let mut out = vec![0xa5; shape.batch * output * shape.out_channels];
        if shape.has_bare_outputs() {
            let row = self.bare_row(context);
            shape
                .fill_bare_outputs(context, &row, &mut out)
                .expect("the row has all channels");
        }
        for part in shape.parts() {
            let weights = part.weights(shape, &self.weight).expect("the weights fit");
            let weights =
                PackedWeights::conv(&weights, &part.least(shape)).expect("the weights fit");
            let (bias, multipliers) = (part.stacked(&self.bias), part.stacked(&self.multipliers));
            let zero_point = self.input_zero_point;
            let requant = Requant::new(&weights, &bias, &multipliers, zero_point, self.range)
                .expect("parameters of a test layer are valid");
            let Some(geometry) = part.conv(shape) else {
                continue;
            };
            let positions: usize = geometry.output().iter().product();
            let mut sums = vec![0x5a; shape.batch * positions * geometry.out_channels];
            conv(context, x, &geometry, &weights, &requant, &mut sums).expect("the buffers fit");
            if part.is_whole(shape) {
                assert_eq!(sums.len(), out.len());
                out = sums;
            } else {
                part.place(context, shape, &sums, &mut out)
                    .expect("the buffers fit");
            }
        }
        out
    }

    /// What outputs are that have no products: the requantized bias.
    fn bare_row(&self, context: &Context) -> Vec<u8> {
        let (n, zero_point) = (self.bias.len(), self.input_zero_point);
        let weights = PackedWeights::linear(&vec![0; n], n, 1).expect("the weights fit");
        let requant = self.requant(&weights);
        let mut row = vec![0; n];
        linear(context, &[zero_point; 64], 1, &weights, &requant, &mut row)
            .expect("the buffers fit");
        row
    }

    /// Every tier gives the bytes of the definition, on different numbers of threads.
    pub fn check_conv_transpose(&self, x: &[u8], shape: &TransposedShape) {
        let want = reference::conv_transpose(&self.layer(), x, shape);
        for (threads, isa) in isas().into_iter().enumerate() {
            let got = self.conv_transpose(&Context::with(isa, 1 + threads % 3), x, shape);
            let wrong = got.iter().zip(&want).position(|(got, want)| got != want);
            assert_eq!(
                (wrong, got.len()),
                (None, want.len()),
                "{shape:?} on {}",
                isa.name()
            );
        }
    }
}

/// A square layer: channels, size, kernel, stride, padding, output padding.
pub fn square(channels: [usize; 2], size: usize, sizes: [usize; 4]) -> TransposedShape {
    let [kernel, stride, padding, output_padding] = sizes;
    TransposedShape {
        batch: 1,
        in_channels: channels[0],
        out_channels: channels[1],
        groups: 1,
        input: [1, size, size],
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        padding: [0, padding, padding],
        output_padding: [0, output_padding, output_padding],
        dilation: [1; 3],
    }
}

/// Transposed convolutions of every kind: phases together and apart, groups, cut ends, outputs without products.
pub fn transposed() -> Vec<TransposedShape> {
    let double = square([24, 17], 5, [4, 2, 1, 0]);
    let apart = square([20, 12], 6, [3, 2, 1, 1]);
    vec![
        double,
        square([16, 3], 7, [2, 2, 0, 0]),
        apart,
        square([33, 17], 4, [3, 1, 1, 0]),
        square([3, 5], 6, [5, 2, 2, 1]),
        square([18, 20], 4, [8, 4, 2, 0]),
        square([8, 6], 5, [1, 2, 0, 1]),
        TransposedShape {
            groups: 4,
            batch: 2,
            ..apart
        },
        TransposedShape {
            groups: 2,
            ..square([24, 16], 5, [4, 2, 1, 0])
        },
        TransposedShape {
            groups: 19,
            ..square([19, 19], 6, [3, 2, 1, 1])
        },
        TransposedShape {
            dilation: [1, 2, 3],
            ..square([7, 9], 5, [3, 2, 2, 0])
        },
        TransposedShape {
            padding: [0, 4, 4],
            ..double
        },
        TransposedShape {
            input: [3, 4, 5],
            kernel: [2, 3, 4],
            stride: [2; 3],
            padding: [0, 1, 1],
            ..square([8, 6], 1, [1, 1, 0, 0])
        },
        TransposedShape {
            input: [1, 1, 25],
            kernel: [1, 1, 16],
            stride: [1, 1, 8],
            padding: [0, 0, 4],
            ..square([24, 12], 1, [1, 1, 0, 0])
        },
    ]
}
