//! AdaRound: weights rounded up or down as their layer's output needs it, not to the nearest integer.
//!
//! Nagel, Amjad, van Baalen, Louizos, Blankevoort: Up or Down? Adaptive Rounding for Post-Training Quantization, 2020.

use std::any::Any;

use qgrad::optim::{Adam, Optimizer};
use qgrad::{Var, ops};
use qnn::{Module, name_places, tap, walk, walk_mut};
use qobserve::{Observer, ObserverFactory, QuantType};
use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, Quantizer, Tensor};

use super::sensitivity::progress;
use super::weighted::{Product, Weighted, product};
use crate::error::{Error, Result};

const OPERATION: &str = "adaround";

/// The stretch of the rectified sigmoid, `ζ` and `γ` of the paper.
const ZETA: f32 = 1.1;
const GAMMA: f32 = -0.1;

/// How long and how strictly [`adaround`] learns. The defaults are for layers of small networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaRoundOptions {
    /// Steps of Adam for each layer, each on one sample. The paper takes 10,000.
    pub iterations: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// The weight `λ` of the regularization, of a reconstruction error measured in units of the output's mean square.
    pub lambda: f64,
    /// The exponent `β` at the start and at the end: large ones let most elements move freely, small ones push all to 0 or 1.
    pub beta: (f64, f64),
    /// The share of iterations without regularization.
    pub warm_up: f64,
}

impl Default for AdaRoundOptions {
    fn default() -> AdaRoundOptions {
        AdaRoundOptions {
            iterations: 1000,
            learning_rate: 0.01,
            lambda: 0.01,
            beta: (20.0, 2.0),
            warm_up: 0.2,
        }
    }
}

/// What was learned for one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounding {
    /// The dotted name of the place.
    pub path: String,
    /// The mean squared error of the layer's product with weights rounded to nearest.
    pub nearest: f64,
    /// The same with the learned rounding; rounding to nearest is kept where learning found nothing better.
    pub learned: f64,
    /// How many elements are not rounded to nearest.
    pub flipped: usize,
}

