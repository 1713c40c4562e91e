//! `Switchboard`: a calibrated model whose places can be switched between float and int8, one by one and back.

use std::collections::{BTreeMap, BTreeSet};

use qnn::quantized::QParams;
use qnn::{
    Bridge, Erased, Module, Prepared, Value, ValueKind, is_leaf, name_places, probe, tap, walk,
    walk_mut,
};
use qtensor_core::choose_qparams::{DEFAULT_EPS, QuantRange, calculate_qparams};
use qtensor_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::passes::convert::{ConvertOptions, Plan, settle};
use crate::report::{Outcome, Report, Row};

/// Which places are int8.
pub(crate) type Places = BTreeSet<String>;

/// A model on loan. Both modules of each place exist at once, one of them in the place. Dropped without
/// [`finish`](Switchboard::finish), it leaves the model as it was: float and calibrated.
pub(crate) struct Switchboard<'a, M: Module> {
    model: &'a mut M,
    sample: &'a M::Input,
    /// The modules that are not in their places at the moment.
    spare: BTreeMap<String, Erased>,
    int8: Places,
    /// Places that follow their inputs, as a `DeQuantStub` does, and are no choice of their own.
    followers: Places,
    grids: BTreeMap<String, Vec<QParams>>,
    prepared: BTreeMap<String, Prepared>,
    rows: Vec<Row>,
}

impl<'a, M: Module> Switchboard<'a, M> {
    /// Makes the int8 modules of all calibrated places and finds the grids between them with a pass of the sample.
    pub(crate) fn new(model: &'a mut M, sample: &'a M::Input) -> Result<Switchboard<'a, M>> {
        name_places(model);
        let plan = Plan::make(&*model, &ConvertOptions::default(), true)?;
        qnn::eval(model);
        let (mut prepared, mut followers) = (BTreeMap::new(), Places::new());
        walk_mut(model, &mut |path, node| {
            let Some(place) = node.as_place_mut() else {
                return;
            };
            place.set_bridge(None);
            if let Some(taken) = place.take_prepared() {
                let is_static = taken.qconfig().quant_type() == qobserve::QuantType::Static;
                // A module that is observed inside is a choice, as one that is observed at its output.
                if taken.observer().is_none() && is_static && is_leaf(place.held()) {
                    followers.insert(path.to_string());
                }
                prepared.insert(path.to_string(), taken);
            }
        });
        let mut board = Switchboard {
            model,
            sample,
            spare: plan.swaps,
            int8: Places::new(),
            followers,
            grids: BTreeMap::new(),
            prepared,
            rows: plan.rows,
        };
        board.find_grids()?;
        Ok(board)
    }

    /// The model as it is switched at the moment.
    pub(crate) fn model(&self) -> &M {
        self.model
    }

    /// What conversion would say of each place.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// All places that can be int8 or float, in the model's order.
    pub(crate) fn candidates(&self) -> Vec<String> {
        let converted = self
            .rows
            .iter()
            .filter(|row| matches!(row.outcome, Outcome::Converted(_)));
        converted
            .map(|row| row.path.clone())
            .filter(|path| !self.followers.contains(path))
            .collect()
    }

    /// Makes exactly these places int8, all others float, with borders wherever values change kind.
    pub(crate) fn switch(&mut self, int8: &Places) -> Result<()> {
        let mut wanted = int8.clone();
        if !int8.is_empty() {
            wanted.extend(self.followers.iter().cloned());
        }
        self.put(&wanted)?;
        self.clear_bridges();
        if wanted.is_empty() {
            return Ok(());
        }
        for round in 0.. {
            let misfits = self.probe()?;
            if misfits.is_empty() || round > 1 {
                break;
            }
            self.bridge(&misfits)?;
        }
        Ok(())
    }

    /// Leaves the model with these places int8 for good.
    pub(crate) fn finish(mut self, int8: &Places) -> Result<Report> {
        self.switch(int8)?;
        let mut rows = std::mem::take(&mut self.rows);
        for row in &mut rows {
            let converted = matches!(row.outcome, Outcome::Converted(_));
            if converted && !self.int8.contains(&row.path) {
                row.outcome = Outcome::Unchanged("left in float for the sake of accuracy".into());
            }
        }
        self.spare.clear();
        self.prepared.clear();
        Ok(settle(&mut *self.model, rows))
    }

    /// The grids on which values reach each place when everything is int8.
    fn find_grids(&mut self) -> Result<()> {
        let all = self.spare.keys().cloned().collect();
        self.put(&all)?;
        let rows = &mut self.rows;
        walk(&*self.model, &mut |path, node| {
            if let Some(row) = rows.iter_mut().find(|row| row.path == path) {
                row.bytes_after = node.state().bytes();
            }
        });
        let run = || tap::record_inputs(|| qgrad::no_grad(|| self.model.forward(self.sample)));
        let ((output, inputs), _) = probe::collect(run);
        output?;
        for (path, values) in inputs {
            let grids = values.iter().map(grid_of).collect::<Result<Vec<_>>>()?;
            let kept = self.grids.entry(path).or_default();
            // A place that runs more than once must take in the widest of what comes.
            for (i, grid) in grids.into_iter().enumerate() {
                match kept.get_mut(i) {
                    Some(old) if grid.scale > old.scale => *old = grid,
                    Some(_) => {}
                    None => kept.push(grid),
                }
            }
        }
        Ok(())
    }

    /// Which places get values of a kind that they do not take.
    fn probe(&self) -> Result<Vec<probe::Misfit>> {
        let run = || qgrad::no_grad(|| self.model.forward(self.sample));
        let (output, misfits) = probe::collect(run);
        output?;
        Ok(misfits)
    }

    /// Sets up borders in front of these places. Followers become float instead.
    fn bridge(&mut self, misfits: &[probe::Misfit]) -> Result<()> {
        let follows = |m: &&probe::Misfit| {
            m.expected == ValueKind::Quantized && self.followers.contains(&m.path)
        };
        let (float, others): (Vec<_>, Vec<_>) = misfits.iter().partition(follows);
        if !float.is_empty() {
            let mut wanted = self.int8.clone();
            for misfit in float {
                wanted.remove(&misfit.path);
            }
            self.put(&wanted)?;
        }
        let mut bridges = BTreeMap::new();
        for misfit in others {
            let grids = self.grids.get(&misfit.path).cloned().unwrap_or_default();
            let bridge = match misfit.expected {
                ValueKind::Float => Bridge::ToFloat,
                ValueKind::Quantized => Bridge::ToQuantized(grids),
            };
            bridges.insert(misfit.path.clone(), bridge);
        }
        walk_mut(&mut *self.model, &mut |path, node| {
            if let (Some(place), Some(bridge)) = (node.as_place_mut(), bridges.remove(path)) {
                place.set_bridge(Some(bridge));
            }
        });
        Ok(())
    }

    fn clear_bridges(&mut self) {
        walk_mut(&mut *self.model, &mut |_, node| {
            if let Some(place) = node.as_place_mut() {
                place.set_bridge(None);
            }
        });
    }

    /// Exchanges modules until exactly these places are int8.
    fn put(&mut self, wanted: &Places) -> Result<()> {
        let (spare, int8) = (&mut self.spare, &mut self.int8);
        let mut result = Ok(());
        // Places below a composite exist only while it is float; so composites are entered after their exchange.
        walk_mut(&mut *self.model, &mut |path, node| {
            if result.is_err() || wanted.contains(path) == int8.contains(path) {
                return;
            }
            if let (Some(place), Some(module)) = (node.as_place_mut(), spare.remove(path)) {
                match place.replace(module) {
                    Ok(old) => {
                        spare.insert(path.to_string(), old);
                        if !int8.remove(path) {
                            int8.insert(path.to_string());
                        }
                    }
                    Err(error) => result = Err(Error::from(error)),
                }
            }
        });
        result
    }
}

