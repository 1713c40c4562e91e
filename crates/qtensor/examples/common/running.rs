//! Running networks over images, and timing them.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use qtensor::prelude::*;

use crate::common::net::DigitsNet;

/// The logits of all batches, one row an image.
pub fn logits(net: &DigitsNet, batches: &[Value]) -> Result<Tensor, Box<dyn Error>> {
    let mut values = Vec::new();
    for batch in batches {
        values.extend(net.forward(batch)?.to_tensor().to_vec());
    }
    let rows = values.len() / 10;
    Ok(Tensor::from_vec(values, &[rows, 10])?)
}

/// The time of one forward pass with a batch of one image, in microseconds, of each network.
///
/// All are measured in turns, five rounds each, so that other work on the machine meets all. Of each, the least of
/// the rounds' medians counts.
pub fn latencies_us(nets: &[&DigitsNet], image: &Value) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut least = vec![f64::INFINITY; nets.len()];
    for _ in 0..5 {
        for (least, net) in least.iter_mut().zip(nets) {
            *least = least.min(median_us(net, image)?);
        }
    }
    Ok(least)
}

fn median_us(net: &DigitsNet, image: &Value) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 50 || start.elapsed() < Duration::from_millis(100) {
        let before = Instant::now();
        black_box(net.forward(black_box(image))?);
        times.push(before.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
