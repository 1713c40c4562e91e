//! What can go wrong with operations: each variant names the operation and carries both numbers.

use qtensor_core::DType;

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
    /// The operands have different storage types.
    #[error("{operation}: the operands' types differ: {left} and {right}")]
    DTypesDiffer {
        /// The operation that refused.
        operation: &'static str,
        /// The first operand's type.
        left: DType,
        /// The type of the operand that differs from it.
        right: DType,
    },
    /// Per-channel tensors that are joined have their channels along different axes.
    #[error("{operation}: the tensors' channel axes differ: {expected} and {actual}")]
    ChannelAxes {
        /// The operation that refused.
        operation: &'static str,
        /// The first tensor's axis.
        expected: usize,
        /// The axis of the tensor that differs from it.
        actual: usize,
    },
    /// Per-channel tensors that share their channels have different scales or zero points.
    #[error(
        "{operation}: channel {channel} has scale and zero point {expected:?} in the first tensor, but {actual:?} in tensor {tensor}"
    )]
    ChannelMaps {
        /// The operation that refused.
        operation: &'static str,
        /// Which tensor differs, counted from 0.
        tensor: usize,
        /// The channel.
        channel: usize,
        /// Scale and zero point in the first tensor.
        expected: (f64, i32),
        /// Those in the tensor that differs.
        actual: (f64, i32),
    },
    /// The operation does not exist for this storage type.
    #[error("{operation}: expected {expected}, got {actual}")]
    UnsupportedDType {
        /// The operation that refused.
        operation: &'static str,
        /// What it takes, in words.
        expected: &'static str,
        /// What came.
        actual: DType,
    },
    /// A float that has no integer: NaN or an infinity among values that are quantized as they come.
    #[error("{operation}: the input must be finite, but element {index:?} is {value}")]
    NotFinite {
        /// The operation that refused.
        operation: &'static str,
        /// Where the first such element is, one coordinate per dimension.
        index: Vec<usize>,
        /// The element.
        value: f32,
    },
    /// One length is not the one that another argument requires.
    #[error("{operation}: {what} must be {expected}, got {actual}")]
    Length {
        /// The operation that refused.
        operation: &'static str,
        /// Which length, in words.
        what: &'static str,
        /// The length required.
        expected: usize,
        /// The length that came.
        actual: usize,
    },
    /// Per-channel weights are quantized along another axis than the output channels.
    #[error(
        "{operation}: weights must be quantized per tensor or along axis 0, these are along axis {axis}"
    )]
    WeightAxis {
        /// The operation that refused.
        operation: &'static str,
        /// The weights' channel axis.
        axis: usize,
    },
    /// A weight zero point is not 0.
    #[error("{operation}: weights must have zero point 0, channel {channel} has {zero_point}")]
    WeightZeroPoint {
        /// The operation that refused.
        operation: &'static str,
        /// The output channel.
        channel: usize,
        /// Its zero point.
        zero_point: i32,
    },
    /// A bias, in steps of input scale times weight scale, leaves no room in `i32` for the worst sum, and weights on
    /// a coarser grid would change results by more than half a step of the output.
    #[error(
        "{operation}: channel {channel}: bias {bias} is {steps} steps of {step:e}, but only {lowest}..={highest} \
         leave room in i32 for the sum of products; enlarge the channel's weight scale"
    )]
    BiasTooLarge {
        /// The operation that refused.
        operation: &'static str,
        /// The output channel.
        channel: usize,
        /// The bias.
        bias: f32,
        /// The bias in steps, before saturation.
        steps: f64,
        /// One step: input scale times weight scale.
        step: f32,
        /// The least number of steps that is safe for this channel.
        lowest: i32,
        /// The greatest number of steps that is safe for this channel.
        highest: i32,
    },
    /// The scales of input, weight and output combine to a multiplier that `f32` cannot hold.
    #[error(
        "{operation}: channel {channel}: input scale {input_scale:e} times weight scale {weight_scale:e} over \
         output scale {output_scale:e} has no usable f32 value ({multiplier:e})"
    )]
    Multiplier {
        /// The operation that refused.
        operation: &'static str,
        /// The output channel; 0 for operations without channels.
        channel: usize,
        /// The input's scale.
        input_scale: f32,
        /// The scale of the weight, or of the second operand.
        weight_scale: f32,
        /// The output's scale.
        output_scale: f32,
        /// What came out.
        multiplier: f32,
    },
    /// An operation over at least one tensor, or one element, got none.
    #[error("{operation}: needs at least one {what}")]
    Empty {
        /// The operation that refused.
        operation: &'static str,
        /// Of what.
        what: &'static str,
    },
}
