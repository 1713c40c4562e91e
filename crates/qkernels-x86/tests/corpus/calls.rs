//! The calls of the corpus: layers of every class in several sizes and families, pools, conversions.

use qkernels_x86::{
    Context, ConvShape, FloatOutput, OutputRange, PackedWeights, PoolShape, RowParams,
    TransposedShape, adaptive_avg_pool, add, avg_pool, conv_i32, dequantize_u8, linear_f32,
    max_pool, mul, quantize_u8,
};

use crate::common::Data;
use crate::common::cases::{convolutions, linear_layers, narrow_groups, square};
use crate::common::families::{Scaling, Values, model};
use crate::common::transposed::transposed;

/// Runs a call and returns its result as bytes.
pub type Run = Box<dyn Fn(&Context) -> Vec<u8>>;

/// A call with its data.
pub struct Call {
    pub name: String,
    pub run: Run,
}

/// Collects calls and gives each one its stream.
struct Corpus(Vec<Call>);

impl Corpus {
    fn add(&mut self, name: String, make: impl FnOnce(&mut Data) -> Run) {
        let run = make(&mut Data::new(self.0.len() as u64));
        self.0.push(Call { name, run });
    }
}

/// Every call; new ones go to the end, since each one's place keys its data.
pub fn corpus() -> Vec<Call> {
    let mut corpus = Corpus(Vec::new());
    for values in [Values::Random, Values::Small, Values::PairEdge] {
        linear(&mut corpus, values);
        convolution(&mut corpus, values);
    }
    networks(&mut corpus);
    sums(&mut corpus);
    pools(&mut corpus);
    elementwise(&mut corpus);
    transposed_convolution(&mut corpus);
    grouped_convolution(&mut corpus);
    corpus.0
}

fn reduction(shape: &ConvShape) -> usize {
    shape.kernel.iter().product::<usize>() * shape.in_channels / shape.groups
}

fn pixels(shape: &ConvShape) -> usize {
    shape.batch * shape.input.iter().product::<usize>()
}

fn linear(corpus: &mut Corpus, values: Values) {
    let layers = linear_layers().into_iter().chain([[9, 40, 128]]);
    // A few bytes are too little to tell anything.
    let large = layers.filter(|[m, n, _]| m * n > 16);
    for (i, [m, n, k]) in large.enumerate() {
        for scaling in [Scaling::Spread, Scaling::Ties] {
            corpus.add(
                format!("linear {m}x{n}x{k} {values:?} {scaling:?}"),
                |data| {
                    let zero_point = [0, 1, 127, 255][i % 4];
                    let mut model = model(data, values, scaling, zero_point, [n, k]);
                    model.range = full(60);
                    let x = values.activations(data, m, k);
                    Box::new(move |ctx| model.linear(ctx, &x, m, k))
                },
            );
        }
    }
}

fn full(zero_point: i32) -> OutputRange {
    OutputRange {
        zero_point,
        lo: 0,
        hi: 255,
    }
}

/// A shape as one word of text.
fn text(shape: &ConvShape) -> String {
    let size = |[d, h, w]: [usize; 3]| format!("{d}.{h}.{w}");
    format!(
        "{}x{}to{}g{} on {} kernel {} stride {} padding {} dilation {}",
        shape.batch,
        shape.in_channels,
        shape.out_channels,
        shape.groups,
        size(shape.input),
        size(shape.kernel),
        size(shape.stride),
        size(shape.padding),
        size(shape.dilation)
    )
}

fn conv(corpus: &mut Corpus, shape: ConvShape, values: Values, scaling: Scaling, zero_point: u8) {
    corpus.add(
        format!("conv {} {values:?} {scaling:?}", text(&shape)),
        |data| {
            let sizes = [shape.out_channels, reduction(&shape)];
            let mut model = model(data, values, scaling, zero_point, sizes);
            model.range = full(60);
            let x = values.activations(data, pixels(&shape), shape.in_channels);
            Box::new(move |ctx| model.conv(ctx, &x, &shape))
        },
    );
}

fn convolution(corpus: &mut Corpus, values: Values) {
    for (i, shape) in convolutions().into_iter().enumerate() {
        conv(
            corpus,
            shape,
            values,
            Scaling::Spread,
            [0, 3, 128, 255][i % 4],
        );
    }
}

