//! `tensor_ops`: order statistics on raw integers, and views.

use qops::quantized::{
    argmax, argmax_dim, argmin, argmin_dim, argsort, max, max_dim, min, min_dim, sort,
};
use qtensor_core::{QTensor, Tensor};

use crate::compare::{equal_quantized, equal_to_stored, same_quantizer, widened};
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// The results of one operation on `x`.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let x = case.quantized("x")?;
    match case.text("op")? {
        "reduce" => reduce(case, &x)?,
        "reduce_dim" => reduce_dim(case, &x)?,
        "sort" => sorted(case, &x)?,
        op => {
            let y = match (op, case.sizes("dims"), case.sizes("shape")) {
                ("permute", Ok(dims), _) => x.permute(&dims)?,
                ("transpose", Ok(dims), _) => match dims[..] {
                    [a, b] => x.transpose(a, b)?,
                    _ => return Err("malformed case: a transposition takes two dims".into()),
                },
                ("view", _, Ok(shape)) => x.view(&shape)?,
                _ => return Err(format!("unknown op {op}, or parameters are missing").into()),
            };
            equal_quantized("y", &y, &case.quantized("y")?)?;
        }
    }
    Ok(Verdict::Equal)
}

/// Over the whole tensor. The file holds each result in a tensor of one element.
fn reduce(case: &Case, x: &QTensor) -> Fallible<()> {
    for (name, value) in [("min", min(x)?), ("max", max(x)?)] {
        same_quantizer(name, value.quantizer(), x.quantizer())?;
        equal_to_stored(case, name, &[1], widened(value.view(&[1])?.int_repr()))?;
    }
    equal_to_stored(case, "argmin", &[1], [argmin(x)?])?;
    equal_to_stored(case, "argmax", &[1], [argmax(x)?])
}

/// Along one dimension.
fn reduce_dim(case: &Case, x: &QTensor) -> Fallible<()> {
    let dim = case.size("dim")?;
    let least = (min_dim(x, dim)?, argmin_dim(x, dim)?);
    let greatest = (max_dim(x, dim)?, argmax_dim(x, dim)?);
    for (name, ((values, indices), alone)) in [("min", least), ("max", greatest)] {
        same_quantizer(name, values.quantizer(), x.quantizer())?;
        equal_to_stored(case, name, values.shape(), widened(values.int_repr()))?;
        // No indices are stored, but they must lead to the stored values, and to the first of them.
        if indices.to_vec() != alone.to_vec() {
            return Err(format!("{name}: two functions give two sets of indices").into());
        }
        leads_to(name, x, dim, &values, &indices)?;
    }
    Ok(())
}

/// Requires of each index that it is the first along `dim` where `x` has the value.
fn leads_to(
    name: &str,
    x: &QTensor,
    dim: usize,
    values: &QTensor,
    indices: &Tensor<i64>,
) -> Fallible<()> {
    let mut first = vec![i64::MAX; values.numel()];
    let values = values.int_repr().to_i32_vec();
    for position in (0..x.shape()[dim]).rev() {
        let there = x.select(dim, position)?.int_repr().to_i32_vec();
        for ((first, value), there) in first.iter_mut().zip(&values).zip(there) {
            if there == *value {
                *first = position as i64;
            }
        }
    }
    if first == indices.to_vec() {
        return Ok(());
    }
    let ours = indices.to_vec();
    Err(format!("{name}: indices {ours:?} and not {first:?}").into())
}

/// Along one dimension, equal elements in their first order.
fn sorted(case: &Case, x: &QTensor) -> Fallible<()> {
    let (dim, descending) = (case.size("dim")?, case.flag("descending")?);
    let mut dims = vec![Some(dim)];
    if x.rank() == 1 {
        dims.push(None);
    }
    for dim in dims {
        let (values, indices) = sort(x, dim, descending)?;
        same_quantizer("values", values.quantizer(), x.quantizer())?;
        equal_to_stored(case, "values", values.shape(), widened(values.int_repr()))?;
        equal_to_stored(case, "indices", indices.shape(), indices.to_vec())?;
        let alone = argsort(x, dim, descending)?;
        equal_to_stored(case, "indices", alone.shape(), alone.to_vec())?;
    }
    Ok(())
}
