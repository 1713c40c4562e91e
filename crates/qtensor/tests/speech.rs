//! The voice detector of the example `speech`: recorded probabilities, decisions of the int8 model, files that are none.
#![allow(dead_code, reason = "the example uses the rest")]

#[path = "../examples/speech/audio.rs"]
mod audio;
#[path = "../examples/speech/net.rs"]
mod net;
#[path = "../examples/speech/segments.rs"]
mod segments;

use std::path::Path;

use net::{CONTEXT, SileroVad, WINDOW};
use qtensor::qflow::{from_bytes, read_safetensors, to_bytes};
use segments::{Segment, THRESHOLD, segments};

const EXPECTED: &[u8] = include_bytes!("../data/silero_vad/speech_20s_expected.safetensors");

/// Windows that are tested: the first nine seconds, with three pauses.
const WINDOWS: usize = 280;

fn probabilities(net: &SileroVad) -> Vec<f32> {
    let samples = audio::samples(None).unwrap();
    let mut padded = vec![0.0; CONTEXT];
    padded.extend(&samples[..WINDOWS * WINDOW]);
    let mut state = None;
    (0..WINDOWS)
        .map(|at| {
            let window = &padded[at * WINDOW..][..CONTEXT + WINDOW];
            let (p, next) = net.listen(window, state.take()).unwrap();
            state = next;
            p
        })
        .collect()
}

#[test]
fn float_probabilities_are_the_recorded_ones_and_int8_decides_alike() {
    let expected = read_safetensors(EXPECTED).unwrap()["prob"].to_vec();
    let float = probabilities(&SileroVad::float().unwrap());
    for (at, (ours, theirs)) in float.iter().zip(&expected).enumerate() {
        assert!((ours - theirs).abs() < 1e-4, "window {at}: {ours} {theirs}");
    }
    let mut net = SileroVad::int8().unwrap();
    let int8 = probabilities(&net);
    let alike = int8
        .iter()
        .zip(&expected)
        .filter(|(a, b)| (**a >= THRESHOLD) == (**b >= THRESHOLD));
    assert!(alike.count() * 100 >= WINDOWS * 99);
    assert_ne!(int8, float);

    // The int8 model as a file, loaded into a float one.
    let bytes = to_bytes(&net).unwrap();
    net = SileroVad::float().unwrap();
    from_bytes(&mut net, &bytes).unwrap();
    assert_eq!(probabilities(&net), int8);
    // The transform stays float, at 264 kB.
    assert!(bytes.len() < 264_192 + 300_000, "{} bytes", bytes.len());
}

#[test]
fn short_pauses_are_part_of_the_speech() {
    let mut p = vec![0.0; 30];
    p[2..6].fill(0.9);
    p[8..10].fill(0.5);
    p[20] = 0.7;
    let found = segments(&p);
    let all = [
        Segment { start: 2, end: 10 },
        Segment { start: 20, end: 21 },
    ];
    assert_eq!(found, all);
    assert_eq!(found[0].to_string(), "  0.06 s to   0.32 s");
    assert!(segments(&[]).is_empty());
}

#[test]
fn wav_files_are_read_or_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rate: u32, channels: u16, samples: &[i16]| {
        let path = folder.path().join(name);
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for &sample in samples {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        path
    };
    let stereo = write("stereo.wav", 16_000, 2, &[16384, 0, -32768, -32768]);
    assert_eq!(audio::samples(Some(&stereo)).unwrap(), [0.25, -1.0]);
    let refused = |path: &Path| audio::samples(Some(path)).unwrap_err().to_string();
    let slow = refused(&write("slow.wav", 8_000, 1, &[0]));
    assert!(
        slow.contains("slow.wav") && slow.contains("8000") && slow.contains("16000"),
        "{slow}"
    );
    let text = folder.path().join("text.wav");
    std::fs::write(&text, "no sound").unwrap();
    assert!(refused(&text).contains("text.wav"));
    assert!(refused(&folder.path().join("none.wav")).contains("none.wav"));
}
