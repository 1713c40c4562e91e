//! Convolution: which of three ways computes it.

use qtensor_core::buffer::Buffer;
use qtensor_core::{MemoryFormat, Tensor};

use super::depthwise;
use super::geometry::Geometry;
use super::im2col::{blocks, im2col};
use super::linear::check_bias;
use super::parallel;
use super::product::{Mat, product};
use crate::error::Result;
use crate::spec::ConvSpec;

/// Convolution in one, two or three spatial dimensions.
///
/// `y[n,o,p] = b[o] + Σ_{c,k} x[n, c, p·stride + k·dilation − padding] · w[o,c,k]` over the channels `c` of the
/// group of `o` and all kernel positions `k`; elements outside the input are 0. Shapes: input
/// `[N, C, …]`, weights `[O, C/groups, …]`, bias `[O]`, output `[N, O, …]` with the lengths of
/// [`ConvSpec::output`].
///
/// Kernels of size 1 are a matrix product on the input as it lies; depthwise ones (one input channel
/// a group) run directly; all others collect patches into a matrix, a cache-sized block at a time.
///
/// ```
/// # use qops::{ConvSpec, float::conv};
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], &[1, 1, 4])?;
/// let w = Tensor::from_vec(vec![-1.0, 0.0, 1.0], &[1, 1, 3])?;
/// let spec = ConvSpec::new(&[1], &[1], &[1], 1)?;
/// assert_eq!(conv(&x, &w, None, &spec)?.to_vec(), [2.0, 2.0, 2.0, -3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Operands`](crate::Error::Operands) if channels or the bias do not fit the weights,
/// [`Error::Argument`](crate::Error::Argument) for groups that do not divide the output channels or a
/// specification of another rank, [`Error::Window`](crate::Error::Window) if the kernel does not fit, a
/// rank error outside 3 to 5.
#[doc(alias = "conv1d")]
#[doc(alias = "conv2d")]
#[doc(alias = "conv3d")]
pub fn conv(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, spec: &ConvSpec) -> Result<Tensor> {
    let g = Geometry::new(x, weight, spec)?;
    let bias = bias
        .map(|bias| check_bias("conv", weight, bias))
        .transpose()?;
    let bias = bias.as_ref().and_then(Tensor::as_slice);
    let (x, weight) = (x.contiguous(), weight.contiguous());
    let values = x.as_slice().unwrap_or_default();
    let weights = weight.as_slice().unwrap_or_default();
    Tensor::build(&g.output_shape(), MemoryFormat::Contiguous, |out| {
        if depthwise::applies(&g) {
            return depthwise::depthwise(&g, values, weights, bias, out);
        }
        // One job is one group of one image. With fewer jobs than threads, each job is parallel inside.
        let alone = g.batch * spec.groups < parallel::threads();
        let (from, to) = (g.channels * g.input_plane(), g.filters * g.output_plane());
        parallel::jobs(out, to, g.work(), !alone, |job, out| {
            let group = job % spec.groups;
            let filters = group * g.filters..(group + 1) * g.filters;
            let operands = Group {
                x: &values[job * from..(job + 1) * from],
                weights: &weights[filters.start * g.depth()..filters.end * g.depth()],
                bias: bias.map(|bias| &bias[filters]),
            };
            operands.run(&g, out, alone)
        })
    })
}

/// The operands of one group of one image.
struct Group<'a> {
    x: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Group<'_> {
    fn run(&self, g: &Geometry, out: &mut [f32], parallel: bool) -> Result<()> {
        let (plane, depth) = (g.output_plane(), g.depth());
        if let Some(bias) = self.bias {
            out.chunks_exact_mut(plane)
                .zip(bias)
                .for_each(|(row, &b)| row.fill(b));
        }
        let weights = Mat::rows(self.weights, depth);
        let accumulate = self.bias.is_some();
        if g.is_pointwise() {
            let x = Mat::rows(self.x, plane);
            let sizes = [g.filters, plane, depth];
            return product(sizes, weights, x, out, plane, accumulate, parallel);
        }
        for lines in blocks(g) {
            let (start, len) = (lines.start * g.output[2], lines.len() * g.output[2]);
            let mut columns = Buffer::recycled(depth * len * size_of::<f32>());
            let columns = columns.as_mut_slice::<f32>();
            im2col(g, self.x, lines, columns, parallel);
            let columns = Mat::rows(columns, len);
            let sizes = [g.filters, len, depth];
            product(
                sizes,
                weights,
                columns,
                &mut out[start..],
                plane,
                accumulate,
                parallel,
            )?;
        }
        Ok(())
    }
}
