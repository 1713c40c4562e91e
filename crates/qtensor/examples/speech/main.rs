//! Who speaks when: a voice detector in float and with int8 weights, on a WAV file or an embedded sample.
//!
//! `cargo run --release -p qtensor --example speech`, with a WAV file of 16,000 samples a second if you like, and with
//! `--json` for one JSON object as the last line.

mod audio;
mod net;
mod segments;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::ProgressIterator;
use qtensor::qflow;

use net::{CONTEXT, SileroVad, WINDOW};
use segments::{THRESHOLD, segments};

/// Finds speech in a WAV file, in float and with int8 weights.
#[derive(Parser)]
struct Args {
    /// A WAV file of 16,000 samples a second [default: an embedded sample].
    file: Option<PathBuf>,
    /// End with one JSON object of the results.
    #[arg(long)]
    json: bool,
}

/// What PyTorch's float model makes of the embedded sample.
const EXPECTED: &[u8] = include_bytes!("../../data/silero_vad/speech_20s_expected.safetensors");

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Probabilities window by window, and the time that a window takes.
struct Heard {
    probabilities: Vec<f32>,
    per_window: Duration,
}

/// Listens with both models in turns, window by window, so that whatever slows the machine down slows both.
fn listen(models: [&SileroVad; 2], samples: &[f32]) -> Result<[Heard; 2], Box<dyn Error>> {
    let mut states = [None, None];
    let mut probabilities = [Vec::new(), Vec::new()];
    let mut times = [Vec::new(), Vec::new()];
    // Silence stands before the first window, and behind the last one.
    let windows = samples.len().div_ceil(WINDOW);
    let mut padded = vec![0.0; CONTEXT + windows * WINDOW];
    padded[CONTEXT..][..samples.len()].copy_from_slice(samples);
    for at in (0..windows).progress() {
        let window = &padded[at * WINDOW..][..CONTEXT + WINDOW];
        for (which, model) in models.iter().enumerate() {
            let start = Instant::now();
            let (p, state) = model.listen(window, states[which].take())?;
            times[which].push(start.elapsed());
            probabilities[which].push(p);
            states[which] = state;
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    let [float, int8] = probabilities;
    let [float_times, int8_times] = times;
    Ok([
        Heard {
            probabilities: float,
            per_window: median(float_times),
        },
        Heard {
            probabilities: int8,
            per_window: median(int8_times),
        },
    ])
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let samples = audio::samples(args.file.as_deref())?;
    let [float, int8] = listen([&SileroVad::float()?, &SileroVad::int8()?], &samples)?;
    println!("speech, by the int8 model:");
    for segment in segments(&int8.probabilities) {
        println!("  {segment}");
    }
    // The recorded probabilities belong to the embedded sample; any other file is judged by our own float model.
    let reference = match args.file {
        None => qflow::read_safetensors(EXPECTED)?
            .remove("prob")
            .ok_or("the recorded probabilities are missing")?
            .to_vec(),
        Some(_) => float.probabilities.clone(),
    };
    if reference.len() != float.probabilities.len() {
        let (recorded, windows) = (reference.len(), float.probabilities.len());
        return Err(format!("{recorded} recorded probabilities for {windows} windows").into());
    }
    let greatest = |heard: &Heard| {
        let pairs = heard.probabilities.iter().zip(&reference);
        pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max)
    };
    let agree = |(a, b): &(&f32, &f32)| (**a >= THRESHOLD) == (**b >= THRESHOLD);
    let windows = reference.len();
    let equal = int8.probabilities.iter().zip(&reference);
    let agreement = equal.filter(agree).count() as f64 / windows.max(1) as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let (float_us, int8_us) = (micros(float.per_window), micros(int8.per_window));
    println!(
        "{windows} windows of 32 ms: int8 decides as the reference in {:.2} %; a window takes {float_us:.0} µs in \
         float and {int8_us:.0} µs in int8",
        100.0 * agreement
    );
    if args.json {
        let json = serde_json::json!({
            "windows": windows,
            "max_abs_diff_float": greatest(&float),
            "max_abs_diff_int8": greatest(&int8),
            "agreement_int8": agreement,
            "float_us_per_window": float_us,
            "int8_us_per_window": int8_us,
        });
        println!("{json}");
    }
    Ok(())
}
