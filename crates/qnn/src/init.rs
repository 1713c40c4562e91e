//! Initial parameters: seeded uniform numbers, as PyTorch's layers draw them.

use std::cell::RefCell;

use qtensor_core::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::Result;

thread_local! {
    static RNG: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Restarts this thread's generator of initial parameters and of dropout's masks. Without a call, the seed is 0.
#[doc(alias = "torch.manual_seed")]
pub fn manual_seed(seed: u64) {
    RNG.with(|rng| *rng.borrow_mut() = ChaCha8Rng::seed_from_u64(seed));
}

/// A seed for what else is drawn at random, such as the masks of dropout.
pub(crate) fn next_seed() -> u64 {
    RNG.with(|rng| rng.borrow_mut().random())
}

/// Uniform numbers in `[−bound, bound)`.
pub(crate) fn uniform(shape: &[usize], bound: f32) -> Result<Tensor> {
    Ok(Tensor::build(
        shape,
        qtensor_core::MemoryFormat::Contiguous,
        |out| {
            RNG.with(|rng| {
                let mut rng = rng.borrow_mut();
                out.iter_mut()
                    .for_each(|v| *v = (rng.random::<f32>() * 2.0 - 1.0) * bound);
            });
            Ok::<(), qtensor_core::Error>(())
        },
    )?)
}

/// A weight of this shape, and a bias of so many elements if there is one, drawn as PyTorch draws those of convolutions and linear
/// layers: the fan-in is the product of all sizes but the first.
pub(crate) fn weight_and_bias(
    shape: &[usize],
    bias: Option<usize>,
) -> Result<(Tensor, Option<Tensor>)> {
    let fan_in = (shape.iter().skip(1)).fold(1usize, |all, &size| all.saturating_mul(size));
    let bound = bound(fan_in);
    let weight = uniform(shape, bound)?;
    let bias = bias.map(|outputs| uniform(&[outputs], bound));
    Ok((weight, bias.transpose()?))
}

/// `1 / √fan_in`, the bound that PyTorch's layers use.
pub(crate) fn bound(fan_in: usize) -> f32 {
    1.0 / (fan_in.max(1) as f32).sqrt()
}
