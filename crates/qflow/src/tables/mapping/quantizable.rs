//! The rows of modules that are observed in another form: LSTMs and attention.

use qnn::{LSTM, LSTMCell, MultiheadAttention, erase, quantizable, quantized};

use super::Mapping;

impl Mapping {
    /// This table with the quantizable forms of [`LSTM`], [`LSTMCell`] and [`MultiheadAttention`]: where one has a static
    /// configuration, `prepare` puts the form, whose inner values are observed, and `convert` makes one int8 module of it.
    ///
    /// ```
    /// use qflow::Mapping;
    /// use qnn::{LSTM, erase, quantizable, quantized};
    ///
    /// // A later row wins: LSTMs whose gates have scales of their own.
    /// let mapping = Mapping::default().with_custom(
    ///     |m: &LSTM, _| Ok(quantizable::LSTM::with_split_gates(m)?),
    ///     |m: &quantizable::LSTM, _| Ok(erase(quantized::LSTM::from_observed(m)?)),
    /// );
    /// # let _ = mapping;
    /// ```
    #[doc(alias = "get_default_custom_config_dict")]
    pub fn with_quantizable(self) -> Mapping {
        self.with_custom(
            |m: &LSTM, _| Ok(quantizable::LSTM::from_float(m)?),
            |m: &quantizable::LSTM, _| Ok(erase(quantized::LSTM::from_observed(m)?)),
        )
        .with_custom(
            |m: &LSTMCell, _| Ok(quantizable::LSTMCell::from_float(m)?),
            |m: &quantizable::LSTMCell, _| Ok(erase(quantized::LSTMCell::from_observed(m)?)),
        )
        .with_custom(
            |m: &MultiheadAttention, _| Ok(quantizable::MultiheadAttention::from_float(m)?),
            |m: &quantizable::MultiheadAttention, _| {
                Ok(erase(quantized::MultiheadAttention::from_observed(m)?))
            },
        )
    }
}
