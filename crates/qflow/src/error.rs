//! What can go wrong in the flow, with the places and both numbers.

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of fusing, preparing, converting, saving or loading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Names that the model does not have.
    #[error("{operation}: the model has no place named {}; it has {}", list(.names), list(.known))]
    UnknownPlaces {
        /// The operation that looked for them.
        operation: &'static str,
        /// The unknown names.
        names: Vec<String>,
        /// The model's places.
        known: Vec<String>,
    },
    /// A chain of modules that no fusion pattern covers.
    #[error("fuse_modules: {} hold {}, which no pattern fuses; there are {}", list(.places), .kinds.join(" + "), list(.patterns))]
    NotFusable {
        /// The places of the chain.
        places: Vec<String>,
        /// The modules in them.
        kinds: Vec<String>,
        /// The patterns that exist.
        patterns: Vec<String>,
    },
    /// Two modules of a chain have different channel counts.
    #[error("fuse_modules: {first} gives {expected} channels, but {second} is for {actual}")]
    FuseChannels {
        /// The place of the convolution or linear layer.
        first: String,
        /// Its output channels.
        expected: usize,
        /// The place of the batch norm.
        second: String,
        /// Its channels.
        actual: usize,
    },
    /// Conversion without preparation.
    #[error(
        "convert: no place is prepared; call prepare(&mut model, &qconfig) and run calibration data first"
    )]
    NotPrepared,
    /// A static configuration where data for calibration are not at hand.
    #[error(
        "quantize_dynamic: {} configured for static quantization, which needs calibration: {}; give a dynamic qconfig, \
         or use prepare, calibrate and convert", are(.0.len()), list(.0)
    )]
    NotDynamic(Vec<String>),
    /// Places that calibration never reached.
    #[error(
        "convert: {} never saw calibration data: {}; run calibration batches through them, or name them in \
         ConvertOptions::leave_float", count(.0.len()), list(.0)
    )]
    Uncalibrated(Vec<String>),
    /// No module type of that name can be restored from a file.
    #[error(
        "{key}: the file holds a {kind}, but the model has a {actual} there and no loader for {kind} is known"
    )]
    UnknownKind {
        /// The place.
        key: String,
        /// The kind in the file.
        kind: String,
        /// The kind in the model.
        actual: String,
    },
    /// A module of another kind than the model has at that place.
    #[error("{key}: the file holds a {actual}, which is no form of the model's {expected}")]
    OtherKind {
        /// The place.
        key: String,
        /// The kind in the model.
        expected: String,
        /// The kind in the file.
        actual: String,
    },
    /// A module that was built with other numbers than the model's.
    #[error("{key}: the file has {actual}, the model {expected}")]
    OtherConfig {
        /// The place and the number's name.
        key: String,
        /// The model's number.
        expected: String,
        /// The file's number.
        actual: String,
    },
    /// Fusion of places that are prepared for calibration.
    #[error("fuse: {} are prepared already, and their observers have seen other values; fuse before prepare", list(.0))]
    FuseAfterPrepare(Vec<String>),
    /// Hooks that watch a value which fusion takes away.
    #[error(
        "fuse: hooks watch the values between {}: of {}; a fused module has only a pre-hook before its first place and hooks \
         behind its last; remove the others first", list(.places), list(.hooked)
    )]
    FuseHooked {
        /// The places of the chain.
        places: Vec<String>,
        /// Those with such hooks.
        hooked: Vec<String>,
    },
    /// Hooks on places that conversion takes away.
    #[error(
        "convert: {path} becomes one int8 module, in which the hooked places {} are no more; remove their hooks first, or leave \
         {path} in float", list(.hooked)
    )]
    ConvertHooked {
        /// The place that is converted as one.
        path: String,
        /// The places within it that have hooks.
        hooked: Vec<String>,
    },
    /// A file for another model.
    #[error("the file is for another model: {}", mismatch(.missing, .unexpected))]
    OtherModel {
        /// Keys of the model that the file lacks.
        missing: Vec<String>,
        /// Keys of the file that the model lacks.
        unexpected: Vec<String>,
    },
    /// A file of a prepared model for a model that was prepared otherwise, or not at all.
    #[error("the file holds calibration of other places: {}", preparation(.unprepared, .uncalibrated))]
    OtherPreparation {
        /// Places that are prepared in the file alone.
        unprepared: Vec<String>,
        /// Places that are prepared in the model alone.
        uncalibrated: Vec<String>,
    },
    /// States of observers that do not match the model's.
    #[error("the observers' states do not match the model's observers: {}", mismatch(.missing, .unexpected))]
    ObserverStates {
        /// Observers of the model without a state.
        missing: Vec<String>,
        /// States without an observer.
        unexpected: Vec<String>,
    },
    /// Weights that do not match the model's names.
    #[error("the weights do not match the model: {}", mismatch(.missing, .unexpected))]
    StateDict {
        /// Keys of the model that the file lacks.
        missing: Vec<String>,
        /// Keys of the file that the model lacks.
        unexpected: Vec<String>,
    },
    /// A weight of another shape than the model's.
    #[error("{key}: the file has shape {actual:?}, the model {expected:?}")]
    WeightShape {
        /// The key.
        key: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The file's shape.
        actual: Vec<usize>,
    },
    /// A weight of a type that cannot be read as `f32`.
    #[error("{key}: weights of type {actual} are not supported; F32 and F64 are")]
    WeightType {
        /// The key.
        key: String,
        /// The file's type.
        actual: String,
    },
    /// A part of a quantized weight that does not fit.
    #[error("{key} {what}")]
    QuantizedWeight {
        /// The key.
        key: String,
        /// What is wrong with it, with the numbers.
        what: String,
    },
    /// A weight file that does not parse.
    #[error("{path}: {message}")]
    Weights {
        /// The file.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// A loss that is NaN or infinite; the step was not taken.
    #[error(
        "{operation}: the loss is {loss} in epoch {epoch}, batch {batch}; a smaller learning rate or gradient clipping \
         may help"
    )]
    LossNotFinite {
        /// The trainer.
        operation: &'static str,
        /// The loss.
        loss: f32,
        /// The epoch, counted from 0.
        epoch: usize,
        /// The batch in the epoch, counted from 0.
        batch: usize,
    },
    /// Two models that should be one model in two forms have other modules at a place.
    #[error("{path}: one model has a {expected} there, the other a {actual}")]
    OtherStructure {
        /// The place.
        path: String,
        /// The first model's module.
        expected: String,
        /// The second model's module.
        actual: String,
    },
    /// A tool that repairs a model's accuracy was asked for something that it cannot do.
    #[error("{operation}: {what}")]
    Repair {
        /// The tool.
        operation: &'static str,
        /// What is wrong, with the places and numbers.
        what: String,
    },
    /// An error of the user's own metric.
    #[error("the metric failed: {0}")]
    Metric(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An error of autograd or of an optimizer.
    #[error(transparent)]
    Grad(#[from] qgrad::Error),
    /// Calibration without data.
    #[error("{0}: the calibration data are empty")]
    NoData(&'static str),
    /// An error at one place while it was converted, saved or loaded.
    #[error("{path} ({module}): {source}")]
    At {
        /// The dotted name of the place.
        path: String,
        /// The kind of module in it.
        module: String,
        /// What happened there.
        source: Box<Error>,
    },
    /// An error of a module; it names its place itself.
    #[error(transparent)]
    Module(#[from] qnn::Error),
    /// An error of an observer.
    #[error(transparent)]
    Observe(#[from] qobserve::Error),
    /// An error of a tensor or a file.
    #[error(transparent)]
    Tensor(#[from] qtensor_core::Error),
}

impl Error {
    /// The error with the place where it happened, unless it names one already.
    pub(crate) fn at(self, path: &str, module: &str) -> Error {
        match self {
            Error::At { .. } | Error::Module(qnn::Error::At { .. }) => self,
            source => Error::At {
                path: path.into(),
                module: module.into(),
                source: Box::new(source),
            },
        }
    }
}

/// At most this many names are listed in one message.
const MOST_LISTED: usize = 24;

fn list(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(MOST_LISTED)
        .map(|n| format!("\"{n}\""))
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn count(places: usize) -> String {
    if places == 1 {
        "1 place".into()
    } else {
        format!("{places} places")
    }
}

fn are(places: usize) -> String {
    if places == 1 {
        "1 place is".into()
    } else {
        format!("{places} places are")
    }
}

fn preparation(unprepared: &[String], uncalibrated: &[String]) -> String {
    let mut parts = Vec::new();
    if !unprepared.is_empty() {
        let advice = "prepare the model as the saved one was, then load";
        parts.push(format!(
            "{} are not prepared in the model; {advice}",
            list(unprepared)
        ));
    }
    if !uncalibrated.is_empty() {
        parts.push(format!(
            "{} are prepared in the model alone",
            list(uncalibrated)
        ));
    }
    parts.join("; ")
}

fn mismatch(missing: &[String], unexpected: &[String]) -> String {
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("it lacks {}", list(missing)));
    }
    if !unexpected.is_empty() {
        parts.push(format!("it has the unknown {}", list(unexpected)));
    }
    parts.join("; ")
}
