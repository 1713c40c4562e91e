//! What can go wrong with operations: each variant names the operation and carries both numbers.

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation refused its operands or its arguments.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor refused: a wrong rank, a missing dimension, a shape that is too large.
    #[error(transparent)]
    Tensor(#[from] qtensor_core::Error),
    /// A kernel refused, or the instruction set named by the environment is unknown.
    #[error(transparent)]
    Kernel(#[from] qkernels_x86::Error),
    /// A size that two operands share differs between them.
    #[error("{operation}: {what} is {expected} in shape {left:?}, but {actual} in shape {right:?}")]
    Operands {
        /// The operation that refused.
        operation: &'static str,
        /// The size that has to agree, in words.
        what: &'static str,
        /// The size in the first operand.
        expected: usize,
        /// The size in the second operand.
        actual: usize,
        /// The first operand's shape.
        left: Vec<usize>,
        /// The second operand's shape.
        right: Vec<usize>,
    },
    /// Two shapes have no common shape that both expand to.
    #[error("{operation}: shapes {left:?} and {right:?} do not broadcast together")]
    NotBroadcastable {
        /// The operation that refused.
        operation: &'static str,
        /// The first operand's shape.
        left: Vec<usize>,
        /// The second operand's shape.
        right: Vec<usize>,
    },
    /// A window is larger than the padded input.
    #[error(
        "{operation}: a window of {window} does not fit into a padded length of {input} (spatial axis {axis})"
    )]
    Window {
        /// The operation that refused.
        operation: &'static str,
        /// The spatial axis, counted among depth, height and width.
        axis: usize,
        /// The length of the window with its dilation.
        window: usize,
        /// The length of the input with its padding.
        input: usize,
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
}
