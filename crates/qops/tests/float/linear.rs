//! Linear layers and matrix products against sums in `f64`.

use qops::float::{linear, matmul};
use qtensor_core::Tensor;

use super::testing::{Values, assert_close, at_broadcast, each_index};

#[test]
fn linear_agrees_with_f64_sums() {
    let mut values = Values::new(1);
    for (lead, n, k) in [
        (&[][..], 3, 4),
        (&[1], 17, 129),
        (&[5], 1, 1),
        (&[2, 3], 33, 40),
        (&[70], 65, 257),
        (&[0], 3, 2),
        (&[2], 3, 0),
    ] {
        let mut shape = lead.to_vec();
        shape.push(k);
        let x = values.tensor(&shape);
        let (w, b) = (values.tensor(&[n, k]), values.tensor(&[n]));
        shape.pop();
        shape.push(n);
        let (xs, ws, bs) = (x.to_vec(), w.to_vec(), b.to_vec());
        let dot = |i: usize, j: usize| -> f64 {
            (0..k)
                .map(|l| f64::from(xs[i * k + l]) * f64::from(ws[j * k + l]))
                .sum()
        };
        let m: usize = lead.iter().product();
        let plain: Vec<f64> = (0..m * n).map(|at| dot(at / n, at % n)).collect();
        let biased: Vec<f64> = plain
            .iter()
            .enumerate()
            .map(|(at, v)| v + f64::from(bs[at % n]))
            .collect();
        // Half a unit in the last place of 1 per product, sums growing like a random walk.
        let tolerance = 1e-6 * (1.0 + (k as f64).sqrt());
        assert_close(&linear(&x, &w, None).unwrap(), &shape, &plain, tolerance);
        assert_close(
            &linear(&x, &w, Some(&b)).unwrap(),
            &shape,
            &biased,
            tolerance,
        );
    }
}

/// Products of one row or column sum in another order along rows than along columns.
#[test]
fn layouts_change_no_bit() {
    let mut values = Values::new(3);
    let turned = |t: &Tensor| {
        let back = |t: &Tensor| t.transpose(0, 1).unwrap();
        back(&back(t).contiguous())
    };
    for [m, n, k] in [
        [1, 3, 33],
        [5, 1, 70],
        [1, 1, 100],
        [4, 8, 16],
        [17, 40, 700],
    ] {
        let (a, b) = (values.tensor(&[m, k]), values.tensor(&[k, n]));
        let y = matmul(&a, &b).unwrap();
        for (a, b) in [
            (turned(&a), b.clone()),
            (a.clone(), turned(&b)),
            (turned(&a), turned(&b)),
        ] {
            assert_eq!(matmul(&a, &b).unwrap().to_vec(), y.to_vec(), "{m} {n} {k}");
        }
        let w = values.tensor(&[n, k]);
        let y = linear(&a, &w, None).unwrap();
        let other = linear(&turned(&a), &turned(&w), None).unwrap();
        assert_eq!(other.to_vec(), y.to_vec(), "{m} {n} {k}");
    }
}

#[test]
fn matmul_broadcasts_and_takes_vectors() {
    let mut values = Values::new(2);
    for (left, right, lead, mkn) in [
        (&[2, 3][..], &[3, 4][..], &[][..], [2, 3, 4]),
        (&[5, 2, 3], &[5, 3, 4], &[5], [2, 3, 4]),
        (&[2, 1, 2, 3], &[4, 3, 2], &[2, 4], [2, 3, 2]),
        (&[5, 2, 3], &[3, 4], &[5], [2, 3, 4]),
        (&[40, 70], &[70, 50], &[], [40, 70, 50]),
    ] {
        let (a, b) = (values.tensor(left), values.tensor(right));
        let [m, k, n] = mkn;
        let mut shape = lead.to_vec();
        shape.extend([m, n]);
        let mut want = Vec::new();
        each_index(&shape, |at| {
            let (batch, ij) = at.split_at(at.len() - 2);
            let pick = |x: &Tensor, i, j| f64::from(at_broadcast(x, &[batch, &[i, j]].concat()));
            want.push(
                (0..k)
                    .map(|l| pick(&a, ij[0], l) * pick(&b, l, ij[1]))
                    .sum(),
            );
        });
        assert_close(&matmul(&a, &b).unwrap(), &shape, &want, 1e-5);
        // Transposed operands are read in place and give the same product.
        let swap = |x: &Tensor| {
            let (p, q) = (x.rank() - 2, x.rank() - 1);
            x.transpose(p, q)
                .unwrap()
                .contiguous()
                .transpose(p, q)
                .unwrap()
        };
        assert_close(&matmul(&swap(&a), &swap(&b)).unwrap(), &shape, &want, 1e-5);
    }
    let (row, matrix) = (values.tensor(&[3]), values.tensor(&[3, 2]));
    assert_eq!(matmul(&row, &matrix).unwrap().shape(), [2]);
    assert_eq!(
        matmul(&matrix.transpose(0, 1).unwrap(), &row)
            .unwrap()
            .shape(),
        [2]
    );
    assert_eq!(matmul(&row, &row).unwrap().shape(), [0; 0]);
}

#[test]
fn mistakes_show_both_shapes() {
    let z = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let message = linear(&z(&[4, 10]), &z(&[8, 12]), None)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[4, 10]") && message.contains("[8, 12]"),
        "{message}"
    );
    assert!(linear(&z(&[4, 12]), &z(&[8, 12]), Some(&z(&[12]))).is_err());
    assert!(linear(&z(&[]), &z(&[8, 12]), None).is_err());
    assert!(linear(&z(&[12]), &z(&[12]), None).is_err());
    let message = matmul(&z(&[4, 10]), &z(&[8, 12])).unwrap_err().to_string();
    assert!(
        message.contains("[4, 10]") && message.contains("[8, 12]"),
        "{message}"
    );
    assert!(matmul(&z(&[2, 4, 3]), &z(&[3, 3, 4])).is_err());
    assert!(matmul(&z(&[]), &z(&[1])).is_err());
}
