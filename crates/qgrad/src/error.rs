//! What can go wrong when recording and differentiating.

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation refused, or a gradient cannot be had.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation refused its operands.
    #[error(transparent)]
    Operation(#[from] qops::Error),
    /// A tensor refused.
    #[error(transparent)]
    Tensor(#[from] qtensor_core::Error),
    /// `backward` started at a value that depends on nothing that requires a gradient.
    #[error(
        "backward: the value of shape {shape:?} depends on no parameter, or was computed without recording"
    )]
    NoGraph {
        /// The value's shape.
        shape: Vec<usize>,
    },
    /// `backward` without a gradient needs a single element to start at.
    #[error(
        "backward: expected 1 element, got {actual} (shape {shape:?}); use backward_with and pass a gradient"
    )]
    NotScalar {
        /// How many elements the value has.
        actual: usize,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A gradient does not have the shape of the value it belongs to.
    #[error("{operation}: the gradient must have shape {expected:?}, got {actual:?}")]
    GradientShape {
        /// The operation whose rule made it, or the function it was passed to.
        operation: &'static str,
        /// The value's shape.
        expected: Vec<usize>,
        /// The gradient's shape.
        actual: Vec<usize>,
    },
    /// A rule did not answer with one gradient per input.
    #[error(
        "{operation}: the rule must give {expected} gradients, one per input, it gave {actual}"
    )]
    GradientCount {
        /// The operation.
        operation: &'static str,
        /// Its number of inputs.
        expected: usize,
        /// How many gradients came.
        actual: usize,
    },
    /// An argument that is not a tensor is outside what the operation takes.
    #[error("{operation}: {argument} must be {expected}, got {actual}")]
    Argument {
        /// The operation that refused.
        operation: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// What it may be.
        expected: String,
        /// What it was.
        actual: String,
    },
    /// An optimizer, or a function on gradients, got no parameter.
    #[error(
        "{operation}: there is no parameter to train; is the model in evaluation mode? switch it with train"
    )]
    NoParameters {
        /// The optimizer or function.
        operation: &'static str,
    },
    /// A gradient holds NaN or an infinity, so a step would destroy its parameter.
    #[error("{operation}: the gradient of {parameter} has norm {norm}; the loss has diverged")]
    NotFinite {
        /// The optimizer or function.
        operation: &'static str,
        /// The parameter's name.
        parameter: String,
        /// Its gradient's norm.
        norm: f64,
    },
    /// A rule of another crate failed.
    #[error("{operation}: {message}")]
    Rule {
        /// The operation.
        operation: &'static str,
        /// What went wrong.
        message: String,
    },
    /// A gradient differs from finite differences.
    #[error(
        "gradcheck: input {input}, element {element}: the gradient is {analytic}, finite differences give {numeric} \
         (allowed difference {tolerance})"
    )]
    GradientMismatch {
        /// Which input.
        input: usize,
        /// Which of its elements, in row-major order.
        element: usize,
        /// What backward computed.
        analytic: f64,
        /// What finite differences give.
        numeric: f64,
        /// The difference allowed.
        tolerance: f64,
    },
}
