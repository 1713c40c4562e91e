//! `pooling`: maximum, average and adaptive average of both 8-bit types.

use qops::PoolSpec;
use qops::quantized::{adaptive_avg_pool, avg_pool, max_pool};
use qtensor_core::QTensor;

use crate::compare::{equal_quantized, in_each_format};
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// `y` from `x`, for an input in both memory formats.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let (x, want) = (case.quantized("x")?, case.quantized("y")?);
    for (format, x) in in_each_format(&x)? {
        equal_quantized(format, &pool(case, &x)?, &want)?;
    }
    Ok(Verdict::Equal)
}

fn pool(case: &Case, x: &QTensor) -> Fallible<QTensor> {
    Ok(match case.text("op")? {
        "max_pool2d" => {
            let dilation = case.size("dilation")?;
            let spec = PoolSpec {
                dilation: [1, dilation, dilation],
                ceil_mode: case.flag("ceil_mode")?,
                ..window(case)?
            };
            max_pool(x, &spec)?
        }
        "avg_pool2d" => {
            let spec = PoolSpec {
                ceil_mode: case.flag("ceil_mode")?,
                count_include_pad: case.flag("count_include_pad")?,
                ..window(case)?
            };
            avg_pool(x, &spec)?
        }
        "adaptive_avg_pool2d" => adaptive_avg_pool(x, &case.sizes("output_size")?)?,
        other => return Err(format!("unknown op {other}").into()),
    })
}

/// The square window that a case gives by one number each.
fn window(case: &Case) -> Fallible<PoolSpec> {
    let (kernel, stride, padding) = (
        case.size("kernel")?,
        case.size("stride")?,
        case.size("padding")?,
    );
    Ok(PoolSpec::new(&[kernel; 2], &[stride; 2], &[padding; 2])?)
}
