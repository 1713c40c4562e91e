//! Lines of staged elements and sums, and the loops over them. They are plain Rust, which the compiler makes vectors of on
//! every tier; each stands in a function of its own ([`Isa::vectorize`]), because several loops in one stay scalar.
//!
//! A word of a staged line holds some channels of a position, less 127. The sum of two products of such an integer (-127 to 128)
//! and a weight (-128 to 127) fits 16 bits, so taps are multiplied and added in pairs, whichever they are, in lanes of that size.
//! For each output, two integers of 16 bits are kept, as in the portable tile (`isa/scalar.rs`): the sum of all products, which
//! may wrap, and the sum of the upper bytes of the pairs', which is exact for [`TAPS`] taps.

use crate::finish::FromSums;
use crate::isa::scalar::whole;
use crate::isa::{Isa, Work};

/// Taps whose products are summed in 16 bits: nine and then eights, which are 253 pairs. Their upper bytes sum up to at least
/// 253 · -128, the lower ones to at most 253 · 255.
const TAPS: usize = 9 + 62 * 8;

/// What is taken off every element: half of their range.
const MIDDLE: i16 = 127;

/// Some channels of a position, or their weights.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub(super) struct Word<const L: usize>([i16; L]);

impl<const L: usize> Word<L> {
    /// The same element in all channels.
    pub(super) fn of(element: u8) -> Word<L> {
        Word([i16::from(element) - MIDDLE; L])
    }

    /// Weights, zero in channels that `weight` has none for.
    pub(super) fn weights(weight: impl Fn(usize) -> Option<i8>) -> Word<L> {
        Word(core::array::from_fn(|lane| {
            weight(lane).map_or(0, i16::from)
        }))
    }

    /// The channels `sources` of a pixel.
    #[inline(always)]
    pub(super) fn gather(pixel: &[u8], sources: &[usize; L]) -> Word<L> {
        let mut word = [0; L];
        for (word, &source) in word.iter_mut().zip(sources) {
            *word = i16::from(pixel[source]) - MIDDLE;
        }
        Word(word)
    }
}

/// Takes `L` channels of a pixel into each word: those at the start of `x`, and every `pitch` bytes from there.
pub(super) struct Widen<'a, const L: usize> {
    pub(super) x: &'a [u8],
    pub(super) pitch: usize,
    pub(super) out: &'a mut [Word<L>],
}

impl<const L: usize> Work for Widen<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut x = self.x;
        for out in self.out {
            let Some(bytes) = x.first_chunk::<L>() else {
                return;
            };
            // The bytes are read in place: eight of them in a variable would become one integer, and shifts.
            let mut word = [0; L];
            for (word, &byte) in word.iter_mut().zip(bytes) {
                *word = i16::from(byte) - MIDDLE;
            }
            *out = Word(word);
            x = x.get(self.pitch..).unwrap_or_default();
        }
    }
}

/// The sums of a line of outputs.
pub(super) struct Sums<const L: usize> {
    /// What they start at.
    start: [i32; L],
    /// How many channels there are.
    lanes: usize,
    /// The wrapped sums of products and the sums of the upper bytes of pairs of them.
    halves: Vec<[Word<L>; 2]>,
    /// The sums of all taps but those in `halves`, if there are too many for these; else nothing.
    before: Vec<[i32; L]>,
}

impl<const L: usize> Sums<L> {
    /// Sums of that many outputs.
    pub(super) fn new(outputs: usize) -> Sums<L> {
        Sums {
            start: [0; L],
            lanes: 0,
            halves: vec![[Word([0; L]); 2]; outputs],
            before: Vec::new(),
        }
    }

    /// Begins with the start values of at most `L` channels, whose weights have these sums.
    pub(super) fn start(&mut self, start: &[i32], weights: &[i32]) {
        self.lanes = start.len();
        for (lane, (start, weights)) in self.start.iter_mut().zip(start.iter().zip(weights)) {
            *lane = start.wrapping_add(weights.wrapping_mul(i32::from(MIDDLE)));
        }
        self.before.clear();
    }

    /// Adds the products of weights and the words at `starts` for the first output, behind these for the others.
    pub(super) fn products(
        &mut self,
        isa: Isa,
        stage: &[Word<L>],
        starts: &[usize],
        weights: &[Word<L>],
    ) {
        let (starts, more_starts) = starts.split_at(starts.len().min(TAPS));
        let (weights, more_weights) = weights.split_at(starts.len());
        self.few(isa, stage, starts, weights);
        if !more_starts.is_empty() {
            self.before.resize(self.halves.len(), [0; L]);
            isa.vectorize(Add(self));
            self.products(isa, stage, more_starts, more_weights);
        }
    }

