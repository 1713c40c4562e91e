//! Calls of views and copies, on a float tensor that holds the integers of a quantized one: both must move alike.

use qops::{Interpolation, PadMode, ResizeTo, float, quantized};
use qtensor_core::{Index, QTensor, Tensor};

use super::{Call, Numbers, is_large};

/// A quantized tensor, and its integers as floats.
#[derive(Clone)]
struct Pair {
    q: QTensor,
    t: Tensor,
}

pub fn check(numbers: &mut Numbers) -> Call {
    // Operands that cannot be made are refused where they are made.
    chain(numbers).unwrap_or(Call::Refused)
}

/// Some operations one after the other, until one is refused.
fn chain(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 5);
    let dtype = numbers.dtype();
    let q = numbers.qtensor(&shape, dtype)?;
    let mut pair = Pair { t: floats(&q)?, q };
    let mut call = Call::Refused;
    for _ in 0..numbers.within(1, 4) {
        let which = numbers.within(0, 24);
        let Some(step) = step(numbers, &pair, which) else {
            return Some(call);
        };
        if is_large(step.t.shape()) {
            return Some(Call::Large);
        }
        let moved = floats(&step.q)?;
        assert_eq!(moved.shape(), step.t.shape(), "operation {which}");
        assert_eq!(moved.to_vec(), step.t.to_vec(), "operation {which}");
        let lost = |axis| axis >= step.q.rank();
        assert!(!step.q.q_per_channel_axis().is_ok_and(lost), "{which}");
        assert_eq!(step.q.dequantize().shape(), step.q.shape());
        call = Call::Compared;
        // What lists the pieces or rows of such a shape would be asked for that many.
        if step.q.shape().iter().any(|&n| n > 1 << 16) {
            return Some(call);
        }
        pair = step;
    }
    Some(call)
}

/// The integers; small ones, as all that are drawn here, are exact.
fn floats(q: &QTensor) -> Option<Tensor> {
    let ints = q.int_repr().to_i32_vec();
    let values = ints.into_iter().map(|q| q as f32).collect();
    Tensor::from_vec(values, q.shape()).ok()
}

/// Both results, or `None` if the operation is refused; a quantized tensor may be refused for the sake of its map alone.
fn both<E, F>(q: Result<QTensor, E>, t: Result<Tensor, F>) -> Option<Pair> {
    match (q, t) {
        (Ok(q), Ok(t)) => Some(Pair { q, t }),
        (Ok(q), Err(_)) => panic!("{q:?} where the float operation is refused"),
        (Err(_), _) => None,
    }
}

fn step(numbers: &mut Numbers, pair: &Pair, which: usize) -> Option<Pair> {
    let Pair { q, t } = pair;
    let rank = q.rank();
    let (dim, other) = (numbers.dim(rank), numbers.dim(rank));
    let (start, end, step) = (numbers.size(0, 5), numbers.size(0, 9), numbers.size(0, 3));
    match which {
        0 => both(q.transpose(dim, other), t.transpose(dim, other)),
        1 => {
            let mut order: Vec<usize> = (0..rank).collect();
            if rank > 0 {
                order.swap(dim % rank, other % rank);
            }
            if numbers.one_in(8) {
                order.push(dim);
            }
            both(q.permute(&order), t.permute(&order))
        }
        2..=4 => {
            let shape = reshaped(numbers, q.shape());
            match which {
                2 => {
                    let dense = t.contiguous();
                    both(q.view(&shape), dense.view(&shape))
                }
                3 => both(q.reshape(&shape), t.reshape(&shape)),
                _ => both(q.flatten(dim), t.flatten(dim)),
            }
        }
        5 => both(q.squeeze(dim), t.squeeze(dim)),
        6 => both(q.unsqueeze(dim), t.unsqueeze(dim)),
        7 => both(q.select(dim, start), t.select(dim, start)),
        8 => both(
            q.slice(dim, start, end, step),
            t.slice(dim, start, end, step),
        ),
        9 => both(q.narrow(dim, start, step), t.narrow(dim, start, step)),
        10 => one(q.chunk(dim, end), t.chunk(dim, end)),
        11 => one(q.split(dim, end), t.split(dim, end)),
        12 => one(q.unbind(dim), t.unbind(dim)),
        13 => {
            let lead = usize::from(numbers.one_in(3));
            let mut shape = numbers.sizes(lead, 0, 3);
            let spread = numbers.size(0, 4);
            shape.extend(q.shape().iter().map(|&n| if n == 1 { spread } else { n }));
            bounded(&shape)?;
            both(q.expand(&shape), t.expand(&shape))
        }
        14 => {
            let count = rank + usize::from(numbers.one_in(4));
            let times = numbers.sizes(count, 0, 3);
            let lead = times.len() - rank;
            let long = |(at, &n): (usize, &usize)| {
                n.saturating_mul(at.checked_sub(lead).map_or(1, |at| q.shape()[at]))
            };
            bounded(&times.iter().enumerate().map(long).collect::<Vec<_>>())?;
            both(q.repeat(&times), t.repeat(&times))
        }
        15 => both(q.flip(&[dim]), t.flip(&[dim])),
        16 => {
            let count = numbers.within(0, 4);
            let indices = numbers.sizes(count, 0, 4);
            both(q.index_select(dim, &indices), t.index_select(dim, &indices))
        }
        17 => both(q.flatten_dims(dim, other), t.flatten_dims(dim, other)),
        18 => {
            let lengths = [numbers.one_in(2).then_some(start), Some(step)];
            both(q.unflatten(dim, &lengths), t.unflatten(dim, &lengths))
        }
        19 => {
            let count = numbers.within(0, 3);
            let at = numbers.indices(&[count], 3)?;
            let entries = [
                numbers.pick(&[Index::All, Index::At(0), Index::At(-1), Index::At(i64::MIN)]),
                numbers.pick(&[
                    Index::All,
                    Index::Range { start, end, step },
                    Index::Indices(&at),
                ]),
                Index::Indices(&at),
            ];
            let entries = &entries[..numbers.within(0, 3)];
            both(q.index(entries), t.index(entries))
        }
        20 | 21 => padded(numbers, pair, which == 20),
        22 => resized(numbers, pair),
        23 => {
            let (groups, factor) = (numbers.size(0, 4), numbers.size(0, 3));
            match numbers.byte() % 3 {
                0 => both(
                    quantized::channel_shuffle(q, groups),
                    float::channel_shuffle(t, groups),
                ),
                1 => both(
                    quantized::pixel_shuffle(q, factor),
                    float::pixel_shuffle(t, factor),
                ),
                _ => both(
                    quantized::pixel_unshuffle(q, factor),
                    float::pixel_unshuffle(t, factor),
                ),
            }
        }
        _ => both(
            quantized::stack(&[q, q], dim, None),
            float::stack(&[t, t], dim),
        ),
    }
}

