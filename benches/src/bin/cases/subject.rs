//! A model under measurement: a network, or one layer behind a stub.

use std::collections::BTreeMap;

use qtensor::prelude::*;
use qtensor::qnn::{self, Recurrent, RecurrentKind, name_places, profile::Visit, walk};

/// A linear layer behind the stub that quantizes its input, which is not measured.
#[derive(Module)]
pub struct Single {
    quant: Layer<QuantStub>,
    linear: Layer<Linear>,
}

impl Single {
    pub fn new(linear: Linear) -> Single {
        Single {
            quant: QuantStub.into(),
            linear: linear.into(),
        }
    }

    fn forward(&self, x: &Value) -> Result<Value> {
        self.linear.forward(&self.quant.forward(x)?)
    }
}

/// The outputs of a recurrent layer, without its state.
pub struct Outputs<K: RecurrentKind> {
    layer: Layer<Recurrent<K>>,
}

impl<K: RecurrentKind> Outputs<K> {
    pub fn new(input: usize, hidden: usize) -> Result<Outputs<K>> {
        Ok(Outputs {
            layer: Recurrent::new(input, hidden)?.into(),
        })
    }
}

impl<K: RecurrentKind> Node for Outputs<K> {
    fn kind(&self) -> &'static str {
        "Outputs"
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        visit("layer", &self.layer);
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        visit("layer", &mut self.layer);
    }
}

impl<K: RecurrentKind> Module for Outputs<K> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, x: &Value) -> Result<Value> {
        self.layer.run(x).map(|(y, _)| y)
    }
}

/// A model of any of the two kinds. It has no state of its own, so that its children are all that tools need.
pub struct Subject(Kind);

enum Kind {
    Network(Box<dyn Module<Input = Value, Output = Value>>),
    Single(Box<Single>),
}

impl Subject {
    pub fn network(net: impl Module<Input = Value, Output = Value>) -> Subject {
        Subject::named(Kind::Network(Box::new(net)))
    }

    pub fn single(layer: Single) -> Subject {
        Subject::named(Kind::Single(Box::new(layer)))
    }

    fn named(kind: Kind) -> Subject {
        let mut subject = Subject(kind);
        name_places(&mut subject);
        subject
    }

    /// What [`call`](Subject::call) takes, made from the model's input.
    pub fn call_input(&self, x: &Value) -> Result<Value> {
        match &self.0 {
            Kind::Network(_) => Ok(x.clone()),
            Kind::Single(single) => single.quant.forward(x),
        }
    }

    /// The part that is measured.
    pub fn call(&self, input: &Value) -> Result<Value> {
        match &self.0 {
            Kind::Network(net) => net.forward(input),
            Kind::Single(single) => single.linear.forward(input),
        }
    }

    fn node(&self) -> &dyn Node {
        match &self.0 {
            Kind::Network(net) => &**net,
            Kind::Single(single) => &**single,
        }
    }

    /// The products of a call of the place, given its weights: each output is a sum over one row of them.
    pub fn macs(weights: &BTreeMap<String, Vec<usize>>, visit: &Visit) -> u64 {
        match weights.get(&visit.path).map(Vec::as_slice) {
            Some([_, row @ ..]) if !row.is_empty() => {
                let products =
                    |lengths: &[usize]| lengths.iter().map(|&l| l as u64).product::<u64>();
                products(&visit.output) * products(row)
            }
            _ => 0,
        }
    }

    /// The shapes of all weights, float and int8, by place.
    pub fn weights(&self) -> BTreeMap<String, Vec<usize>> {
        let mut shapes = BTreeMap::new();
        walk(self, &mut |path, node| {
            let state = node.state();
            if let Some(shape) = state.get("weight").and_then(|entry| entry.shape()) {
                shapes.insert(path.to_string(), shape.to_vec());
            }
        });
        shapes
    }
}

impl Node for Subject {
    fn kind(&self) -> &'static str {
        self.node().kind()
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        self.node().children(visit);
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        match &mut self.0 {
            Kind::Network(net) => net.children_mut(visit),
            Kind::Single(single) => single.children_mut(visit),
        }
    }
}

impl Module for Subject {
    type Input = Value;
    type Output = Value;

    fn forward(&self, x: &Value) -> qnn::Result<Value> {
        self.call(&self.call_input(x)?)
    }
}
