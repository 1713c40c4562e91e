//! The rows of convolutions with an addition.

use qnn::erase;
use qnn::intrinsic::{self, quantized};

use super::Mapping;

impl Mapping {
    /// This table with convolutions over `D` spatial dimensions and the addition behind them, whose places are observed.
    pub(super) fn with_sums<const D: usize>(self) -> Mapping {
        self.with_sum::<D, false>().with_sum::<D, true>()
    }

    fn with_sum<const D: usize, const RELU: bool>(self) -> Mapping {
        self.with_observed_within(|m: &intrinsic::ConvAdd<D, RELU>, _| {
            Ok(erase(quantized::ConvAdd::from_observed(m)?))
        })
    }
}
