//! Linear layers in int8 on every instruction set of this CPU, and the same products in float.
//!
//! Throughput is in products (one multiplication and one addition), so 1 Gelem/s is 1 GMAC/s. Int8 times
//! include the epilogue: bytes go in and bytes come out.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, SamplingMode, Throughput};
use qkernels_x86::{Context, Isa, PackedWeights, Requant, linear, reference, sgemm};
use qtensor_benches::model::{Model, real, same};
use qtensor_benches::{run, shapes};
use rayon::ThreadPool;

/// A drawn layer with its input and its right output.
struct Case {
    size: shapes::Linear,
    model: Model,
    x: Vec<u8>,
    want: Vec<u8>,
}

fn main() {
    run::on_one_thread();
    let mut criterion = run::criterion();
    for (seed, size) in (10..).zip(shapes::LINEAR) {
        let case = Case::new(seed, size);
        let mut group = criterion.benchmark_group(shapes::linear_name(size));
        group.throughput(Throughput::Elements(
            size.iter().map(|&n| n as u64).product(),
        ));
        // One iteration of the portable loops is long already; more in later samples would be longer still.
        group.sampling_mode(SamplingMode::Flat);
        case.bench_int8(&mut group);
        case.bench_all_threads(&mut group);
        case.bench_float(&mut group);
        group.finish();
    }
    criterion.final_summary();
}

impl Case {
    fn new(seed: u64, size: shapes::Linear) -> Case {
        let [m, n, k] = size;
        let model = Model::draw(seed, n, k);
        let x = model.input(m * k);
        let want = reference::linear(&model.layer(), &x, m, n, k);
        Case {
            size,
            model,
            x,
            want,
        }
    }

    fn packed(&self) -> (PackedWeights, Requant) {
        let [_, n, k] = self.size;
        let weights = PackedWeights::linear(&self.model.weight, n, k).expect("the weights fit");
        let requant = self.model.requant(&weights).expect("parameters are valid");
        (weights, requant)
    }

    fn bench_int8(&self, group: &mut BenchmarkGroup<WallTime>) {
        for isa in Isa::available() {
            self.check_and_time(group, isa.name(), &Context::with(isa, 1), None);
        }
    }

    /// The best instruction set on all cores.
    fn bench_all_threads(&self, group: &mut BenchmarkGroup<WallTime>) {
        let isa = Isa::active().expect("the variable names an instruction set");
        let pool = run::all_threads();
        let threads = pool.current_num_threads();
        let name = format!("{}-{threads}threads", isa.name());
        self.check_and_time(group, &name, &Context::with(isa, threads), Some(&pool));
    }

    fn check_and_time(
        &self,
        group: &mut BenchmarkGroup<WallTime>,
        name: &str,
        context: &Context,
        pool: Option<&ThreadPool>,
    ) {
        let m = self.size[0];
        let (weights, requant) = self.packed();
        let mut out = vec![0; self.want.len()];
        let call = |x: &[u8], out: &mut [u8]| {
            linear(context, x, m, &weights, &requant, out).expect("the buffers fit");
        };
        // Inside of the pool, so that only forks are counted and not the way in.
        match pool {
            Some(pool) => pool.install(|| call(&self.x, &mut out)),
            None => call(&self.x, &mut out),
        }
        same(name, &out, &self.want);
        group.bench_function(name, |bencher| {
            let mut time = || bencher.iter(|| call(black_box(&self.x), &mut out));
            match pool {
                Some(pool) => pool.install(time),
                None => time(),
            }
        });
    }

    /// `x w^T` in float: the product alone, without an epilogue.
    fn bench_float(&self, group: &mut BenchmarkGroup<WallTime>) {
        let [m, n, k] = self.size;
        let x: Vec<f32> = self.x[..m * k].iter().map(|&byte| real(byte)).collect();
        let w = self.model.float_weight();
        let mut sums = vec![0.0; m * n];
        let context = Context::with(
            Isa::active().expect("the variable names an instruction set"),
            1,
        );
        let call = |x: &[f32], sums: &mut [f32]| {
            sgemm(&context, m, n, k, x, (k, 1), &w, (1, k), sums, false).expect("the buffers fit");
        };
        call(&x, &mut sums);
        let got: Vec<u8> = (sums.iter().enumerate())
            .map(|(i, &sum)| self.model.requantize(i % n, sum))
            .collect();
        same("sgemm", &got, &self.want);
        group.bench_function("sgemm", |bencher| {
            bencher.iter(|| call(black_box(&x), &mut sums))
        });
    }
}
