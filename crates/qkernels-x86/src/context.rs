//! How a kernel runs: with which instructions, on how many threads.

use crate::error::Result;
use crate::fork::fork;
use crate::isa::Isa;

/// The instruction set and the thread limit of one call. Results never depend on either.
///
/// ```
/// # use qkernels_x86::{Context, Isa};
/// let context = Context::new()?;
/// assert!(context.threads >= 1);
/// let serial = Context::with(Isa::active()?, 1);
/// assert_eq!(serial.isa, context.isa);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The instructions to use.
    pub isa: Isa,
    /// The greatest number of pieces a call is cut into; 1 (or 0) stays on the calling thread.
    pub threads: usize,
}

impl Context {
    /// [`Isa::active`] and as many threads as the current rayon pool has.
    ///
    /// # Errors
    /// [`Error::UnknownIsa`](crate::Error::UnknownIsa) if `QTENSOR_ISA` names no tier.
    pub fn new() -> Result<Context> {
        Ok(Context {
            isa: Isa::active()?,
            threads: rayon::current_num_threads(),
        })
    }

    /// The given instruction set and thread limit.
    pub fn with(isa: Isa, threads: usize) -> Context {
        Context {
            isa,
            threads: threads.max(1),
        }
    }

    /// How many pieces `work` units are cut into when fewer than `serial_below` are not worth a fork.
    pub(crate) fn pieces(&self, work: u64, serial_below: u64) -> usize {
        if work < serial_below {
            1
        } else {
            self.threads.max(1)
        }
    }

    /// Calls `piece(index of the first element, elements)` for each run of `chunk` elements of `out`,
    /// in parallel if there is more than one; a single run stays on the calling thread.
    pub(crate) fn chunks<T: Send>(
        out: &mut [T],
        chunk: usize,
        piece: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let parts = out.chunks_mut(chunk.max(1)).enumerate();
        fork(parts, |(index, part)| piece(index * chunk, part));
    }
}
