//! Properties of every operation that cuts, merges, copies or writes elements: on random tensors in every memory layout, float and
//! quantized, per tensor and per channel, the results are those of a naive model of a shape and a list.

use crate::common::{Model, each_index};
use proptest::prelude::*;
use qtensor_core::{
    DType, Error, Index, MemoryFormat, QTensor, Quantizer, Tensor, quantize_per_channel,
    quantize_per_tensor,
};

/// The same values in one of the layouts that a tensor may have.
fn laid(m: &Model, kind: usize) -> Tensor {
    let t = Tensor::from_slice(&m.values, &m.shape).unwrap();
    let rank = m.shape.len();
    match kind % 5 {
        1 if rank >= 3 => t.to_memory_format(MemoryFormat::ChannelsLast).unwrap(),
        2 => {
            let order: Vec<usize> = (0..rank).rev().collect();
            let turned = t.permute(&order).unwrap().contiguous();
            turned.permute(&order).unwrap()
        }
        // Every second element of a longer tensor, from the second on.
        3 if rank >= 1 => {
            let mut wide = m.shape.clone();
            wide[rank - 1] = 2 * wide[rank - 1] + 1;
            let mut long = Tensor::full(&wide, -99.0).unwrap();
            for (at, v) in each_index(&m.shape).into_iter().zip(&m.values) {
                let mut to = at;
                to[rank - 1] = 2 * to[rank - 1] + 1;
                long.set(&to, *v).unwrap();
            }
            long.slice(rank - 1, 1, wide[rank - 1], 2).unwrap()
        }
        4 if rank >= 1 => {
            let mut wide = m.shape.clone();
            wide[0] += 1;
            let first = vec![7.0; wide[1..].iter().product()];
            let values = [first, m.values.clone()].concat();
            let wide = Tensor::from_vec(values, &wide).unwrap();
            wide.slice(0, 1, m.shape[0] + 1, 1).unwrap()
        }
        _ => t,
    }
}

/// A model, the same as a float tensor, and quantized per tensor and (from rank 1 on) per channel.
struct Case {
    model: Model,
    float: Tensor,
    quantized: Vec<(Model, QTensor)>,
}

fn case(shape: &[usize], kind: usize, axis: usize) -> Case {
    let n: usize = shape.iter().product();
    let model = Model {
        shape: shape.to_vec(),
        values: (0..n).map(|i| (i % 200) as f32).collect(),
    };
    let float = laid(&model, kind);
    let mut all = vec![quantize_per_tensor(&float, 1.0, 3, DType::QUInt8).unwrap()];
    if !shape.is_empty() {
        let axis = axis % shape.len();
        let scales: Vec<f64> = (0..shape[axis]).map(|c| 0.5 + 0.25 * c as f64).collect();
        let zero_points: Vec<i32> = (0..shape[axis] as i32).map(|c| 3 * c - 4).collect();
        for dtype in [DType::QInt8, DType::QInt32] {
            let dense = quantize_per_channel(&float, &scales, &zero_points, axis, dtype).unwrap();
            all.push(dense);
        }
    }
    let quantized = all.into_iter().map(|q| {
        let values = q.dequantize().to_vec();
        let shape = shape.to_vec();
        (Model { shape, values }, q)
    });
    Case {
        quantized: quantized.collect(),
        model,
        float,
    }
}

fn sound(q: &QTensor) {
    q.quantizer()
        .validate("test", q.dtype(), q.shape())
        .unwrap();
}

/// Asserts that an operation gives the model's result on every tensor of a case. A result that would lose the channel axis may be
/// refused where `may_lose` says so.
fn agrees(
    case: &Case,
    may_lose: bool,
    model: impl Fn(&Model) -> Vec<Model>,
    float: impl Fn(&Tensor) -> Result<Vec<Tensor>, Error>,
    quantized: impl Fn(&QTensor) -> Result<Vec<QTensor>, Error>,
) {
    let got: Vec<Model> = float(&case.float).unwrap().iter().map(of).collect();
    assert_eq!(got, model(&case.model));
    for (m, q) in &case.quantized {
        let results = match quantized(q) {
            Err(Error::ChannelAxisLost { .. } | Error::QSchemeMismatch { .. })
                if may_lose && matches!(q.quantizer(), Quantizer::PerChannel { .. }) =>
            {
                continue;
            }
            results => results.unwrap(),
        };
        results.iter().for_each(sound);
        let got: Vec<Model> = results.iter().map(|r| of(&r.dequantize())).collect();
        assert_eq!(got, model(m));
    }
}

