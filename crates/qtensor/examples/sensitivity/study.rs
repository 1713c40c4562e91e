//! The study itself: damage, ranking, automatic mode. The example prints it, and a test checks it.

use std::error::Error;

use qtensor::prelude::*;
use qtensor::qflow;
use qtensor::qflow::accuracy::{Automatic, Bound, HtmlReport, Measure, quantize_within};

use super::damage::{DAMAGED, damage};
use crate::common::digits::Digits;
use crate::common::net::DigitsNet;

/// Weights under PyTorch's names.
const WEIGHTS: &[u8] = include_bytes!("../../data/digits_net.safetensors");

/// Images in a batch, and batches at the end of the training rows that decisions are made on.
const BATCH: usize = 60;
const VALIDATION: usize = 6;

/// What came out.
pub struct Study {
    /// Accuracies on the test rows: in float, with everything in int8, and as the automatic mode left the model.
    pub float_accuracy: f64,
    pub int8_accuracy: f64,
    pub automatic_accuracy: f64,
    /// Ranking and search, on validation rows.
    pub automatic: Automatic,
    /// The model with everything in int8, on a page.
    pub report: HtmlReport,
}

impl Study {
    /// Runs everything.
    pub fn run() -> Result<Study, Box<dyn Error>> {
        let digits = Digits::load()?;
        let (train, test) = (digits.train(), digits.test());
        let (images, tests) = (train.batches(BATCH)?, test.batches(BATCH)?);
        let on_test = |net: &DigitsNet| accuracy(net, &tests, test.labels());

        let float = damaged(&images)?;
        let mut int8 = damaged(&images)?;
        prepare(&mut int8, QConfig::x86())?;
        calibrate(&int8, images.clone())?;
        convert(&mut int8)?;

        // Decisions are made on training rows, so that the test rows stay a test.
        let kept = images.len() - VALIDATION;
        let (samples, labels) = (&images[kept..], &train.labels()[kept * BATCH..]);
        let mut net = damaged(&images)?;
        prepare(&mut net, QConfig::x86())?;
        calibrate(&net, images.clone())?;
        let title = format!("DigitsNet in int8, with a damaged {DAMAGED}");
        let report = HtmlReport::gather(&mut net, samples, &title)?;
        let mut measure = Measure::new(samples).with_metric(|net| accuracy(net, samples, labels));
        let automatic = quantize_within(&mut net, &mut measure, Bound::OfFloat(0.99))?;

        Ok(Study {
            float_accuracy: on_test(&float)?,
            int8_accuracy: on_test(&int8)?,
            automatic_accuracy: on_test(&net)?,
            report: report.with_sensitivity(&automatic.sensitivity),
            automatic,
        })
    }

    /// The automatic mode's share of the float model's accuracy.
    pub fn recovered(&self) -> f64 {
        self.automatic_accuracy / self.float_accuracy
    }

    /// The place that was damaged.
    pub fn damaged(&self) -> &'static str {
        DAMAGED
    }

    /// One JSON object.
    pub fn json(&self) -> serde_json::Value {
        let places = &self.automatic.sensitivity.places;
        let ranking: Vec<serde_json::Value> = places
            .iter()
            .map(|p| {
                serde_json::json!({
                    "place": p.path,
                    "accuracy": p.alone.metric,
                    "sqnr_db": p.alone.sqnr_db,
                })
            })
            .collect();
        serde_json::json!({
            "damaged": self.damaged(),
            "ranking": ranking,
            "float_accuracy": self.float_accuracy,
            "int8_accuracy": self.int8_accuracy,
            "automatic_accuracy": self.automatic_accuracy,
            "recovered": self.recovered(),
            "left_in_float": self.automatic.left_in_float,
        })
    }
}

/// The network as trained, fused, with its damage.
fn damaged(images: &[Value]) -> Result<DigitsNet, Box<dyn Error>> {
    let mut net = DigitsNet::new()?;
    load_safetensors_bytes(&mut net, WEIGHTS)?;
    fuse_all(&mut net, &images[0])?;
    damage(&mut net, images)?;
    Ok(net)
}

/// The share of images whose digit is recognized.
fn accuracy(net: &DigitsNet, batches: &[Value], labels: &[usize]) -> Result<f64, qflow::Error> {
    let mut logits = Vec::new();
    for batch in batches {
        logits.extend(net.forward(batch)?.to_tensor().to_vec());
    }
    let logits = Tensor::from_vec(logits, &[labels.len(), 10])?;
    Ok(metrics::accuracy(&logits, labels)?)
}
