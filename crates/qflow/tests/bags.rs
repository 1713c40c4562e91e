//! Bags of rows: training, rounded rows, small tables, reference modules.

use crate::common::distance;
use qflow::{
    ConvertOptions, QConfig, QConfigSpec, TrainOptions, convert_into, convert_with, fit,
    from_bytes, prepare_qat, to_bytes,
};
use qgrad::ops;
use qgrad::optim::Adam;
use qnn::{
    BagMode, Bags, DeQuantStub, EmbeddingBag, Layer, Linear, Module, QuantStub, Value, describe,
    manual_seed,
};

/// A row for each bag, and a linear layer.
#[derive(Module)]
#[module(input = Bags)]
struct Topics {
    words: Layer<EmbeddingBag>,
    quant: Layer<QuantStub>,
    fc: Layer<Linear>,
    dequant: Layer<DeQuantStub>,
}

impl Topics {
    fn new(mode: BagMode) -> Topics {
        manual_seed(3);
        Topics {
            words: EmbeddingBag::new(8, 4, mode).unwrap().into(),
            quant: QuantStub.into(),
            fc: Linear::new(4, 2).unwrap().into(),
            dequant: DeQuantStub.into(),
        }
    }

    fn forward(&self, bags: &Bags) -> qnn::Result<Value> {
        let x = self.quant.forward(&self.words.forward(bags)?)?;
        self.dequant.forward(&self.fc.forward(&x)?)
    }
}

fn bags() -> Bags {
    Bags::new(&[&[0, 1, 7], &[2, 3], &[0, 7], &[3, 4, 2, 2]]).unwrap()
}

fn loss(net: &Topics, bags: &Bags) -> qnn::Result<qgrad::Var> {
    let y = net.forward(bags)?;
    Ok(ops::cross_entropy(y.float("loss")?, &[0, 1, 0, 1], 0.0)?)
}

#[test]
fn bags_train_with_rounded_rows_and_become_small_tables() {
    for (mode, rows) in [
        (BagMode::Sum, QConfig::embedding_qat()),
        (BagMode::Mean, QConfig::embedding_qat_4bit()),
        (BagMode::Max, QConfig::embedding_qat_4bit()),
    ] {
        let prepared = || {
            let mut net = Topics::new(mode);
            let spec = QConfigSpec::from(QConfig::x86_qat());
            let spec = spec.with_type::<EmbeddingBag>(Some(rows.clone()));
            prepare_qat(&mut net, spec).unwrap();
            net
        };
        let mut net = prepared();
        assert!(
            describe(&net).contains("QatEmbeddingBag(8, 4"),
            "{}",
            describe(&net)
        );
        let options = TrainOptions::new(30, Adam::new(0.05).unwrap()).freeze_observers(29);
        let losses = fit(&mut net, options, |_| [bags()], loss).unwrap();
        assert!(losses[29] < 0.5 * losses[0], "{mode:?}: {losses:?}");
        let trained = net.forward(&bags()).unwrap().to_tensor();

        let mut again = prepared();
        from_bytes(&mut again, &to_bytes(&net).unwrap()).unwrap();
        let mut small = Topics::new(mode);
        let report = convert_into(&net, &mut small).unwrap();
        let after = report.row("words").map(|row| row.after.as_str());
        assert_eq!(after, Some("QuantizedEmbeddingBag"), "{report}");
        let int8 = small.forward(&bags()).unwrap().to_tensor();
        assert!(distance(&trained, &int8) < 0.1);
        qnn::eval(&mut again);
        let mut twin = Topics::new(mode);
        convert_into(&again, &mut twin).unwrap();
        assert_eq!(twin.forward(&bags()).unwrap().to_tensor(), int8);

        convert_with(&mut net, &ConvertOptions::reference()).unwrap();
        assert!(describe(&net).contains("ReferenceEmbeddingBag"));
        let table = |net: &Topics| net.words.forward(&bags()).unwrap().to_tensor();
        assert!(distance(&table(&net), &table(&small)) < 1e-5);
    }
}

#[test]
fn a_float_table_of_bags_trains_alone() {
    let mut net = Topics::new(BagMode::Mean);
    let options = TrainOptions::new(30, Adam::new(0.05).unwrap());
    let before = net.words.get().unwrap().weight().clone();
    let losses = fit(&mut net, options, |_| [bags()], loss).unwrap();
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
    let after = net.words.get().unwrap().weight();
    let row = |t: &qtensor_core::Tensor, row| t.select(0, row).unwrap().to_vec();
    // No bag holds 5 or 6.
    for unused in [5, 6] {
        assert_eq!(row(&before, unused), row(after, unused));
    }
    assert_ne!(row(&before, 4), row(after, 4));
}