fn of(t: &Tensor) -> Model {
    Model {
        shape: t.shape().to_vec(),
        values: t.to_vec(),
    }
}

/// Elements `from(i)` along `dim`.
fn along(m: &Model, dim: usize, indices: &[usize]) -> Model {
    let mut shape = m.shape.clone();
    shape[dim] = indices.len();
    m.gather(shape, |to| {
        let mut from = to.to_vec();
        from[dim] = indices[to[dim]];
        from
    })
}

fn shape(least: usize) -> impl Strategy<Value = Vec<usize>> {
    let dim = prop_oneof![6 => 2usize..5, 2 => Just(1usize), 1 => Just(0usize)];
    prop::collection::vec(dim, least..5)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// One operation on both kinds of tensors, with the model's answer.
macro_rules! compare {
    ($case:expr, $lose:expr, $model:expr, $t:ident => $body:expr) => {
        agrees(
            &$case,
            $lose,
            $model,
            |$t: &Tensor| $body,
            |$t: &QTensor| $body,
        )
    };
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn pieces_are_ranges(
        shape in shape(1), kind in 0usize..5, axis in 0usize..4, dim in 0usize..4, a in 0usize..9, b in 0usize..9
    ) {
        let c = case(&shape, kind, axis);
        let dim = dim % shape.len();
        let len = shape[dim];
        let (start, end) = ((a % (len + 1)).min(b % (len + 1)), (a % (len + 1)).max(b % (len + 1)));
        let range = |m: &Model, r: std::ops::Range<usize>| along(m, dim, &r.collect::<Vec<_>>());
        compare!(c, false, |m| vec![range(m, start..end)], t => Ok(vec![t.narrow(dim, start, end - start)?]));
        let size = a + 1;
        let cuts = |size: usize| (0..len.max(1)).step_by(size).map(move |s| s..(s + size).min(len));
        compare!(c, false, |m| cuts(size).map(|r| range(m, r)).collect(), t => t.split(dim, size));
        let each = len.div_ceil(size);
        let chunks: Vec<_> = if len == 0 { vec![0..0; size] } else { cuts(each).collect() };
        compare!(c, false, |m| chunks.iter().map(|r| range(m, r.clone())).collect(), t => t.chunk(dim, size));
        let sizes = [start, end - start, len - end];
        compare!(
            c, false,
            |m| vec![range(m, 0..start), range(m, start..end), range(m, end..len)],
            t => t.split_sizes(dim, &sizes)
        );
        let single = |m: &Model, i: usize| {
            let mut one = range(m, i..i + 1);
            one.shape.remove(dim);
            one
        };
        compare!(c, false, |m| (0..len).map(|i| single(m, i)).collect(), t => t.unbind(dim));
    }

    #[test]
    fn merged_and_split_dimensions_keep_the_order(
        shape in shape(1), kind in 0usize..5, axis in 0usize..4, a in 0usize..4, b in 0usize..4
    ) {
        let c = case(&shape, kind, axis);
        let (a, b) = (a % shape.len(), b % shape.len());
        let (start, end) = (a.min(b), a.max(b));
        let merged: usize = shape[start..=end].iter().product();
        let mut flat = shape[..start].to_vec();
        flat.push(merged);
        flat.extend(&shape[end + 1..]);
        let reshaped = |m: &Model, shape: &[usize]| vec![Model { shape: shape.to_vec(), values: m.values.clone() }];
        compare!(c, true, |m| reshaped(m, &flat), t => Ok(vec![t.flatten_dims(start, end)?]));
        let full: Vec<usize> = shape[..start].iter().copied().chain([shape[start..].iter().product()]).collect();
        compare!(c, true, |m| reshaped(m, &full), t => Ok(vec![t.flatten(start)?]));
        let parts: Vec<Option<usize>> = shape[start..=end].iter().map(|&n| Some(n)).collect();
        compare!(c, true, |m| reshaped(m, &m.shape), t => Ok(vec![t.flatten_dims(start, end)?.unflatten(start, &parts)?]));
        let few: Vec<usize> = shape.iter().copied().filter(|&n| n != 1).collect();
        compare!(c, false, |m| reshaped(m, &few), t => Ok(vec![t.squeeze_all()?]));
    }

    #[test]
    fn swapped_dimensions_and_views_without_copies(
        shape in shape(1), kind in 0usize..5, axis in 0usize..4, a in 0usize..4, b in 0usize..4
    ) {
        let c = case(&shape, kind, axis);
        let (a, b) = (a % shape.len(), b % shape.len());
        let swapped = |m: &Model| {
            let mut turned = m.shape.clone();
            turned.swap(a, b);
            vec![m.gather(turned, |to| { let mut from = to.to_vec(); from.swap(a, b); from })]
        };
        compare!(c, false, swapped, t => Ok(vec![t.transpose(a, b)?]));
        let mut split = shape.clone();
        split.insert(a, 1);
        let apart = |m: &Model| vec![Model { shape: split.clone(), values: m.values.clone() }];
        compare!(c, false, apart, t => Ok(vec![t.contiguous().view(&split)?]));
        let flat = [shape.iter().product::<usize>()];
        let merged = |m: &Model| vec![Model { shape: flat.to_vec(), values: m.values.clone() }];
        compare!(c, true, merged, t => Ok(vec![t.contiguous().view(&flat)?]));
    }

    #[test]
    fn gathered_copies_hold_the_chosen_elements(
        shape in shape(1), kind in 0usize..5, axis in 0usize..4, dim in 0usize..4,
        picks in prop::collection::vec(0usize..9, 0..6), times in prop::collection::vec(0usize..3, 0..6)
    ) {
        let c = case(&shape, kind, axis);
        let dim = dim % shape.len();
        let picks: Vec<usize> = if shape[dim] == 0 { vec![] } else { picks.iter().map(|p| p % shape[dim]).collect() };
        compare!(c, false, |m| vec![along(m, dim, &picks)], t => Ok(vec![t.index_select(dim, &picks)?]));
        let dims: Vec<usize> = (0..shape.len()).filter(|d| (dim + d) % 2 == 0).collect();
        let mirrored = |m: &Model| m.gather(m.shape.clone(), |to| {
            (0..to.len()).map(|d| if dims.contains(&d) { shape[d] - 1 - to[d] } else { to[d] }).collect()
        });
        compare!(c, false, |m| vec![mirrored(m)], t => Ok(vec![t.flip(&dims)?]));
        if times.len() < shape.len() {
            prop_assert!(c.float.repeat(&times).is_err());
            return Ok(());
        }
        let lead = times.len() - shape.len();
        let tiled = |m: &Model| {
            let shape = times.iter().enumerate().map(|(d, n)| if d < lead { *n } else { n * m.shape[d - lead] });
            m.gather(shape.collect(), |to| (0..m.shape.len()).map(|d| to[d + lead] % m.shape[d]).collect())
        };
        compare!(c, false, |m| vec![tiled(m)], t => Ok(vec![t.repeat(&times)?]));
    }

    #[test]
    fn index_expressions_take_and_write_the_same_elements(
        shape in shape(1), kind in 0usize..5, axis in 0usize..4, entries in prop::collection::vec((0usize..5, 0usize..50), 0..5)
    ) {
        let c = case(&shape, kind, axis);
        let plan = Plan::new(&shape, &entries);
        let expression = plan.expression();
        compare!(c, true, |m| vec![plan.take(m)], t => Ok(vec![t.index(&expression)?]));
        let taken = plan.take(&c.model);
        let mut written = c.float.clone();
        written.index_put(&expression, &Tensor::scalar(-3.0)).unwrap();
        let put = |m: &Model, value: f32| {
            let mut m = m.clone();
            for at in plan.places(&m.shape) {
                m.values[at] = value;
            }
            m
        };
        prop_assert_eq!(of(&written), put(&c.model, -3.0));
        prop_assert_eq!(of(&c.float), c.model.clone());
        // Each element written back to its place changes nothing.
        let values = Tensor::from_slice(&taken.values, &taken.shape).unwrap();
        written.index_put(&expression, &values).unwrap();
        prop_assert_eq!(of(&written), c.model.clone());
        for (m, q) in &c.quantized {
            let mut written = q.clone();
            written.index_put(&expression, &Tensor::scalar(0.0)).unwrap();
            prop_assert_eq!(of(&written.dequantize()), put(m, 0.0));
            let values = plan.take(m);
            let values = Tensor::from_slice(&values.values, &values.shape).unwrap();
            written.index_put(&expression, &values).unwrap();
            prop_assert_eq!(&written, q);
        }
    }

    #[test]
    fn masks_mark_elements(
        shape in shape(0), kind in 0usize..5, axis in 0usize..4, period in 1usize..4, broad in 0usize..16
    ) {
        let c = case(&shape, kind, axis);
        let of_mask: Vec<usize> = shape.iter().enumerate().map(|(d, &n)| if broad >> d & 1 == 1 { 1 } else { n }).collect();
        let n: usize = of_mask.iter().product();
        let mask = Tensor::from_vec((0..n).map(|i| u8::from(i % period == 0) * 9).collect(), &of_mask).unwrap();
        let marked: Vec<bool> = mask.expand(&shape).unwrap().to_vec().iter().map(|&m| m != 0).collect();
        let taken = |m: &Model| {
            let values: Vec<f32> = m.values.iter().zip(&marked).filter(|(_, m)| **m).map(|(v, _)| *v).collect();
            vec![Model { shape: vec![values.len()], values }]
        };
        compare!(c, true, taken, t => Ok(vec![t.masked_select(&mask)?]));
        let filled = |m: &Model| {
            let values = m.values.iter().zip(&marked).map(|(&v, &m)| if m { 0.0 } else { v }).collect();
            vec![Model { shape: m.shape.clone(), values }]
        };
        compare!(c, false, filled, t => { let mut t = t.clone(); t.masked_fill(&mask, 0.0)?; Ok(vec![t]) });
        prop_assert_eq!(of(&c.float), c.model);
    }

    #[test]
    fn resizing_keeps_the_first_elements(shape in shape(0), kind in 0usize..5, to in shape(0)) {
        let c = case(&shape, kind, 0);
        let n: usize = to.iter().product();
        let resized = |m: &Model| {
            let mut values = m.values.clone();
            values.resize(n, 0.0);
            vec![Model { shape: to.clone(), values }]
        };
        compare!(c, true, resized, t => { let mut t = t.clone(); t.resize(&to)?; Ok(vec![t]) });
    }
}

/// An index expression with its operands, and the naive reading of it.
struct Plan {
    entries: Vec<Entry>,
}

enum Entry {
    All,
    At(i64),
    Range(usize, usize, usize),
    Indices(Tensor<i64>),
    Mask(Tensor<u8>),
}

impl Plan {
    /// Entries that fit a shape. Tensors are of lengths that broadcast: 1 × 3, 3 or 2 × 1.
    fn new(shape: &[usize], keys: &[(usize, usize)]) -> Plan {
        let mut entries = Vec::new();
        // A mask has as many places as it likes, so tensors go with it only if they have one element.
        let masked = keys.iter().take(shape.len()).any(|key| key.0 == 4);
        for (&len, &(kind, key)) in shape.iter().zip(keys) {
            entries.push(match kind {
                1 if len > 0 => Entry::At(key as i64 % (2 * len as i64) - len as i64),
                2 => {
                    let (a, b) = (key % (len + 1), key / 7 % (len + 1));
                    Entry::Range(a.min(b), a.max(b), key % 3 + 1)
                }
                3 if len > 0 => {
                    let shapes = [&[1, 3][..], &[3], &[2, 1], &[], &[1]];
                    let shape = if masked { &[1][..] } else { shapes[key % 5] };
                    let n: usize = shape.iter().product();
                    let indices = (0..n).map(|i| ((key + 5 * i) % (2 * len)) as i64 - len as i64);
                    Entry::Indices(Tensor::from_vec(indices.collect(), shape).unwrap())
                }
                4 if entries.iter().all(|e| !matches!(e, Entry::Mask(_))) => {
                    let marks = (0..len).map(|i| u8::from((key >> i & 1) == 1));
                    Entry::Mask(Tensor::from_vec(marks.collect(), &[len]).unwrap())
                }
                _ => Entry::All,
            });
        }
        Plan { entries }
    }

    fn expression(&self) -> Vec<Index<'_>> {
        let entry = |entry| match entry {
            &Entry::All => Index::All,
            &Entry::At(i) => Index::At(i),
            &Entry::Range(start, end, step) => Index::Range { start, end, step },
            Entry::Indices(t) => Index::Indices(t),
            Entry::Mask(t) => Index::Mask(t),
        };
        self.entries.iter().map(entry).collect()
    }

    /// Shape of the result, and for each of its elements the index that it comes from.
    fn sources(&self, shape: &[usize]) -> (Vec<usize>, Vec<Vec<usize>>) {
        let lists: Vec<(usize, Tensor<i64>)> = self.lists();
        let mut common: Vec<usize> = Vec::new();
        for (_, list) in &lists {
            let rank = common.len().max(list.rank());
            let at = |s: &[usize], d: usize| (d + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
            common = (0..rank)
                .map(|d| match (at(&common, d), at(list.shape(), d)) {
                    (1, n) => n,
                    (n, _) => n,
                })
                .collect();
        }
        // What is left of each dimension that is neither dropped nor listed, as the indices kept.
        let kept = |dim: usize| -> Option<Vec<usize>> {
            match self.entries.get(dim) {
                None | Some(Entry::All) => Some((0..shape[dim]).collect()),
                Some(&Entry::Range(a, b, step)) => Some((a..b).step_by(step).collect()),
                _ => None,
            }
        };
        // Dimensions of the result: kept ones, and the common ones as a block.
        let mut order: Vec<Option<usize>> = Vec::new();
        let remaining: Vec<usize> = (0..shape.len())
            .filter(|&d| !matches!(self.entries.get(d), Some(Entry::At(_))))
            .collect();
        let listed: Vec<usize> = (0..remaining.len())
            .filter(|&i| kept(remaining[i]).is_none())
            .collect();
        let together = listed.windows(2).all(|w| w[1] == w[0] + 1);
        let first = if together {
            listed.first().copied().unwrap_or(0)
        } else {
            0
        };
        for (i, &dim) in remaining.iter().enumerate() {
            if !listed.is_empty() && order.iter().all(|o| o.is_some()) && order.len() == first {
                order.push(None);
            }
            if !listed.contains(&i) {
                order.push(Some(dim));
            }
        }
        if !listed.is_empty() && order.iter().all(|o| o.is_some()) {
            order.push(None);
        }
        let mut result = Vec::new();
        for entry in &order {
            match entry {
                Some(dim) => result.push(kept(*dim).unwrap().len()),
                None => result.extend(&common),
            }
        }
        let sources = each_index(&result).into_iter().map(|to| {
            let mut from: Vec<usize> = vec![0; shape.len()];
            for (dim, entry) in self.entries.iter().enumerate() {
                if let Entry::At(i) = entry {
                    from[dim] = if *i < 0 {
                        (*i + shape[dim] as i64) as usize
                    } else {
                        *i as usize
                    };
                }
            }
            let mut next = to.as_slice();
            for entry in &order {
                match entry {
                    Some(dim) => {
                        from[*dim] = kept(*dim).unwrap()[next[0]];
                        next = &next[1..];
                    }
                    None => {
                        let (at, rest) = next.split_at(common.len());
                        for (dim, list) in &lists {
                            let index = list.expand(&common).unwrap().get(at).unwrap();
                            let len = shape[*dim] as i64;
                            from[*dim] = if index < 0 { index + len } else { index } as usize;
                        }
                        next = rest;
                    }
                }
            }
            from
        });
        let sources = sources.collect();
        (result, sources)
    }

    fn lists(&self) -> Vec<(usize, Tensor<i64>)> {
        let list = |(dim, entry): (usize, &Entry)| match entry {
            Entry::Indices(t) => Some((dim, t.clone())),
            Entry::Mask(m) => {
                let marks = m.to_vec().into_iter().enumerate();
                let places: Vec<i64> = marks
                    .filter(|(_, m)| *m != 0)
                    .map(|(i, _)| i as i64)
                    .collect();
                let n = places.len();
                Some((dim, Tensor::from_vec(places, &[n]).unwrap()))
            }
            _ => None,
        };
        self.entries.iter().enumerate().filter_map(list).collect()
    }

    fn take(&self, m: &Model) -> Model {
        let (shape, sources) = self.sources(&m.shape);
        let values = sources.iter().map(|at| m.at(at)).collect();
        Model { shape, values }
    }

    fn places(&self, shape: &[usize]) -> Vec<usize> {
        let (_, sources) = self.sources(shape);
        let flat = |at: &Vec<usize>| at.iter().zip(shape).fold(0, |f, (i, n)| f * n + i);
        sources.iter().map(flat).collect()
    }
}
