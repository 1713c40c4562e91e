//! LSTMs through the static flow: accuracy, states, shapes, packed sequences, files and mistakes.

use crate::common::{batch, distance};
use qflow::accuracy::{Bound, Measure, quantize_within, rank_sensitivity};
use qflow::{
    ConvertOptions, Mapping, QConfig, QConfigSpec, Report, calibrate, convert, convert_into,
    convert_with, from_bytes, prepare, prepare_qat, prepare_with, step_differences, to_bytes,
};
use qnn::{
    DeQuantStub, LSTM, LSTMCell, Layer, Linear, Module, PackedSequence, QuantStub,
    RecurrentBuilder, Result, RunSequence, Sequence, Value, describe, erase, manual_seed,
    quantizable, quantized,
};
use qtensor_core::Tensor;

/// A batch and a state to begin with, to the outputs and the state at the end.
type Run = (Sequence, Option<(Value, Value)>);
type Ran = (Sequence, (Value, Value));

#[derive(Module)]
#[module(input = Run, output = Ran)]
struct Net {
    quant: Layer<QuantStub>,
    lstm: Layer<LSTM>,
    dequant: Layer<DeQuantStub>,
}

impl Net {
    fn new(lstm: RecurrentBuilder<qnn::Lstm>) -> Net {
        manual_seed(5);
        Net {
            quant: QuantStub.into(),
            lstm: lstm.build().unwrap().into(),
            dequant: DeQuantStub.into(),
        }
    }

    fn forward(&self, (x, state): &Run) -> Result<Ran> {
        let data = self.quant.forward(x.data())?;
        let x = match x {
            Sequence::Padded(_) => data.into(),
            Sequence::Packed(packed) => packed.with_data(data).into(),
        };
        let (y, state) = self.lstm.forward(&(x, state.clone()))?;
        let data = self.dequant.forward(y.data())?;
        let y = match y {
            Sequence::Padded(_) => data.into(),
            Sequence::Packed(packed) => packed.with_data(data).into(),
        };
        Ok((y, state))
    }

    fn converted(lstm: RecurrentBuilder<qnn::Lstm>, shape: &[usize]) -> (Net, Report) {
        let mut net = Net::new(lstm);
        prepare(&mut net, QConfig::minmax()).unwrap();
        let batches = (0..12).map(|seed| (batch(seed, shape).into(), None));
        calibrate(&net, batches).unwrap();
        let report = convert(&mut net).unwrap();
        (net, report)
    }
}

fn forms() -> [(RecurrentBuilder<qnn::Lstm>, [usize; 3]); 4] {
    let lstm = || LSTM::config(6, 8);
    [
        (lstm(), [7, 3, 6]),
        (lstm().bidirectional(true).bias(false), [7, 3, 6]),
        (lstm().num_layers(2).batch_first(true), [3, 7, 6]),
        (lstm().num_layers(3).bidirectional(true), [7, 3, 6]),
    ]
}

#[test]
fn int8_lstms_are_near_the_float_ones_and_reload_to_the_same_bytes() {
    for (lstm, shape) in forms() {
        let float = Net::new(lstm);
        let mut observed = Net::new(lstm);
        prepare(&mut observed, QConfig::minmax()).unwrap();
        let x = batch(98, &shape);
        let ((want, (h, c)), (got, (oh, oc))) = (float.run(&x).unwrap(), observed.run(&x).unwrap());
        for (want, got) in [(want, got), (h, oh), (c, oc)] {
            assert!(distance(&want.to_tensor(), &got.to_tensor()) < 1e-5);
        }
        let (net, report) = Net::converted(lstm, &shape);
        let row = report.row("lstm").unwrap();
        assert_eq!(
            (row.before.as_str(), row.after.as_str()),
            ("QuantizableLSTM", "QuantizedLSTM")
        );
        assert_eq!(report.rows().len(), 3, "{report}");
        // A batch of the calibration, so that nothing saturates.
        let x = batch(3, &shape);
        let ((want, (h, c)), (got, (qh, qc))) = (float.run(&x).unwrap(), net.run(&x).unwrap());
        let error = distance(&want.to_tensor(), &got.to_tensor());
        assert!(error < 0.03, "{error} {}", describe(&net));
        let error = distance(&h.to_tensor(), &qh.to_tensor());
        assert!(error < 0.03, "{error}");
        let error = distance(&c.to_tensor(), &qc.to_tensor());
        assert!(error < 0.06, "{error}");

        let bytes = to_bytes(&net).unwrap();
        let mut again = Net::new(lstm);
        for _ in 0..2 {
            from_bytes(&mut again, &bytes).unwrap();
            assert_eq!(to_bytes(&again).unwrap(), bytes);
        }
        assert_eq!(again.run(&x).unwrap().0.to_tensor(), got.to_tensor());
        let wider = LSTM::config(6, 9);
        assert!(from_bytes(&mut Net::new(wider), &bytes).is_err());
    }
}

