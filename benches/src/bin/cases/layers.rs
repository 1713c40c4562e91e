//! Networks taken apart: how long each layer takes in int8 and in float, side by side.

use std::collections::{BTreeMap, BTreeSet};

use qtensor::models::shapes::{Product, bert_base, lstm_tagger};
use qtensor::qnn::{is_leaf, profile, walk};

use crate::Failure;
use crate::bench::Bench;
use crate::case::{self, Case};
use crate::measure::{Session, Timing};
use crate::report::{machine, percent, table};

/// What is printed beside a layer that int8 does not make faster.
const SLOWER: &str = "int8 is slower";

/// A network to take apart.
#[derive(Clone)]
pub enum Parts {
    /// Its places are timed in passes of the whole.
    Passes(Case),
    /// Only its matrix products are timed, each alone.
    Products(Vec<Product>),
}

/// The network of a name, for the command line.
pub fn parse(id: &str) -> Result<Parts, Failure> {
    match id {
        "bert_base_t128" => Ok(Parts::Products(bert_base(128))),
        "lstm_tagger_t32_b1" => Ok(Parts::Products(lstm_tagger(32, 1))),
        _ => match case::parse(id) {
            Ok(case @ Case::Network { .. }) => Ok(Parts::Passes(case)),
            Ok(Case::Linear { .. } | Case::Recurrent { .. }) => {
                Err(format!("{id} has no layers to tell apart").into())
            }
            Err(other) => {
                Err(format!("{other}; also bert_base_t128 and lstm_tagger_t32_b1").into())
            }
        },
    }
}

/// One layer.
struct Line {
    place: String,
    kind: String,
    shape: String,
    macs: u64,
    f32: f64,
    int8: f64,
}

/// A table of the network's layers. Times are medians over passes, for products multiplied by their count in a pass.
pub fn profile(parts: &Parts, session: &Session) -> Result<String, Failure> {
    let (lines, note) = match parts {
        Parts::Products(products) => (products_alone(products, session)?, String::new()),
        Parts::Passes(case) => network(*case, session)?,
    };
    let peak = session.peak_macs();
    let sum = Line {
        place: "sum".into(),
        kind: String::new(),
        shape: String::new(),
        macs: lines.iter().map(|l| l.macs).sum(),
        f32: lines.iter().map(|l| l.f32).sum(),
        int8: lines.iter().map(|l| l.int8).sum(),
    };
    let header = [
        "place", "kind", "shape", "MMAC", "f32 ms", "int8 ms", "f32/int8", "GMAC/s", "of peak", "",
    ];
    let rows = lines.iter().chain([&sum]).map(|line| {
        let rate = line.macs as f64 / line.int8;
        let if_products = |text: String| if line.macs > 0 { text } else { String::new() };
        [
            line.place.clone(),
            line.kind.clone(),
            line.shape.clone(),
            if_products(format!("{:.1}", line.macs as f64 / 1e6)),
            format!("{:.3}", line.f32 * 1e3),
            format!("{:.3}", line.int8 * 1e3),
            format!("{:.2}", line.f32 / line.int8),
            if_products(format!("{:.1}", rate / 1e9)),
            if_products(percent(rate / peak)),
            if line.int8 > line.f32 {
                SLOWER.into()
            } else {
                String::new()
            },
        ]
    });
    let ghz = session.peak.hz.map(|hz| hz / 1e9);
    let head = machine(session.isa.name(), session.threads, peak / 1e9, ghz);
    Ok(format!("{head}\n{}{note}", table(header, rows, 3)))
}

/// The places of a network that do something, and a note on the passes as a whole.
fn network(case: Case, session: &Session) -> Result<(Vec<Line>, String), Failure> {
    let mut bench = Bench::float(case, session)?;
    let float = Pass::measure(&bench, session, "timing the layers of the float model")?;
    bench.convert(session)?;
    let int8 = Pass::measure(&bench, session, "timing the layers of the int8 model")?;
    let lines = int8
        .places
        .iter()
        .map(|place| {
            let others = place.with.iter().map(|path| float.seconds(path));
            Line {
                place: place.name(),
                kind: place.kind.clone(),
                shape: place.output.clone(),
                macs: place.macs,
                f32: float.seconds(&place.path) + others.sum::<f64>(),
                int8: place.seconds,
            }
        })
        .collect();
    let (f32, int8) = (float.whole.median * 1e3, int8.whole.median * 1e3);
    let note = format!(
        "\nwhole passes: f32 {f32:.3} ms, int8 {int8:.3} ms, {:.2} times as fast",
        f32 / int8
    );
    Ok((lines, note))
}

/// What passes of one variant showed.
struct Pass {
    places: Vec<PlaceTime>,
    whole: Timing,
}

struct PlaceTime {
    path: String,
    /// Places whose work is done in the same call.
    with: Vec<String>,
    kind: String,
    output: String,
    macs: u64,
    seconds: f64,
}

impl PlaceTime {
    /// The path, and what the others' do not have in common with it.
    fn name(&self) -> String {
        let mut name = self.path.clone();
        for other in &self.with {
            let pairs = self.path.split('.').zip(other.split('.'));
            let common: usize = (pairs.take_while(|(ours, theirs)| ours == theirs))
                .map(|(_, same)| same.len() + 1)
                .sum();
            name += " + ";
            name += other.get(common..).unwrap_or(other);
        }
        name
    }
}

impl Pass {
    fn measure(bench: &Bench, session: &Session, what: &str) -> Result<Pass, Failure> {
        let mut leaves = BTreeSet::new();
        walk(&bench.subject, &mut |path, node| {
            if node.as_place().is_some() && is_leaf(node) && node.kind() != "Identity" {
                leaves.insert(path.to_string());
            }
        });
        let weights = bench.subject.weights();
        let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut last = Vec::new();
        let whole = bench.time(session, what, |call| {
            let (result, visits) = profile::record(call);
            for visit in &visits {
                let times = times.entry(visit.path.clone()).or_default();
                times.push(visit.time.as_secs_f64());
            }
            last = visits;
            result
        })?;
        let places = last
            .iter()
            .filter(|visit| leaves.contains(&visit.path))
            .map(|visit| PlaceTime {
                path: visit.path.clone(),
                with: visit.with.clone(),
                kind: visit.kind.to_string(),
                output: visit
                    .output
                    .iter()
                    .map(usize::to_string)
                    .collect::<Vec<_>>()
                    .join("×"),
                macs: crate::subject::Subject::macs(&weights, visit),
                seconds: times
                    .remove(&visit.path)
                    .map_or(0.0, |t| Timing::of(t).median),
            })
            .collect();
        Ok(Pass { places, whole })
    }

    fn seconds(&self, path: &str) -> f64 {
        let found = self.places.iter().find(|place| place.path == path);
        found.map_or(0.0, |place| place.seconds)
    }
}

/// Each product as a linear layer of its own.
fn products_alone(products: &[Product], session: &Session) -> Result<Vec<Line>, Failure> {
    products
        .iter()
        .map(|product| {
            let Product { m, k, n, count, .. } = *product;
            let mut bench = Bench::float(Case::Linear { m, k, n }, session)?;
            let f32 = bench.time(session, "timing float", |call| call())?;
            bench.convert(session)?;
            let int8 = bench.time(session, "timing int8", |call| call())?;
            Ok(Line {
                place: product.name.to_string(),
                kind: format!("{count} ×"),
                shape: format!("{m}×{k}×{n}"),
                macs: product.macs() * count as u64,
                f32: f32.median * count as f64,
                int8: int8.median * count as f64,
            })
        })
        .collect()
}
