//! The adjoints of convolution: gradients of its input and of its weights.

use qtensor_core::buffer::Buffer;
use qtensor_core::{MemoryFormat, Tensor};

use super::geometry::Geometry;
use super::im2col::{Lines, blocks, col2im, im2col};
use super::parallel;
use super::product::{Mat, product};
use crate::error::{Error, Result};
use crate::spec::ConvSpec;

/// The gradient of `conv(x, w, b, spec)` with respect to `x`, from that of its output.
///
/// `dx[n,c,i] = Σ dy[n,o,p] · w[o,c,k]` over all `o`, `p`, `k` with `p·stride + k·dilation − padding = i`.
/// `input_shape` is the shape of `x`, which the shape of `dy` alone does not determine.
///
/// # Errors
/// As [`conv`](super::conv()), and [`Error::Tensor`] if `grad` does not have the output's shape.
pub fn conv_input_gradient(
    grad: &Tensor,
    weight: &Tensor,
    input_shape: &[usize],
    spec: &ConvSpec,
) -> Result<Tensor> {
    let x = Tensor::scalar(0.0).expand(input_shape)?;
    let g = Geometry::new(&x, weight, spec)?;
    check_grad("conv_input_gradient", &g, grad)?;
    adjoint(&g, grad, weight, None)
}

/// What a convolution does backwards: a gradient of its output, or the input of a transposed convolution, spread over
/// its input. A transposed convolution adds a bias to each of the channels there.
pub(super) fn adjoint(
    g: &Geometry,
    grad: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let spec = &g.spec;
    if let Some(turned) = turned_depthwise(g) {
        return super::conv(grad, &back_to_front(weight)?, bias, &turned);
    }
    let (grad, weight) = (grad.contiguous(), weight.contiguous());
    let dy = grad.as_slice().unwrap_or_default();
    let weights = weight.as_slice().unwrap_or_default();
    let bias = bias.and_then(Tensor::as_slice);
    Tensor::build(&g.input_shape(), MemoryFormat::Contiguous, |out| {
        let alone = g.batch * spec.groups < parallel::threads();
        let (len, to) = (g.filters * g.output_plane(), g.channels * g.input_plane());
        parallel::jobs(out, to, g.work(), !alone, |job, out| {
            let group = job % spec.groups;
            let from = group * g.filters * g.depth();
            let weights = &weights[from..from + g.filters * g.depth()];
            let dy = &dy[job * len..(job + 1) * len];
            let bias = bias.map(|bias| &bias[group * g.channels..(group + 1) * g.channels]);
            input_group(g, (dy, weights, bias), out, alone)
        })
    })
}

/// The depthwise convolution that computes the input gradient of another from that of its output, with the kernels back to
/// front: padded so that the lengths are the input's again.
///
/// There is one for steps of 1, one filter a channel, and no more padding than the kernel reaches.
fn turned_depthwise(g: &Geometry) -> Option<ConvSpec> {
    let single = g.channels == 1 && g.filters == 1 && g.spec.groups > 1;
    if !single || g.spec.stride != [1; 3] {
        return None;
    }
    let mut spec = g.spec;
    for axis in 0..3 {
        let reach = (g.kernel[axis] - 1) * g.spec.dilation[axis];
        spec.padding[axis] = reach.checked_sub(g.spec.padding[axis])?;
    }
    Some(spec)
}

fn back_to_front(weight: &Tensor) -> Result<Tensor> {
    let taps: usize = weight.shape()[2..].iter().product();
    let mut values = weight.to_vec();
    let kernels = values.chunks_exact_mut(taps.max(1));
    kernels.for_each(<[f32]>::reverse);
    Ok(Tensor::from_vec(values, weight.shape())?)
}

/// `Wᵀ·dy`, scattered back to where [`im2col`] found the elements, plus a bias.
fn input_group(
    g: &Geometry,
    (dy, weights, bias): (&[f32], &[f32], Option<&[f32]>),
    out: &mut [f32],
    parallel: bool,
) -> Result<()> {
    let (plane, depth) = (g.output_plane(), g.depth());
    match bias {
        Some(bias) => {
            let rows = out.chunks_exact_mut(g.input_plane().max(1));
            rows.zip(bias).for_each(|(row, &b)| row.fill(b));
        }
        None => out.fill(0.0),
    }
    let weights = Mat::columns(weights, depth);
    if g.is_pointwise() {
        let sizes = [depth, plane, g.filters];
        let dy = Mat::rows(dy, plane);
        return product(sizes, weights, dy, out, plane, bias.is_some(), parallel);
    }
    for lines in blocks(g) {
        let (start, len) = (lines.start * g.output[2], lines.len() * g.output[2]);
        let mut columns = Buffer::recycled(depth * len * size_of::<f32>());
        let columns = columns.as_mut_slice::<f32>();
        // Without filters the slice behind the last output line does not exist.
        let dy = Mat::rows(dy.get(start..).unwrap_or_default(), plane);
        product(
            [depth, len, g.filters],
            weights,
            dy,
            columns,
            len,
            false,
            parallel,
        )?;
        col2im(g, columns, lines, out);
    }
    Ok(())
}

