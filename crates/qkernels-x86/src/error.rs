//! What a caller can get wrong, with the operation and both numbers.

/// A kernel refused its arguments; nothing has been written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The environment variable that caps the instruction set holds an unknown name.
    #[error("{variable}={value:?} names no instruction set; expected one of {allowed}")]
    UnknownIsa {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The names it may hold.
        allowed: String,
    },
    /// The environment names an instruction set that this CPU cannot run.
    #[error("the CPU cannot run {tier}: it lacks {missing}")]
    MissingIsa {
        /// The instruction set.
        tier: &'static str,
        /// The CPU features it needs and does not find.
        missing: String,
    },
    /// A buffer holds too few elements.
    #[error("{operation}: {buffer} needs {expected} elements, got {actual}")]
    Length {
        /// The operation that refused.
        operation: &'static str,
        /// Which buffer.
        buffer: &'static str,
        /// The least (inputs) or the only (outputs, parameters) length that fits.
        expected: usize,
        /// The length given.
        actual: usize,
    },
    /// Two sizes that have to agree do not.
    #[error("{operation}: {what} is {actual}, expected {expected}")]
    Mismatch {
        /// The operation that refused.
        operation: &'static str,
        /// Which size.
        what: &'static str,
        /// The size that would fit.
        expected: usize,
        /// The size given.
        actual: usize,
    },
    /// Weights were packed for another kind of layer.
    #[error("{operation}: the weights were packed for {actual}, expected those of {expected}")]
    Packing {
        /// The operation that refused.
        operation: &'static str,
        /// The kind of layer it computes.
        expected: &'static str,
        /// The kind of layer the weights belong to.
        actual: &'static str,
    },
    /// A size has to be positive.
    #[error("{operation}: {what} must be at least 1, got 0")]
    Zero {
        /// The operation that refused.
        operation: &'static str,
        /// Which size.
        what: &'static str,
    },
    /// A size does not divide into another one.
    #[error("{operation}: {what} {actual} is not divisible by {divisor}")]
    Indivisible {
        /// The operation that refused.
        operation: &'static str,
        /// Which size.
        what: &'static str,
        /// The size given.
        actual: usize,
        /// What has to divide it.
        divisor: usize,
    },
    /// The (dilated) window is larger than the padded input, so there is no output.
    #[error(
        "{operation}: window spans {window} along axis {axis}, but the padded input has {input}"
    )]
    Window {
        /// The operation that refused.
        operation: &'static str,
        /// The spatial axis: 0 depth, 1 height, 2 width.
        axis: usize,
        /// `dilation * (kernel - 1) + 1`.
        window: usize,
        /// `input + 2 * padding`.
        input: usize,
    },
    /// Padding beyond half the window, which pooling does not define.
    #[error("{operation}: padding {padding} along axis {axis} exceeds {limit}, half of the kernel")]
    Padding {
        /// The operation that refused.
        operation: &'static str,
        /// The spatial axis: 0 depth, 1 height, 2 width.
        axis: usize,
        /// The padding given.
        padding: usize,
        /// The greatest padding allowed.
        limit: usize,
    },
    /// More output padding than a transposed convolution can have.
    #[error(
        "{operation}: output padding {padding} along axis {axis} must be less than {limit}, the greater of stride and \
         dilation"
    )]
    OutputPadding {
        /// The operation that refused.
        operation: &'static str,
        /// The spatial axis: 0 depth, 1 height, 2 width.
        axis: usize,
        /// The output padding given.
        padding: usize,
        /// What it has to be less than.
        limit: usize,
    },
    /// The padding of a transposed convolution cuts off its whole output.
    #[error(
        "{operation}: padding {padding} along axis {axis} cuts off all of an output of {length}"
    )]
    Cut {
        /// The operation that refused.
        operation: &'static str,
        /// The spatial axis: 0 depth, 1 height, 2 width.
        axis: usize,
        /// The padding given, which is cut off at both ends.
        padding: usize,
        /// The length of the output before that.
        length: usize,
    },
    /// A product of sizes exceeds the address space, or padding exceeds input and output so far that it would take most of a
    /// machine's memory.
    #[error(
        "{operation}: the number of elements, with their padding, does not fit the address space"
    )]
    TooLarge {
        /// The operation that refused.
        operation: &'static str,
    },
    /// So many products are summed that extreme values could leave `i32`.
    #[error(
        "{operation}: a sum of {actual} products may overflow i32; at most {limit} are allowed"
    )]
    Depth {
        /// The operation that refused.
        operation: &'static str,
        /// The greatest number of products.
        limit: usize,
        /// The number asked for.
        actual: usize,
    },
    /// Bias and zero-point correction leave no room for the products in an `i32` accumulator.
    #[error(
        "requant: channel {channel} accumulates values between {lowest} and {greatest}, beyond i32"
    )]
    Accumulator {
        /// The output channel.
        channel: usize,
        /// The least partial sum that activations can produce.
        lowest: i64,
        /// The greatest partial sum that activations can produce.
        greatest: i64,
    },
    /// A multiplier or scale is NaN, infinite or (where that has no meaning) not positive.
    #[error("{operation}: {what} must be {expected}, got {actual} (index {index})")]
    Parameter {
        /// The operation that refused.
        operation: &'static str,
        /// Which parameter.
        what: &'static str,
        /// What would be accepted.
        expected: &'static str,
        /// The value given.
        actual: f32,
        /// Its position, 0 for scalars.
        index: usize,
    },
    /// The output range is empty or does not lie within the storage type.
    #[error("{operation}: range {lo}..={hi} with zero point {zero_point} does not fit {allowed}")]
    Range {
        /// The operation that refused.
        operation: &'static str,
        /// The least result asked for.
        lo: i32,
        /// The greatest result asked for.
        hi: i32,
        /// The zero point.
        zero_point: i32,
        /// What would fit.
        allowed: &'static str,
    },
}

/// A result whose error is [`Error`].
pub type Result<T> = core::result::Result<T, Error>;

/// Refuses an input buffer shorter than `expected`; longer ones carry slack.
pub(crate) fn at_least(
    operation: &'static str,
    buffer: &'static str,
    expected: usize,
    actual: usize,
) -> Result<()> {
    if actual < expected {
        return Err(Error::Length {
            operation,
            buffer,
            expected,
            actual,
        });
    }
    Ok(())
}

/// Refuses a buffer whose length is not exactly `expected`.
pub(crate) fn exactly(
    operation: &'static str,
    buffer: &'static str,
    expected: usize,
    actual: usize,
) -> Result<()> {
    if actual != expected {
        return Err(Error::Length {
            operation,
            buffer,
            expected,
            actual,
        });
    }
    Ok(())
}

/// Refuses a size of zero.
pub(crate) fn positive(operation: &'static str, what: &'static str, size: usize) -> Result<()> {
    if size == 0 {
        return Err(Error::Zero { operation, what });
    }
    Ok(())
}

/// The product of sizes, or an error when it exceeds `isize::MAX`, which no slice can hold.
pub(crate) fn product(operation: &'static str, sizes: &[usize]) -> Result<usize> {
    sizes
        .iter()
        .try_fold(1usize, |total, &size| total.checked_mul(size))
        .filter(|&total| isize::try_from(total).is_ok())
        .ok_or(Error::TooLarge { operation })
}
