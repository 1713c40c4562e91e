//! Tensors: shared storage, writes to views, memory formats.

use qtensor_core::{MemoryFormat, Tensor};

fn counted(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::from_vec((0..n).map(|i| i as f32).collect(), shape).unwrap()
}

#[test]
fn views_share_storage_and_writes_do_not_leak() {
    let base = counted(&[2, 3]);
    let mut view = base.transpose(0, 1).unwrap();
    assert!(view.shares_storage_with(&base));
    view.set(&[2, 1], 99.0).unwrap();
    assert_eq!(view.get(&[2, 1]).unwrap(), 99.0);
    assert_eq!(base.get(&[1, 2]).unwrap(), 5.0);
    assert_eq!(view.to_vec(), [0.0, 3.0, 1.0, 4.0, 2.0, 99.0]);
}

#[test]
fn writes_to_views_of_every_kind_reach_the_right_element() {
    let base = counted(&[3, 4, 5]);
    let mut views = vec![
        base.clone(),
        base.permute(&[2, 0, 1]).unwrap(),
        base.slice(1, 1, 4, 2).unwrap(),
        base.select(0, 2).unwrap(),
        base.to_memory_format(MemoryFormat::ChannelsLast).unwrap(),
    ];
    for view in &mut views {
        let at: Vec<usize> = view.shape().iter().map(|n| n - 1).collect();
        let mut want = view.to_vec();
        *want.last_mut().unwrap() = -1.0;
        view.set(&at, -1.0).unwrap();
        assert_eq!(view.to_vec(), want);
    }
    let mut row = counted(&[1, 3]).expand(&[2, 3]).unwrap();
    row.set(&[0, 0], 7.0).unwrap();
    assert_eq!(row.to_vec(), [7.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    row.fill(2.0);
    assert_eq!(row.to_vec(), [2.0; 6]);
}

#[test]
fn memory_formats_hold_the_same_values() {
    let t = counted(&[2, 3, 4, 5]);
    let last = t.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
    assert_eq!(last, t);
    assert_eq!(last.strides(), [60, 1, 15, 3]);
    assert_eq!(
        last.dense_slice(MemoryFormat::ChannelsLast).unwrap()[..4],
        [0.0, 20.0, 40.0, 1.0]
    );
    assert_eq!(last.contiguous().as_slice(), t.as_slice());
    assert!(
        counted(&[2, 3])
            .to_memory_format(MemoryFormat::ChannelsLast)
            .is_err()
    );
}

#[test]
fn copy_from_wants_the_same_shape() {
    let mut t = counted(&[2, 3]).transpose(0, 1).unwrap();
    t.copy_from(&Tensor::full(&[3, 2], 4.0).unwrap()).unwrap();
    assert_eq!(t.to_vec(), [4.0; 6]);
    let error = t.copy_from(&counted(&[2, 3])).unwrap_err();
    assert!(error.to_string().contains("[3, 2]") && error.to_string().contains("[2, 3]"));
}

#[test]
fn empty_tensors_and_scalars_work() {
    let empty = Tensor::zeros(&[0, 3]).unwrap();
    assert_eq!(empty.to_vec(), [0.0; 0]);
    assert_eq!(empty.transpose(0, 1).unwrap().shape(), [3, 0]);
    assert_eq!(Tensor::scalar(3i64).item().unwrap(), 3);
    assert_eq!(Tensor::scalar(3i64).flatten(0).unwrap().shape(), [1]);
    assert!(counted(&[2]).item().is_err());
}

#[test]
fn slices_with_slack_reach_past_the_data() {
    let t = Tensor::from_vec(vec![1u8; 10], &[10]).unwrap();
    assert!(
        t.dense_slice_with_slack(MemoryFormat::Contiguous)
            .unwrap()
            .len()
            >= 74
    );
}
