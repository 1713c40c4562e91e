//! Attention against products of the slices of each head.

use qops::Result;
use qops::float::{AttentionMask, add, attention, matmul, mul_scalar, softmax};
use qtensor_core::Tensor;

use super::testing::Values;

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
