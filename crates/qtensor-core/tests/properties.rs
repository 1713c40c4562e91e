//! Properties on random tensors: every chain of views equals the same chain on a plain list of values,
//! in files and through quantization too.

use crate::common::Model;
use proptest::prelude::*;
use qtensor_core::{
    DType, MemoryFormat, Quantizer, Tensor, quantize_per_channel, quantize_per_tensor,
};

/// One step of a chain, its numbers to be reduced to the shape at hand.
#[derive(Clone, Debug)]
enum Step {
    Permute(Vec<usize>),
    Slice(usize, usize, usize, usize),
    Select(usize, usize),
    Unsqueeze(usize),
    Squeeze(usize),
    Expand(usize, usize),
    Lead(usize),
    Reshape(usize),
    Contiguous,
    ChannelsLast,
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0usize..100;
    prop_oneof![
        3 => prop::collection::vec(n.clone(), 6).prop_map(Step::Permute),
        3 => (n.clone(), n.clone(), n.clone(), 1usize..4)
            .prop_map(|(d, a, b, s)| Step::Slice(d, a, b, s)),
        1 => (n.clone(), n.clone()).prop_map(|(d, i)| Step::Select(d, i)),
        1 => n.clone().prop_map(Step::Unsqueeze),
        1 => n.clone().prop_map(Step::Squeeze),
        1 => (n.clone(), 0usize..4).prop_map(|(d, k)| Step::Expand(d, k)),
        1 => (1usize..3).prop_map(Step::Lead),
        2 => n.prop_map(Step::Reshape),
        1 => Just(Step::Contiguous),
        1 => Just(Step::ChannelsLast),
    ]
}

/// Shapes of at least `least` and at most four dimensions, of length 0 now and then.
fn shape(least: usize) -> impl Strategy<Value = Vec<usize>> {
    let dim = prop_oneof![8 => 1usize..5, 1 => Just(0usize)];
    prop::collection::vec(dim, least..5)
}

/// Applies a step to both; `None` if it does not apply to the shape.
fn apply(step: &Step, t: &Tensor, m: &Model) -> Option<(Tensor, Model)> {
    let rank = m.shape.len();
    let dim_of = |d: usize| (rank > 0).then(|| d % rank);
    Some(match step {
        Step::Permute(keys) => {
            let mut order: Vec<usize> = (0..rank).collect();
            order.sort_by_key(|&d| keys.get(d));
            let shape = order.iter().map(|&d| m.shape[d]).collect();
            let model = m.gather(shape, |to| {
                let mut from = vec![0; rank];
                order.iter().zip(to).for_each(|(&d, &i)| from[d] = i);
                from
            });
            (t.permute(&order).unwrap(), model)
        }
        Step::Slice(d, a, b, by) => {
            let d = dim_of(*d)?;
            let len = m.shape[d];
            let (a, b) = (a % (len + 1), b % (len + 1));
            let (a, b) = (a.min(b), a.max(b));
            let mut shape = m.shape.clone();
            shape[d] = (a..b).step_by(*by).count();
            let model = m.gather(shape, |to| {
                let mut from = to.to_vec();
                from[d] = a + to[d] * by;
                from
            });
            (t.slice(d, a, b, *by).unwrap(), model)
        }
        Step::Select(d, i) => {
            let d = dim_of(*d)?;
            if m.shape[d] == 0 {
                return None;
            }
            let i = i % m.shape[d];
            let mut shape = m.shape.clone();
            shape.remove(d);
            let model = m.gather(shape, |to| {
                let mut from = to.to_vec();
                from.insert(d, i);
                from
            });
            (t.select(d, i).unwrap(), model)
        }
        Step::Unsqueeze(d) => {
            let d = d % (rank + 1);
            let mut shape = m.shape.clone();
            shape.insert(d, 1);
            let values = m.values.clone();
            (t.unsqueeze(d).unwrap(), Model { shape, values })
        }
        Step::Squeeze(d) => {
            let d = dim_of(*d).filter(|&d| m.shape[d] == 1)?;
            let mut shape = m.shape.clone();
            shape.remove(d);
            let values = m.values.clone();
            (t.squeeze(d).unwrap(), Model { shape, values })
        }
        Step::Expand(d, k) => {
            let d = dim_of(*d).filter(|&d| m.shape[d] == 1)?;
            let mut shape = m.shape.clone();
            shape[d] = *k;
            let model = m.gather(shape.clone(), |to| {
                let mut from = to.to_vec();
                from[d] = 0;
                from
            });
            (t.expand(&shape).unwrap(), model)
        }
        Step::Lead(k) => {
            let shape: Vec<usize> = [*k].into_iter().chain(m.shape.clone()).collect();
            let model = m.gather(shape.clone(), |to| to[1..].to_vec());
            (t.expand(&shape).unwrap(), model)
        }
        Step::Reshape(key) => {
            let shape = reshaped(&m.shape, *key);
            let values = m.values.clone();
            let reshaped = t.reshape(&shape).unwrap();
            if let Ok(view) = t.view(&shape) {
                assert!(view.shares_storage_with(t) && view == reshaped);
            }
            (reshaped, Model { shape, values })
        }
        Step::Contiguous => (t.contiguous(), m.clone()),
        Step::ChannelsLast => {
            if rank < 3 {
                return None;
            }
            let last = t.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
            assert!(last.layout().is_dense_in(MemoryFormat::ChannelsLast));
            (last, m.clone())
        }
    })
}

