//! What can go wrong in a module, and where.

use crate::value::ValueKind;

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a module. [`Error::At`] says at which place of the model it happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error inside a named place.
    #[error("{path} ({module}): {source}")]
    At {
        /// The dotted name of the place.
        path: String,
        /// The kind of module in it.
        module: String,
        /// What happened there.
        source: Box<Error>,
    },
    /// A module for quantized values got a float one, or the reverse.
    #[error("{module} takes {expected} values, but a {actual} value came; {}", cure(.module, *.expected))]
    WrongKind {
        /// The module that refused.
        module: &'static str,
        /// What it takes.
        expected: ValueKind,
        /// What came.
        actual: ValueKind,
    },
    /// A module was offered to a place whose `forward` has another signature.
    #[error(
        "{path}: a {offered} does not fit a place declared for {declared}: their forward methods take or return other types"
    )]
    Signature {
        /// The dotted name of the place.
        path: String,
        /// The module that the place was declared for.
        declared: &'static str,
        /// The module that was offered.
        offered: String,
    },
    /// A state entry is not there.
    #[error("{module}: the state has no entry {key:?}")]
    MissingState {
        /// The module that looked for it.
        module: &'static str,
        /// The entry's name.
        key: String,
    },
    /// A state entry is of another type than needed.
    #[error("{module}: the state entry {key:?} is a {actual}, expected a {expected}")]
    StateType {
        /// The module that looked for it.
        module: &'static str,
        /// The entry's name.
        key: String,
        /// The type needed.
        expected: &'static str,
        /// The type found.
        actual: &'static str,
    },
    /// A state entry has another shape than the module.
    #[error("{module}: {key} has shape {actual:?}, the model has {expected:?}")]
    StateShape {
        /// The module.
        module: &'static str,
        /// The entry's name.
        key: String,
        /// The module's shape.
        expected: Vec<usize>,
        /// The entry's shape.
        actual: Vec<usize>,
    },
    /// An input that a module cannot take, by its shape.
    #[error("{module}: {what} must have shape {expected}, got {actual:?}")]
    InputShape {
        /// The module.
        module: &'static str,
        /// Which input.
        what: &'static str,
        /// The shape it takes, in words.
        expected: String,
        /// The shape that came.
        actual: Vec<usize>,
    },
    /// Lengths of sequences that do not belong to the sequences.
    #[error("{operation}: {what}")]
    Lengths {
        /// The operation that refused.
        operation: &'static str,
        /// What is wrong with them, with the numbers.
        what: String,
    },
    /// A module's numbers contradict each other.
    #[error("{module}: {what}")]
    Config {
        /// The module.
        module: &'static str,
        /// The contradiction, with the numbers.
        what: String,
    },
    /// An error of a tensor.
    #[error(transparent)]
    Tensor(#[from] qtensor_core::Error),
    /// An error of an operation.
    #[error(transparent)]
    Ops(#[from] qops::Error),
    /// An error of the autograd.
    #[error(transparent)]
    Grad(#[from] qgrad::Error),
    /// An error of an observer.
    #[error(transparent)]
    Observe(#[from] qobserve::Error),
}

impl Error {
    /// The error with the place where it happened, unless an inner place is named already.
    pub fn at(self, path: &str, module: &str) -> Error {
        match self {
            Error::At { .. } => self,
            source => {
                let path = if path.is_empty() {
                    "an unnamed place"
                } else {
                    path
                };
                Error::At {
                    path: path.into(),
                    module: module.into(),
                    source: Box::new(source),
                }
            }
        }
    }

    /// The error itself, without the place.
    pub fn root(&self) -> &Error {
        match self {
            Error::At { source, .. } => source.root(),
            other => other,
        }
    }
}

/// What to do about a value of the wrong kind.
pub(crate) fn cure(module: &str, expected: ValueKind) -> &'static str {
    match expected {
        _ if module == "DeQuantize" => {
            "it is float already, so this DeQuantStub is superfluous or stands too late"
        }
        _ if module == "Quantize" => {
            "it is quantized already, so this QuantStub is superfluous or stands too late"
        }
        ValueKind::Quantized => "send the value through a converted QuantStub first",
        ValueKind::Float => {
            "send the value through a DeQuantStub first, or give this place a qconfig so that it is converted too"
        }
    }
}
