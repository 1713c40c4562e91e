//! The embedded handwritten digits: 1,437 rows to train and calibrate on, 360 to test on.

use std::error::Error;

use flate2::read::GzDecoder;
use qtensor::prelude::*;

/// Rows before this one are for training, the rest for tests.
const TRAIN_ROWS: usize = 1437;
const SIDE: usize = 8;

/// Images in the order of the file with their digits.
pub struct Digits {
    pixels: Vec<f32>,
    labels: Vec<usize>,
}

/// A part of the data.
pub struct Split<'a> {
    pixels: &'a [f32],
    labels: &'a [usize],
}

impl Digits {
    /// Unpacks the embedded file.
    pub fn load() -> Result<Digits, Box<dyn Error>> {
        let packed: &[u8] = include_bytes!("../../data/digits.csv.gz");
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(GzDecoder::new(packed));
        let mut digits = Digits {
            pixels: Vec::new(),
            labels: Vec::new(),
        };
        for row in reader.deserialize() {
            let row: Vec<u8> = row?;
            let (label, pixels) = row.split_last().ok_or("an empty row")?;
            if pixels.len() != SIDE * SIDE {
                return Err(format!(
                    "a row has {} pixels, expected {}",
                    pixels.len(),
                    SIDE * SIDE
                )
                .into());
            }
            digits
                .pixels
                .extend(pixels.iter().map(|&p| f32::from(p) / 16.0));
            digits.labels.push(usize::from(*label));
        }
        Ok(digits)
    }

    /// The rows to train and calibrate on.
    pub fn train(&self) -> Split<'_> {
        Split {
            pixels: &self.pixels[..TRAIN_ROWS * SIDE * SIDE],
            labels: &self.labels[..TRAIN_ROWS],
        }
    }

    /// The rows to test on.
    pub fn test(&self) -> Split<'_> {
        Split {
            pixels: &self.pixels[TRAIN_ROWS * SIDE * SIDE..],
            labels: &self.labels[TRAIN_ROWS..],
        }
    }
}

impl Split<'_> {
    /// The digits shown.
    pub fn labels(&self) -> &[usize] {
        self.labels
    }

    /// Batches of at most `size` images, `(N, 1, 8, 8)` with pixels in 0..1.
    pub fn batches(&self, size: usize) -> Result<Vec<Value>, Box<dyn Error>> {
        let image = SIDE * SIDE;
        let tensor = |pixels: &[f32]| {
            Tensor::from_vec(pixels.to_vec(), &[pixels.len() / image, 1, SIDE, SIDE])
        };
        self.pixels
            .chunks(size * image)
            .map(|pixels| Ok(tensor(pixels)?.into()))
            .collect()
    }
}