impl<M: Module> Drop for Switchboard<'_, M> {
    fn drop(&mut self) {
        if self.spare.is_empty() && self.prepared.is_empty() {
            return;
        }
        // Modules that came from these places fit them, so the exchange cannot fail.
        let _ = self.put(&Places::new());
        self.clear_bridges();
        let prepared = &mut self.prepared;
        walk_mut(&mut *self.model, &mut |path, node| {
            if let (Some(place), Some(taken)) = (node.as_place_mut(), prepared.remove(path)) {
                place.set_prepared(Some(taken));
            }
        });
    }
}

/// A value's own grid; of a float value, that of its range in 8 bits.
fn grid_of(value: &Value) -> Result<QParams> {
    match value {
        Value::Quantized(q) => {
            let (scale, zero_point) = q.per_tensor("Bridge")?;
            Ok(QParams {
                scale,
                zero_point,
                dtype: q.dtype(),
            })
        }
        Value::Float(var) => own_range(var.untraced()),
    }
}

fn own_range(x: &Tensor) -> Result<QParams> {
    let finite = x.to_vec().into_iter().filter(|v| v.is_finite());
    let (min, max) = finite.fold((0f32, 0f32), |(lo, hi), v| (lo.min(v), hi.max(v)));
    let dtype = DType::QUInt8;
    let range = QuantRange::of(dtype, false);
    let (scale, zero_point) = calculate_qparams(min, max, dtype, range, false, DEFAULT_EPS)?;
    Ok(QParams {
        scale: scale.into(),
        zero_point,
        dtype,
    })
}
