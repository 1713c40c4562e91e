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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::testing::Values;
    use crate::float::{add, matmul, mul_scalar, softmax};

    #[test]
    fn heads_agree_with_products_of_slices() -> Result<()> {
        for (batch, queries, keys, heads, depth) in
            [(1, 1, 1, 1, 1), (3, 4, 6, 2, 5), (9, 20, 20, 4, 8)]
        {
            let width = heads * depth;
            let mut values = Values::new(3);
            let q = values.tensor(&[batch, queries, width]);
            let k = values.tensor(&[batch, keys, width]);
            let v = values.tensor(&[batch, keys, width]);
            let by_key = values.tensor(&[batch, keys]);
            let by_pair = values.tensor(&[queries, keys]);
            let mask = AttentionMask {
                keys: Some(&by_key),
                pairs: Some(&by_pair),
            };
            let y = attention(&q, &k, &v, heads, mask)?;
            for head in 0..heads {
                let part = |x: &Tensor| x.slice(2, head * depth, (head + 1) * depth, 1);
                let scores = matmul(&part(&q)?, &part(&k)?.transpose(1, 2)?)?;
                let scores = mul_scalar(&scores, 1.0 / (depth as f32).sqrt())?;
                let scores = add(&add(&scores, &by_key.unsqueeze(1)?)?, &by_pair)?;
                let want = matmul(&softmax(&scores, 2)?, &part(&v)?)?;
                for (got, want) in part(&y)?.to_vec().iter().zip(want.to_vec()) {
                    assert!((got - want).abs() < 1e-5, "{got} {want}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn operands_that_do_not_belong_together_are_refused() -> Result<()> {
        let (q, k) = (Tensor::ones(&[2, 3, 4])?, Tensor::ones(&[2, 5, 4])?);
        let none = AttentionMask::default();
        assert!(attention(&q, &k, &k, 3, none).is_err());
        assert!(attention(&q, &k, &k, 0, none).is_err());
        assert!(attention(&q, &k, &q, 2, none).is_err());
        assert!(attention(&q.flatten(0)?, &k, &k, 2, none).is_err());
        let wrong = Tensor::zeros(&[2, 3])?;
        let mask = AttentionMask {
            keys: Some(&wrong),
            pairs: None,
        };
        let text = attention(&q, &k, &k, 2, mask).unwrap_err().to_string();
        assert!(text.contains("[2, 5]") && text.contains("[2, 3]"), "{text}");
        Ok(())
    }
}
