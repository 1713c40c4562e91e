//! The first pass: chains of modules become fused ones, by name or by watching a sample.

use std::collections::{BTreeMap, BTreeSet};

use qgrad::VarId;
use qgrad::optim::ParameterSet;
use qgrad::trace::{self, Event};
use qnn::{Erased, Flow, Identity, Module, Node, erase, is_leaf, name_places, paths, walk};

use crate::error::{Error, Result};
use crate::hooks;
use crate::passes::swap::put_all;
use crate::tables::patterns::{Pattern, Purpose, patterns};

/// Fuses chains of places given by their dotted names, first to last.
///
/// The fused module goes into the first place of a chain, an [`Identity`] into the others; the model's own
/// `forward` stays as it is. Batch norms are folded with their running statistics. Hooks behind the last place of a
/// chain move behind the fused module. Nothing changes unless all chains can be fused. A linear layer and its batch norm must be used on `(N, C)` values, which names alone cannot
/// show; [`fuse_all`] checks it.
///
/// # Errors
/// [`Error::UnknownPlaces`], [`Error::NotFusable`], [`Error::FuseChannels`], [`Error::FuseAfterPrepare`],
/// [`Error::FuseHooked`].
///
/// ```
/// use qflow::fuse_modules;
/// use qnn::{BatchNorm2d, Conv2d, ReLU, Sequential, describe};
///
/// let mut net = Sequential::new()
///     .push(Conv2d::config(1, 4, 3).build()?)
///     .push(BatchNorm2d::new(4)?)
///     .push(ReLU);
/// fuse_modules(&mut net, &[&["0", "1", "2"]])?;
/// assert!(describe(&net).contains("ConvReLU2d"));
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn fuse_modules(model: &mut dyn Node, chains: &[&[&str]]) -> Result<()> {
    fuse_named(model, chains, Purpose::Inference)
}

/// As [`fuse_modules`], for training: batch norms stay modules of their own inside the fused one, and go on learning.
///
/// [`prepare_qat`](crate::prepare_qat) turns the fused modules into those with rounded weights; conversion folds.
///
/// # Errors
/// As [`fuse_modules`].
///
/// ```
/// use qflow::fuse_modules_qat;
/// use qnn::{BatchNorm2d, Conv2d, ReLU, Sequential, describe};
///
/// let mut net = Sequential::new()
///     .push(Conv2d::config(1, 4, 3).build()?)
///     .push(BatchNorm2d::new(4)?)
///     .push(ReLU);
/// fuse_modules_qat(&mut net, &[&["0", "1", "2"]])?;
/// assert!(describe(&net).contains("ConvBnReLU2d"));
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn fuse_modules_qat(model: &mut dyn Node, chains: &[&[&str]]) -> Result<()> {
    fuse_named(model, chains, Purpose::Training)
}

fn fuse_named(model: &mut dyn Node, chains: &[&[&str]], purpose: Purpose) -> Result<()> {
    let known = paths(model);
    let unknown: Vec<String> = chains
        .iter()
        .flat_map(|c| c.iter())
        .filter(|n| !known.iter().any(|k| k == *n))
        .map(|n| n.to_string())
        .collect();
    if !unknown.is_empty() {
        return Err(Error::UnknownPlaces {
            operation: "fuse_modules",
            names: unknown,
            known,
        });
    }
    let chains: Vec<Vec<String>> = chains
        .iter()
        .map(|c| c.iter().map(|n| n.to_string()).collect())
        .collect();
    apply(model, &chains, purpose)
}

/// Finds and fuses every chain of convolution (transposed or not) or linear layer, batch norm and ReLU or ReLU6, and
/// linear layers with the LeakyReLU or tanh behind them, by watching one forward pass; returns the chains.
///
/// Two places are fused only if the value between them has no other user: not a second module, not an
/// operation of the model's own, not a hook, not the model's output. Places that run more than once in the pass are left alone.
///
/// # Errors
/// Those of the forward pass and of [`fuse_modules`].
pub fn fuse_all<M: Module>(model: &mut M, sample: &M::Input) -> Result<Vec<Vec<String>>> {
    fuse_watched(model, |model| model.forward(sample), Purpose::Inference)
}