#[test]
fn packed_sequences_give_the_integers_of_each_sequence_alone() {
    for (lstm, _) in forms() {
        let lstm = lstm.batch_first(false);
        let (net, _) = Net::converted(lstm, &[7, 3, 6]);
        let x = batch(8, &[7, 3, 6]).to_tensor();
        let packed = PackedSequence::pack_unsorted(&x, &[2, 7, 4], false).unwrap();
        let (y, (h, c)) = net.run_packed(&packed, None).unwrap();
        let (padded, lengths) = y.unpack(0.0, false).unwrap();
        assert_eq!(lengths, [2, 7, 4]);
        for (at, length) in lengths.into_iter().enumerate() {
            let alone: Value = x
                .slice(1, at, at + 1, 1)
                .unwrap()
                .slice(0, 0, length, 1)
                .unwrap()
                .into();
            let (want, (want_h, want_c)) = net.run(&alone).unwrap();
            let got = padded
                .slice(1, at, at + 1, 1)
                .unwrap()
                .slice(0, 0, length, 1)
                .unwrap();
            assert_eq!(got.to_vec(), want.to_tensor().to_vec());
            for (all, one) in [(&h, &want_h), (&c, &want_c)] {
                let all = all.to_tensor().slice(1, at, at + 1, 1).unwrap();
                assert_eq!(all.to_vec(), one.to_tensor().to_vec());
            }
        }
    }
}

#[test]
fn a_run_in_two_parts_is_one_run_and_states_may_be_float() {
    let (net, _) = Net::converted(LSTM::config(6, 8), &[7, 3, 6]);
    let x = batch(11, &[7, 3, 6]);
    let (whole, (h, c)) = net.run(&x).unwrap();
    let (first, state) = net.run(&x.slice(0, 0, 3).unwrap()).unwrap();
    let rest = x.slice(0, 3, 7).unwrap();
    let float: (Value, Value) = (state.0.to_tensor().into(), state.1.to_tensor().into());
    assert_eq!(whole.slice(0, 0, 3).unwrap().to_tensor(), first.to_tensor());
    for state in [state, float] {
        let (second, (end_h, end_c)) = net.run_from(&rest, &state).unwrap();
        assert_eq!(
            whole.slice(0, 3, 7).unwrap().to_tensor(),
            second.to_tensor()
        );
        assert_eq!(h.to_tensor(), end_h.to_tensor());
        assert_eq!(c.to_tensor(), end_c.to_tensor());
    }
    // One sequence without a batch dimension.
    let single = x.slice(1, 1, 2).unwrap().reshape(&[7, 6]).unwrap();
    let (y, (single_h, _)) = net.run(&single).unwrap();
    assert_eq!((y.shape(), single_h.shape()), (&[7, 8][..], &[1, 8][..]));
    let row = whole.slice(1, 1, 2).unwrap().to_tensor();
    assert_eq!(y.to_tensor().to_vec(), row.to_vec());
}

