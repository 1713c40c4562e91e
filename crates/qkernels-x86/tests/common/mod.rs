//! Layers with reproducible data, and the comparison of all tiers with the naive loops.

pub mod cases;
pub mod decode;
pub mod families;
pub mod pools;
pub mod transposed;

use qkernels_x86::reference::{self, Layer};
use qkernels_x86::{
    Context, ConvShape, Isa, OutputRange, PackedWeights, Requant, Residual, add, conv, conv_add,
    linear,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The tiers to test: the one that `QTENSOR_ISA` names, or every one of this CPU.
pub fn isas() -> Vec<Isa> {
    Isa::selected().expect("the tier that QTENSOR_ISA names runs on this CPU")
}

/// Calls the test with every tier and with thread counts that cut differently.
pub fn contexts(test: impl Fn(&Context)) {
    for isa in isas() {
        for threads in [1, 2, 3, 7] {
            test(&Context::with(isa, threads));
        }
    }
}

/// The full range of bytes around a zero point.
pub fn range(zero_point: i32) -> OutputRange {
    OutputRange {
        zero_point,
        lo: 0,
        hi: 255,
    }
}

/// Reproducible pseudo-random numbers: the 64-bit words of ChaCha with 8 rounds, a stream that is the
/// same on every machine and in every version.
pub struct Data(ChaCha8Rng);

impl Data {
    pub fn new(seed: u64) -> Data {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Data(ChaCha8Rng::from_seed(key))
    }

    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()]
    }

    /// Bytes of all values, every eighth an extreme one.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut byte = || {
            let bits = self.next();
            match bits >> 60 {
                0 => 255,
                1 => 0,
                _ => bits as u8,
            }
        };
        (0..len).map(|_| byte()).collect()
    }

    /// A layer of `n` outputs with `k` products each, whose outputs spread over the byte range.
    pub fn model(&mut self, n: usize, k: usize) -> Model {
        let weight = self
            .bytes(n * k)
            .into_iter()
            .map(|byte| byte as i8)
            .collect();
        let spread = 255.0 / (128.0 * 100.0 * (k as f32).sqrt());
        let multipliers = (0..n)
            .map(|_| spread * (0.5 + self.next() as u8 as f32 / 100.0))
            .collect();
        let bias = (0..n).map(|_| (self.next() as i32) >> 17).collect();
        let input_zero_point = self.pick(&[0, 1, 127, 255]);
        let zero_point = self.pick(&[0, 1, 100, 128, 255]);
        let lo = if self.next().is_multiple_of(3) {
            zero_point
        } else {
            0
        };
        let hi = if self.next().is_multiple_of(3) {
            lo.max(200)
        } else {
            255
        };
        let range = OutputRange { zero_point, lo, hi };
        Model {
            weight,
            bias,
            multipliers,
            input_zero_point,
            range,
        }
    }
}

/// The parameters of a layer.
pub struct Model {
    pub weight: Vec<i8>,
    pub bias: Vec<i32>,
    pub multipliers: Vec<f32>,
    pub input_zero_point: u8,
    pub range: OutputRange,
}

impl Model {
    /// `n` outputs whose `k` weights are all `weight`.
    pub fn constant(weight: i8, n: usize, k: usize, input_zero_point: u8) -> Model {
        Model {
            weight: vec![weight; n * k],
            bias: vec![0; n],
            multipliers: vec![1.0; n],
            input_zero_point,
            range: range(0),
        }
    }

