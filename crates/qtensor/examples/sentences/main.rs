//! Which sentences mean the same: a BERT encoder in the Hugging Face layout, in float and dynamically quantized.
//!
//! `cargo run --release -p qtensor --example sentences -- MODEL_DIRECTORY`, with a file of sentences, one a line, if you
//! like, and with `--json` for one JSON object as the last line. The directory holds `config.json`,
//! `model.safetensors` and `tokenizer.json`, such as those of all-MiniLM-L6-v2.

mod bert;
mod compare;
mod config;
mod model;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressIterator};
use qtensor::prelude::*;
use qtensor::qflow::to_bytes;
use qtensor::qgrad::no_grad;

use bert::Tokens;
use model::Model;

/// Any error, with the words for the person who ran this.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Finds the most similar sentences, in float and in int8.
#[derive(Parser)]
struct Args {
    /// A directory with config.json, model.safetensors and tokenizer.json of a BERT.
    model: PathBuf,
    /// Sentences, one a line [default: twenty of this example].
    file: Option<PathBuf>,
    /// Threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Pairs to show.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Passes to time.
    #[arg(long, default_value_t = 20)]
    passes: usize,
    /// Write the sentences' ids and the float vectors into this safetensors file, to compare them with others'.
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// End with one JSON object of the results.
    #[arg(long)]
    json: bool,
}

const SENTENCES: &str = include_str!("sentences.txt");

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything inside one pool: entering it from outside costs more than many a layer.
fn start(args: &Args) -> Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads.into());
    pool.build()?.install(|| run(args))
}

fn sentences(args: &Args) -> Result<Vec<String>, Failure> {
    let text = match &args.file {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?
        }
        None => SENTENCES.into(),
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(String::from).collect();
    if lines.len() < 2 {
        return Err(format!("{} sentences make no pair", lines.len()).into());
    }
    Ok(lines)
}

/// Median times of both models on the same tokens, in turns of several passes: what a turn begins with is memory that
/// the other model has filled, and a program with one model does not pay for that.
fn times(models: [&Model; 2], tokens: &Tokens, passes: usize) -> Result<[Duration; 2], Failure> {
    const TURNS: usize = 4;
    let mut times = [Vec::new(), Vec::new()];
    let passes = passes.div_ceil(TURNS).max(2);
    for _ in (0..TURNS).progress_with(ProgressBar::new(TURNS as u64)) {
        for (model, times) in models.iter().zip(&mut times) {
            for _ in 0..passes {
                let start = Instant::now();
                no_grad(|| model.bert.embed(tokens))?;
                times.push(start.elapsed());
            }
        }
    }
    Ok(times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    }))
}

fn run(args: &Args) -> Result<(), Failure> {
    let lines = sentences(args)?;
    let float = Model::open(&args.model)?;
    let mut int8 = Model::open(&args.model)?;
    let report = int8.quantize()?;
    let tokens = float.tokens(&lines)?;
    let float_vectors = float.bert.embed(&tokens)?;
    let int8_vectors = int8.bert.embed(&tokens)?;

    println!("most similar, by the int8 model (and in float):");
    let (float_pairs, int8_pairs) = (
        compare::pairs(&float_vectors),
        compare::pairs(&int8_vectors),
    );
    for pair in int8_pairs.iter().take(args.pairs) {
        let same = float_pairs.iter().find(|p| (p.a, p.b) == (pair.a, pair.b));
        let before = same.map_or(f32::NAN, |p| p.cosine);
        println!(
            "  {:.3} ({before:.3})  {} | {}",
            pair.cosine, lines[pair.a], lines[pair.b]
        );
    }
    let top = args.pairs.min(float_pairs.len());
    let order = |pairs: &[compare::Pair]| -> Vec<(usize, usize)> {
        pairs[..top].iter().map(|p| (p.a, p.b)).collect()
    };
    let same_top = order(&float_pairs) == order(&int8_pairs);
    let worst = compare::worst(&float_vectors, &int8_vectors);

    let batch = times([&float, &int8], &tokens, args.passes)?;
    let one_text = float.tokens(&lines[..1])?;
    let one = times([&float, &int8], &one_text, args.passes * 5)?;
    let bytes = to_bytes(&int8.bert)?.len();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{} of {} places are int8 now; {:.1} MB became {:.1} MB; the least cosine between float and int8 is {worst:.4}",
        report.converted().count(),
        report.rows().len(),
        float.file_bytes as f64 / 1e6,
        bytes as f64 / 1e6
    );
    println!(
        "all {} sentences at once: {:.1} ms in float, {:.1} ms in int8; the first alone: {:.2} ms and {:.2} ms",
        lines.len(),
        ms(batch[0]),
        ms(batch[1]),
        ms(one[0]),
        ms(one[1])
    );
    if let Some(path) = &args.vectors {
        write_vectors(path, &tokens, &float_vectors, &int8_vectors)?;
    }
    if args.json {
        let json = serde_json::json!({
            "threads": args.threads,
            "sentences": lines.len(),
            "tokens": tokens.ids.shape()[1],
            "worst_cosine": worst,
            "same_top": same_top,
            "float_bytes": float.file_bytes,
            "int8_bytes": bytes,
            "float_ms": ms(batch[0]),
            "int8_ms": ms(batch[1]),
            "float_ms_one": ms(one[0]),
            "int8_ms_one": ms(one[1]),
        });
        println!("{json}");
    }
    Ok(())
}

fn write_vectors(
    path: &std::path::Path,
    tokens: &Tokens,
    float: &Tensor,
    int8: &Tensor,
) -> Result<(), Failure> {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes =
        |t: &Tensor| -> Vec<u8> { t.to_vec().into_iter().flat_map(f32::to_le_bytes).collect() };
    let ids: Vec<u8> = tokens
        .ids
        .to_vec()
        .into_iter()
        .flat_map(i64::to_le_bytes)
        .collect();
    let mask: Vec<u8> = tokens.mask.iter().flat_map(|m| m.to_le_bytes()).collect();
    let (float_bytes, int8_bytes) = (bytes(float), bytes(int8));
    let shape = tokens.ids.shape().to_vec();
    let views = [
        ("ids", TensorView::new(Dtype::I64, shape.clone(), &ids)?),
        ("mask", TensorView::new(Dtype::F32, shape, &mask)?),
        (
            "float",
            TensorView::new(Dtype::F32, float.shape().to_vec(), &float_bytes)?,
        ),
        (
            "int8",
            TensorView::new(Dtype::F32, int8.shape().to_vec(), &int8_bytes)?,
        ),
    ];
    Ok(safetensors::serialize_to_file(views, None, path)?)
}