#[test]
fn mistakes_name_the_place_and_change_nothing() {
    let mut net = Net::new(LSTM::config(6, 8));
    prepare(&mut net, QConfig::x86()).unwrap();
    let tree = describe(&net);
    let error = convert(&mut net).unwrap_err().to_string();
    assert!(
        error.contains("lstm.layers.0.layer_fw.cell.ogate_cy"),
        "{error}"
    );
    assert_eq!(describe(&net), tree);

    let (net, _) = Net::converted(LSTM::config(6, 8), &[7, 3, 6]);
    let x = batch(1, &[7, 3, 5]);
    let error = net.run(&x).unwrap_err().to_string();
    assert!(
        error.contains("lstm") && error.contains("(time, batch, 6)"),
        "{error}"
    );
    let state: Value = Tensor::zeros(&[1, 2, 8]).unwrap().into();
    let error = net.run_from(&batch(1, &[7, 3, 6]), &(state.clone(), state));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("(1, 3, 8)") && error.contains("[1, 2, 8]"),
        "{error}"
    );
    let float = net.lstm.run(&batch(1, &[7, 3, 6])).unwrap_err().to_string();
    assert!(float.contains("QuantStub"), "{float}");
    assert!(net.run(&batch(1, &[0, 3, 6])).is_err());

    // A file whose layers do not have the widths that it claims.
    let mut other = Net::new(LSTM::config(6, 8));
    let bytes = to_bytes(&net).unwrap();
    let content = qtensor_core::container::open(qtensor_core::container::Kind::Model, &bytes);
    let content = content.unwrap().to_vec();
    let mut refused = 0;
    for at in (0..content.len()).step_by(7) {
        let mut damaged = content.clone();
        damaged[at] ^= 1 << (at % 8);
        let sealed = qtensor_core::container::seal(qtensor_core::container::Kind::Model, &damaged);
        match from_bytes(&mut other, &sealed) {
            Ok(()) => drop(other.run(&batch(1, &[7, 3, 6]))),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
}

#[test]
fn gates_may_have_layers_of_their_own() {
    let split = || {
        Mapping::default().with_custom(
            |m: &LSTM, _| Ok(quantizable::LSTM::with_split_gates(m)?),
            |m: &quantizable::LSTM, _| Ok(erase(quantized::LSTM::from_observed(m)?)),
        )
    };
    let lstm = || LSTM::config(6, 8).num_layers(2);
    let float = Net::new(lstm());
    let mut net = Net::new(lstm());
    prepare_with(&mut net, QConfig::x86(), &split()).unwrap();
    let batches = (0..4).map(|seed| (batch(seed, &[7, 3, 6]).into(), None));
    calibrate(&net, batches).unwrap();
    let names = qnn::paths(&net);
    assert!(
        names.contains(&"lstm.layers.1.layer_fw.cell.hgates.forget".to_string()),
        "{names:?}"
    );
    let options = ConvertOptions {
        mapping: split(),
        ..Default::default()
    };
    convert_with(&mut net, &options).unwrap();
    let x = batch(99, &[7, 3, 6]);
    let error = distance(
        &float.run(&x).unwrap().0.to_tensor(),
        &net.run(&x).unwrap().0.to_tensor(),
    );
    assert!(error < 0.03, "{error}");
    let bytes = to_bytes(&net).unwrap();
    let mut again = Net::new(lstm());
    from_bytes(&mut again, &bytes).unwrap();
    assert_eq!(to_bytes(&again).unwrap(), bytes);
}

#[test]
fn rules_decide_which_lstms_are_static() {
    let spec = QConfigSpec::from(QConfig::x86()).with_type::<LSTM>(None);
    let mut net = Net::new(LSTM::config(6, 8));
    prepare(&mut net, spec).unwrap();
    assert!(net.lstm.get().is_some());
    let spec = QConfigSpec::from(QConfig::x86()).with_type::<LSTM>(Some(QConfig::dynamic()));
    prepare(&mut net, spec).unwrap();
    assert!(net.lstm.get().is_some());
    // Left in float after all, with everything within.
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, [(batch(0, &[7, 3, 6]).into(), None)]).unwrap();
    let options = ConvertOptions {
        leave_float: vec!["lstm".into(), "quant".into(), "dequant".into()],
        ..Default::default()
    };
    let report = convert_with(&mut net, &options).unwrap();
    assert_eq!(report.converted().count(), 0, "{report}");
    let want = Net::new(LSTM::config(6, 8))
        .run(&batch(1, &[7, 3, 6]))
        .unwrap()
        .0;
    let got = net.run(&batch(1, &[7, 3, 6])).unwrap().0;
    assert!(distance(&want.to_tensor(), &got.to_tensor()) < 1e-5);
}

#[test]
fn trained_lstms_convert_into_a_twin_that_differs_by_single_steps() {
    let mut net = Net::new(LSTM::config(6, 8));
    prepare_qat(&mut net, QConfig::x86_qat()).unwrap();
    let x: Run = (batch(3, &[5, 4, 6]).into(), None);
    let loss = |net: &Net| -> Result<qgrad::Var> {
        let (y, _) = net.forward(&x)?;
        let target = Tensor::full(&[5, 4, 8], 0.25)?;
        Ok(qgrad::ops::mse_loss(y.data().float("loss")?, &target)?)
    };
    use qgrad::optim::Optimizer;
    let mut optimizer = qgrad::optim::Sgd::config(1.0).build().unwrap();
    let before = loss(&net).unwrap().tensor().item().unwrap();
    for _ in 0..30 {
        loss(&net).unwrap().backward().unwrap();
        optimizer.step(&mut qnn::parameters(&mut net)).unwrap();
    }
    let after = loss(&net).unwrap().tensor().item().unwrap();
    assert!(after < before / 2.0, "{before} {after}");
    qnn::eval(&mut net);
    qnn::set_observing(&mut net, false);
    let mut int8 = Net::new(LSTM::config(6, 8));
    convert_into(&net, &mut int8).unwrap();
    assert_eq!(qnn::Node::kind(&int8.lstm), "QuantizedLSTM");
    let steps = step_differences(&net, &int8, &x).unwrap();
    // Differences add up from step to step.
    assert!(steps.iter().all(|row| row.steps <= 4), "{steps:?}");
}

