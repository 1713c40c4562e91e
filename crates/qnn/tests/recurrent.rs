//! Recurrent modules: against their formulas step by step, packed against padded, int8 against float, and mistakes.

use qnn::{
    Error, GRU, GRUCell, LSTM, LSTMCell, Module, Node, PackedSequence, RNN, Recurrent,
    RecurrentKind, RunSequence, Sequence, Value, dynamic, manual_seed,
};
use qobserve::QConfig;
use qtensor_core::Tensor;

fn tensor(shape: &[usize], seed: usize) -> Tensor {
    let values = (0..shape.iter().product())
        .map(|i: usize| ((i * 7 + seed * 13) as f32 * 0.37).sin())
        .collect();
    Tensor::from_vec(values, shape).expect("as many values as the shape holds")
}

fn near(a: &Tensor, b: &Tensor, tolerance: f32) {
    assert_eq!(a.shape(), b.shape());
    for (at, (a, b)) in a.to_vec().iter().zip(b.to_vec()).enumerate() {
        assert!((a - b).abs() <= tolerance, "{at}: {a} {b}");
    }
}

/// `W x + b` by the definition.
fn affine(state: &qnn::State, weight: &str, bias: &str, x: &[f32]) -> Vec<f32> {
    let take = |key: &str| match state.get(key) {
        Some(qnn::Entry::Tensor(t)) => t.to_vec(),
        _ => panic!("no {key}"),
    };
    let (w, b) = (take(weight), take(bias));
    let rows = w.chunks(x.len()).zip(b);
    rows.map(|(w, b)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + b)
        .collect()
}

#[test]
fn one_layer_follows_its_formulas() -> qnn::Result<()> {
    manual_seed(5);
    let sigma = |v: f32| 1.0 / (1.0 + (-v).exp());
    let (steps, hidden) = (4, 3);
    let x = tensor(&[steps, 2], 1);
    let rows: Vec<Vec<f32>> = x.to_vec().chunks(2).map(<[f32]>::to_vec).collect();
    let gates = |state: &qnn::State, x: &[f32], h: &[f32]| {
        (
            affine(state, "weight_ih_l0", "bias_ih_l0", x),
            affine(state, "weight_hh_l0", "bias_hh_l0", h),
        )
    };

    for relu in [false, true] {
        let rnn = RNN::config(2, hidden).relu(relu).build()?;
        let (mut h, mut want) = (vec![0.0; hidden], Vec::new());
        for x in &rows {
            let (a, b) = gates(&rnn.state(), x, &h);
            let f = |v: f32| if relu { v.max(0.0) } else { v.tanh() };
            h = (0..hidden).map(|u| f(a[u] + b[u])).collect();
            want.extend(h.clone());
        }
        let (y, last) = rnn.run(&x.clone().into())?;
        near(
            &y.to_tensor(),
            &Tensor::from_vec(want, &[steps, hidden])?,
            1e-6,
        );
        near(&last.to_tensor(), &Tensor::from_vec(h, &[1, hidden])?, 1e-6);
    }

    let lstm = LSTM::new(2, hidden)?;
    let (mut h, mut c, mut want) = (vec![0.0; hidden], vec![0.0; hidden], Vec::new());
    for x in &rows {
        let (a, b) = gates(&lstm.state(), x, &h);
        let g = |gate: usize, u: usize| a[gate * hidden + u] + b[gate * hidden + u];
        for u in 0..hidden {
            c[u] = sigma(g(1, u)) * c[u] + sigma(g(0, u)) * g(2, u).tanh();
            h[u] = sigma(g(3, u)) * c[u].tanh();
        }
        want.extend(h.clone());
    }
    let (y, (_, last)) = lstm.run(&x.clone().into())?;
    near(
        &y.to_tensor(),
        &Tensor::from_vec(want, &[steps, hidden])?,
        1e-6,
    );
    near(&last.to_tensor(), &Tensor::from_vec(c, &[1, hidden])?, 1e-6);

    let gru = GRU::new(2, hidden)?;
    let (mut h, mut want) = (vec![0.0; hidden], Vec::new());
    for x in &rows {
        let (a, b) = gates(&gru.state(), x, &h);
        let at = |gate: usize, u: usize| gate * hidden + u;
        h = (0..hidden)
            .map(|u| {
                let r = sigma(a[at(0, u)] + b[at(0, u)]);
                let z = sigma(a[at(1, u)] + b[at(1, u)]);
                let n = (a[at(2, u)] + r * b[at(2, u)]).tanh();
                (1.0 - z) * n + z * h[u]
            })
            .collect();
        want.extend(h.clone());
    }
    let (y, _) = gru.run(&x.into())?;
    near(
        &y.to_tensor(),
        &Tensor::from_vec(want, &[steps, hidden])?,
        1e-6,
    );
    Ok(())
}

