//! What can go wrong in calibration: one variant a mistake, each naming the observer and both numbers.

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of an observer, its settings or its saved state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data hold NaN. The observer's state is as before the call.
    #[error("{observer}: {count} of {total} values are NaN, the first at index {first}")]
    NaN {
        /// The observer's name.
        observer: &'static str,
        /// How many values are NaN.
        count: usize,
        /// How many values there are.
        total: usize,
        /// The first one's place in logical (row-major) order.
        first: usize,
    },
    /// The data hold infinities. The observer's state is as before the call.
    #[error("{observer}: {count} of {total} values are infinite, the first at index {first}")]
    Infinite {
        /// The observer's name.
        observer: &'static str,
        /// How many values are infinite.
        count: usize,
        /// How many values there are.
        total: usize,
        /// The first one's place in logical (row-major) order.
        first: usize,
    },
    /// Qparams were asked for before any data came.
    #[error("{observer}: no data were observed yet, so there is no range to quantize")]
    NeverObserved {
        /// The observer's name.
        observer: &'static str,
    },
    /// A setting of a builder is unusable.
    #[error("{observer}: {setting} = {value} is not usable: {why}")]
    InvalidSetting {
        /// The observer's name.
        observer: &'static str,
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The channel axis does not exist in the data.
    #[error("{observer}: channel axis {axis} does not exist in shape {shape:?}")]
    NoSuchAxis {
        /// The observer's name.
        observer: &'static str,
        /// The channel axis.
        axis: usize,
        /// The shape that came.
        shape: Vec<usize>,
    },
    /// The data have another number of channels than those before.
    #[error("{observer}: axis {axis} had {expected} channels so far, now it has {actual}")]
    ChannelCount {
        /// The observer's name.
        observer: &'static str,
        /// The channel axis.
        axis: usize,
        /// How many channels there were.
        expected: usize,
        /// How many came.
        actual: usize,
    },
    /// Another kind of observer was to be merged or restored.
    #[error("{operation}: expected a {expected}, got a {actual}")]
    KindMismatch {
        /// The operation that refused.
        operation: &'static str,
        /// This observer's name.
        expected: &'static str,
        /// The other's name.
        actual: String,
    },
    /// An observer of other settings was to be merged or restored.
    #[error("{operation}: {observer} has settings {expected}, the other has {actual}")]
    SettingsMismatch {
        /// The operation that refused.
        operation: &'static str,
        /// The observers' name.
        observer: &'static str,
        /// This observer's settings.
        expected: String,
        /// The other's settings.
        actual: String,
    },
    /// A saved state is well sealed but does not make sense.
    #[error("{observer}: the saved state is malformed: {why}")]
    Malformed {
        /// The observer's name.
        observer: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// An observer does not implement an optional operation.
    #[error("{observer} does not implement {operation}")]
    Unsupported {
        /// The observer's name.
        observer: &'static str,
        /// The operation.
        operation: &'static str,
    },
    /// No preset has this name.
    #[error("there is no qconfig named {name:?}; known are {known}")]
    UnknownPreset {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// No preset of this name has this version.
    #[error("the qconfig {preset:?} has no version {version}; there are 0 and 1")]
    UnknownVersion {
        /// The name.
        preset: String,
        /// The version asked for.
        version: u32,
    },
    /// An error of the rounding in a fake-quant, or of its gradients.
    #[error(transparent)]
    Grad(#[from] qgrad::Error),
    /// An error of tensors, ranges or files.
    #[error(transparent)]
    Tensor(#[from] qtensor_core::Error),
}