/// Some other shape of as many elements.
fn reshaped(shape: &[usize], key: usize) -> Vec<usize> {
    let n: usize = shape.iter().product();
    if n == 0 {
        return vec![key % 3, 0];
    }
    let divisors: Vec<usize> = (1..=n).filter(|d| n.is_multiple_of(*d)).collect();
    let first = divisors[key % divisors.len()];
    let rest = n / first;
    let split = (1..=rest)
        .rfind(|d| rest.is_multiple_of(*d) && d * d <= rest)
        .unwrap_or(1);
    match key % 4 {
        0 => vec![n],
        1 => vec![first, rest],
        2 => vec![first, split, rest / split],
        _ => vec![1, first, split, 1, rest / split],
    }
}

fn chain(shape: &[usize], steps: &[Step]) -> Vec<(Tensor, Model)> {
    let model = Model::counted(shape);
    let tensor = Tensor::from_slice(&model.values, shape).unwrap();
    let mut all = vec![(tensor, model)];
    for step in steps {
        let (t, m) = &all[all.len() - 1];
        // Repeated dimensions multiply; a few hundred elements show everything.
        if m.values.len() > 400 {
            break;
        }
        if let Some(next) = apply(step, t, m) {
            all.push(next);
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn view_chains_equal_the_naive_model(shape in shape(0), steps in prop::collection::vec(step(), 0..7)) {
        for (t, m) in chain(&shape, &steps) {
            prop_assert_eq!(t.shape(), &m.shape[..]);
            prop_assert_eq!(t.to_vec(), m.values.clone());
            let dense = t.contiguous();
            prop_assert_eq!(dense.as_slice(), Some(&m.values[..]));
            prop_assert_eq!(&t.map(|v| v), &t);
        }
    }

    #[test]
    fn writing_reaches_one_element_and_no_other_tensor(
        shape in shape(0), steps in prop::collection::vec(step(), 0..6), pick in 0usize..1000
    ) {
        let all = chain(&shape, &steps);
        let (mut t, mut m) = all[all.len() - 1].clone();
        if !m.values.is_empty() {
            let at = pick % m.values.len();
            let mut index = vec![0; m.shape.len()];
            let mut rest = at;
            for d in (0..index.len()).rev() {
                index[d] = rest % m.shape[d];
                rest /= m.shape[d];
            }
            t.set(&index, -7.0).unwrap();
            m.values[at] = -7.0;
            prop_assert_eq!(t.get(&index).unwrap(), -7.0);
        }
        prop_assert_eq!(t.to_vec(), m.values.clone());
        let replacement = Tensor::from_vec(m.values.iter().map(|v| v + 0.5).collect(), &m.shape).unwrap();
        t.copy_from(&replacement).unwrap();
        prop_assert_eq!(&t, &replacement);
        for (old, model) in &all {
            prop_assert_eq!(&old.to_vec(), &model.values);
        }
    }

    #[test]
    fn quantizing_commutes_with_views(
        shape in shape(0), steps in prop::collection::vec(step(), 0..6), zero_point in 0i32..100
    ) {
        for (t, m) in chain(&shape, &steps) {
            let plain = Tensor::from_slice(&m.values, &m.shape).unwrap();
            for dtype in DType::ALL {
                let got = quantize_per_tensor(&t, 0.75, zero_point, dtype).unwrap();
                let want = quantize_per_tensor(&plain, 0.75, zero_point, dtype).unwrap();
                prop_assert_eq!(&got, &want);
                prop_assert_eq!(got.dequantize(), want.dequantize());
                prop_assert_eq!(got.to_bytes().unwrap(), want.to_bytes().unwrap());
            }
        }
    }

    /// Views of a per-channel tensor mean the same real numbers as views of its dequantized twin.
    #[test]
    fn per_channel_views_keep_every_real_value(
        shape in shape(1), axis in 0usize..4, steps in prop::collection::vec(step(), 0..6)
    ) {
        let axis = axis % shape.len();
        let channels = shape[axis];
        let scales: Vec<f64> = (0..channels).map(|c| 0.5 + 0.25 * c as f64).collect();
        let zero_points: Vec<i32> = (0..channels as i32).map(|c| 3 * c - 4).collect();
        let start = Tensor::from_vec(Model::counted(&shape).values, &shape).unwrap();
        let mut q = quantize_per_channel(&start, &scales, &zero_points, axis, DType::QInt8).unwrap();
        let mut m = Model { shape, values: q.dequantize().to_vec() };
        for step in &steps {
            let Some((_, next)) = apply(step, &Tensor::from_slice(&m.values, &m.shape).unwrap(), &m) else {
                continue;
            };
            if next.values.len() > 400 {
                break;
            }
            let rank = m.shape.len();
            // A reshape may lose the axis, which is an error and leaves the tensor as it is.
            let view = match step {
                Step::Permute(keys) => {
                    let mut order: Vec<usize> = (0..rank).collect();
                    order.sort_by_key(|&d| keys.get(d));
                    q.permute(&order)
                }
                Step::Slice(d, a, b, by) => {
                    let n = m.shape[d % rank] + 1;
                    q.slice(d % rank, (a % n).min(b % n), (a % n).max(b % n), *by)
                }
                Step::Select(d, i) => q.select(d % rank, i % m.shape[d % rank]),
                Step::Unsqueeze(d) => q.unsqueeze(d % (rank + 1)),
                Step::Squeeze(d) => q.squeeze(d % rank),
                Step::Expand(..) | Step::Lead(_) => q.expand(&next.shape),
                Step::Reshape(_) => match q.reshape(&next.shape) {
                    Ok(view) => Ok(view),
                    Err(qtensor_core::Error::ChannelAxisLost { .. }) => continue,
                    Err(error) => Err(error),
                },
                Step::Contiguous => Ok(q.contiguous()),
                Step::ChannelsLast => q.to_memory_format(MemoryFormat::ChannelsLast),
            };
            (q, m) = (view.unwrap(), next);
            prop_assert_eq!(q.shape(), &m.shape[..]);
            q.quantizer().validate("test", q.dtype(), q.shape()).unwrap();
            // A channel that became per tensor multiplies in f32; these scales are exact in both.
            prop_assert_eq!(q.dequantize().to_vec(), m.values.clone());
            if let Quantizer::PerChannel { scales, axis, .. } = q.quantizer() {
                prop_assert_eq!(scales.len(), q.shape()[*axis]);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use qtensor_core::container::{Kind, seal};
        use qtensor_core::QTensor;
        prop_assert!(QTensor::from_bytes(&bytes).is_err());
        // Sealed properly, they are an error or decode to something sound.
        if let Ok(q) = QTensor::from_bytes(&seal(Kind::QTensor, &bytes)) {
            prop_assert!(q.quantizer().validate("test", q.dtype(), q.shape()).is_ok());
        }
        if let Ok(t) = Tensor::from_bytes(&seal(Kind::Tensor, &bytes)) {
            prop_assert_eq!(t.to_vec().len(), t.numel());
        }
    }
}
