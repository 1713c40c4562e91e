//! The definition of a depthwise convolution, one product after the other.
//!
//! For geometries whose padded rows dwarf input and output (a padding or a dilation of millions): they
//! are valid, but staging them would exhaust the memory.

use crate::finish::FromSums;
use crate::isa::Work;
use crate::pool::unravel;

use super::Layer;

/// A run of output rows.
pub(super) struct Plain<'a, C: FromSums> {
    pub(super) layer: Layer<'a, C>,
    pub(super) first_row: usize,
    pub(super) out: &'a mut [C::Out],
}

impl<C: FromSums> Work for Plain<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let out = core::mem::take(&mut self.out);
        let output = self.layer.shape.output();
        let channels = self.layer.shape.out_channels;
        for (index, out) in out.chunks_exact_mut(channels).enumerate() {
            let row = self.first_row + index / output[2];
            let [image, d, h] = unravel(row, output);
            for (channel, out) in out.iter_mut().enumerate() {
                let sum = self.sum(image, [d, h, index % output[2]], channel);
                (self.layer.from).convert(0, channel, &[sum], core::slice::from_mut(out));
            }
        }
    }
}

impl<C: FromSums> Plain<'_, C> {
    fn sum(&self, image: usize, output: [usize; 3], channel: usize) -> i32 {
        let Layer { shape, taps, .. } = self.layer;
        let under = |axis: usize, tap: usize| shape.under(axis, output[axis], tap);
        let mut sum = self.layer.start[channel];
        for kd in 0..shape.kernel[0] {
            for kh in 0..shape.kernel[1] {
                for kw in 0..shape.kernel[2] {
                    let value = match (under(0, kd), under(1, kh), under(2, kw)) {
                        (Some(d), Some(h), Some(w)) => {
                            let plane = (image * shape.input[0] + d) * shape.input[1] + h;
                            let pixel = plane * shape.input[2] + w;
                            self.layer.x[pixel * shape.in_channels + channel / taps.multiplier]
                        }
                        _ => self.layer.input_zero_point,
                    };
                    let weight = taps.weight(channel, kd * shape.kernel[1] + kh, kw);
                    sum = sum.wrapping_add(i32::from(value) * i32::from(weight));
                }
            }
        }
        sum
    }
}
