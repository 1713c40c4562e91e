//! Tensors in files and in serde formats: shape, map and little-endian data; strides are not kept.
//!
//! Reading checks everything that a hostile file could get wrong: the shape's product, the amount of
//! data, the number of scales, zero points outside the type.

use std::borrow::Cow;
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::container::{self, Kind};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::int_tensor::IntTensor;
use crate::qtensor::QTensor;
use crate::quantizer::Quantizer;
use crate::tensor::Tensor;

#[derive(Serialize, Deserialize)]
struct FloatRecord<'a> {
    #[serde(deserialize_with = "crate::grown::vec")]
    shape: Vec<usize>,
    #[serde(with = "serde_bytes", borrow)]
    data: Cow<'a, [u8]>,
}

#[derive(Serialize, Deserialize)]
struct QRecord<'a> {
    #[serde(deserialize_with = "crate::grown::vec")]
    shape: Vec<usize>,
    dtype: DType,
    map: MapRecord,
    #[serde(with = "serde_bytes", borrow)]
    data: Cow<'a, [u8]>,
}

/// An affine map in few bytes: scales that `f32` holds exactly (all that observers find) are written so,
/// and zero points that are all 0 are left out.
#[derive(Serialize, Deserialize)]
enum MapRecord {
    PerTensor {
        scale: f64,
        zero_point: i32,
    },
    PerChannel {
        axis: usize,
        scales: Scales,
        #[serde(deserialize_with = "crate::grown::option")]
        zero_points: Option<Vec<i32>>,
    },
}

#[derive(Serialize, Deserialize)]
enum Scales {
    Single(#[serde(deserialize_with = "crate::grown::vec")] Vec<f32>),
    Double(#[serde(deserialize_with = "crate::grown::vec")] Vec<f64>),
}

/// True if `f32` holds every scale exactly, so that files write four bytes for each.
pub(crate) fn scales_are_single(scales: &[f64]) -> bool {
    scales.iter().all(|&s| f64::from(s as f32) == s)
}

/// True if all zero points are 0, so that files leave them out.
pub(crate) fn zero_points_vanish(zero_points: &[i32]) -> bool {
    zero_points.iter().all(|&z| z == 0)
}

impl From<&Quantizer> for MapRecord {
    fn from(quantizer: &Quantizer) -> MapRecord {
        match quantizer {
            Quantizer::PerTensor { scale, zero_point } => MapRecord::PerTensor {
                scale: *scale,
                zero_point: *zero_point,
            },
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } => MapRecord::PerChannel {
                axis: *axis,
                scales: if scales_are_single(scales) {
                    Scales::Single(scales.iter().map(|&s| s as f32).collect())
                } else {
                    Scales::Double(scales.to_vec())
                },
                zero_points: (!zero_points_vanish(zero_points)).then(|| zero_points.to_vec()),
            },
        }
    }
}

impl From<MapRecord> for Quantizer {
    fn from(record: MapRecord) -> Quantizer {
        match record {
            MapRecord::PerTensor { scale, zero_point } => Quantizer::per_tensor(scale, zero_point),
            MapRecord::PerChannel {
                axis,
                scales,
                zero_points,
            } => {
                let scales: Vec<f64> = match scales {
                    Scales::Single(s) => s.into_iter().map(f64::from).collect(),
                    Scales::Double(s) => s,
                };
                let zero_points = zero_points.unwrap_or_else(|| vec![0; scales.len()]);
                Quantizer::per_channel(&scales, &zero_points, axis)
            }
        }
    }
}

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let data: Vec<u8> = self
            .to_vec()
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect();
        FloatRecord {
            shape: self.shape().to_vec(),
            data: data.into(),
        }
        .serialize(serializer)
    }
}

impl TryFrom<FloatRecord<'_>> for Tensor {
    type Error = Error;

    fn try_from(record: FloatRecord<'_>) -> Result<Tensor> {
        let (words, rest) = record.data.as_chunks::<4>();
        if !rest.is_empty() {
            let bytes = record.data.len();
            return Err(Error::Malformed(format!(
                "{bytes} bytes are no whole number of float32"
            )));
        }
        let values = words.iter().map(|w| f32::from_le_bytes(*w)).collect();
        Tensor::from_vec(values, &record.shape)
    }
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Tensor, D::Error> {
        let record = FloatRecord::deserialize(deserializer)?;
        record.try_into().map_err(D::Error::custom)
    }
}

impl Serialize for QTensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        QRecord {
            shape: self.shape().to_vec(),
            dtype: self.dtype(),
            map: self.quantizer().into(),
            data: self.int_repr().to_bytes().into(),
        }
        .serialize(serializer)
    }
}

impl TryFrom<QRecord<'_>> for QTensor {
    type Error = Error;

    fn try_from(record: QRecord<'_>) -> Result<QTensor> {
        let ints = IntTensor::from_bytes(&record.data, &record.shape, record.dtype)?;
        QTensor::from_parts(ints, record.map.into())
    }
}

impl<'de> Deserialize<'de> for QTensor {
    fn deserialize<D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<QTensor, D::Error> {
        let record = QRecord::deserialize(deserializer)?;
        record.try_into().map_err(D::Error::custom)
    }
}

/// Encodes a value with postcard and seals it; what `save` writes.
///
/// # Errors
/// [`Error::Malformed`] if the value cannot be encoded.
fn encode<T: Serialize>(kind: Kind, value: &T) -> Result<Vec<u8>> {
    let content = postcard::to_stdvec(value).map_err(|e| Error::Malformed(e.to_string()))?;
    Ok(container::seal(kind, &content))
}

fn decode<'a, T: Deserialize<'a>>(kind: Kind, bytes: &'a [u8]) -> Result<T> {
    let content = container::open(kind, bytes)?;
    let (value, rest) =
        postcard::take_from_bytes(content).map_err(|e| Error::Malformed(e.to_string()))?;
    if !rest.is_empty() {
        return Err(Error::Malformed(format!(
            "{} bytes are left over behind the content",
            rest.len()
        )));
    }
    Ok(value)
}

macro_rules! files {
    ($t:ty, $record:ty, $kind:expr) => {
        impl $t {
            /// The file's bytes: the envelope of [`container`] around shape, map and data.
            ///
            /// # Errors
            /// [`Error::Malformed`] if the value cannot be encoded.
            pub fn to_bytes(&self) -> Result<Vec<u8>> {
                encode($kind, self)
            }

            /// The reverse of `to_bytes`; any damage is an error.
            ///
            /// # Errors
            /// Those of [`container::open`]; [`Error::Malformed`]; [`Error::ValueCount`], [`Error::TooLarge`],
            /// [`Error::Rank`] and those of [`Quantizer::validate`] for shapes, data and maps that do not fit each other.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
                decode::<$record>($kind, bytes)?.try_into()
            }

            /// Writes the tensor to a file, atomically.
            ///
            /// # Errors
            /// [`Error::Io`] with the path.
            pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
                container::write_file(path.as_ref(), &self.to_bytes()?)
            }

            /// Reads a tensor that `save` wrote.
            ///
            /// # Errors
            /// [`Error::Io`] with the path, and those of `from_bytes`.
            pub fn load(path: impl AsRef<Path>) -> Result<Self> {
                Self::from_bytes(&container::read_file(path.as_ref())?)
            }
        }
    };
}
files!(Tensor, FloatRecord<'_>, Kind::Tensor);
files!(QTensor, QRecord<'_>, Kind::QTensor);