    pub fn layer(&self) -> Layer<'_> {
        Layer {
            weight: &self.weight,
            bias: &self.bias,
            multipliers: &self.multipliers,
            input_zero_point: self.input_zero_point,
            range: self.range,
        }
    }

    pub fn requant(&self, weights: &PackedWeights) -> Requant {
        Requant::new(
            weights,
            &self.bias,
            &self.multipliers,
            self.input_zero_point,
            self.range,
        )
        .expect("parameters of a test layer are valid")
    }

    /// The kernel's output, from a copy of `x` that ends where its allocation does.
    pub fn linear(&self, context: &Context, x: &[u8], m: usize, k: usize) -> Vec<u8> {
        let n = self.bias.len();
        let weights = PackedWeights::linear(&self.weight, n, k).expect("the weights fit");
        let x: Box<[u8]> = x.into();
        let mut out = vec![0xa5; m * n];
        linear(context, &x, m, &weights, &self.requant(&weights), &mut out)
            .expect("the buffers fit");
        out
    }

    /// As [`Model::linear`].
    pub fn conv(&self, context: &Context, x: &[u8], shape: &ConvShape) -> Vec<u8> {
        let weights = PackedWeights::conv(&self.weight, shape).expect("the weights fit");
        let x: Box<[u8]> = x.into();
        let outputs: usize = shape.output().iter().product();
        let mut out = vec![0xa5; shape.batch * outputs * shape.out_channels];
        conv(
            context,
            &x,
            shape,
            &weights,
            &self.requant(&weights),
            &mut out,
        )
        .expect("the buffers fit");
        out
    }

    /// Every tier gives the bytes of the naive loops, with and without slack after the input.
    pub fn check_linear(&self, x: &[u8], m: usize, k: usize) {
        let n = self.bias.len();
        let want = reference::linear(&self.layer(), x, m, n, k);
        let mut slack = x.to_vec();
        slack.resize(x.len() + 64, 0xee);
        for isa in isas() {
            let context = Context::with(isa, 1);
            for x in [x, &slack] {
                let got = self.linear(&context, x, m, k);
                let wrong = got.iter().zip(&want).position(|(got, want)| got != want);
                assert_eq!(
                    wrong,
                    None,
                    "{m}x{n}x{k} on {}, input of {} bytes",
                    isa.name(),
                    x.len()
                );
            }
        }
    }

    /// Whether some rows of `out` are those of the naive loops (all would take long).
    pub fn reference_rows(&self, x: &[u8], k: usize, out: &[u8]) -> bool {
        let n = self.bias.len();
        let rows = x.chunks_exact(k).zip(out.chunks_exact(n)).step_by(29);
        rows.into_iter()
            .all(|(x, out)| reference::linear(&self.layer(), x, 1, n, k) == out)
    }

    /// Every tier gives the bytes of the naive loops, with and without slack after the input.
    pub fn check_conv(&self, x: &[u8], shape: &ConvShape) {
        let want = reference::conv(&self.layer(), x, shape);
        let mut slack = x.to_vec();
        slack.resize(x.len() + 64, 0xee);
        for isa in isas() {
            let context = Context::with(isa, 1);
            for x in [x, &slack] {
                let got = self.conv(&context, x, shape);
                let wrong = got.iter().zip(&want).position(|(got, want)| got != want);
                assert_eq!(
                    wrong,
                    None,
                    "{shape:?} on {}, input of {} bytes",
                    isa.name(),
                    x.len()
                );
            }
            self.check_conv_add(isa, &slack, shape, &want);
        }
    }

    /// A convolution with an addition gives the bytes of the convolution, `conv`, and of an addition after it.
    fn check_conv_add(&self, isa: Isa, x: &[u8], shape: &ConvShape, conv: &[u8]) {
        let weights = PackedWeights::conv(&self.weight, shape).unwrap();
        let layer = (&weights, &self.requant(&weights));
        let bounded = OutputRange {
            lo: 9,
            hi: 240,
            zero_point: 9,
        };
        // The last one leaves the range of integers before it is clamped.
        let sums = [
            ([2.71 / 255.0, 9.87 / 255.0, 4.67 / 255.0], 0, range(5)),
            ([0.021, 0.031, 0.04], 2, bounded),
            ([0.021, 0.031, 1e-9], 1, range(128)),
        ];
        for (threads, sum) in [1, 3, 2].into_iter().zip(sums) {
            self.check_sum(&Context::with(isa, threads), x, shape, layer, conv, sum);
        }
    }

    /// One addition: scales of the convolution, of what is added, and of the sum, the zero point of what is added, and the
    /// range of the sum.
    pub fn check_sum(
        &self,
        context: &Context,
        x: &[u8],
        shape: &ConvShape,
        (weights, requant): (&PackedWeights, &Requant),
        conv: &[u8],
        ([conv_scale, other_scale, scale], zero_point, range): ([f32; 3], i32, OutputRange),
    ) {
        let other: Vec<u8> = (0..conv.len() + 64)
            .map(|at| ((at * 37) ^ (at >> 4)) as u8)
            .collect();
        let residual = Residual {
            other: Some(&other),
            other_params: (other_scale, zero_point),
            conv_scale,
            inv_scale: 1.0 / scale,
            range,
        };
        // Scalar code comes first.
        let scalar = Context::with(Isa::available()[0], 1);
        let mut want = vec![0; conv.len()];
        add(
            &scalar,
            conv,
            (conv_scale, self.range.zero_point),
            &other,
            residual.other_params,
            residual.inv_scale,
            range,
            &mut want,
        )
        .unwrap();
        // Beside the output, and in its place.
        for beside in [true, false] {
            let mut got = match beside {
                true => vec![0; conv.len()],
                false => other[..conv.len()].to_vec(),
            };
            let residual = Residual {
                other: residual.other.filter(|_| beside),
                ..residual
            };
            conv_add(context, x, shape, weights, requant, &residual, &mut got).unwrap();
            let wrong = got.iter().zip(&want).position(|(got, want)| got != want);
            assert_eq!(wrong, None, "{shape:?} on {context:?}, added: {residual:?}");
        }
    }
}

/// A random layer of this size is exact on every tier.
pub fn check_linear(data: &mut Data, m: usize, n: usize, k: usize) {
    let model = data.model(n, k);
    let x = data.bytes(m * k);
    model.check_linear(&x, m, k);
}

/// A random convolution of this shape is exact on every tier.
pub fn check_conv(data: &mut Data, shape: &ConvShape) {
    let reduction = shape.kernel.iter().product::<usize>() * shape.in_channels / shape.groups;
    let model = data.model(shape.out_channels, reduction);
    let x = data.bytes(shape.batch * shape.input.iter().product::<usize>() * shape.in_channels);
    model.check_conv(&x, shape);
}
