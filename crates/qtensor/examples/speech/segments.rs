//! From probabilities to stretches of speech.

use std::fmt;

use super::audio::SAMPLE_RATE;
use super::net::WINDOW;

/// From this probability on, a window is speech.
pub const THRESHOLD: f32 = 0.5;

/// Pauses of fewer windows are part of the speech around them.
const SHORTEST_PAUSE: usize = 4;

/// A stretch of speech, in windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first window.
    pub start: usize,
    /// The window behind the last one.
    pub end: usize,
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |windows: usize| (windows * WINDOW) as f64 / f64::from(SAMPLE_RATE);
        write!(
            f,
            "{:6.2} s to {:6.2} s",
            seconds(self.start),
            seconds(self.end)
        )
    }
}

/// The stretches of windows that are speech.
pub fn segments(probabilities: &[f32]) -> Vec<Segment> {
    let mut found: Vec<Segment> = Vec::new();
    for (at, &p) in probabilities.iter().enumerate() {
        if p < THRESHOLD {
            continue;
        }
        match found.last_mut() {
            Some(last) if at - last.end < SHORTEST_PAUSE => last.end = at + 1,
            _ => found.push(Segment {
                start: at,
                end: at + 1,
            }),
        }
    }
    found
}
