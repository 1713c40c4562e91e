//! What is measured of a configuration: the example prints it, and a test checks what the guide concludes from it.

use std::error::Error;

use qtensor::prelude::*;

use crate::common::digits::Digits;
use crate::common::net::DigitsNet;

/// Weights under PyTorch's names.
const WEIGHTS: &[u8] = include_bytes!("../../data/digits_net.safetensors");

/// Images in a batch of calibration data, and of test data.
const CALIBRATION_BATCH: usize = 16;
const TEST_BATCH: usize = 60;

/// One of so many pixels of the spoilt data is [`SPOILT`] times as bright as white, as from a broken sensor: one in
/// every fifth batch.
const EVERY: usize = 5000;
const SPOILT: f32 = 20.0;

/// The data, and the float network's answers.
pub struct Study {
    clean: Vec<Value>,
    spoilt: Vec<Value>,
    images: Vec<Value>,
    labels: Vec<usize>,
    float: Tensor,
    /// The float network's share of right answers.
    pub float_accuracy: f64,
}

/// How near an int8 network comes to the float one.
#[derive(Clone, Copy)]
pub struct Quality {
    /// The share of test images that are right.
    pub accuracy: f64,
    /// Signal-to-quantization-noise ratio of the logits against those of the float network.
    pub sqnr_db: f64,
}

/// One configuration, calibrated twice.
pub struct Row {
    pub name: String,
    pub clean: Quality,
    pub spoilt: Quality,
}

impl Study {
    /// Loads the data and runs the float network.
    pub fn new() -> Result<Study, Box<dyn Error>> {
        let digits = Digits::load()?;
        let clean = digits.train().batches(CALIBRATION_BATCH)?;
        let images = digits.test().batches(TEST_BATCH)?;
        let labels = digits.test().labels().to_vec();
        let float = logits(&float_net()?, &images)?;
        Ok(Study {
            float_accuracy: metrics::accuracy(&float, &labels)?,
            spoilt: spoil(&clean)?,
            clean,
            images,
            labels,
            float,
        })
    }

    /// Converts the network with a configuration, once with each set of calibration data.
    pub fn measure(&self, name: String, qconfig: &QConfig) -> Result<Row, Box<dyn Error>> {
        Ok(Row {
            name,
            clean: self.quality(qconfig, &self.clean)?,
            spoilt: self.quality(qconfig, &self.spoilt)?,
        })
    }

    fn quality(&self, qconfig: &QConfig, data: &[Value]) -> Result<Quality, Box<dyn Error>> {
        let mut net = float_net()?;
        fuse_all(&mut net, &self.images[0])?;
        prepare(&mut net, qconfig)?;
        calibrate(&net, data.iter().cloned())?;
        convert(&mut net)?;
        let int8 = logits(&net, &self.images)?;
        Ok(Quality {
            accuracy: metrics::accuracy(&int8, &self.labels)?,
            sqnr_db: metrics::sqnr_db(&self.float, &int8)?,
        })
    }
}

fn float_net() -> Result<DigitsNet, Box<dyn Error>> {
    let mut net = DigitsNet::new()?;
    load_safetensors_bytes(&mut net, WEIGHTS)?;
    Ok(net)
}

/// The logits of all batches, one row an image.
fn logits(net: &DigitsNet, batches: &[Value]) -> Result<Tensor, Box<dyn Error>> {
    let mut values = Vec::new();
    for batch in batches {
        values.extend(net.forward(batch)?.to_tensor().to_vec());
    }
    let rows = values.len() / 10;
    Ok(Tensor::from_vec(values, &[rows, 10])?)
}

/// The batches with some pixels that no camera saw.
fn spoil(batches: &[Value]) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut count = 0;
    let spoilt = |batch: &Value| {
        let x = batch.to_tensor();
        let mut pixels = x.to_vec();
        for pixel in &mut pixels {
            count += 1;
            if count % EVERY == 0 {
                *pixel = SPOILT;
            }
        }
        Ok(Tensor::from_vec(pixels, x.shape())?.into())
    };
    batches.iter().map(spoilt).collect()
}
