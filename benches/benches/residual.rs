//! The last convolution of a bottleneck with the addition behind it, in one pass and in two, on every instruction set of
//! this CPU.
//!
//! The bytes are those of the naive convolution and of the addition's formula. Throughput is in products, and all run on
//! one thread.

use std::hint::black_box;

use criterion::{SamplingMode, Throughput};
use qkernels_x86::{
    Context, Isa, OutputRange, PackedWeights, Residual, add, conv, conv_add, reference,
};
use qtensor_benches::model::{Model, same};
use qtensor_benches::{run, shapes};
use qtensor_core::requant::requantize_f32;

/// Of the convolution's results; their zero point is that of the model.
const CONV_SCALE: f32 = 0.02;

/// Scale and zero point of what they are added to.
const OTHER: (f32, i32) = (0.03, 200);

/// The reciprocal of the sum's scale.
const INV_SCALE: f32 = 1.0 / 0.05;

/// A sum with its ReLU.
const RANGE: OutputRange = OutputRange {
    zero_point: 100,
    lo: 100,
    hi: 255,
};

fn main() {
    run::on_one_thread();
    let mut criterion = run::criterion();
    let (name, shape) = shapes::EXPANSION;
    let model = Model::draw(50, shape.out_channels, shape.in_channels);
    let x = model.input(shape.in_channels * shape.input.iter().product::<usize>());
    let results = reference::conv(&model.layer(), &x, &shape);
    let other = &Model::draw(52, 1, 1).input(results.len())[..results.len()];

    let weights = PackedWeights::conv(&model.weight, &shape).expect("the weights fit");
    let requant = model.requant(&weights).expect("parameters are valid");
    let conv_params = (CONV_SCALE, requant.range().zero_point);
    let real = |q: u8, (scale, zero): (f32, i32)| (i32::from(q) - zero) as f32 * scale;
    let want: Vec<u8> = (results.iter().zip(other))
        .map(|(&a, &b)| (real(a, conv_params) + real(b, OTHER)) * INV_SCALE)
        .map(|sum| requantize_f32(sum, RANGE) as u8)
        .collect();
    let residual = Residual {
        other: Some(other),
        other_params: OTHER,
        conv_scale: CONV_SCALE,
        inv_scale: INV_SCALE,
        range: RANGE,
    };

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(shape.macs()));
    group.sampling_mode(SamplingMode::Flat);
    for isa in Isa::available() {
        let context = Context::with(isa, 1);
        let (mut out, mut between) = (vec![0; want.len()], vec![0; want.len()]);
        let one_pass = |x: &[u8], out: &mut [u8]| {
            conv_add(&context, x, &shape, &weights, &requant, &residual, out)
                .expect("the buffers fit");
        };
        one_pass(&x, &mut out);
        same(isa.name(), &out, &want);
        group.bench_function(format!("{}-fused", isa.name()), |bencher| {
            bencher.iter(|| one_pass(black_box(&x), &mut out))
        });

        let mut two_passes = |x: &[u8], out: &mut [u8]| {
            conv(&context, x, &shape, &weights, &requant, &mut between).expect("the buffers fit");
            add(
                &context,
                &between,
                conv_params,
                other,
                OTHER,
                INV_SCALE,
                RANGE,
                out,
            )
            .expect("the buffers fit");
        };
        out.fill(0);
        two_passes(&x, &mut out);
        same(isa.name(), &out, &want);
        group.bench_function(format!("{}-apart", isa.name()), |bencher| {
            bencher.iter(|| two_passes(black_box(&x), &mut out))
        });
    }
    group.finish();
    criterion.final_summary();
}
