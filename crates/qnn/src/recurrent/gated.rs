//! An LSTM cell whose products and sums are modules of their own, observed or int8.

use crate::error::{Error, Result};
use crate::float::{Sigmoid, Tanh};
use crate::functional::{Call, Operation};
use crate::module::{Module, Node};
use crate::value::Value;

/// The gates in the order of PyTorch's weights.
pub(crate) const GATES: [&str; 4] = ["input", "forget", "cell", "output"];

/// A place for sums and products, or what it becomes.
pub(crate) trait Arithmetic: Module<Input = Call, Output = Value> {
    /// A state in the form of this operation's results.
    fn adopt(&self, module: &'static str, state: &Value) -> Result<Value>;
}

/// The modules of an LSTM cell: `gates = igates(x) + hgates(h)`, `c' = σ(f)·c + σ(i)·tanh(g)`, `h' = σ(o)·tanh(c')`.
///
/// One layer gives all gates, or one each (PyTorch's `split_gates`), which then have grids of their own.
pub(crate) struct GatedCell<L, F> {
    pub(crate) igates: Vec<L>,
    pub(crate) hgates: Vec<L>,
    pub(crate) gates: Vec<F>,
    pub(crate) fgate_cx: F,
    pub(crate) igate_cgate: F,
    pub(crate) fgate_cx_igate_cgate: F,
    pub(crate) ogate_cy: F,
}

impl<L, F> GatedCell<L, F> {
    /// Whether the gates have layers of their own.
    pub(crate) fn is_split(&self) -> bool {
        self.gates.len() > 1
    }

    /// The linear layers under PyTorch's names.
    pub(crate) fn layers(&self) -> Vec<(String, &L)> {
        let split = self.is_split();
        let named = [("igates", &self.igates), ("hgates", &self.hgates)];
        let named = named.into_iter().flat_map(|(kind, layers)| {
            let layers = layers.iter().enumerate();
            layers.map(move |(at, layer)| (gate(kind, at, split), layer))
        });
        named.collect()
    }

    /// The sums and products under PyTorch's names.
    pub(crate) fn functionals(&self) -> Vec<(String, &F)> {
        let split = self.is_split();
        let sums = self.gates.iter().enumerate();
        let sums = sums.map(|(at, f)| (gate("gates", at, split), f));
        let rest = [
            ("fgate_cx", &self.fgate_cx),
            ("igate_cgate", &self.igate_cgate),
            ("fgate_cx_igate_cgate", &self.fgate_cx_igate_cgate),
            ("ogate_cy", &self.ogate_cy),
        ];
        let rest = rest.into_iter().map(|(name, f)| (name.to_string(), f));
        sums.chain(rest).collect()
    }

    /// The cell with every module replaced; `layer` and `functional` get the names too.
    pub(crate) fn try_map<A, B>(
        &self,
        mut layer: impl FnMut(&str, &L) -> Result<A>,
        mut functional: impl FnMut(&str, &F) -> Result<B>,
    ) -> Result<GatedCell<A, B>> {
        let split = self.is_split();
        let mut layers = |kind: &'static str, old: &[L]| -> Result<Vec<A>> {
            let named = old.iter().enumerate();
            named
                .map(|(at, l)| layer(&gate(kind, at, split), l))
                .collect()
        };
        let (igates, hgates) = (
            layers("igates", &self.igates)?,
            layers("hgates", &self.hgates)?,
        );
        let sums = self.gates.iter().enumerate();
        let gates = sums
            .map(|(at, f)| functional(&gate("gates", at, split), f))
            .collect::<Result<Vec<B>>>()?;
        Ok(GatedCell {
            igates,
            hgates,
            gates,
            fgate_cx: functional("fgate_cx", &self.fgate_cx)?,
            igate_cgate: functional("igate_cgate", &self.igate_cgate)?,
            fgate_cx_igate_cgate: functional("fgate_cx_igate_cgate", &self.fgate_cx_igate_cgate)?,
            ogate_cy: functional("ogate_cy", &self.ogate_cy)?,
        })
    }
}