/// Shapes of known networks, small in area.
fn networks(corpus: &mut Corpus) {
    let stride = [1, 2, 2];
    for shape in [
        ConvShape {
            stride,
            ..square([3, 64], 1, [24, 24], [7, 7])
        },
        square([64, 64], 1, [14, 14], [3, 3]),
        ConvShape {
            stride,
            ..square([128, 128], 1, [9, 9], [3, 3])
        },
        square([256, 64], 1, [7, 7], [1, 1]),
        ConvShape {
            stride,
            ..square([64, 256], 1, [8, 8], [1, 1])
        },
        ConvShape {
            stride,
            ..square([3, 32], 1, [20, 20], [3, 3])
        },
        square([32, 32], 32, [28, 28], [3, 3]),
        ConvShape {
            stride,
            ..square([144, 144], 144, [14, 14], [3, 3])
        },
        square([120, 120], 120, [9, 9], [5, 5]),
        square([128, 128], 32, [7, 7], [3, 3]),
    ] {
        conv(corpus, shape, Values::Random, Scaling::Spread, 7);
    }
}

/// Layers that deliver integers and floats.
fn sums(corpus: &mut Corpus) {
    for [m, n, k] in [[1, 33, 70], [5, 17, 64], [13, 48, 147]] {
        corpus.add(format!("linear to f32 {m}x{n}x{k}"), |data| {
            let weights = Values::Random.weights(data, n, k);
            let weights = PackedWeights::linear(&weights, n, k).expect("the weights fit");
            let x = data.bytes(m * k);
            let rows: Vec<RowParams> = (data.bytes(m).into_iter())
                .map(|byte| RowParams {
                    scale: (f32::from(byte) + 1.0) / 4096.0,
                    zero_point: byte,
                })
                .collect();
            let scales: Vec<f32> = (0..n).map(|i| 0.001 * (i + 3) as f32).collect();
            Box::new(move |ctx| {
                let output = FloatOutput {
                    rows: &rows,
                    column_scales: &scales,
                    bias: Some(&scales),
                    relu: m == 5,
                };
                let mut out = vec![0.0; m * n];
                linear_f32(ctx, &x, m, &weights, &output, &mut out).expect("the buffers fit");
                floats(&out)
            })
        });
    }
    for shape in [
        square([16, 20], 1, [6, 7], [3, 3]),
        square([19, 19], 19, [6, 9], [3, 3]),
        square([3, 18], 1, [9, 11], [3, 3]),
    ] {
        conv_sums(corpus, shape);
    }
}

fn conv_sums(corpus: &mut Corpus, shape: ConvShape) {
    corpus.add(format!("conv to i32 {}", text(&shape)), |data| {
        let w = Values::Random.weights(data, shape.out_channels, reduction(&shape));
        let weights = PackedWeights::conv(&w, &shape).expect("the weights fit");
        let x = data.bytes(pixels(&shape) * shape.in_channels);
        Box::new(move |ctx| {
            let rows = shape.batch * shape.output().iter().product::<usize>();
            let mut out = vec![0i32; rows * shape.out_channels];
            conv_i32(ctx, &x, &shape, &weights, 77, &mut out).expect("the buffers fit");
            out.iter().flat_map(|sum| sum.to_le_bytes()).collect()
        })
    });
}

fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn pools(corpus: &mut Corpus) {
    let plain = PoolShape {
        batch: 2,
        channels: 5,
        input: [1, 7, 9],
        kernel: [1, 3, 3],
        stride: [1, 2, 2],
        padding: [0, 1, 1],
        dilation: [1; 3],
        ceil_mode: false,
    };
    for channels in [5, 16, 33, 64, 70] {
        for (window, shape) in [
            ("3x3", plain),
            (
                "3x3 ceil",
                PoolShape {
                    ceil_mode: true,
                    ..plain
                },
            ),
            (
                "2x2x2",
                PoolShape {
                    input: [3, 6, 5],
                    kernel: [2; 3],
                    stride: [1; 3],
                    ..plain
                },
            ),
        ] {
            let shape = PoolShape { channels, ..shape };
            let pixels = shape.batch * shape.input.iter().product::<usize>();
            let outputs = shape.batch * shape.output().iter().product::<usize>() * channels;
            corpus.add(format!("max_pool {window} of {channels}"), |data| {
                let x = data.bytes(pixels * channels);
                Box::new(move |ctx| {
                    let mut out = vec![0; outputs];
                    max_pool(ctx, &x, &shape, &mut out).expect("the buffers fit");
                    out
                })
            });
            corpus.add(format!("avg_pool {window} of {channels}"), |data| {
                let x = data.bytes(pixels * channels);
                Box::new(move |ctx| {
                    let mut out = vec![0; outputs];
                    avg_pool(ctx, &x, &shape, 9, channels == 33, None, &mut out)
                        .expect("the buffers fit");
                    out
                })
            });
        }
        corpus.add(format!("adaptive_avg_pool of {channels}"), |data| {
            let x = data.bytes(2 * 63 * channels);
            Box::new(move |ctx| {
                let mut out = vec![0; 2 * 6 * channels];
                let (input, output) = ([1, 7, 9], [1, 3, 2]);
                adaptive_avg_pool(ctx, &x, 2, channels, input, output, 9, &mut out)
                    .expect("the buffers fit");
                out
            })
        });
    }
}

