//! Observers that find no qparams: Placeholder, Noop and Recording.

use std::any::Any;
use std::collections::VecDeque;

use qtensor_core::grown::Grown;
use qtensor_core::{DType, Quantizer, Tensor};

use crate::error::{Error, Result};
use crate::observer::{Observer, same_kind};
use crate::state;

/// Stands for a place that is quantized some other way: it carries a type, and whether activations are quantized as
/// they come.
///
/// ```
/// use qobserve::{Error, Observer, PlaceholderObserver};
/// use qtensor_core::DType;
///
/// let placeholder = PlaceholderObserver::new(DType::QUInt8, true);
/// assert!(placeholder.is_dynamic());
/// assert!(matches!(placeholder.calculate_qparams(), Err(Error::Unsupported { .. })));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaceholderObserver {
    dtype: DType,
    is_dynamic: bool,
}

/// Does nothing, for places that a configuration must name but not watch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoopObserver {
    dtype: DType,
}

/// Keeps the last batches as they came, for debugging.
///
/// PyTorch's keeps all; this one keeps at most [`capacity`](RecordingObserver::capacity) batches and drops the oldest,
/// so that its memory is bounded however long it watches.
///
/// ```
/// use qobserve::{Observer, RecordingObserver};
/// use qtensor_core::Tensor;
///
/// let mut recording = RecordingObserver::with_capacity(2);
/// for i in 0..3 {
///     recording.observe(&Tensor::full(&[1], i as f32)?)?;
/// }
/// let kept: Vec<f32> = recording.tensors().flat_map(Tensor::to_vec).collect();
/// assert_eq!(kept, [1.0, 2.0]);
/// # Ok::<(), qobserve::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecordingObserver {
    batches: VecDeque<Tensor>,
    capacity: usize,
}

impl PlaceholderObserver {
    /// A placeholder for a type; `is_dynamic` says that qparams are chosen batch by batch.
    pub const fn new(dtype: DType, is_dynamic: bool) -> PlaceholderObserver {
        PlaceholderObserver { dtype, is_dynamic }
    }

    /// Whether qparams are chosen batch by batch.
    pub const fn is_dynamic(&self) -> bool {
        self.is_dynamic
    }
}

/// `quint8`, not dynamic.
impl Default for PlaceholderObserver {
    fn default() -> PlaceholderObserver {
        PlaceholderObserver::new(DType::QUInt8, false)
    }
}

impl NoopObserver {
    /// An observer for a type.
    pub const fn new(dtype: DType) -> NoopObserver {
        NoopObserver { dtype }
    }
}

/// `quint8`.
impl Default for NoopObserver {
    fn default() -> NoopObserver {
        NoopObserver::new(DType::QUInt8)
    }
}

impl RecordingObserver {
    /// An observer that keeps at most this many batches, and at least one.
    pub fn with_capacity(batches: usize) -> RecordingObserver {
        RecordingObserver {
            batches: VecDeque::new(),
            capacity: batches.max(1),
        }
    }

    /// The most batches that it keeps.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The kept batches, oldest first.
    #[doc(alias = "get_tensor_value")]
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.batches.iter()
    }
}

/// At most 64 batches.
impl Default for RecordingObserver {
    fn default() -> RecordingObserver {
        RecordingObserver::with_capacity(64)
    }
}

fn no_qparams(observer: &'static str) -> Result<Quantizer> {
    Err(Error::Unsupported {
        observer,
        operation: "calculate_qparams",
    })
}

/// The two observers that keep nothing differ in their names alone.
macro_rules! keeps_nothing {
    ($observer:ident) => {
        impl Observer for $observer {
            fn name(&self) -> &'static str {
                stringify!($observer)
            }

            fn observe(&mut self, _: &Tensor) -> Result<()> {
                Ok(())
            }

            fn calculate_qparams(&self) -> Result<Quantizer> {
                no_qparams(self.name())
            }

            fn has_observed(&self) -> bool {
                false
            }

            fn dtype(&self) -> DType {
                self.dtype
            }

            fn merge(&mut self, other: &dyn Observer) -> Result<()> {
                same_kind::<$observer>("merge", self.name(), other).map(|_| ())
            }

            fn reset(&mut self) {}

            fn to_bytes(&self) -> Result<Vec<u8>> {
                state::save_plain(self.name(), &())
            }

            fn restore(&mut self, bytes: &[u8]) -> Result<()> {
                state::load_plain(self.name(), bytes)
            }

            fn clone_box(&self) -> Box<dyn Observer> {
                Box::new(*self)
            }

            fn as_any(&self) -> &dyn Any {
                self
            }
        }
    };
}
keeps_nothing!(PlaceholderObserver);
keeps_nothing!(NoopObserver);

impl Observer for RecordingObserver {
    fn name(&self) -> &'static str {
        "RecordingObserver"
    }

    /// Keeps the batch, NaN and infinities included: they may be what is searched for.
    fn observe(&mut self, x: &Tensor) -> Result<()> {
        if x.numel() > 0 {
            if self.batches.len() == self.capacity {
                self.batches.pop_front();
            }
            self.batches.push_back(x.clone());
        }
        Ok(())
    }

    fn calculate_qparams(&self) -> Result<Quantizer> {
        no_qparams(self.name())
    }

    fn has_observed(&self) -> bool {
        !self.batches.is_empty()
    }

    fn dtype(&self) -> DType {
        DType::QUInt8
    }

    /// The other's batches come behind this one's; the oldest are dropped.
    fn merge(&mut self, other: &dyn Observer) -> Result<()> {
        let other: &RecordingObserver = same_kind("merge", self.name(), other)?;
        for batch in &other.batches {
            self.observe(batch)?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.batches.clear();
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        state::save_plain(self.name(), &self.batches)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let Grown(batches) = state::load_plain::<Grown<Tensor>>(self.name(), bytes)?;
        self.reset();
        batches.iter().try_for_each(|batch| self.observe(batch))
    }

    fn clone_box(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
