//! What can go wrong with tensors: one variant a mistake, each with the expected and the actual value.

use crate::dtype::DType;

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of tensors, qparams or tensor files.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The number of values does not fill the shape.
    #[error("{operation}: shape {shape:?} holds {expected} values, {actual} were given")]
    ValueCount {
        /// The operation that refused.
        operation: &'static str,
        /// The shape asked for.
        shape: Vec<usize>,
        /// How many values the shape holds.
        expected: usize,
        /// How many were given.
        actual: usize,
    },
    /// Two shapes that must agree do not.
    #[error("{operation}: expected shape {expected:?}, got {actual:?}")]
    ShapeMismatch {
        /// The operation that refused.
        operation: &'static str,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape that came.
        actual: Vec<usize>,
    },
    /// The number of dimensions is not the one that the operation takes.
    #[error("{operation}: expected {expected} dimensions, got {actual} (shape {shape:?})")]
    Rank {
        /// The operation that refused.
        operation: &'static str,
        /// What it takes, in words ("4", "at least 2").
        expected: String,
        /// How many dimensions came.
        actual: usize,
        /// The whole shape.
        shape: Vec<usize>,
    },
    /// A dimension's index lies outside the shape.
    #[error("{operation}: dimension {dim} does not exist in shape {shape:?} of {rank} dimensions")]
    NoSuchDim {
        /// The operation that refused.
        operation: &'static str,
        /// The dimension asked for.
        dim: usize,
        /// How many there are.
        rank: usize,
        /// The whole shape.
        shape: Vec<usize>,
    },
    /// An index or range lies outside its dimension.
    #[error("{operation}: index {index} is outside dimension {dim} of length {len}")]
    OutOfRange {
        /// The operation that refused.
        operation: &'static str,
        /// The dimension.
        dim: usize,
        /// The offending index, or the end of the offending range.
        index: usize,
        /// The dimension's length.
        len: usize,
    },
    /// An index into a tensor of indices, which may be negative, lies outside its dimension.
    #[error("{operation}: index {index} is outside dimension {dim} of length {len}")]
    IndexOutOfRange {
        /// The operation that refused.
        operation: &'static str,
        /// The dimension.
        dim: usize,
        /// The index.
        index: i64,
        /// The dimension's length.
        len: usize,
    },
    /// A dimension is named twice where each may come once.
    #[error("{operation}: dimension {dim} comes twice in {dims:?}")]
    RepeatedDim {
        /// The operation that refused.
        operation: &'static str,
        /// The dimension.
        dim: usize,
        /// All dimensions asked for.
        dims: Vec<usize>,
    },
    /// A slice would take every 0th element.
    #[error("{operation}: the step along dimension {dim} must be at least 1, got {step}")]
    InvalidStep {
        /// The operation that refused.
        operation: &'static str,
        /// The dimension.
        dim: usize,
        /// The step asked for.
        step: usize,
    },
    /// A slice would end before it starts.
    #[error("{operation}: along dimension {dim}, start {start} lies behind end {end}")]
    ReversedRange {
        /// The operation that refused.
        operation: &'static str,
        /// The dimension.
        dim: usize,
        /// The first index asked for.
        start: usize,
        /// One past the last index asked for.
        end: usize,
    },
    /// A dimension has not the one length that the operation takes.
    #[error(
        "{operation}: dimension {dim} of shape {shape:?} must have length {expected}, got {actual}"
    )]
    DimLength {
        /// The operation that refused.
        operation: &'static str,
        /// The dimension.
        dim: usize,
        /// The length that the operation takes.
        expected: usize,
        /// Its length.
        actual: usize,
        /// The whole shape.
        shape: Vec<usize>,
    },
    /// A new shape cannot be laid over the strides without a copy.
    #[error(
        "view: shape {from:?} with strides {strides:?} cannot be seen as {to:?} without a copy; use reshape"
    )]
    NotViewable {
        /// The present shape.
        from: Vec<usize>,
        /// The present strides, in elements.
        strides: Vec<usize>,
        /// The shape asked for.
        to: Vec<usize>,
    },
    /// A per-channel tensor's channel axis would be merged or split.
    #[error(
        "{operation}: the channel axis {axis} of shape {from:?} would not survive as one dimension of {to:?}"
    )]
    ChannelAxisLost {
        /// The operation that refused.
        operation: &'static str,
        /// The axis.
        axis: usize,
        /// The present shape.
        from: Vec<usize>,
        /// The shape asked for.
        to: Vec<usize>,
    },
    /// The product of the dimensions does not fit into memory's address range.
    #[error("{operation}: shape {shape:?} has more elements than memory can hold")]
    TooLarge {
        /// The operation that refused.
        operation: &'static str,
        /// The shape.
        shape: Vec<usize>,
    },
    /// A scale is not a positive finite number.
    #[error("{operation}: scale must be finite and positive, got {scale}{}", channel_suffix(*.channel))]
    InvalidScale {
        /// The operation that refused.
        operation: &'static str,
        /// The scale.
        scale: f64,
        /// Which channel, if per channel.
        channel: Option<usize>,
    },
    /// A zero point does not fit the storage type.
    #[error("{operation}: zero point {zero_point} lies outside {dtype} [{lo}, {hi}]{}", channel_suffix(*.channel))]
    InvalidZeroPoint {
        /// The operation that refused.
        operation: &'static str,
        /// The zero point.
        zero_point: i64,
        /// The storage type.
        dtype: DType,
        /// The type's least value.
        lo: i64,
        /// The type's greatest value.
        hi: i64,
        /// Which channel, if per channel.
        channel: Option<usize>,
    },
    /// The number of scales or zero points is not the length of the channel axis.
    #[error(
        "{operation}: axis {axis} has {channels} channels, but {scales} scales and {zero_points} zero points were given"
    )]
    ChannelCount {
        /// The operation that refused.
        operation: &'static str,
        /// The channel axis.
        axis: usize,
        /// Its length.
        channels: usize,
        /// How many scales came.
        scales: usize,
        /// How many zero points came.
        zero_points: usize,
    },
    /// An operation for one storage type met another.
    #[error("{operation}: expected {expected}, got {actual}")]
    DTypeMismatch {
        /// The operation that refused.
        operation: &'static str,
        /// What was needed.
        expected: DType,
        /// What came.
        actual: DType,
    },
    /// A per-tensor operation met per-channel qparams, or the reverse.
    #[error("{operation}: needs a {expected} quantized tensor, got a {actual} one")]
    QSchemeMismatch {
        /// The operation that refused.
        operation: &'static str,
        /// What was needed.
        expected: &'static str,
        /// What came.
        actual: &'static str,
    },
    /// A range for qparams is unusable.
    #[error("{operation}: the range [{min}, {max}] is not usable: {why}")]
    InvalidRange {
        /// The operation that refused.
        operation: &'static str,
        /// The lower end.
        min: f64,
        /// The upper end.
        max: f64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file does not start with the expected signature.
    #[error("not a {expected} file: it starts with {found:02x?}")]
    WrongMagic {
        /// The kind of file that was expected.
        expected: &'static str,
        /// The first bytes found.
        found: Vec<u8>,
    },
    /// A file holds another kind of content.
    #[error("expected a {expected} file, this one holds a {actual}")]
    WrongKind {
        /// The kind of content expected.
        expected: String,
        /// The kind found.
        actual: String,
    },
    /// A file was written by a version that this one does not know.
    #[error("file format version {found} is unknown; this build reads up to {supported}")]
    UnknownVersion {
        /// The file's version.
        found: u16,
        /// The newest version known here.
        supported: u16,
    },
    /// A file is shorter or longer than its header says.
    #[error("the file is damaged: the header promises {expected} bytes, there are {actual}")]
    WrongLength {
        /// The length that the header gives.
        expected: u64,
        /// The length found.
        actual: u64,
    },
    /// A file's content does not match its checksum.
    #[error("the file is damaged: checksum {actual:08x}, the header says {expected:08x}")]
    Checksum {
        /// The checksum in the header.
        expected: u32,
        /// The checksum of the content.
        actual: u32,
    },
    /// A file's content is well sealed but does not decode.
    #[error("the file's content is malformed: {0}")]
    Malformed(String),
    /// The operating system refused a read or a write.
    #[error("{path}: {message}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        message: String,
    },
}

fn channel_suffix(channel: Option<usize>) -> String {
    channel
        .map(|c| format!(" (channel {c})"))
        .unwrap_or_default()
}
