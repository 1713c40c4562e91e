//! Stochastic gradient descent, with momentum.

use std::collections::BTreeSet;

use super::{Memory, Optimizer, ParameterSet, check, is_rate, update_all};
use crate::error::Result;

const NAME: &str = "SGD";

/// The settings of [`Sgd`]; end with [`build`](Self::build).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    rate: f64,
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: f64,
}

/// Gradient descent: `p ← p − lr · d`.
///
/// With `g = ∂L/∂p + weight_decay · p` and, if there is momentum, `b ← momentum · b + (1 − dampening) · g`
/// (`b ← g` in the first step), `d` is `g` without momentum, `b` with it, and `g + momentum · b` in Nesterov's form.
/// These are PyTorch's `torch.optim.SGD`.
#[derive(Clone, Debug)]
pub struct Sgd {
    config: SgdConfig,
    momenta: Memory,
    /// The parameters that have a momentum already: the first gradient of each is taken without dampening.
    started: BTreeSet<String>,
}

impl Sgd {
    /// Plain gradient descent with a learning rate, to which settings can be added.
    pub fn config(learning_rate: f64) -> SgdConfig {
        SgdConfig {
            rate: learning_rate,
            momentum: 0.0,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        }
    }
}

impl SgdConfig {
    /// The share of the last direction that is kept.
    pub fn momentum(mut self, momentum: f64) -> SgdConfig {
        self.momentum = momentum;
        self
    }

    /// What is left out of each new gradient in the momentum.
    pub fn dampening(mut self, dampening: f64) -> SgdConfig {
        self.dampening = dampening;
        self
    }

    /// Nesterov's form, which looks ahead along the momentum.
    pub fn nesterov(mut self, nesterov: bool) -> SgdConfig {
        self.nesterov = nesterov;
        self
    }

    /// The factor of `p` that is added to its gradient.
    pub fn weight_decay(mut self, decay: f64) -> SgdConfig {
        self.weight_decay = decay;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a rate or a factor that is negative or not finite, and for
    /// Nesterov's form without momentum or with dampening.
    pub fn build(self) -> Result<Sgd> {
        let expected = "finite and not negative";
        for (argument, value) in [
            ("learning_rate", self.rate),
            ("momentum", self.momentum),
            ("weight_decay", self.weight_decay),
        ] {
            check(NAME, argument, value, is_rate(value), expected)?;
        }
        check(
            NAME,
            "dampening",
            self.dampening,
            self.dampening.is_finite(),
            "finite",
        )?;
        let expected = "positive, without dampening, in Nesterov's form";
        let usable = !self.nesterov || (self.momentum > 0.0 && self.dampening == 0.0);
        check(NAME, "momentum", self.momentum, usable, expected)?;
        Ok(Sgd {
            config: self,
            momenta: Memory::default(),
            started: BTreeSet::new(),
        })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, parameters: &mut dyn ParameterSet) -> Result<()> {
        let SgdConfig {
            rate,
            momentum,
            dampening,
            nesterov,
            weight_decay,
        } = self.config;
        let (rate, momentum) = (rate as f32, momentum as f32);
        let (fresh, decay) = ((1.0 - dampening) as f32, weight_decay as f32);
        let (momenta, started) = (&mut self.momenta, &mut self.started);
        update_all(NAME, parameters, |name, p, grad| {
            if momentum == 0.0 {
                for (p, &g) in p.iter_mut().zip(grad) {
                    *p -= rate * (g + decay * *p);
                }
                return;
            }
            let first = started.insert(name.to_string());
            let fresh = if first { 1.0 } else { fresh };
            let buffer = momenta.of(name, p.len());
            for ((p, b), &g) in p.iter_mut().zip(buffer).zip(grad) {
                let g = g + decay * *p;
                *b = momentum * *b + fresh * g;
                *p -= rate * if nesterov { g + momentum * *b } else { *b };
            }
        })
    }

    fn learning_rate(&self) -> f64 {
        self.config.rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.config.rate = rate;
    }
}
