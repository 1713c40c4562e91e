//! Sweeps that do not fit are refused before a kernel reads anything.

use super::*;
use crate::isa::depthwise::Form;

/// What one test changes of a valid sweep: 3 rows of 4 pixels of 8 channels.
struct Change {
    row: usize,
    channels: usize,
    stride: usize,
    count: usize,
    blocks: Range<usize>,
    pitch: usize,
}

const VALID: Change = Change {
    row: 32,
    channels: 8,
    stride: 1,
    count: 4,
    blocks: 0..1,
    pitch: 8,
};

fn check(change: Change) {
    let row = vec![0; change.row];
    let lines = vec![Line([0; 64]); Form::Pairs.block(3).lines];
    let sweep = Sweep {
        rows: &[&row, &row, &row],
        zero: &[0; 8],
        width: 4,
        channels: change.channels,
        position: 0,
        padding: 1,
        stride: change.stride,
        count: change.count,
        blocks: change.blocks,
        weights: &lines,
        start: &[0; 8],
        output: Output::Sums(&mut [0; 32]),
        pitch: change.pitch,
    };
    sweep.check(Form::Pairs.block(3));
}

#[test]
fn a_sweep_that_fits_passes() {
    check(VALID);
}

macro_rules! refused {
    ($($name:ident: $message:literal, $($field:ident: $value:expr),*;)*) => {$(
        #[test]
        #[should_panic(expected = $message)]
        fn $name() {
            check(Change { $($field: $value,)* ..VALID });
        }
    )*};
}

refused! {
    a_short_row: "hold its pixels", row: 31;
    channels_without_padding: "a pixel of padding", channels: 9;
    channels_below_a_vector: "fill a vector", channels: 7;
    a_stride_of_three: "the stride", stride: 3;
    blocks_beyond_the_channels: "the channels'", blocks: 0..2;
    no_blocks: "the channels'", blocks: 1..1;
    an_output_too_many: "every result", count: 5;
    a_pitch_that_wraps: "every result", count: 3, pitch: 1 << (usize::BITS - 1);
}