/// A part of a tensor along the first two dimensions, dense.
fn part(x: &Tensor, time: std::ops::Range<usize>, batch: usize) -> qnn::Result<Tensor> {
    Ok(x.slice(0, time.start, time.end, 1)?
        .slice(1, batch, batch + 1, 1)?
        .contiguous())
}

/// Everything that holds for every kind and configuration, in float and int8.
fn laws<K: RecurrentKind>(
    module: &impl Module<Input = (Sequence, Option<K::State>), Output = (Sequence, K::State)>,
    directions: usize,
    tolerance: f32,
) -> qnn::Result<()> {
    let x = tensor(&[6, 3, 4], 2);
    let (y, state) = module.run(&x.clone().into())?;
    let h = |state: &K::State| K::split(state).0.to_tensor();
    let slots = h(&state).shape()[0];

    // A packed batch gives what each of its sequences gives alone, in the order of the batch.
    let lengths = [4, 6, 1];
    let packed = PackedSequence::pack_unsorted(&x, &lengths, false)?;
    let (out, ends) = module.run_packed(&packed, None)?;
    let (out, out_lengths) = out.unpack(0.0, false)?;
    assert_eq!(out_lengths, lengths);
    for (at, &length) in lengths.iter().enumerate() {
        let alone = part(&x, 0..length, at)?;
        let (one, end) = module.run(&alone.into())?;
        near(&part(&out, 0..length, at)?, &one.to_tensor(), tolerance);
        let ends = h(&ends).slice(1, at, at + 1, 1)?.contiguous();
        near(&ends, &h(&end), tolerance);
    }
    if directions == 1 {
        // In one direction, a run can be cut in two.
        let half = |range: std::ops::Range<usize>| x.slice(0, range.start, range.end, 1);
        let (first, middle) = module.run(&half(0..2)?.into())?;
        let (second, end) = module.run_from(&half(2..6)?.into(), &middle)?;
        let joined = qops::float::cat(&[&first.to_tensor(), &second.to_tensor()], 0)?;
        near(&joined, &y.to_tensor(), tolerance);
        near(&h(&end), &h(&state), tolerance);
    }
    // A sequence without a batch is a batch of one.
    let alone = part(&x, 0..6, 1)?;
    let (one, end) = module.run(&alone.clone().into())?;
    let (flat, flat_end) = module.run(&alone.reshape(&[6, 4])?.into())?;
    near(&flat.to_tensor(), &one.to_tensor().squeeze(1)?, 0.0);
    near(&h(&flat_end), &h(&end).squeeze(1)?, 0.0);

    // Mistakes: too few steps, other features, states of other shapes.
    for shape in [&[0, 3, 4][..], &[6, 3, 5], &[4], &[1, 1, 1, 4]] {
        let error = module.run(&Tensor::zeros(shape)?.into()).err();
        assert!(
            matches!(
                error,
                Some(Error::InputShape {
                    what: "the input",
                    ..
                })
            ),
            "{shape:?}: {error:?}"
        );
    }
    let wrong: Value = Tensor::zeros(&[slots, 2, 5])?.into();
    let wrong = K::join(wrong.clone(), Some(wrong))?;
    let error = module.run_from(&x.clone().into(), &wrong).err();
    assert!(error.is_some_and(|e| {
        let text = e.to_string();
        text.contains(&format!("({slots}, 3, 5)")) && text.contains(&format!("[{slots}, 2, 5]"))
    }));
    Ok(())
}