/// As [`fuse_all`], for training: see [`fuse_modules_qat`]. Behind a transposed convolution, a batch norm stays a place of
/// its own.
///
/// The pass runs in evaluation mode whatever the model's mode, so that it leaves no traces in running statistics.
///
/// # Errors
/// As [`fuse_all`].
pub fn fuse_all_qat<M: Module>(model: &mut M, sample: &M::Input) -> Result<Vec<Vec<String>>> {
    fuse_watched(model, |model| model.forward(sample), Purpose::Training)
}

/// Watches `run`, which calls the model, and fuses what it shows to be fusable.
pub(crate) fn fuse_watched<M: Module, F: Flow>(
    model: &mut M,
    run: impl FnOnce(&M) -> qnn::Result<F>,
    purpose: Purpose,
) -> Result<Vec<Vec<String>>> {
    name_places(model);
    let trained = is_training(model);
    if trained {
        qnn::eval(model);
    }
    let (output, events) = trace::record(|| qgrad::no_grad(|| run(model)));
    if trained {
        qnn::train(model);
    }
    let mut pass = Pass::read(model, &events);
    output?.values(&mut |value| {
        if let qnn::Value::Float(var) = value {
            pass.users
                .entry(var.id())
                .or_default()
                .insert("the output".into());
        }
    });
    let chains = pass.chains(&held_nodes(model), &patterns(purpose));
    apply(model, &chains, purpose)?;
    Ok(chains)
}

/// True if some parameter collects gradients.
fn is_training(model: &mut dyn Node) -> bool {
    let mut training = false;
    qnn::parameters(model).each(&mut |_, var| training |= var.requires_grad());
    training
}

/// One call of a leaf place.
struct Call {
    place: String,
    inputs: Vec<VarId>,
    outputs: Vec<VarId>,
    /// The number of dimensions of the output.
    rank: usize,
}

/// What one traced pass showed.
struct Pass {
    /// The calls of leaf places, in order of their ends.
    calls: Vec<Call>,
    /// Who used each value: a leaf place, or a label for everything else.
    users: BTreeMap<VarId, BTreeSet<String>>,
    /// Places whose hooks see what goes in, and those whose hooks see what goes out.
    hooked: (BTreeSet<String>, BTreeSet<String>),
}

impl Pass {
    fn read(model: &dyn Node, events: &[Event]) -> Pass {
        let mut leaves = BTreeSet::new();
        walk(model, &mut |path, node| {
            if node.as_place().is_some() && is_leaf(node) {
                leaves.insert(path.to_string());
            }
        });
        let mut pass = Pass {
            calls: Vec::new(),
            users: BTreeMap::new(),
            hooked: hooks::watched(model),
        };
        let mut open: Vec<(String, Vec<VarId>)> = Vec::new();
        for (number, event) in events.iter().enumerate() {
            // The user is the leaf place at work; outside of leaves, each event is a user of its own.
            let user = match open.last() {
                Some((label, _)) if leaves.contains(label) => label.clone(),
                _ => format!("operation {number}"),
            };
            match event {
                Event::Enter { label, inputs } => {
                    if leaves.contains(label) {
                        for id in inputs {
                            pass.users.entry(*id).or_default().insert(label.clone());
                        }
                    }
                    open.push((label.clone(), inputs.clone()));
                }
                Event::Exit {
                    label,
                    outputs,
                    rank,
                } => {
                    if let Some((_, inputs)) = open.pop()
                        && leaves.contains(label)
                    {
                        pass.calls.push(Call {
                            place: label.clone(),
                            inputs,
                            outputs: outputs.clone(),
                            rank: *rank,
                        });
                    }
                }
                Event::Op { inputs, .. } => {
                    for id in inputs {
                        pass.users.entry(*id).or_default().insert(user.clone());
                    }
                }
                Event::Read { id } => {
                    pass.users.entry(*id).or_default().insert(user);
                }
            }
        }
        pass
    }

    /// The place that is called right behind this one with its output alone, if nothing else uses that.
    fn successor(&self, place: &str) -> Option<&str> {
        let [value] = self.only_call(place)?.outputs.as_slice() else {
            return None;
        };
        let users = self.users.get(value)?;
        let next = users.iter().next().filter(|_| users.len() == 1)?;
        let next = self.only_call(next)?;
        if self.hooked.1.contains(place) || self.hooked.0.contains(&next.place) {
            return None;
        }
        (next.inputs.as_slice() == [*value]).then_some(next.place.as_str())
    }