/// One of the pieces; there are as many of both.
fn one<E, F>(q: Result<Vec<QTensor>, E>, t: Result<Vec<Tensor>, F>) -> Option<Pair> {
    let (q, t) = (q.ok()?, t.ok()?);
    assert_eq!(q.len(), t.len());
    let last = q.into_iter().zip(t).last()?;
    Some(Pair {
        q: last.0,
        t: last.1,
    })
}

/// Another shape, mostly with as many elements.
fn reshaped(numbers: &mut Numbers, shape: &[usize]) -> Vec<usize> {
    let mut other: Vec<usize> = shape.to_vec();
    if other.len() > 1 && numbers.one_in(2) {
        let last = other.pop().unwrap_or(1);
        let at = other.len() - 1;
        other[at] *= last;
    } else if let Some(first) = other.first_mut().filter(|n| n.is_multiple_of(2)) {
        *first /= 2;
        other.insert(1, 2);
    }
    if numbers.one_in(8) {
        other.push(numbers.size(0, 3));
    }
    other
}

/// `None` if a result of that shape would be large.
fn bounded(shape: &[usize]) -> Option<()> {
    (!is_large(shape)).then_some(())
}

fn padded(numbers: &mut Numbers, Pair { q, t }: &Pair, constant: bool) -> Option<Pair> {
    let count = if numbers.one_in(24) { 1 } else { q.rank() };
    let sides: Vec<(usize, usize)> = (0..count)
        .map(|_| (numbers.size(0, 3), numbers.size(0, 3)))
        .collect();
    let long =
        |(n, side): (&usize, &(usize, usize))| n.saturating_add(side.0).saturating_add(side.1);
    bounded(&q.shape().iter().zip(&sides).map(long).collect::<Vec<_>>())?;
    if constant {
        // The zero point stands for the constant 0.
        let z = q.q_zero_point().ok()? as f32;
        return both(quantized::pad(q, &sides, 0.0), float::pad(t, &sides, z));
    }
    let mode = numbers.pick(&[PadMode::Reflect, PadMode::Replicate, PadMode::Circular]);
    both(
        quantized::pad_with(q, &sides, mode),
        float::pad_with(t, &sides, mode),
    )
}

fn resized(numbers: &mut Numbers, Pair { q, t }: &Pair) -> Option<Pair> {
    let spatial = q.rank().saturating_sub(2);
    let sizes = numbers.sizes(spatial, 0, 6);
    let factors: Vec<f64> = (0..spatial).map(|_| numbers.scale() * 4.0).collect();
    let by_factor = numbers.one_in(3);
    let to = if by_factor {
        ResizeTo::Factor(&factors)
    } else {
        ResizeTo::Size(&sizes)
    };
    let lead = q.shape().get(..2)?;
    let spread = |(&n, factor): (&usize, &f64)| (n as f64 * factor) as usize;
    let size: Vec<usize> = match by_factor {
        true => q.shape()[2..].iter().zip(&factors).map(spread).collect(),
        false => sizes.clone(),
    };
    bounded(&[lead, &size].concat())?;
    if numbers.one_in(4) {
        // Between neighbours both round in their own way.
        let mode = Interpolation::Bilinear {
            align_corners: numbers.one_in(2),
        };
        drop((
            quantized::interpolate(q, to, mode),
            float::interpolate(t, to, mode),
        ));
        return None;
    }
    both(
        quantized::interpolate(q, to, Interpolation::Nearest),
        float::interpolate(t, to, Interpolation::Nearest),
    )
}