/// The gradient of `conv(x, w, b, spec)` with respect to `w`, from that of its output.
///
/// `dw[o,c,k] = Σ dy[n,o,p] · x[n, c, p·stride + k·dilation − padding]` over all images `n` and outputs `p`.
/// `weight_shape` is the shape of `w`.
///
/// # Errors
/// As [`conv`](super::conv()), and [`Error::Tensor`] if `grad` does not have the output's shape.
pub fn conv_weight_gradient(
    grad: &Tensor,
    x: &Tensor,
    weight_shape: &[usize],
    spec: &ConvSpec,
) -> Result<Tensor> {
    let weight = Tensor::scalar(0.0).expand(weight_shape)?;
    let g = Geometry::new(x, &weight, spec)?;
    check_grad("conv_weight_gradient", &g, grad)?;
    let (grad, x) = (grad.contiguous(), x.contiguous());
    let dy = grad.as_slice().unwrap_or_default();
    let values = x.as_slice().unwrap_or_default();
    if g.batch > 0 && g.channels == 1 && g.filters == 1 && spec.groups > 1 {
        return Tensor::build(weight_shape, MemoryFormat::Contiguous, |out| {
            depthwise_weight_gradient(&g, dy, values, out);
            Ok(())
        });
    }
    Tensor::build(weight_shape, MemoryFormat::Contiguous, |out| {
        out.fill(0.0);
        // One job is one group over all images, so that nothing is summed across threads.
        let alone = spec.groups < parallel::threads();
        let (rows, planes) = (g.filters * g.output_plane(), g.channels * g.input_plane());
        parallel::jobs(
            out,
            g.filters * g.depth(),
            g.work(),
            !alone,
            |group, out| {
                for image in 0..g.batch {
                    let job = image * spec.groups + group;
                    let dy = &dy[job * rows..(job + 1) * rows];
                    let x = &values[job * planes..(job + 1) * planes];
                    add_weight_group(&g, dy, x, out, alone)?;
                }
                Ok(())
            },
        )
    })
}

/// Adds `dy·columnsᵀ` of one group of one image.
fn add_weight_group(
    g: &Geometry,
    dy: &[f32],
    x: &[f32],
    out: &mut [f32],
    parallel: bool,
) -> Result<()> {
    let (plane, depth) = (g.output_plane(), g.depth());
    if g.is_pointwise() {
        let (dy, x) = (Mat::rows(dy, plane), Mat::columns(x, plane));
        return product([g.filters, depth, plane], dy, x, out, depth, true, parallel);
    }
    for lines in blocks(g) {
        let (start, len) = (lines.start * g.output[2], lines.len() * g.output[2]);
        let mut columns = Buffer::recycled(depth * len * size_of::<f32>());
        let columns = columns.as_mut_slice::<f32>();
        im2col(g, x, lines, columns, parallel);
        let dy = Mat::rows(dy.get(start..).unwrap_or_default(), plane);
        let columns = Mat::columns(columns, len);
        product(
            [g.filters, depth, len],
            dy,
            columns,
            out,
            depth,
            true,
            parallel,
        )?;
    }
    Ok(())
}

/// One filter a channel: for each kernel element the product of gradient and input lines, over all images.
fn depthwise_weight_gradient(g: &Geometry, dy: &[f32], x: &[f32], out: &mut [f32]) {
    let (taps, to, from) = (g.taps(), g.output_plane(), g.input_plane());
    let lines = Lines::of(g);
    parallel::chunks(out, taps, g.work(), |channel, out| {
        let mut sums = vec![0f64; taps];
        for image in 0..g.batch {
            let job = image * g.spec.groups + channel;
            let (dy, x) = (
                &dy[job * to..(job + 1) * to],
                &x[job * from..(job + 1) * from],
            );
            for (sum, lines) in sums.iter_mut().zip(&lines) {
                *sum += f64::from(lines.product(dy, x, g.spec.stride[2]));
            }
        }
        out.iter_mut().zip(sums).for_each(|(o, s)| *o = s as f32);
    });
}

fn check_grad(operation: &'static str, g: &Geometry, grad: &Tensor) -> Result<()> {
    let expected = g.output_shape();
    if grad.shape() == expected {
        return Ok(());
    }
    Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
        operation,
        expected,
        actual: grad.shape().to_vec(),
    }))
}