fn every_configuration<K: RecurrentKind>() -> qnn::Result<()> {
    manual_seed(6);
    for (layers, bidirectional, bias) in [(1, false, true), (2, true, true), (2, false, false)] {
        let float: Recurrent<K> = Recurrent::config(4, 5)
            .num_layers(layers)
            .bidirectional(bidirectional)
            .bias(bias)
            .build()?;
        let directions = 1 + usize::from(bidirectional);
        laws::<K>(&float, directions, 1e-6)?;
        let int8 = dynamic::Recurrent::from_float(&float, &QConfig::dynamic())?;
        // Rows have scales of their own, so that these laws hold exactly.
        laws::<K>(&int8, directions, 0.0)?;
        let x: Value = tensor(&[6, 3, 4], 3).into();
        let (y, y8) = (float.run(&x)?.0, int8.run(&x)?.0);
        near(&y.to_tensor(), &y8.to_tensor(), 0.02);
        assert_ne!(y.to_tensor(), y8.to_tensor());

        let mut state = int8.state().merged(Node::config(&int8));
        let again = dynamic::Recurrent::<K>::from_state(&mut state)?;
        assert!(state.is_empty());
        assert_eq!(again.run(&x)?.0.to_tensor(), y8.to_tensor());

        // Batch first is the same with two dimensions swapped.
        let mut first: Recurrent<K> = Recurrent::config(4, 5)
            .num_layers(layers)
            .bidirectional(bidirectional)
            .bias(bias)
            .batch_first(true)
            .build()?;
        first.load_state(&mut float.state())?;
        let swapped = x.to_tensor().transpose(0, 1)?;
        let z = first.run(&swapped.into())?.0.to_tensor();
        near(&z.transpose(0, 1)?.contiguous(), &y.to_tensor(), 0.0);
    }
    Ok(())
}

#[test]
fn rnns_keep_the_laws() -> qnn::Result<()> {
    every_configuration::<qnn::Rnn>()
}

#[test]
fn lstms_keep_the_laws() -> qnn::Result<()> {
    every_configuration::<qnn::Lstm>()
}

#[test]
fn grus_keep_the_laws() -> qnn::Result<()> {
    every_configuration::<qnn::Gru>()
}

#[test]
fn a_cell_is_one_step_of_its_module() -> qnn::Result<()> {
    let lstm = LSTM::new(4, 5)?;
    let mut cell = LSTMCell::new(4, 5)?;
    let mut renamed = qnn::State::default();
    for (key, entry) in lstm.state().iter() {
        renamed.insert(key.trim_end_matches("_l0"), entry.clone());
    }
    cell.load_state(&mut renamed)?;
    let int8 = dynamic::LSTMCell::from_float(&cell, &QConfig::dynamic())?;
    let int8_lstm = dynamic::LSTM::from_float(&lstm, &QConfig::dynamic())?;
    let x = tensor(&[2, 3, 4], 4);
    let (mut state, mut state8) = (None, None);
    for t in 0..2 {
        let step: Value = x.select(0, t)?.into();
        state = Some(cell.forward(&(step.clone(), state))?);
        state8 = Some(int8.forward(&(step, state8))?);
    }
    for (state, (_, want)) in [
        (state, lstm.run(&x.clone().into())?),
        (state8, int8_lstm.run(&x.clone().into())?),
    ] {
        let (h, c) = state.expect("two steps ran");
        near(&h.to_tensor(), &want.0.to_tensor().squeeze(0)?, 1e-6);
        near(&c.to_tensor(), &want.1.to_tensor().squeeze(0)?, 1e-6);
    }

    // Without a batch; and mistakes.
    let gru = GRUCell::new(4, 5)?;
    let one = gru.forward(&(tensor(&[4], 1).into(), None))?;
    assert_eq!(one.shape(), [5]);
    let refused = |x: Tensor, h: Tensor| gru.forward(&(x.into(), Some(h.into()))).unwrap_err();
    let text = refused(Tensor::zeros(&[2, 3])?, Tensor::zeros(&[2, 5])?).to_string();
    assert!(
        text.contains("(batch, 4)") && text.contains("[2, 3]"),
        "{text}"
    );
    let text = refused(Tensor::zeros(&[2, 4])?, Tensor::zeros(&[3, 5])?).to_string();
    assert!(text.contains("[2, 5]") && text.contains("[3, 5]"), "{text}");
    Ok(())
}

