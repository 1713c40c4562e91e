//! Additions with two roundings less, where trying all pairs of bytes has proved that they give the same bytes.
//!
//! The formula of [`add`](crate::add) rounds four times on its way to the output: both products with the scales, their sum,
//! and its product with the reciprocal of the output's scale. [`Shortcut::apply`] multiplies by quotients of scales, and adds
//! with the rounding of one fused operation; it differs where a sum lies so near to the middle between two integers that
//! roundings decide. There are only 65,536 sums, so [`Shortcut::find`] tries them all. Of pairs of scales that were drawn at
//! random, six of seven pass at once, and nearly all others with quotients a few units in the last place away.

use std::sync::OnceLock;

use qtensor_core::requant::requantize_f32;

use crate::elementwise::Add;
use crate::isa::{Isa, Work};
use crate::map::Binary;

/// Units in the last place by which each quotient is varied at most.
const REACH: i32 = 3;

/// Multipliers from the inputs to the output of an addition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shortcut {
    /// Near the first input's scale over the output's.
    pub(crate) a: f32,
    /// Near the second input's scale over the output's.
    pub(crate) b: f32,
}

impl Shortcut {
    /// Multipliers with which [`apply`](Self::apply) gives the bytes of `formula` for all inputs, if there are some near the
    /// quotients of the scales. Nothing but speed depends on the tier; without fused multiplication it takes long.
    pub(crate) fn find(isa: Isa, formula: Add) -> Option<Shortcut> {
        let quotient = |scale: f32| (f64::from(scale) * f64::from(formula.inv_scale)) as f32;
        let (a, b) = (quotient(formula.a_params.0), quotient(formula.b_params.0));
        let mut near: Vec<[i32; 2]> = (-REACH..=REACH)
            .flat_map(|i| (-REACH..=REACH).map(move |j| [i, j]))
            .collect();
        near.sort_by_key(|[i, j]| i.abs() + j.abs());
        near.into_iter()
            .map(|[i, j]| Shortcut {
                a: varied(a, i),
                b: varied(b, j),
            })
            .find(|&shortcut| isa.vectorize(Agree { formula, shortcut }))
    }

    /// The sum of two bytes.
    #[inline(always)]
    fn apply(self, formula: &Add, a: u8, b: u8) -> u8 {
        let centred = |byte: u8, zero_point: i32| (i32::from(byte) - zero_point) as f32;
        let b = centred(b, formula.b_params.1) * self.b;
        let both = centred(a, formula.a_params.1).mul_add(self.a, b);
        requantize_f32(both, formula.range) as u8
    }
}

/// The float so many units in the last place away.
fn varied(value: f32, by: i32) -> f32 {
    f32::from_bits(value.to_bits().wrapping_add_signed(by))
}

/// Whether a shortcut gives the bytes of a formula.
struct Agree {
    formula: Add,
    shortcut: Shortcut,
}

impl Work for Agree {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        (0..=u8::MAX).all(|a| {
            let differs =
                |b| u32::from(self.formula.apply(a, b) != self.shortcut.apply(&self.formula, a, b));
            // Counted to the end, so that this is a loop of vectors.
            (0..=u8::MAX).map(differs).sum::<u32>() == 0
        })
    }
}

/// The shortcut of the first addition behind a layer. It is looked for once, and layers are rarely added to anything else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered(OnceLock<(Add, Option<Shortcut>)>);

impl Remembered {
    /// The shortcut of this addition, unless it is another one.
    pub(crate) fn of(&self, isa: Isa, formula: Add) -> Option<Shortcut> {
        let found = || (formula, Shortcut::find(isa, formula));
        let (first, shortcut) = self.0.get_or_init(found);
        shortcut.filter(|_| *first == formula)
    }
}

#[cfg(test)]
mod tests {
    use qtensor_core::requant::OutputRange;

    use super::*;

    fn formula(scales: [f32; 2], zero_points: [i32; 2], inv_scale: f32) -> Add {
        Add {
            a_params: (scales[0], zero_points[0]),
            b_params: (scales[1], zero_points[1]),
            inv_scale,
            range: OutputRange {
                zero_point: 3,
                lo: 0,
                hi: 255,
            },
        }
    }

    fn fastest() -> Isa {
        let isas = Isa::available();
        isas[isas.len() - 1]
    }

    #[test]
    fn a_shortcut_gives_the_bytes_of_the_formula_for_all_inputs() {
        // Ranges of 8 bits, as observers find them.
        let scale = |range: f32| range / 255.0;
        let mut found = 0;
        for i in 0..12 {
            let x = i as f32;
            let scales = [scale(2.69 + 0.0371 * x), scale(9.87 - 0.0219 * x)];
            let formula = formula(scales, [131, 17 * (i % 2)], 1.0 / scale(4.6693 + 0.101 * x));
            let Some(shortcut) = Shortcut::find(fastest(), formula) else {
                continue;
            };
            found += 1;
            for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
                assert_eq!(shortcut.apply(&formula, a, b), formula.apply(a, b));
            }
        }
        assert!(found > 9, "{found} of 12");
    }

    #[test]
    fn without_agreement_there_is_none() {
        // A third of all sums are ties, and roundings decide each of them on its own.
        let odd = formula([0.7 / 3.0, 0.7 / 6.0], [128, 9], 1.0 / 0.7);
        assert_eq!(Shortcut::find(fastest(), odd), None);
    }

    #[test]
    fn only_the_first_addition_is_remembered() {
        let (first, other) = (
            formula([0.5, 0.25], [0, 0], 1.0),
            formula([0.5, 0.25], [0, 1], 1.0),
        );
        let remembered = Remembered::default();
        assert_eq!(
            remembered.of(fastest(), first),
            Some(Shortcut { a: 0.5, b: 0.25 })
        );
        assert_eq!(remembered.of(fastest(), other), None);
        assert!(remembered.of(fastest(), first).is_some());
    }
}
