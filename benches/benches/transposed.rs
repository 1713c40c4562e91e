//! Transposed convolutions: `PackedConvTranspose` on the instruction set of this run, and `qops::float::conv_transpose`.
//!
//! Throughput is in products, and all run on one thread. Int8 reads channels-last bytes, float the same numbers as a
//! contiguous tensor, and each writes its output in the layout of its input.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, SamplingMode, Throughput};
use qkernels_x86::reference::{self, Layer};
use qkernels_x86::{Isa, OutputRange, TransposedShape};
use qops::ConvTransposeSpec;
use qops::quantized::{Activation, OutQParams, PackedConvTranspose, by_output_channel};
use qtensor_benches::model::{INPUT_ZERO_POINT, Model, same};
use qtensor_benches::{run, shapes};
use qtensor_core::requant::output_multiplier;
use qtensor_core::{IntTensor, MemoryFormat, QTensor, Quantizer, Tensor};

/// The scale of inputs and weights.
const SCALE: f64 = 1.0;

fn main() {
    run::on_one_thread();
    let mut criterion = run::criterion();
    for (seed, (name, shape)) in (60..).zip(shapes::TRANSPOSED) {
        let taps: usize = shape.kernel.iter().product();
        let model = Model::draw(seed, shape.out_channels, taps * shape.in_channels);
        let len = shape.in_channels * shape.input.iter().product::<usize>();
        let layer = Quantized::new(&shape, &model, &model.input(len)[..len]);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.macs()));
        group.sampling_mode(SamplingMode::Flat);
        layer.bench_int8(&mut group);
        layer.bench_float(&mut group);
        group.finish();
    }
    criterion.final_summary();
}

/// A layer and its input as integers, and the bytes of its output.
struct Quantized {
    x: QTensor,
    weight: QTensor,
    spec: ConvTransposeSpec,
    out: OutQParams,
    want: Vec<u8>,
}

impl Quantized {
    fn new(shape: &TransposedShape, model: &Model, x: &[u8]) -> Quantized {
        // Outputs of about the deviation that these products have spread over the bytes.
        let products = (shape.macs() / shape.output().iter().product::<usize>() as u64) as f64;
        let products = products / shape.out_channels as f64;
        let scale = f64::from((74.0 * 74.0 * products.sqrt() / 50.0) as f32);
        let out = OutQParams::new(scale, 120);
        let (bias, multiplier) = (
            vec![0; shape.out_channels],
            output_multiplier(SCALE as f32, SCALE as f32, scale as f32),
        );
        let layer = Layer {
            weight: &model.weight,
            bias: &bias,
            multipliers: &vec![multiplier; shape.out_channels],
            input_zero_point: INPUT_ZERO_POINT,
            range: OutputRange {
                zero_point: out.zero_point,
                lo: 0,
                hi: 255,
            },
        };
        let want = reference::conv_transpose(&layer, x, shape);
        let [_, height, width] = shape.input;
        let x = Tensor::from_slice(x, &[1, height, width, shape.in_channels]);
        let x = x
            .and_then(|x| x.permute(&[0, 3, 1, 2]))
            .expect("the sizes agree");
        let zero_point = i32::from(INPUT_ZERO_POINT);
        let x = QTensor::from_parts(IntTensor::U8(x), Quantizer::per_tensor(SCALE, zero_point));
        let [_, kernel_height, kernel_width] = shape.kernel;
        let weight = Tensor::from_slice(
            &model.weight,
            &[
                shape.out_channels,
                shape.in_channels,
                kernel_height,
                kernel_width,
            ],
        );
        let weight = IntTensor::I8(weight.expect("the sizes agree"));
        let weight = QTensor::from_parts(weight, Quantizer::per_tensor(SCALE, 0));
        let spec = ConvTransposeSpec::new(
            &shape.stride[1..],
            &shape.padding[1..],
            &shape.output_padding[1..],
            &shape.dilation[1..],
            shape.groups,
        );
        Quantized {
            x: x.expect("the map is valid"),
            weight: weight.expect("the map is valid"),
            spec: spec.expect("the geometry is valid"),
            out,
            want,
        }
    }

    fn bench_int8(&self, group: &mut BenchmarkGroup<WallTime>) {
        let conv = PackedConvTranspose::by_channel(&self.weight, None, &self.spec);
        let conv = conv.expect("the weights fit");
        let call = |x: &QTensor| {
            conv.run(x, self.out, Activation::None)
                .expect("the input fits")
        };
        let y = call(&self.x);
        let IntTensor::U8(bytes) = y.int_repr() else {
            unreachable!("the input is of unsigned bytes");
        };
        let got = bytes.dense_slice(MemoryFormat::ChannelsLast);
        let isa = Isa::active().expect("the tier that QTENSOR_ISA names runs here");
        same(isa.name(), got.expect("the layout of results"), &self.want);
        group.bench_function(isa.name(), |bencher| {
            bencher.iter(|| call(black_box(&self.x)))
        });
    }

    fn bench_float(&self, group: &mut BenchmarkGroup<WallTime>) {
        let x = self.x.dequantize().contiguous();
        let weight = by_output_channel(&self.weight.dequantize(), self.spec.groups);
        let weight = weight.expect("the sizes agree");
        let call = |x: &Tensor| {
            qops::float::conv_transpose(x, &weight, None, &self.spec).expect("the shapes agree")
        };
        let sums = call(&x);
        let quantized = qops::quantized::quantize(&sums, self.out, qtensor_core::DType::QUInt8);
        let quantized = quantized.expect("sums are finite");
        let quantized = quantized.to_memory_format(MemoryFormat::ChannelsLast);
        let IntTensor::U8(bytes) = quantized.as_ref().expect("four dimensions").int_repr() else {
            unreachable!("quantized to unsigned bytes");
        };
        let got = bytes.dense_slice(MemoryFormat::ChannelsLast);
        same("float", got.expect("the layout asked for"), &self.want);
        group.bench_function("float", |bencher| bencher.iter(|| call(black_box(&x))));
    }
}
