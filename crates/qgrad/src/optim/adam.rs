//! Adam, and AdamW with its decay apart from the gradient.

use std::collections::BTreeMap;

use super::{Memory, Optimizer, ParameterSet, check, is_rate, update_all};
use crate::error::Result;

/// The settings of [`Adam`] and [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    rate: f64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
}

impl AdamConfig {
    fn new(rate: f64, weight_decay: f64) -> AdamConfig {
        AdamConfig {
            rate,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay,
        }
    }

    /// How much of the old averages is kept, of gradients and of their squares. 0.9 and 0.999 unless set.
    pub fn betas(mut self, first: f64, second: f64) -> AdamConfig {
        self.betas = (first, second);
        self
    }

    /// The number added to the denominator, 1e-8 unless set.
    pub fn eps(mut self, eps: f64) -> AdamConfig {
        self.eps = eps;
        self
    }

    /// The decay: 0 for Adam and 0.01 for AdamW unless set.
    pub fn weight_decay(mut self, decay: f64) -> AdamConfig {
        self.weight_decay = decay;
        self
    }

    /// [`Adam`] with these settings.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a rate, `eps` or decay that is negative or not finite, and
    /// for a beta outside `0..1`.
    pub fn adam(self) -> Result<Adam> {
        Ok(Adam(Moments::new("Adam", self)?))
    }

    /// [`AdamW`] with these settings.
    ///
    /// # Errors
    /// As [`adam`](Self::adam).
    pub fn adamw(self) -> Result<AdamW> {
        Ok(AdamW(Moments::new("AdamW", self)?))
    }
}

/// `p ← p − lr · m̂ / (√v̂ + eps)` with the averages `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²` of
/// `g = ∂L/∂p + weight_decay · p`, and `m̂ = m / (1 − β₁ᵗ)`, `v̂ = v / (1 − β₂ᵗ)` in the parameter's step `t`.
///
/// These are PyTorch's `torch.optim.Adam`, without AMSGrad.
#[derive(Clone, Debug)]
pub struct Adam(Moments);

/// As [`Adam`], but the decay takes its share of `p` directly: `p ← (1 − lr · weight_decay) · p` before the step.
#[derive(Clone, Debug)]
pub struct AdamW(Moments);

impl Adam {
    /// Settings with a learning rate.
    pub fn config(learning_rate: f64) -> AdamConfig {
        AdamConfig::new(learning_rate, 0.0)
    }

    /// Adam with PyTorch's defaults.
    ///
    /// # Errors
    /// As [`AdamConfig::adam`].
    pub fn new(learning_rate: f64) -> Result<Adam> {
        Adam::config(learning_rate).adam()
    }
}

impl AdamW {
    /// Settings with a learning rate, and a decay of 0.01.
    pub fn config(learning_rate: f64) -> AdamConfig {
        AdamConfig::new(learning_rate, 0.01)
    }

    /// AdamW with PyTorch's defaults.
    ///
    /// # Errors
    /// As [`AdamConfig::adam`].
    pub fn new(learning_rate: f64) -> Result<AdamW> {
        AdamW::config(learning_rate).adamw()
    }
}

/// What both keep: settings, the averages, and how many steps each parameter has taken.
#[derive(Clone, Debug)]
struct Moments {
    name: &'static str,
    config: AdamConfig,
    first: Memory,
    second: Memory,
    steps: BTreeMap<String, u32>,
}

impl Moments {
    fn new(name: &'static str, config: AdamConfig) -> Result<Moments> {
        let expected = "finite and not negative";
        for (argument, value) in [
            ("learning_rate", config.rate),
            ("eps", config.eps),
            ("weight_decay", config.weight_decay),
        ] {
            check(name, argument, value, is_rate(value), expected)?;
        }
        for beta in [config.betas.0, config.betas.1] {
            check(name, "beta", beta, (0.0..1.0).contains(&beta), "in 0..1")?;
        }
        Ok(Moments {
            name,
            config,
            first: Memory::default(),
            second: Memory::default(),
            steps: BTreeMap::new(),
        })
    }

    fn step(&mut self, parameters: &mut dyn ParameterSet, decoupled: bool) -> Result<()> {
        let AdamConfig {
            rate,
            betas: (beta1, beta2),
            eps,
            weight_decay,
        } = self.config;
        let (first, second, steps) = (&mut self.first, &mut self.second, &mut self.steps);
        update_all(self.name, parameters, |name, p, grad| {
            let t = steps.entry(name.to_string()).or_default();
            *t = t.saturating_add(1);
            let power = |beta: f64| beta.powf(f64::from(*t));
            let step = (rate / (1.0 - power(beta1))) as f32;
            let root = (1.0 - power(beta2)).sqrt() as f32;
            let keep = if decoupled {
                1.0 - rate * weight_decay
            } else {
                1.0
            } as f32;
            let decay = if decoupled { 0.0 } else { weight_decay } as f32;
            let (b1, b2, eps) = (beta1 as f32, beta2 as f32, eps as f32);
            let (c1, c2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
            let len = p.len();
            let averages = first.of(name, len).iter_mut().zip(second.of(name, len));
            for ((p, (m, v)), &g) in p.iter_mut().zip(averages).zip(grad) {
                let old = *p * keep;
                let g = g + decay * *p;
                *m = b1 * *m + c1 * g;
                *v = b2 * *v + c2 * g * g;
                *p = old - step * (*m / (v.sqrt() / root + eps));
            }
        })
    }
}

impl Optimizer for Adam {
    fn step(&mut self, parameters: &mut dyn ParameterSet) -> Result<()> {
        self.0.step(parameters, false)
    }

    fn learning_rate(&self) -> f64 {
        self.0.config.rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.0.config.rate = rate;
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, parameters: &mut dyn ParameterSet) -> Result<()> {
        self.0.step(parameters, true)
    }

    fn learning_rate(&self) -> f64 {
        self.0.config.rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.0.config.rate = rate;
    }
}