impl<L: Node, F: Node> GatedCell<L, F> {
    /// Calls `visit` with the name of each module and the module.
    pub(crate) fn each_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        let split = self.is_split();
        for (kind, layers) in [("igates", &mut self.igates), ("hgates", &mut self.hgates)] {
            for (at, layer) in layers.iter_mut().enumerate() {
                visit(&gate(kind, at, split), layer);
            }
        }
        for (at, sum) in self.gates.iter_mut().enumerate() {
            visit(&gate("gates", at, split), sum);
        }
        visit("fgate_cx", &mut self.fgate_cx);
        visit("igate_cgate", &mut self.igate_cgate);
        visit("fgate_cx_igate_cgate", &mut self.fgate_cx_igate_cgate);
        visit("ogate_cy", &mut self.ogate_cy);
    }
}

impl GatedCell<(), ()> {
    /// The names of a cell's modules alone.
    pub(crate) fn named(split: bool) -> GatedCell<(), ()> {
        let many = vec![(); if split { GATES.len() } else { 1 }];
        GatedCell {
            igates: many.clone(),
            hgates: many.clone(),
            gates: many,
            fgate_cx: (),
            igate_cgate: (),
            fgate_cx_igate_cgate: (),
            ogate_cy: (),
        }
    }
}

fn gate(kind: &str, at: usize, split: bool) -> String {
    match GATES.get(at) {
        Some(name) if split => format!("{kind}.{name}"),
        _ => kind.to_string(),
    }
}

impl<L: Module<Input = Value, Output = Value>, F: Arithmetic> GatedCell<L, F> {
    /// What the input of all steps contributes to the gates, in one product for each layer.
    pub(crate) fn project(&self, x: &Value) -> Result<Vec<Value>> {
        self.igates.iter().map(|layer| layer.forward(x)).collect()
    }

    /// One step: `projected` is what [`project`](Self::project) gave for it, the state is `(h, c)`.
    pub(crate) fn step(
        &self,
        projected: &[Value],
        (h, c): (&Value, &Value),
    ) -> Result<(Value, Value)> {
        let mut gates = Vec::with_capacity(GATES.len());
        for ((add, hgates), igates) in self.gates.iter().zip(&self.hgates).zip(projected) {
            let sum = add.forward(&Call::new(Operation::Add, &[igates, &hgates.forward(h)?]))?;
            if self.is_split() {
                gates.push(sum);
                continue;
            }
            let width = sum.shape().get(1).copied().unwrap_or(0) / GATES.len();
            for at in 0..GATES.len() {
                gates.push(sum.slice(1, at * width, (at + 1) * width)?);
            }
        }
        let [input, forget, cell, output] = &gates[..] else {
            return Err(Error::Config {
                module: "LSTMCell",
                what: format!("{} gates, expected {}", gates.len(), GATES.len()),
            });
        };
        let product = |f: &F, a: &Value, b: &Value| f.forward(&Call::new(Operation::Mul, &[a, b]));
        let kept = product(&self.fgate_cx, &Sigmoid.forward(forget)?, c)?;
        let new = product(
            &self.igate_cgate,
            &Sigmoid.forward(input)?,
            &Tanh.forward(cell)?,
        )?;
        let c = Call::new(Operation::Add, &[&kept, &new]);
        let c = self.fgate_cx_igate_cgate.forward(&c)?;
        let h = product(
            &self.ogate_cy,
            &Sigmoid.forward(output)?,
            &Tanh.forward(&c)?,
        )?;
        Ok((h, c))
    }

    /// A state in the form of this cell's results.
    pub(crate) fn adopt(
        &self,
        module: &'static str,
        (h, c): (&Value, &Value),
    ) -> Result<(Value, Value)> {
        Ok((
            self.ogate_cy.adopt(module, h)?,
            self.fgate_cx_igate_cgate.adopt(module, c)?,
        ))
    }
}