fn elementwise(corpus: &mut Corpus) {
    for len in [17, 1000] {
        corpus.add(format!("add of {len}"), |data| {
            let (a, b) = (data.bytes(len), data.bytes(len));
            Box::new(move |ctx| {
                let mut out = vec![0; len];
                add(
                    ctx,
                    &a,
                    (0.1, 3),
                    &b,
                    (0.0173, 200),
                    7.3,
                    full(100),
                    &mut out,
                )
                .expect("the buffers fit");
                out
            })
        });
        corpus.add(format!("mul of {len}"), |data| {
            let (a, b) = (data.bytes(len), data.bytes(len));
            Box::new(move |ctx| {
                let mut out = vec![0; len];
                mul(ctx, &a, 127, &b, 128, 0.0078125, full(100), &mut out)
                    .expect("the buffers fit");
                out
            })
        });
        corpus.add(format!("quantize_u8 of {len}"), |data| {
            let x: Vec<f32> = (0..len)
                .map(|_| (data.next() as i16) as f32 / 64.0)
                .collect();
            Box::new(move |ctx| {
                let mut out = vec![0; len];
                quantize_u8(ctx, &x, 0.371, 100, &mut out).expect("the buffers fit");
                out
            })
        });
        corpus.add(format!("dequantize_u8 of {len}"), |data| {
            let q = data.bytes(len);
            Box::new(move |ctx| {
                let mut out = vec![0.0; len];
                dequantize_u8(ctx, &q, 0.037, 100, &mut out).expect("the buffers fit");
                floats(&out)
            })
        });
    }
}

fn transposed_convolution(corpus: &mut Corpus) {
    for (i, shape) in transposed().into_iter().enumerate() {
        for values in [Values::Random, Values::Small, Values::PairEdge] {
            corpus.add(
                format!("conv_transpose {} {values:?}", transposed_text(&shape)),
                |data| {
                    let taps: usize = shape.kernel.iter().product();
                    let sizes = [shape.out_channels, taps * shape.in_channels / shape.groups];
                    let zero_point = [0, 3, 128, 255][i % 4];
                    let mut model = model(data, values, Scaling::Spread, zero_point, sizes);
                    model.range = full(60);
                    let pixels = shape.batch * shape.input.iter().product::<usize>();
                    let x = values.activations(data, pixels, shape.in_channels);
                    Box::new(move |ctx| model.conv_transpose(ctx, &x, &shape))
                },
            );
        }
    }
}

fn grouped_convolution(corpus: &mut Corpus) {
    for (i, shape) in narrow_groups().into_iter().enumerate() {
        let zero_point = [0, 3, 128, 255][i % 4];
        for values in [Values::Random, Values::Small, Values::PairEdge] {
            conv(corpus, shape, values, Scaling::Spread, zero_point);
        }
    }
    for shape in narrow_groups().into_iter().take(4) {
        conv_sums(corpus, shape);
    }
}

fn transposed_text(shape: &TransposedShape) -> String {
    let with = ConvShape {
        batch: shape.batch,
        in_channels: shape.in_channels,
        out_channels: shape.out_channels,
        groups: shape.groups,
        input: shape.input,
        kernel: shape.kernel,
        stride: shape.stride,
        padding: shape.padding,
        dilation: shape.dilation,
    };
    let [d, h, w] = shape.output_padding;
    format!("{} output padding {d}.{h}.{w}", text(&with))
}
