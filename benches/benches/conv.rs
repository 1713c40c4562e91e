//! Convolutions in int8 on every instruction set of this CPU, and in float by `qops::float::conv`.
//!
//! Throughput is in products, and all run on one thread. Int8 reads channels-last bytes, float the same
//! numbers as a contiguous NCHW tensor, and each writes its output in the layout of its input.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, SamplingMode, Throughput};
use qkernels_x86::{Context, ConvShape, Isa, PackedWeights, conv, reference};
use qops::ConvSpec;
use qtensor_benches::model::{Model, real, same};
use qtensor_benches::{run, shapes};
use qtensor_core::Tensor;

fn main() {
    run::on_one_thread();
    let mut criterion = run::criterion();
    let shapes = shapes::CONV.into_iter().chain(shapes::GROUPED);
    for (seed, (name, shape)) in (20..).zip(shapes) {
        let reduction = shape.kernel.iter().product::<usize>() * shape.in_channels / shape.groups;
        let model = Model::draw(seed, shape.out_channels, reduction);
        let x = model.input(shape.in_channels * shape.input.iter().product::<usize>());
        let want = reference::conv(&model.layer(), &x, &shape);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.macs()));
        group.sampling_mode(SamplingMode::Flat);
        bench_int8(&mut group, &shape, &model, &x, &want);
        bench_float(&mut group, &shape, &model, &x, &want);
        group.finish();
    }
    criterion.final_summary();
}

fn bench_int8(
    group: &mut BenchmarkGroup<WallTime>,
    shape: &ConvShape,
    model: &Model,
    x: &[u8],
    want: &[u8],
) {
    let weights = PackedWeights::conv(&model.weight, shape).expect("the weights fit");
    let requant = model.requant(&weights).expect("parameters are valid");
    for isa in Isa::available() {
        let context = Context::with(isa, 1);
        let mut out = vec![0; want.len()];
        let call = |x: &[u8], out: &mut [u8]| {
            conv(&context, x, shape, &weights, &requant, out).expect("the buffers fit");
        };
        call(x, &mut out);
        same(isa.name(), &out, want);
        group.bench_function(isa.name(), |bencher| {
            bencher.iter(|| call(black_box(x), &mut out))
        });
    }
}

fn bench_float(
    group: &mut BenchmarkGroup<WallTime>,
    shape: &ConvShape,
    model: &Model,
    x: &[u8],
    want: &[u8],
) {
    let [_, height, width] = shape.input;
    let (channels, pixels) = (shape.in_channels, height * width);
    let planes: Vec<f32> = (0..channels * pixels)
        .map(|i| real(x[i % pixels * channels + i / pixels]))
        .collect();
    let x = Tensor::from_vec(planes, &[1, channels, height, width]).expect("the sizes agree");
    let [_, kernel_height, kernel_width] = shape.kernel;
    let weight = Tensor::from_vec(
        model.float_weight(),
        &[
            shape.out_channels,
            channels / shape.groups,
            kernel_height,
            kernel_width,
        ],
    )
    .expect("the sizes agree");
    let spec = ConvSpec::new(
        &shape.stride[1..],
        &shape.padding[1..],
        &shape.dilation[1..],
        shape.groups,
    )
    .expect("the geometry is valid");
    let call = |x: &Tensor| qops::float::conv(x, &weight, None, &spec).expect("the shapes agree");
    let sums = call(&x).to_vec();
    let (outputs, pixels) = (shape.out_channels, sums.len() / shape.out_channels);
    let got: Vec<u8> = (0..sums.len())
        .map(|i| model.requantize(i % outputs, sums[i % outputs * pixels + i / outputs]))
        .collect();
    same("float", &got, want);
    group.bench_function("float", |bencher| bencher.iter(|| call(black_box(&x))));
}