#[derive(Module)]
#[module(input = (Value, Option<(Value, Value)>), output = (Value, Value))]
struct Step {
    quant: Layer<QuantStub>,
    cell: Layer<LSTMCell>,
}

impl Step {
    fn new() -> Step {
        manual_seed(6);
        Step {
            quant: QuantStub.into(),
            cell: LSTMCell::new(6, 8).unwrap().into(),
        }
    }

    fn forward(&self, (x, state): &(Value, Option<(Value, Value)>)) -> Result<(Value, Value)> {
        self.cell.forward(&(self.quant.forward(x)?, state.clone()))
    }
}

#[test]
fn cells_follow_a_sequence() {
    let (float, mut net) = (Step::new(), Step::new());
    prepare(&mut net, QConfig::x86()).unwrap();
    let follow = |net: &Step, seed: u64| -> Result<(Value, Value)> {
        let mut state = net.forward(&(batch(seed, &[4, 6]), None))?;
        for step in 1..5 {
            state = net.forward(&(batch(seed + step, &[4, 6]), Some(state)))?;
        }
        Ok(state)
    };
    for seed in (0..12).map(|run| run * 10) {
        follow(&net, seed).unwrap();
    }
    convert(&mut net).unwrap();
    let ((h, c), (qh, qc)) = (follow(&float, 300).unwrap(), follow(&net, 300).unwrap());
    assert!(distance(&h.to_tensor(), &qh.to_tensor()) < 0.03);
    assert!(distance(&c.to_tensor(), &qc.to_tensor()) < 0.06);
    let bytes = to_bytes(&net).unwrap();
    let mut again = Step::new();
    from_bytes(&mut again, &bytes).unwrap();
    assert_eq!(to_bytes(&again).unwrap(), bytes);
    let single = net.forward(&(batch(1, &[6]), None)).unwrap();
    assert_eq!(single.0.shape(), [8]);
    assert!(net.forward(&(batch(1, &[4, 5]), None)).is_err());
}

/// An LSTM between two layers.
#[derive(Module)]
struct Tagger {
    quant: Layer<QuantStub>,
    first: Layer<Linear>,
    lstm: Layer<LSTM>,
    last: Layer<Linear>,
    dequant: Layer<DeQuantStub>,
}

impl Tagger {
    fn new() -> Tagger {
        manual_seed(1);
        Tagger {
            quant: QuantStub.into(),
            first: Linear::new(5, 5).unwrap().into(),
            lstm: LSTM::new(5, 4).unwrap().into(),
            last: Linear::new(4, 3).unwrap().into(),
            dequant: DeQuantStub.into(),
        }
    }

    fn forward(&self, x: &Value) -> Result<Value> {
        let x = self.first.forward(&self.quant.forward(x)?)?;
        let (y, _) = self.lstm.run(&x)?;
        self.dequant.forward(&self.last.forward(&y)?)
    }
}

#[test]
fn an_lstm_is_ranked_and_left_in_float_among_int8_places() {
    let samples: Vec<Value> = (0..3).map(|seed| batch(seed, &[4, 2, 5])).collect();
    let mut net = Tagger::new();
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, samples.clone()).unwrap();
    let ranking = rank_sensitivity(&mut net, &mut Measure::new(&samples)).unwrap();
    let lstm = ranking.places.iter().find(|place| place.path == "lstm");
    let without = lstm.unwrap().left_out.sqnr_db;
    assert!(without > ranking.int8.sqnr_db, "{ranking}");
    let bound = Bound::AtLeast(without - 0.5);
    let found = quantize_within(&mut net, &mut Measure::new(&samples), bound).unwrap();
    assert_eq!(found.left_in_float, ["lstm"], "{found}");
    let text = describe(&net);
    assert!(
        text.contains("QuantizedLinear") && text.contains("QuantizableLSTM"),
        "{text}"
    );
    assert!(net.forward(&samples[0]).is_ok());
}