    fn only_call(&self, place: &str) -> Option<&Call> {
        let mut calls = self.calls.iter().filter(|call| call.place == place);
        calls.next().filter(|_| calls.next().is_none())
    }

    /// Greedy from the front, longest pattern first.
    fn chains(
        &self,
        nodes: &BTreeMap<String, &dyn Node>,
        patterns: &[Pattern],
    ) -> Vec<Vec<String>> {
        let mut taken: BTreeSet<&str> = BTreeSet::new();
        let mut found = Vec::new();
        for Call {
            place: start, rank, ..
        } in &self.calls
        {
            if taken.contains(start.as_str()) {
                continue;
            }
            let mut run = vec![start.as_str()];
            while run.len() < 3
                && let Some(next) = run.last().and_then(|p| self.successor(p))
                && !taken.contains(next)
            {
                run.push(next);
            }
            let matching = patterns.iter().find(|pattern| {
                let held: Option<Vec<&dyn Node>> = run
                    .get(..pattern.len())
                    .map(|r| r.iter().filter_map(|p| nodes.get(*p).copied()).collect());
                held.is_some_and(|h| pattern.matches(&h) && pattern.holds_for(*rank))
            });
            if let Some(pattern) = matching {
                taken.extend(&run[..pattern.len()]);
                found.push(run[..pattern.len()].iter().map(|p| p.to_string()).collect());
            }
        }
        found
    }
}

/// The module in every place, by name.
fn held_nodes(model: &dyn Node) -> BTreeMap<String, &dyn Node> {
    let mut nodes = BTreeMap::new();
    walk(model, &mut |path, node| {
        if let Some(place) = node.as_place() {
            nodes.insert(path.to_string(), place.held());
        }
    });
    nodes
}

/// Builds all fused modules, then puts them in.
fn apply(model: &mut dyn Node, chains: &[Vec<String>], purpose: Purpose) -> Result<()> {
    name_places(model);
    let patterns = patterns(purpose);
    refuse_prepared(model, chains)?;
    refuse_hooked(model, chains)?;
    let mut swaps: BTreeMap<String, Erased> = BTreeMap::new();
    {
        let nodes = held_nodes(model);
        for chain in chains {
            let held: Vec<&dyn Node> = chain.iter().filter_map(|p| nodes.get(p).copied()).collect();
            let pattern =
                patterns
                    .iter()
                    .find(|p| p.matches(&held))
                    .ok_or_else(|| Error::NotFusable {
                        places: chain.clone(),
                        kinds: held.iter().map(|n| n.kind().to_string()).collect(),
                        patterns: patterns.iter().map(|p| p.name.clone()).collect(),
                    })?;
            swaps.insert(chain[0].clone(), pattern.fuse(&held, chain)?);
            for rest in &chain[1..] {
                swaps.insert(rest.clone(), erase(Identity));
            }
        }
    }
    put_all(model, swaps)?;
    hooks::move_to_first(model, chains);
    Ok(())
}

/// Hooks within a chain would have nothing to see.
fn refuse_hooked(model: &dyn Node, chains: &[Vec<String>]) -> Result<()> {
    let (before, after) = hooks::watched(model);
    for chain in chains {
        let inside = |(i, name): (usize, &String)| {
            let within =
                (i > 0 && before.contains(name)) || (i + 1 < chain.len() && after.contains(name));
            within.then(|| name.clone())
        };
        let hooked: Vec<String> = chain.iter().enumerate().filter_map(inside).collect();
        if !hooked.is_empty() {
            return Err(Error::FuseHooked {
                places: chain.clone(),
                hooked,
            });
        }
    }
    Ok(())
}

/// Observers of prepared places have seen the values of the unfused modules.
fn refuse_prepared(model: &dyn Node, chains: &[Vec<String>]) -> Result<()> {
    let mut prepared = Vec::new();
    walk(model, &mut |path, node| {
        let is_prepared = node.as_place().is_some_and(|p| p.prepared().is_some());
        if is_prepared && chains.iter().flatten().any(|name| name == path) {
            prepared.push(path.to_string());
        }
    });
    if prepared.is_empty() {
        Ok(())
    } else {
        Err(Error::FuseAfterPrepare(prepared))
    }
}
