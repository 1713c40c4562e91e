//! What the training examples share: shuffled batches, the loss, and accuracy.

use std::error::Error;

use qtensor::prelude::*;
use qtensor::qgrad::{Var, ops};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::common::digits::Split;
use crate::common::net::DigitsNet;

/// Images with their digits.
pub type Batch = (Value, Vec<usize>);

/// The images of a split, for batches in any order.
pub struct Images {
    pixels: Vec<f32>,
    labels: Vec<usize>,
}

/// Pixels of an image.
const IMAGE: usize = 64;

impl Images {
    /// The images of a split.
    pub fn of(split: &Split<'_>) -> Result<Images, Box<dyn Error>> {
        let all = split.batches(split.labels().len())?;
        Ok(Images {
            pixels: all.iter().flat_map(|x| x.to_tensor().to_vec()).collect(),
            labels: split.labels().to_vec(),
        })
    }

    /// Batches of at most `size` images in an order that the seed determines. A last batch of one image, of which a
    /// batch norm learns nothing, is left out.
    pub fn shuffled(&self, size: usize, seed: u64) -> Result<Vec<Batch>, Box<dyn Error>> {
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut batches = Vec::new();
        for rows in order.chunks(size.max(2)).filter(|rows| rows.len() > 1) {
            let pixels = |&row: &usize| &self.pixels[row * IMAGE..(row + 1) * IMAGE];
            let pixels: Vec<f32> = rows.iter().flat_map(pixels).copied().collect();
            let images = Tensor::from_vec(pixels, &[rows.len(), 1, 8, 8])?;
            let labels = rows.iter().map(|&row| self.labels[row]).collect();
            batches.push((images.into(), labels));
        }
        Ok(batches)
    }

    /// The batches of each of some epochs.
    pub fn epochs(&self, epochs: usize, size: usize) -> Result<Vec<Vec<Batch>>, Box<dyn Error>> {
        let seeds = 0..epochs as u64;
        seeds.map(|seed| self.shuffled(size, seed)).collect()
    }
}

/// The cross-entropy of a batch, with a little label smoothing.
pub fn loss(net: &DigitsNet, (images, labels): &Batch) -> Result<Var> {
    let logits = net.forward(images)?;
    Ok(ops::cross_entropy(
        logits.float("cross_entropy")?,
        labels,
        0.05,
    )?)
}
