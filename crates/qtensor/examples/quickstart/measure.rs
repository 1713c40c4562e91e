//! What the quickstart measures, and its report for other programs.

/// What the quickstart measures.
pub struct Measured {
    /// Share of test rows that the float model gets right.
    pub float_accuracy: f64,
    /// Share of test rows that the int8 model gets right.
    pub int8_accuracy: f64,
    /// Share of test rows on which both agree.
    pub agreement: f64,
    /// Signal-to-quantization-noise ratio of the logits.
    pub sqnr_db: f64,
    /// Size of the float weights' file.
    pub float_bytes: u64,
    /// Size of the int8 model's file.
    pub int8_bytes: u64,
    /// Microseconds for one image in float.
    pub float_us: f64,
    /// Microseconds for one image in int8.
    pub int8_us: f64,
}

impl Measured {
    /// One JSON object.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "float_accuracy": self.float_accuracy,
            "int8_accuracy": self.int8_accuracy,
            "agreement": self.agreement,
            "sqnr_db": self.sqnr_db,
            "float_bytes": self.float_bytes,
            "int8_bytes": self.int8_bytes,
            "float_us": self.float_us,
            "int8_us": self.int8_us,
        })
    }
}