    /// Sums at most [`TAPS`] products.
    fn few(&mut self, isa: Isa, stage: &[Word<L>], starts: &[usize], weights: &[Word<L>]) {
        let (mut starts, mut weights) = (starts, weights);
        if let (Some((nine, more)), Some((weights_of_nine, more_weights))) = (
            starts.split_first_chunk::<9>(),
            weights.split_first_chunk::<9>(),
        ) {
            let sums = &mut self.halves;
            isa.vectorize(Group::<L, 9, true> {
                stage,
                starts: nine,
                weights: weights_of_nine,
                sums,
            });
            (starts, weights) = (more, more_weights);
        } else {
            self.halves.fill([Word([0; L]); 2]);
        }
        // The square of an odd number is nine and some eights.
        let (starts, weights) = self.groups::<8>(isa, stage, starts, weights);
        let (starts, weights) = self.groups::<2>(isa, stage, starts, weights);
        self.groups::<1>(isa, stage, starts, weights);
    }

    /// Adds products, `T` taps at a time, and answers what is left.
    fn groups<'a, const T: usize>(
        &mut self,
        isa: Isa,
        stage: &[Word<L>],
        starts: &'a [usize],
        weights: &'a [Word<L>],
    ) -> (&'a [usize], &'a [Word<L>]) {
        let (starts, more_starts) = starts.as_chunks::<T>();
        let (weights, more_weights) = weights.as_chunks::<T>();
        for (starts, weights) in starts.iter().zip(weights) {
            let sums = &mut self.halves;
            isa.vectorize(Group::<L, T, false> {
                stage,
                starts,
                weights,
                sums,
            });
        }
        (more_starts, more_weights)
    }
}

/// Products of `T` taps, added to sums unless they are the first.
struct Group<'a, const L: usize, const T: usize, const FIRST: bool> {
    stage: &'a [Word<L>],
    starts: &'a [usize; T],
    weights: &'a [Word<L>; T],
    sums: &'a mut [[Word<L>; 2]],
}

impl<const L: usize, const T: usize, const FIRST: bool> Work for Group<'_, L, T, FIRST> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Group {
            stage,
            starts,
            sums,
            ..
        } = self;
        // A copy, which nothing that is stored can change, so that it stays in registers.
        let weights = *self.weights;
        let len = sums.len();
        let mut sources = [&stage[..0]; T];
        for (source, &start) in sources.iter_mut().zip(starts) {
            *source = &stage[start..start + len];
        }
        for (output, sums) in sums.iter_mut().enumerate() {
            let mut x = [&weights[0]; T];
            for (x, source) in x.iter_mut().zip(&sources) {
                *x = &source[output];
            }
            let [Word(mut all), Word(mut upper)] = match FIRST {
                true => [Word([0; L]); 2],
                false => *sums,
            };
            for lane in 0..L {
                let product = |tap: usize| x[tap].0[lane].wrapping_mul(weights[tap].0[lane]);
                for tap in (0..T).step_by(2) {
                    let mut pair = product(tap);
                    if tap + 1 < T {
                        pair = pair.wrapping_add(product(tap + 1));
                    }
                    all[lane] = all[lane].wrapping_add(pair);
                    upper[lane] = upper[lane].wrapping_add(pair >> 8);
                }
            }
            *sums = [Word(all), Word(upper)];
        }
    }
}

/// Adds `halves` to `before`.
struct Add<'a, const L: usize>(&'a mut Sums<L>);

impl<const L: usize> Work for Add<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (before, halves) in self.0.before.iter_mut().zip(&self.0.halves) {
            *before = sum(before, halves);
        }
    }
}

/// Converts sums, which go to the start of `out` and every `channels` values from there.
pub(super) struct Convert<'a, const L: usize, C: FromSums> {
    pub(super) from: C,
    /// The first channel.
    pub(super) first: usize,
    pub(super) sums: &'a Sums<L>,
    pub(super) channels: usize,
    pub(super) out: &'a mut [C::Out],
}

impl<const L: usize, C: FromSums> Work for Convert<'_, L, C> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Convert {
            from,
            first,
            sums,
            channels,
            mut out,
        } = self;
        let start = sums.start;
        if sums.lanes == L && sums.before.is_empty() {
            for halves in &sums.halves {
                let Some(place) = out.first_chunk_mut() else {
                    unreachable!("the output holds the channels of every position");
                };
                from.convert_array(0, first, &sum(&start, halves), place);
                out = out.get_mut(channels..).unwrap_or_default();
            }
            return;
        }
        for (output, halves) in sums.halves.iter().enumerate() {
            let mut start = start;
            if let Some(before) = sums.before.get(output) {
                for (start, &before) in start.iter_mut().zip(before) {
                    *start = start.wrapping_add(before);
                }
            }
            let values = &sum(&start, halves)[..sums.lanes];
            from.convert(0, first, values, &mut out[..sums.lanes]);
            out = out.get_mut(channels..).unwrap_or_default();
        }
    }
}

/// A start value and a sum of products.
#[inline(always)]
fn sum<const L: usize>(start: &[i32; L], [all, upper]: &[Word<L>; 2]) -> [i32; L] {
    let mut sums = *start;
    for (sum, (&all, &upper)) in sums.iter_mut().zip(all.0.iter().zip(&upper.0)) {
        *sum = sum.wrapping_add(whole(all, upper));
    }
    sums
}
