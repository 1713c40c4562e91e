//! The storage types of quantized tensors and the quantization schemes.

use serde::{Deserialize, Serialize};

/// How the integers of a quantized tensor are stored.
///
/// ```
/// # use qtensor_core::DType;
/// assert_eq!(DType::QUInt8.range(), (0, 255));
/// assert_eq!(DType::QInt8.to_string(), "qint8");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DType {
    /// Signed 8 bits, −128..127. The type of weights.
    #[doc(alias = "torch.qint8")]
    QInt8,
    /// Unsigned 8 bits, 0..255. The type of activations.
    #[doc(alias = "torch.quint8")]
    QUInt8,
    /// Signed 32 bits. The type of biases.
    #[doc(alias = "torch.qint32")]
    QInt32,
}

impl DType {
    /// All storage types.
    pub const ALL: [DType; 3] = [DType::QInt8, DType::QUInt8, DType::QInt32];

    /// The least and the greatest storable integer.
    pub const fn range(self) -> (i32, i32) {
        match self {
            DType::QInt8 => (-128, 127),
            DType::QUInt8 => (0, 255),
            DType::QInt32 => (i32::MIN, i32::MAX),
        }
    }

    /// The range that observers use when one bit is kept free (`reduce_range`): −64..63 or 0..127.
    ///
    /// PyTorch needs it on CPUs whose 16-bit products saturate. Kernels here are exact, so it exists
    /// for parity only. A 32-bit type is not reduced.
    pub const fn reduced_range(self) -> (i32, i32) {
        match self {
            DType::QInt8 => (-64, 63),
            DType::QUInt8 => (0, 127),
            DType::QInt32 => (i32::MIN, i32::MAX),
        }
    }

    /// Bytes of one stored integer.
    pub const fn size(self) -> usize {
        match self {
            DType::QInt8 | DType::QUInt8 => 1,
            DType::QInt32 => 4,
        }
    }

    /// Bits of one stored integer.
    pub const fn bits(self) -> u32 {
        self.size() as u32 * 8
    }

    /// True for types with negative values.
    pub const fn is_signed(self) -> bool {
        !matches!(self, DType::QUInt8)
    }

    /// PyTorch's name without the module: `qint8`, `quint8`, `qint32`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::QInt8 => "qint8",
            DType::QUInt8 => "quint8",
            DType::QInt32 => "qint32",
        }
    }

    /// The type of that name, if there is one.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How an observed range becomes qparams.
///
/// A tensor itself is only *per tensor* or *per channel*; "symmetric" says how its qparams were
/// chosen. That is PyTorch's behaviour too: symmetric schemes become affine when stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QScheme {
    /// One scale and zero point; the range need not be centred.
    #[doc(alias = "torch.per_tensor_affine")]
    PerTensorAffine,
    /// One scale; the zero point is 0 (128 for unsigned types).
    #[doc(alias = "torch.per_tensor_symmetric")]
    PerTensorSymmetric,
    /// One scale and zero point for each index of the channel axis.
    #[doc(alias = "torch.per_channel_affine")]
    PerChannelAffine,
    /// One scale for each index of the channel axis; zero points as in the symmetric scheme.
    #[doc(alias = "torch.per_channel_symmetric")]
    PerChannelSymmetric,
}

impl QScheme {
    /// True for the two symmetric schemes.
    pub const fn is_symmetric(self) -> bool {
        matches!(
            self,
            QScheme::PerTensorSymmetric | QScheme::PerChannelSymmetric
        )
    }

    /// True for the two per-channel schemes.
    pub const fn is_per_channel(self) -> bool {
        matches!(
            self,
            QScheme::PerChannelAffine | QScheme::PerChannelSymmetric
        )
    }

    /// PyTorch's name without the module, for instance `per_channel_symmetric`.
    pub const fn name(self) -> &'static str {
        match self {
            QScheme::PerTensorAffine => "per_tensor_affine",
            QScheme::PerTensorSymmetric => "per_tensor_symmetric",
            QScheme::PerChannelAffine => "per_channel_affine",
            QScheme::PerChannelSymmetric => "per_channel_symmetric",
        }
    }

    /// The scheme of that name, if there is one.
    pub fn from_name(name: &str) -> Option<QScheme> {
        [
            QScheme::PerTensorAffine,
            QScheme::PerTensorSymmetric,
            QScheme::PerChannelAffine,
            QScheme::PerChannelSymmetric,
        ]
        .into_iter()
        .find(|s| s.name() == name)
    }
}

impl std::fmt::Display for QScheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
