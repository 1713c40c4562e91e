//! Samples from WAV files.

use std::error::Error;
use std::io::Read;
use std::path::Path;

use hound::{SampleFormat, WavReader};

/// The rate that the network was trained for.
pub const SAMPLE_RATE: u32 = 16_000;

/// Twenty seconds of speech.
const SAMPLE: &[u8] = include_bytes!("../../data/silero_vad/speech_20s.wav");

/// The samples of a file, or of the embedded sample, in −1..1; several channels are averaged.
pub fn samples(path: Option<&Path>) -> Result<Vec<f32>, Box<dyn Error>> {
    match path {
        Some(path) => {
            let at = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
            let reader = WavReader::open(path).map_err(|e| at(&e))?;
            Ok(read(reader).map_err(|e| at(&e))?)
        }
        None => read(WavReader::new(SAMPLE)?),
    }
}

fn read<R: Read>(mut reader: WavReader<R>) -> Result<Vec<f32>, Box<dyn Error>> {
    let spec = reader.spec();
    if spec.sample_rate != SAMPLE_RATE {
        let rate = spec.sample_rate;
        return Err(
            format!("{rate} samples a second, expected {SAMPLE_RATE}; resample it first").into(),
        );
    }
    let values: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>()?,
        SampleFormat::Int => {
            let full = (1u64 << (spec.bits_per_sample - 1)) as f32;
            let samples = reader.samples::<i32>();
            samples
                .map(|s| s.map(|s| s as f32 / full))
                .collect::<Result<_, _>>()?
        }
    };
    let channels = usize::from(spec.channels.max(1));
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
    Ok(values.chunks_exact(channels).map(mean).collect())
}
