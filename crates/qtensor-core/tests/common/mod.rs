//! What the property tests share: a tensor as a shape and a list.

/// The naive model: a shape and the values in logical order.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Model {
    pub fn counted(shape: &[usize]) -> Model {
        let n: usize = shape.iter().product();
        Model {
            shape: shape.to_vec(),
            values: (0..n).map(|i| i as f32).collect(),
        }
    }

    pub fn at(&self, index: &[usize]) -> f32 {
        let flat = index.iter().zip(&self.shape).fold(0, |f, (i, n)| f * n + i);
        self.values[flat]
    }

    /// A new model whose element at each index comes from another index of this one.
    pub fn gather(&self, shape: Vec<usize>, from: impl Fn(&[usize]) -> Vec<usize>) -> Model {
        let n: usize = shape.iter().product();
        let values = (0..n)
            .map(|flat| {
                let mut index = vec![0; shape.len()];
                let mut rest = flat;
                for dim in (0..shape.len()).rev() {
                    index[dim] = rest % shape[dim];
                    rest /= shape[dim];
                }
                self.at(&from(&index))
            })
            .collect();
        Model { shape, values }
    }
}

/// Every index of a shape, in logical order.
pub fn each_index(shape: &[usize]) -> Vec<Vec<usize>> {
    let n: usize = shape.iter().product();
    let index = |mut flat: usize| {
        let mut at = vec![0; shape.len()];
        for dim in (0..shape.len()).rev() {
            at[dim] = flat % shape[dim];
            flat /= shape[dim];
        }
        at
    };
    (0..n).map(index).collect()
}