/// Learns the rounding of the weights of a fused and prepared model, layer by layer, and leaves them on their grids.
///
/// For a layer with product `W x` and the grid `s` of its weight observer, `V` minimizes
/// `‖W x − W̃ x‖² + λ Σ (1 − |2 h(V) − 1|^β)` with `W̃ = s · clamp(⌊W / s⌋ + h(V))` and
/// `h(V) = clamp(sigmoid(V) · (ζ − γ) + γ, 0, 1)`; in the end each element is rounded up where `h(V) ≥ ½`. The inputs `x` are those of
/// the samples, with all layers before already rounded.
///
/// The float weights become `s` times their integers, and the place's weight observer answers with `s`, so that
/// [`convert`](crate::convert()) finds exactly the learned integers. Call it after [`prepare`](crate::prepare()), before or after
/// calibration.
///
/// # Errors
/// [`Error::NoData`], [`Error::Repair`] for options out of range or a model without prepared layers, those of forward
/// passes and of the optimizer. Layers that were finished before the error stay rounded.
#[doc(alias = "AdaRound")]
pub fn adaround<M: Module>(
    model: &mut M,
    samples: &[M::Input],
    options: &AdaRoundOptions,
) -> Result<Vec<Rounding>> {
    check(options)?;
    if samples.is_empty() {
        return Err(Error::NoData(OPERATION));
    }
    name_places(model);
    qnn::eval(model);
    let jobs = layers(model)?;
    let bar = progress("learning to round", jobs.len());
    let mut rows = Vec::new();
    for (layer, product, grid) in jobs {
        let inputs = inputs_of(model, &layer.path, samples)?;
        if inputs.is_empty() {
            continue;
        }
        let (rounded, row) = learn(&layer, &product, &grid, &inputs, options)?;
        Weighted {
            weight: rounded,
            ..layer.clone()
        }
        .write(model)?;
        fix_grid(model, &layer.path, grid);
        rows.push(row);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(rows)
}

/// The layers with static int8 configurations, their products and the grids of their weights.
fn layers<M: Module>(model: &M) -> Result<Vec<(Weighted, Product, Grid)>> {
    let (mut jobs, mut result) = (Vec::new(), Ok(()));
    walk(model, &mut |path, node| {
        let Some((place, prepared)) = node.as_place().and_then(|p| Some((p, p.prepared()?))) else {
            return;
        };
        if prepared.qconfig().quant_type() != QuantType::Static || result.is_err() {
            return;
        }
        let held = place.held();
        let (Some(layer), Some(product)) = (Weighted::of(path, held), product(held)) else {
            return;
        };
        match Grid::of(&layer.weight, &prepared.qconfig().weight) {
            Ok(grid) => jobs.push((layer, product, grid)),
            Err(error) => result = Err(error.at(path, node.kind())),
        }
    });
    result?;
    if jobs.is_empty() {
        return Err(repair(
            "no prepared place holds a float convolution or linear layer; call prepare first"
                .into(),
        ));
    }
    Ok(jobs)
}

/// The float inputs of one place for each sample.
fn inputs_of<M: Module>(model: &M, path: &str, samples: &[M::Input]) -> Result<Vec<Tensor>> {
    let mut found = Vec::new();
    for sample in samples {
        let run = || tap::record_inputs(|| qgrad::no_grad(|| model.forward(sample)));
        let (output, inputs) = run();
        output?;
        let own = inputs.iter().filter(|(name, _)| name == path);
        found.extend(own.filter_map(|(_, values)| Some(values.first()?.to_tensor())));
    }
    Ok(found)
}

/// Learns the rounding of one layer; answers with the weight on its grid.
fn learn(
    layer: &Weighted,
    product: &Product,
    grid: &Grid,
    inputs: &[Tensor],
    options: &AdaRoundOptions,
) -> Result<(Tensor, Rounding)> {
    let weight = Var::from(layer.weight.clone());
    let targets = inputs
        .iter()
        .map(|x| Ok(product(&x.clone().into(), &weight)?.tensor().clone()))
        .collect::<Result<Vec<Tensor>>>()?;
    let error = |w: &Tensor| -> Result<f64> {
        let (mut sum, mut count) = (0f64, 0usize);
        for (x, target) in inputs.iter().zip(&targets) {
            let y = product(&x.clone().into(), &w.clone().into())?;
            let (_, noise) = super::measure::energies(target, y.tensor())?;
            sum += noise;
            count += target.numel();
        }
        Ok(sum / count.max(1) as f64)
    };
    let (energy, count) = targets.iter().fold((0f64, 0usize), |(e, n), t| {
        let sum: f64 = t.to_vec().iter().map(|&v| f64::from(v).powi(2)).sum();
        (e + sum, n + t.numel())
    });
    let unit = (energy / count.max(1) as f64).max(f64::MIN_POSITIVE);

    let (floor, rest) = grid.floor(&layer.weight);
    let scales = grid.scales(&layer.weight)?;
    let mut v = vec![Var::parameter(rest.map(start))];
    let mut adam = Adam::new(options.learning_rate)?;
    for step in 0..options.iterations {
        let (x, target) = (&inputs[step % inputs.len()], &targets[step % inputs.len()]);
        let h = rectified_sigmoid(&v[0])?;
        let soft = grid.clamp(&ops::add(&h, &floor.clone().into())?)?;
        let soft = ops::mul(&soft, &scales.clone().into())?;
        let y = product(&x.clone().into(), &soft)?;
        let mut loss = ops::mul_scalar(&ops::mse_loss(&y, target)?, (1.0 / unit) as f32)?;
        if let Some(beta) = beta(options, step) {
            let penalty = ops::mul_scalar(&regularization(&h, beta), options.lambda as f32)?;
            loss = ops::add(&loss, &penalty)?;
        }
        loss.backward()?;
        adam.step(&mut v)?;
    }
    let up = v[0]
        .untraced()
        .map(|v| if h_of(v) >= 0.5 { 1.0f32 } else { 0.0 });
    let nearest_up = rest.map(|r| if r >= 0.5 { 1.0f32 } else { 0.0 });
    let (learned, nearest) = (
        grid.on_grid(&floor, &up, &scales)?,
        grid.on_grid(&floor, &nearest_up, &scales)?,
    );
    let (learned_error, nearest_error) = (error(&learned)?, error(&nearest)?);
    let better = learned_error < nearest_error;
    let pairs = up.to_vec().into_iter().zip(nearest_up.to_vec());
    let flipped = pairs.filter(|(a, b)| a != b).count();
    let row = Rounding {
        path: layer.path.clone(),
        nearest: nearest_error,
        learned: if better { learned_error } else { nearest_error },
        flipped: if better { flipped } else { 0 },
    };
    Ok((if better { learned } else { nearest }, row))
}

/// `h(V) = clamp(sigmoid(V) · (ζ − γ) + γ, 0, 1)`.
fn rectified_sigmoid(v: &Var) -> Result<Var> {
    let stretched = ops::mul_scalar(&ops::sigmoid(v)?, ZETA - GAMMA)?;
    Ok(ops::clamp(&ops::add_scalar(&stretched, GAMMA)?, 0.0, 1.0)?)
}

fn h_of(v: f32) -> f32 {
    (1.0 / (1.0 + (-v).exp()) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)
}

/// The `V` with `h(V)` equal to a weight's fraction, so that learning starts at the float weight.
fn start(fraction: f32) -> f32 {
    -((ZETA - GAMMA) / (fraction - GAMMA) - 1.0).ln()
}

/// The exponent in a step; it falls from the first to the second along half a cosine. None during the warm-up.
fn beta(options: &AdaRoundOptions, step: usize) -> Option<f64> {
    let warm = options.warm_up * options.iterations as f64;
    let left = options.iterations as f64 - warm;
    let progress = (step as f64 - warm) / left.max(1.0);
    let (first, last) = options.beta;
    let fall = (progress.clamp(0.0, 1.0) * std::f64::consts::PI).cos();
    (progress >= 0.0).then_some(last + 0.5 * (first - last) * (1.0 + fall))
}

/// The mean of `1 − |2h − 1|^β`, which is 0 where every `h` is 0 or 1.
fn regularization(h: &Var, beta: f64) -> Var {
    let values = h.untraced().clone();
    let count = values.numel().max(1) as f64;
    let terms = values.to_vec().into_iter();
    let sum: f64 = terms
        .map(|h| 1.0 - (2.0 * f64::from(h) - 1.0).abs().powf(beta))
        .sum();
    let output = Tensor::scalar((sum / count) as f32);
    Var::from_operation("adaround_regularization", &[h], output, move |grad, _| {
        let outer = f64::from(grad.item()?);
        let slope = |h: f32| {
            let centred = 2.0 * f64::from(h) - 1.0;
            let power = centred.abs().powf(beta - 1.0);
            (outer * -2.0 * beta * power * centred.signum() / count) as f32
        };
        Ok(vec![Some(values.map(slope))])
    })
}

/// The grid of a weight: qparams and the integers that may be used.
#[derive(Clone, Debug)]
struct Grid {
    quantizer: Quantizer,
    range: QuantRange,
}

impl Grid {
    /// What the observer of a configuration finds for a weight.
    fn of(weight: &Tensor, factory: &ObserverFactory) -> Result<Grid> {
        let mut observer = factory.build();
        observer.observe(weight)?;
        let quantizer = observer.calculate_qparams()?;
        let zero = |c: usize| quantizer.channel(c).map_or(0, |(_, zero_point)| zero_point);
        let channels = weight.shape().first().copied().unwrap_or(0);
        let by_rows = match &quantizer {
            Quantizer::PerTensor { .. } => true,
            Quantizer::PerChannel { axis, .. } => *axis == 0,
        };
        if observer.dtype() != DType::QInt8 || !by_rows || (0..channels).any(|c| zero(c) != 0) {
            return Err(repair(format!(
                "weights must be qint8 with zero point 0 along dimension 0, the observer is {}",
                observer.name()
            )));
        }
        let range = observer.quant_range();
        range.validate("the weight observer's integers")?;
        Ok(Grid { quantizer, range })
    }

    /// The scale of each element.
    fn scales(&self, weight: &Tensor) -> Result<Tensor> {
        let channels = weight.shape().first().copied().unwrap_or(1).max(1);
        let row = weight.numel() / channels;
        let scale = |i: usize| {
            self.quantizer
                .channel(i / row.max(1))
                .map_or(1.0, |(s, _)| s)
        };
        let scales = (0..weight.numel()).map(scale).collect();
        Ok(Tensor::from_vec(scales, weight.shape())?)
    }

    /// `⌊W / s⌋` and what is left of each element, in `0..1`. Elements beyond the grid stay at its end.
    fn floor(&self, weight: &Tensor) -> (Tensor, Tensor) {
        let channels = weight.shape().first().copied().unwrap_or(1).max(1);
        let row = (weight.numel() / channels).max(1);
        let (lo, hi) = (self.range.min as f32, self.range.max as f32);
        let (mut floor, mut rest) = (weight.contiguous(), weight.contiguous());
        let parts = floor.make_mut().iter_mut().zip(rest.make_mut());
        for (i, (floor, rest)) in parts.enumerate() {
            let scale = self.quantizer.channel(i / row).map_or(1.0, |(s, _)| s);
            // Division by way of the reciprocal, as in quantization.
            let at = (*floor * (1.0 / scale)).clamp(lo, hi);
            *floor = at.floor();
            *rest = at - *floor;
        }
        (floor, rest)
    }

    fn clamp(&self, integers: &Var) -> Result<Var> {
        let (lo, hi) = (self.range.min as f32, self.range.max as f32);
        Ok(ops::clamp(integers, lo, hi)?)
    }

    /// `s · clamp(floor + up)`.
    fn on_grid(&self, floor: &Tensor, up: &Tensor, scales: &Tensor) -> Result<Tensor> {
        let sum = ops::add(&floor.clone().into(), &up.clone().into())?;
        let integers = self.clamp(&sum)?;
        Ok(ops::mul(&integers, &scales.clone().into())?
            .tensor()
            .clone())
    }
}

/// Answers with a grid that is known, whatever the weight.
#[derive(Clone, Debug)]
struct KnownGrid(Grid);

impl Observer for KnownGrid {
    fn name(&self) -> &'static str {
        "AdaRound"
    }

    fn observe(&mut self, _: &Tensor) -> qobserve::Result<()> {
        Ok(())
    }

    fn calculate_qparams(&self) -> qobserve::Result<Quantizer> {
        Ok(self.0.quantizer.clone())
    }

    fn has_observed(&self) -> bool {
        true
    }

    fn dtype(&self) -> DType {
        DType::QInt8
    }

    fn quant_range(&self) -> QuantRange {
        self.0.range
    }

    fn reset(&mut self) {}

    fn clone_box(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Lets conversion find the grid on which a place's weight lies.
fn fix_grid<M: Module>(model: &mut M, path: &str, grid: Grid) {
    let factory = ObserverFactory::new("AdaRound", move || Box::new(KnownGrid(grid.clone())));
    walk_mut(model, &mut |name, node| {
        if let (true, Some(place)) = (name == path, node.as_place_mut())
            && let Some(mut prepared) = place.take_prepared()
        {
            prepared.set_weight(factory.clone());
            place.set_prepared(Some(prepared));
        }
    });
}

fn check(options: &AdaRoundOptions) -> Result<()> {
    let (first, last) = options.beta;
    let refuse = |what: &str, value: f64| Err(repair(format!("{what}, got {value}")));
    if !(options.lambda.is_finite() && options.lambda >= 0.0) {
        return refuse("lambda must be finite and not negative", options.lambda);
    }
    if !(0.0..=1.0).contains(&options.warm_up) {
        return refuse("warm_up must be a share in 0..=1", options.warm_up);
    }
    match [first, last]
        .into_iter()
        .find(|b| !(1.0..=1000.0).contains(b))
    {
        Some(beta) => refuse("beta must be in 1..=1000", beta),
        None => Ok(()),
    }
}

fn repair(what: String) -> Error {
    Error::Repair {
        operation: OPERATION,
        what,
    }
}
