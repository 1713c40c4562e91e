//! What can go wrong when a network is built.

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of building a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that describes no network.
    #[error("{model}: {what}")]
    Config {
        /// The network.
        model: &'static str,
        /// What is wrong with its numbers, with the numbers.
        what: String,
    },
    /// An error of one of the network's modules.
    #[error(transparent)]
    Module(#[from] qnn::Error),
}
