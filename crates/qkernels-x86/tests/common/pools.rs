//! Pooling by PyTorch's definition, taken literally.

use qkernels_x86::PoolShape;

/// Output size, by trying windows one after the other.
pub fn naive_size(shape: &PoolShape, axis: usize) -> usize {
    let [input, kernel, stride] = [shape.input[axis], shape.kernel[axis], shape.stride[axis]];
    let (padding, span) = (shape.padding[axis], shape.dilation[axis] * (kernel - 1) + 1);
    (0..)
        .take_while(|i| {
            let start = i * stride;
            if shape.ceil_mode {
                // A window may hang over the end by less than a stride, but has to start inside.
                start + span < input + 2 * padding + stride && start < input + padding
            } else {
                start + span <= input + 2 * padding
            }
        })
        .count()
}

/// The real elements of a window for each output element, and the window's padded size.
pub fn naive(shape: &PoolShape, x: &[u8], mut each: impl FnMut(Vec<u8>, usize)) {
    let output: [usize; 3] = std::array::from_fn(|axis| naive_size(shape, axis));
    let [depth, height, width] = shape.input;
    let at = |axis: usize, output: usize, tap: usize| {
        let at = output * shape.stride[axis] + tap * shape.dilation[axis];
        at.checked_sub(shape.padding[axis])
            .filter(|&at| at < shape.input[axis])
    };
    for image in 0..shape.batch {
        for od in 0..output[0] {
            for oh in 0..output[1] {
                for ow in 0..output[2] {
                    for c in 0..shape.channels {
                        let mut elements = Vec::new();
                        for kd in 0..shape.kernel[0] {
                            for kh in 0..shape.kernel[1] {
                                for kw in 0..shape.kernel[2] {
                                    if let (Some(d), Some(h), Some(w)) =
                                        (at(0, od, kd), at(1, oh, kh), at(2, ow, kw))
                                    {
                                        let pixel = ((image * depth + d) * height + h) * width + w;
                                        elements.push(x[pixel * shape.channels + c]);
                                    }
                                }
                            }
                        }
                        let padded = [od, oh, ow].into_iter().enumerate().map(|(axis, o)| {
                            let start = o * shape.stride[axis];
                            let end = shape.input[axis] + 2 * shape.padding[axis];
                            end.min(start + shape.kernel[axis]) - start
                        });
                        each(elements, padded.product());
                    }
                }
            }
        }
    }
}

/// The mean of the elements of a window: PyTorch's order, with the reciprocal of the divisor.
pub fn mean(elements: &[u8], zero_point: i32, divisor: i32) -> u8 {
    let sum: i32 = elements.iter().map(|&q| i32::from(q) - zero_point).sum();
    let quotient = f64::from(sum as f32 * (1.0 / divisor as f32)).round_ties_even();
    (quotient + f64::from(zero_point)).clamp(0.0, 255.0) as u8
}
