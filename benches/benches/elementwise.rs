//! Loops over activations: addition, quantization and pools, on every instruction set of this CPU.
//!
//! Throughput is in elements of the output, on one thread.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use qkernels_x86::{
    Context, Isa, OutputRange, PoolShape, add, avg_pool, dequantize_u8, max_pool, quantize_u8,
};
use qtensor_benches::model::{Model, real, same};
use qtensor_benches::{run, shapes};
use qtensor_core::requant::requantize_f32;

const RANGE: OutputRange = OutputRange {
    zero_point: 100,
    lo: 0,
    hi: 255,
};

fn main() {
    run::on_one_thread();
    let mut criterion = run::criterion();
    bench_add(&mut criterion);
    bench_quantize(&mut criterion);
    bench_max_pool(&mut criterion);
    bench_avg_pool(&mut criterion);
    criterion.final_summary();
}

/// Checks `call` against `want` on every instruction set, and times it there.
fn bench(
    criterion: &mut Criterion,
    name: &str,
    want: &[u8],
    call: impl Fn(&Context, &mut [u8]) -> qkernels_x86::Result<()>,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(want.len() as u64));
    for isa in Isa::available() {
        let context = Context::with(isa, 1);
        let mut out = vec![0; want.len()];
        call(&context, &mut out).expect("the buffers fit");
        same(&format!("{name} on {}", isa.name()), &out, want);
        group.bench_function(isa.name(), |bencher| {
            bencher.iter(|| call(&context, black_box(&mut out)).expect("the buffers fit"))
        });
    }
    group.finish();
}

/// Bytes drawn from a seed.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Model::draw(seed, 1, 1).input(len);
    bytes.truncate(len);
    bytes
}

fn bench_add(criterion: &mut Criterion) {
    let (a, b) = (bytes(30, shapes::ELEMENTS), bytes(31, shapes::ELEMENTS));
    let (a_params, b_params, inv_scale) = ((0.02, 7), (0.03, 200), 1.0 / 0.05);
    let real = |q: u8, (scale, zero): (f32, i32)| (i32::from(q) - zero) as f32 * scale;
    let want: Vec<u8> = (a.iter().zip(&b))
        .map(|(&a, &b)| (real(a, a_params) + real(b, b_params)) * inv_scale)
        .map(|sum| requantize_f32(sum, RANGE) as u8)
        .collect();
    bench(criterion, "add-56x56x256", &want, |context, out| {
        add(context, &a, a_params, &b, b_params, inv_scale, RANGE, out)
    });
}

fn bench_quantize(criterion: &mut Criterion) {
    let x: Vec<f32> = (bytes(32, shapes::ELEMENTS).into_iter())
        .map(|byte| real(byte) * 0.013)
        .collect();
    let want: Vec<u8> = (x.iter())
        .map(|x| requantize_f32(x * 80.0, RANGE) as u8)
        .collect();
    bench(criterion, "quantize-56x56x256", &want, |context, out| {
        quantize_u8(context, &x, 80.0, RANGE.zero_point, out)
    });

    let q = bytes(33, shapes::ELEMENTS);
    let want: Vec<f32> = q.iter().map(|&q| (f32::from(q) - 100.0) * 0.1).collect();
    let mut group = criterion.benchmark_group("dequantize-56x56x256");
    group.throughput(Throughput::Elements(want.len() as u64));
    for isa in Isa::available() {
        let context = Context::with(isa, 1);
        let mut out = vec![0.0; want.len()];
        let call = |out: &mut [f32]| {
            dequantize_u8(&context, &q, 0.1, 100, out).expect("the buffers fit");
        };
        call(&mut out);
        assert_eq!(
            out.iter().zip(&want).position(|(got, want)| got != want),
            None,
            "dequantize on {}",
            isa.name()
        );
        group.bench_function(isa.name(), |bencher| {
            bencher.iter(|| call(black_box(&mut out)))
        });
    }
    group.finish();
}

fn bench_max_pool(criterion: &mut Criterion) {
    let (name, shape) = shapes::MAX_POOL;
    let x = bytes(34, shape.channels * shape.input.iter().product::<usize>());
    let want = windows(&shape, &x, |window| window.iter().copied().max());
    bench(criterion, name, &want, |context, out| {
        max_pool(context, &x, &shape, out)
    });
}

fn bench_avg_pool(criterion: &mut Criterion) {
    let (name, shape) = shapes::AVG_POOL;
    let x = bytes(35, shape.channels * shape.input.iter().product::<usize>());
    let want = windows(&shape, &x, |window| {
        let sum: i32 = window
            .iter()
            .map(|&q| i32::from(q) - RANGE.zero_point)
            .sum();
        // A window of four: the division by its size is exact in float.
        Some(requantize_f32(sum as f32 / window.len() as f32, RANGE) as u8)
    });
    bench(criterion, name, &want, |context, out| {
        avg_pool(context, &x, &shape, RANGE.zero_point, true, None, out)
    });
}

/// What `combine` makes of the real elements of each window, padding left out.
fn windows(shape: &PoolShape, x: &[u8], combine: impl Fn(&[u8]) -> Option<u8>) -> Vec<u8> {
    let ([_, height, width], [_, out_height, out_width]) = (shape.input, shape.output());
    let mut out = Vec::new();
    let mut window = Vec::new();
    for position in 0..out_height * out_width {
        let top = position / out_width * shape.stride[1];
        let left = position % out_width * shape.stride[2];
        for c in 0..shape.channels {
            window.clear();
            for tap in 0..shape.kernel[1] * shape.kernel[2] {
                let h = (top + tap / shape.kernel[2]).wrapping_sub(shape.padding[1]);
                let w = (left + tap % shape.kernel[2]).wrapping_sub(shape.padding[2]);
                if h < height && w < width {
                    window.push(x[(h * width + w) * shape.channels + c]);
                }
            }
            out.push(combine(&window).expect("every window meets the input"));
        }
    }
    out
}
