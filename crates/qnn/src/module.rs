//! `Module`, which computes, and `Node`, its part that every tool can walk whatever the signature.

use std::any::Any;

use qgrad::Var;
use qobserve::Observer;

use crate::error::Result;
use crate::place::Place;
use crate::state::State;
use crate::value::Flow;

/// A part of a model: something with a `forward`.
///
/// Derive it for a struct of modules (see [`macro@crate::Module`]); implement it by hand, with [`Node`],
/// for a module of your own.
///
/// ```
/// use qnn::{Module, Node, Result, Value};
///
/// struct Double;
/// impl Node for Double {
///     fn kind(&self) -> &'static str { "Double" }
/// }
/// impl Module for Double {
///     type Input = Value;
///     type Output = Value;
///     fn forward(&self, x: &Value) -> Result<Value> {
///         let x = x.float("Double")?;
///         Ok(qgrad::ops::add(x, x)?.into())
///     }
/// }
/// ```
pub trait Module: Node {
    /// What `forward` takes.
    type Input: Flow;
    /// What `forward` returns.
    type Output: Flow;

    /// Computes the output. A forward pass changes nothing but attached observers.
    ///
    /// # Errors
    /// A value of the wrong kind or shape; the place's name is added by [`Layer`](crate::Layer).
    fn forward(&self, input: &Self::Input) -> Result<Self::Output>;

    /// As [`forward`](Self::forward), of an input that the caller needs no more: a module may make its output in the same
    /// memory, if nothing else holds that.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    fn forward_owned(&self, input: Self::Input) -> Result<Self::Output> {
        self.forward(&input)
    }

    /// Whether an observer should see the output for this input; false where the output's scale follows
    /// from the input's.
    fn observes(&self, input: &Self::Input) -> bool {
        let _ = input;
        true
    }
}

/// What every module shows of itself, without its signature: kind, children, state.
///
/// The methods with default bodies describe a leaf without state.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a module, so the derived walk cannot enter it",
    note = "mark a field that is no module with #[module(skip)]"
)]
pub trait Node: Any + Send + Sync {
    /// The name of the module's type, as reports and files show it.
    fn kind(&self) -> &'static str;

    /// The numbers that matter, for printing: `1, 24, kernel_size=[3, 3]`.
    fn extra_repr(&self) -> String {
        String::new()
    }

    /// Calls `visit` with the name of each child and the child.
    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        let _ = visit;
    }

    /// As [`children`](Node::children), mutably.
    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        let _ = visit;
    }

    /// The module's own parameters, buffers and numbers, without those of its children.
    fn state(&self) -> State {
        State::default()
    }

    /// The numbers that the module was built with and that weights must fit: strides, windows, an epsilon.
    ///
    /// Model files keep them, so that loading into a model of another architecture is an error.
    fn config(&self) -> State {
        State::default()
    }

    /// Takes entries of the given names from `state`; what it does not take stays there.
    ///
    /// # Errors
    /// [`Error::MissingState`](crate::Error::MissingState), [`Error::StateShape`](crate::Error::StateShape).
    fn load_state(&mut self, state: &mut State) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Switches between training and evaluation for this module alone.
    fn set_training(&mut self, training: bool) {
        let _ = training;
    }

    /// Calls `visit` with the name and the value of each of the module's own parameters, without those of its
    /// children; see [`parameters`](crate::parameters).
    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        let _ = visit;
    }

    /// Calls `visit` with the name of each fake-quant or other observer of this module, and the observer.
    fn observers_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Observer)) {
        let _ = visit;
    }

    /// As [`observers_mut`](Node::observers_mut), without the right to change them.
    fn observers(&self, visit: &mut dyn FnMut(&str, &dyn Observer)) {
        let _ = visit;
    }

    /// Keeps the running statistics of batch norms as they are and normalizes with them in training too, or
    /// takes that back.
    #[doc(alias = "freeze_bn_stats")]
    #[doc(alias = "update_bn_stats")]
    fn set_bn_frozen(&mut self, frozen: bool) {
        let _ = frozen;
    }

    /// This node as a place whose module can be swapped, if it is one.
    fn as_place(&self) -> Option<&dyn Place> {
        None
    }

    /// As [`as_place`](Node::as_place), mutably.
    fn as_place_mut(&mut self) -> Option<&mut dyn Place> {
        None
    }
}

/// The name of `child` below `parent`: joined by a dot.
pub fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() {
        child.to_string()
    } else {
        format!("{parent}.{child}")
    }
}

