//! Running the model over the test rows, and timing it.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use qtensor::prelude::*;

use crate::common::net::DigitsNet;

/// What the quickstart measures.
pub struct Measured {
    /// Share of test rows that the float model gets right.
    pub float_accuracy: f64,
    /// Share of test rows that the int8 model gets right.
    pub int8_accuracy: f64,
    /// Share of test rows on which both agree.
    pub agreement: f64,
    /// Signal-to-quantization-noise ratio of the logits.
    pub sqnr_db: f64,
    /// Size of the float weights' file.
    pub float_bytes: u64,
    /// Size of the int8 model's file.
    pub int8_bytes: u64,
    /// Microseconds for one image in float.
    pub float_us: f64,
    /// Microseconds for one image in int8.
    pub int8_us: f64,
}

impl Measured {
    /// One JSON object.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "float_accuracy": self.float_accuracy,
            "int8_accuracy": self.int8_accuracy,
            "agreement": self.agreement,
            "sqnr_db": self.sqnr_db,
            "float_bytes": self.float_bytes,
            "int8_bytes": self.int8_bytes,
            "float_us": self.float_us,
            "int8_us": self.int8_us,
        })
    }
}

/// The logits of all batches, one row an image.
pub fn logits(net: &DigitsNet, batches: &[Value]) -> Result<Tensor, Box<dyn Error>> {
    let mut values = Vec::new();
    for batch in batches {
        values.extend(net.forward(batch)?.to_tensor().to_vec());
    }
    let rows = values.len() / 10;
    Ok(Tensor::from_vec(values, &[rows, 10])?)
}

/// The times of one forward pass with a batch of one image, in microseconds: of `float` and of `int8`.
///
/// Both are measured in turns, five rounds each, so that other work on the machine meets both. Of each, the
/// least of the rounds' medians counts.
pub fn latencies_us(
    float: &DigitsNet,
    int8: &DigitsNet,
    image: &Value,
) -> Result<(f64, f64), Box<dyn Error>> {
    let mut least = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        least.0 = least.0.min(median_us(float, image)?);
        least.1 = least.1.min(median_us(int8, image)?);
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
