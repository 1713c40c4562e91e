//! Scaled dot-product attention.

use std::cell::RefCell;

use qkernels_x86::{AttentionScratch, AttentionShape, Context, attention_f32};
use qtensor_core::{MemoryFormat, Tensor};

use super::parallel;
use crate::error::{Error, Result};
use crate::spec::argument;

const OPERATION: &str = "attention";

thread_local! {
    static SCRATCH: RefCell<AttentionScratch> = RefCell::default();
}

/// What is added to the scores before they become weights; −∞ hides a key.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionMask<'a> {
    /// For each key of each sequence, `[batch, keys]`.
    pub keys: Option<&'a Tensor>,
    /// For each pair of query and key, `[queries, keys]`.
    pub pairs: Option<&'a Tensor>,
}

/// `softmax(q·kᵀ / √d + mask) · v` for each of `heads` slices of `d = width / heads` features.
///
/// `q` is `[batch, queries, width]`, `k` and `v` are `[batch, keys, width]`; the result has the shape of `q`.
///
/// ```
/// # use qops::float::{AttentionMask, attention};
/// # use qtensor_core::Tensor;
/// let q = Tensor::zeros(&[1, 1, 2])?;
/// let (k, v) = (Tensor::ones(&[1, 3, 2])?, Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0, 90.0, 90.0], &[1, 3, 2])?);
/// let hidden = Tensor::from_vec(vec![0.0, 0.0, f32::NEG_INFINITY], &[1, 3])?;
/// let mask = AttentionMask { keys: Some(&hidden), pairs: None };
/// assert_eq!(attention(&q, &k, &v, 2, mask)?.to_vec(), [2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if `heads` does not divide the width, a shape error for operands or masks that do not belong
/// together.
#[doc(alias = "scaled_dot_product_attention")]
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    mask: AttentionMask,
) -> Result<Tensor> {
    let &[batch, queries, width] = q.shape() else {
        return Err(Error::Tensor(qtensor_core::Error::Rank {
            operation: OPERATION,
            expected: "3 (batch, time, features)".into(),
            actual: q.rank(),
            shape: q.shape().to_vec(),
        }));
    };
    let keys = k.shape().get(1).copied().unwrap_or(0);
    expect(k, &[batch, keys, width])?;
    expect(v, &[batch, keys, width])?;
    if heads == 0 || !width.is_multiple_of(heads) {
        let expected = format!("a divisor of the width {width}");
        return Err(argument(OPERATION, "the number of heads", &expected, heads));
    }
    for (mask, shape) in [(mask.keys, [batch, keys]), (mask.pairs, [queries, keys])] {
        if let Some(mask) = mask {
            expect(mask, &shape)?;
        }
    }
    let dense = [q.contiguous(), k.contiguous(), v.contiguous()];
    let [q, k, v] = dense.each_ref().map(|t| t.as_slice().unwrap_or_default());
    let masks = [mask.keys, mask.pairs].map(|m| m.map(Tensor::to_vec));
    let context = Context::new()?;
    let shape = AttentionShape {
        queries,
        keys,
        heads,
        depth: width / heads,
    };
    let sequence = |at: usize, out: &mut [f32]| -> Result<()> {
        let (own, other) = (queries * width, keys * width);
        let by_key = masks[0].as_ref().map(|m| &m[at * keys..][..keys]);
        // Taken out of its cell and put back, so that its memory is kept from call to call.
        let mut scratch = SCRATCH.take();
        attention_f32(
            &context,
            shape,
            &q[at * own..][..own],
            &k[at * other..][..other],
            &v[at * other..][..other],
            [by_key, masks[1].as_deref()],
            &mut scratch,
            out,
        )?;
        SCRATCH.set(scratch);
        Ok(())
    };
    Tensor::build(&[batch, queries, width], MemoryFormat::Contiguous, |out| {
        let one = queries * width;
        if one == 0 || keys == 0 {
            out.fill(0.0);
            return Ok(());
        }
        let work = 2 * batch * queries * keys * width;
        parallel::jobs(out, one, work, parallel::threads() > 1, sequence)
    })
}

fn expect(x: &Tensor, shape: &[usize]) -> Result<()> {
    if x.shape() == shape {
        return Ok(());
    }
    Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
        operation: OPERATION,
        expected: shape.to_vec(),
        actual: x.shape().to_vec(),
    }))
}
