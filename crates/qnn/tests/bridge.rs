//! Bridges between float and quantized places, and their state.

use qnn::quantized::QParams;
use qnn::{Bridge, Entry, FloatFunctional, Layer, Place, QFunctional, State, Value};
use qtensor_core::{DType, Tensor, quantize_per_tensor};

fn grid(scale: f64) -> QParams {
    QParams {
        scale,
        zero_point: 3,
        dtype: DType::QUInt8,
    }
}

#[test]
fn each_value_crosses_to_its_own_grid_and_right_ones_stay() {
    let mut add: Layer<FloatFunctional> = FloatFunctional.into();
    let x: Value = Tensor::from_vec(vec![0.26, 1.0], &[2]).unwrap().into();
    add.put(qnn::erase(QFunctional::new(grid(0.5)))).unwrap();
    assert!(add.add(&x, &x).is_err());
    add.set_bridge(Some(Bridge::ToQuantized(vec![grid(0.1), grid(0.25)])));
    let sum = add.add(&x, &x).unwrap();
    // 0.26 is 0.3 on the first grid and 0.25 on the second.
    assert_eq!(sum.to_tensor().to_vec(), [0.5, 2.0]);
    let exact = quantize_per_tensor(&x.to_tensor(), 0.01, 0, DType::QUInt8).unwrap();
    let sum = add.add(&Value::from(exact), &x).unwrap();
    assert_eq!(sum.to_tensor().to_vec(), [0.5, 2.0]);
}

#[test]
fn bridges_survive_a_state_and_damaged_ones_are_refused() {
    let bridges = [
        Bridge::ToFloat,
        Bridge::ToQuantized(vec![grid(0.5), grid(2.0)]),
    ];
    for bridge in bridges {
        let mut state = bridge.save(State::default().with("weight", Entry::Real(1.0)));
        assert_eq!(Bridge::take(&mut state).unwrap(), Some(bridge));
        assert_eq!(state.iter().count(), 1);
        assert_eq!(Bridge::take(&mut state).unwrap(), None);
    }
    let full = Bridge::ToQuantized(vec![grid(0.5)]).save(State::default());
    for (key, entry) in [
        ("bridge", Entry::Text("999999999999".into())),
        ("bridge", Entry::Text("wide".into())),
        ("bridge.0.scale", Entry::Real(f64::NAN)),
        ("bridge.0.zero_point", Entry::Ints(vec![256])),
        ("bridge.0.dtype", Entry::Text("q7".into())),
    ] {
        let mut damaged = full.clone().with(key, entry);
        assert!(Bridge::take(&mut damaged).is_err(), "{key}");
    }
}