#[test]
fn lengths_that_do_not_belong_to_the_batch_are_refused() -> qnn::Result<()> {
    let x = tensor(&[4, 3, 2], 5);
    let refused = |lengths: &[usize]| {
        PackedSequence::pack(&x, lengths, false)
            .unwrap_err()
            .to_string()
    };
    let text = refused(&[2, 4, 1]);
    assert!(
        text.contains("sequence 0 has 2 and sequence 1 has 4"),
        "{text}"
    );
    assert!(refused(&[4, 2, 0]).contains("length 0"));
    assert!(refused(&[5, 2, 1]).contains("expected 1 to 4"));
    assert!(refused(&[4, 2]).contains("2 lengths for 3 sequences"));
    assert!(PackedSequence::pack(&tensor(&[4, 3], 1), &[4], false).is_err());
    // Batch first: four sequences of three steps.
    let packed = PackedSequence::pack_unsorted(&x, &[1, 3, 2, 3], true)?;
    assert_eq!(
        (packed.batch_sizes(), packed.order()),
        (&[4, 3, 2][..], &[1, 3, 2, 0][..])
    );
    let (padded, lengths) = packed.unpack(f32::NAN, true)?;
    assert_eq!(lengths, [1, 3, 2, 3]);
    assert!(padded.get(&[0, 1, 0])?.is_nan());
    assert_eq!(padded.get(&[3, 2, 1])?, x.get(&[3, 2, 1])?);
    Ok(())
}

#[test]
fn modules_that_cannot_be_are_refused() -> qnn::Result<()> {
    assert!(LSTM::new(0, 3).is_err());
    assert!(GRU::config(2, 3).num_layers(0).build().is_err());
    let lstm = LSTM::new(2, 3)?;
    let half = dynamic::LSTM::from_float(&lstm, &QConfig::float16_dynamic_qconfig());
    assert!(half.is_err_and(|e| e.to_string().contains("int8")));
    let int8 = dynamic::LSTM::from_float(&lstm, &QConfig::dynamic())?;
    // A file that claims more layers than it has weights for, or other sizes.
    for (key, value) in [
        ("num_layers", 1 << 40),
        ("hidden_size", 4),
        ("hidden_size", i64::MAX as usize),
        ("input_size", 3),
    ] {
        let state = int8.state().merged(Node::config(&int8));
        let mut state = state.with_sizes(key, &[value]);
        assert!(dynamic::LSTM::from_state(&mut state).is_err(), "{key}");
    }
    // NaN in the input names where it is.
    let mut x = Tensor::ones(&[3, 1, 2])?;
    x.set(&[2, 0, 1], f32::NAN)?;
    let text = int8.run(&x.into()).unwrap_err().to_string();
    assert!(text.contains("NaN"), "{text}");
    Ok(())
}

/// No sequences of very many steps: their steps would be listed.
#[test]
fn steps_without_elements_are_counted_before_they_are_listed() {
    let far = 1 << 50;
    let x = Tensor::zeros(&[far, 0, 5]).unwrap();
    let lstm = LSTM::new(5, 4).unwrap();
    let message = lstm.run(&x.into()).unwrap_err().to_string();
    assert!(message.contains(&far.to_string()), "{message}");
    let x = Tensor::zeros(&[far, 1, 0]).unwrap();
    let message = PackedSequence::pack(&x, &[far], false).unwrap_err();
    assert!(message.to_string().contains(&far.to_string()), "{message}");
}