/// Calls `visit` with every node and its dotted name, parents first. The root comes first, with an empty name.
pub fn walk<'a>(root: &'a dyn Node, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
    fn below<'a>(path: &str, node: &'a dyn Node, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        node.children(&mut |name, child| {
            let path = join(path, name);
            visit(&path, child);
            below(&path, child, visit);
        });
    }
    visit("", root);
    below("", root, visit);
}

/// As [`walk`], mutably.
pub fn walk_mut(root: &mut dyn Node, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
    fn below(path: &str, node: &mut dyn Node, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        node.children_mut(&mut |name, child| {
            let path = join(path, name);
            visit(&path, child);
            below(&path, child, visit);
        });
    }
    visit("", root);
    below("", root, visit);
}

/// True for a node without children.
pub fn is_leaf(node: &dyn Node) -> bool {
    let mut leaf = true;
    node.children(&mut |_, _| leaf = false);
    leaf
}

/// The dotted names of all places, in order.
pub fn paths(root: &dyn Node) -> Vec<String> {
    let mut names = Vec::new();
    walk(root, &mut |path, node| {
        if node.as_place().is_some() {
            names.push(path.to_string());
        }
    });
    names
}

/// Tells every place its dotted name, so that errors can say where they happened.
///
/// Every step of the flow does it; call it on a model that errs before any of them.
pub fn name_places(root: &mut dyn Node) {
    walk_mut(root, &mut |path, node| {
        if let Some(place) = node.as_place_mut() {
            place.set_path(path);
        }
    });
}

/// The model as an indented tree of kinds, as PyTorch prints it.
pub fn describe(root: &dyn Node) -> String {
    fn below(name: &str, node: &dyn Node, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        let label = if name.is_empty() {
            String::new()
        } else {
            format!("({name}): ")
        };
        let mut children: Vec<(String, &dyn Node)> = Vec::new();
        node.children(&mut |name, child| children.push((name.to_string(), child)));
        if children.is_empty() {
            out.push_str(&format!(
                "{indent}{label}{}({})\n",
                node.kind(),
                node.extra_repr()
            ));
            return;
        }
        out.push_str(&format!("{indent}{label}{}(\n", node.kind()));
        for (name, child) in children {
            below(&name, child, depth + 1, out);
        }
        out.push_str(&format!("{indent})\n"));
    }
    let mut out = String::new();
    below("", root, 0, &mut out);
    out.truncate(out.trim_end().len());
    out
}

/// Lists of modules are nodes whose children are named by their index.
impl<N: Node> Node for Vec<N> {
    fn kind(&self) -> &'static str {
        "ModuleList"
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        for (i, child) in self.iter().enumerate() {
            visit(&i.to_string(), child);
        }
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        for (i, child) in self.iter_mut().enumerate() {
            visit(&i.to_string(), child);
        }
    }
}

/// An optional module is a node that stands for the module when it is there, and for nothing otherwise.
impl<N: Node> Node for Option<N> {
    fn kind(&self) -> &'static str {
        self.as_ref().map_or("None", Node::kind)
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        if let Some(node) = self {
            node.children(visit);
        }
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        if let Some(node) = self {
            node.children_mut(visit);
        }
    }

    fn extra_repr(&self) -> String {
        self.as_ref().map(Node::extra_repr).unwrap_or_default()
    }

    fn state(&self) -> State {
        self.as_ref().map(Node::state).unwrap_or_default()
    }

    fn config(&self) -> State {
        self.as_ref().map(Node::config).unwrap_or_default()
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.as_mut().map_or(Ok(()), |node| node.load_state(state))
    }

    fn set_training(&mut self, training: bool) {
        if let Some(node) = self {
            node.set_training(training);
        }
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        if let Some(node) = self {
            node.parameters_mut(visit);
        }
    }

    fn observers_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Observer)) {
        if let Some(node) = self {
            node.observers_mut(visit);
        }
    }

    fn observers(&self, visit: &mut dyn FnMut(&str, &dyn Observer)) {
        if let Some(node) = self {
            node.observers(visit);
        }
    }

    fn set_bn_frozen(&mut self, frozen: bool) {
        if let Some(node) = self {
            node.set_bn_frozen(frozen);
        }
    }

    fn as_place(&self) -> Option<&dyn Place> {
        self.as_ref().and_then(Node::as_place)
    }

    fn as_place_mut(&mut self) -> Option<&mut dyn Place> {
        self.as_mut().and_then(Node::as_place_mut)
    }
}
