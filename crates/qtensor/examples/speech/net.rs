//! Silero VAD: is this a voice? A short-time Fourier transform as a convolution, four convolutions, one LSTM cell.

use qtensor::prelude::*;
use qtensor::qflow;

/// New samples of a window.
pub const WINDOW: usize = 512;
/// Samples of the window before that stand in front of them.
pub const CONTEXT: usize = 64;
/// Samples mirrored behind them.
const MIRRORED: usize = 64;
/// Frequencies of the transform.
const BANDS: usize = 129;
/// Elements of the state.
const HIDDEN: usize = 128;

/// Weights for 16 kHz under their original names.
const WEIGHTS: &[u8] = include_bytes!("../../data/silero_vad/silero_vad_16k.safetensors");

/// The state of the LSTM cell, carried from window to window.
pub type Carried = Option<(Value, Value)>;

/// The network for 16 kHz.
#[derive(Module)]
#[module(no_forward)]
pub struct SileroVad {
    stft_conv: Layer<Conv1d>,
    conv1: Layer<Conv1d>,
    conv2: Layer<Conv1d>,
    conv3: Layer<Conv1d>,
    conv4: Layer<Conv1d>,
    lstm_cell: Layer<LSTMCell>,
    final_conv: Layer<Conv1d>,
    #[module(skip)]
    relu: Layer<ReLU>,
    #[module(skip)]
    sigmoid: Layer<Sigmoid>,
}

impl SileroVad {
    /// The float network as it was published.
    pub fn float() -> Result<SileroVad, qflow::Error> {
        let conv = |inputs, outputs, stride| -> Result<Layer<Conv1d>> {
            let config = Conv1d::config(inputs, outputs, 3).stride(stride).padding(1);
            Ok(config.build()?.into())
        };
        let stft = Conv1d::config(1, 2 * BANDS, 256).stride(128).bias(false);
        let mut net = SileroVad {
            stft_conv: stft.build()?.into(),
            conv1: conv(BANDS, 128, 1)?,
            conv2: conv(128, 64, 2)?,
            conv3: conv(64, 64, 2)?,
            conv4: conv(64, 128, 1)?,
            lstm_cell: LSTMCell::new(128, HIDDEN)?.into(),
            final_conv: Conv1d::config(HIDDEN, 1, 1).build()?.into(),
            relu: ReLU.into(),
            sigmoid: Sigmoid.into(),
        };
        load_safetensors_bytes(&mut net, WEIGHTS)?;
        Ok(net)
    }

    /// The network with int8 weights. The transform stays in float: its outputs span many orders of magnitude, and
    /// what is quiet matters as much as what is loud.
    pub fn int8() -> Result<SileroVad, qflow::Error> {
        let mut net = SileroVad::float()?;
        let spec = QConfigSpec::from(QConfig::dynamic()).with_name("stft_conv", None);
        quantize_dynamic(&mut net, spec)?;
        Ok(net)
    }

    /// The probability that somebody speaks in the last [`WINDOW`] of `samples`, and the state for the next window.
    ///
    /// `samples` are [`CONTEXT`] old ones and the new ones, in −1..1.
    pub fn listen(&self, samples: &[f32], state: Carried) -> Result<(f32, Carried)> {
        // The end is mirrored, without the last sample itself.
        let mirrored = samples.iter().rev().skip(1).take(MIRRORED);
        let padded: Vec<f32> = samples.iter().chain(mirrored).copied().collect();
        let length = padded.len();
        let x = Tensor::from_vec(padded, &[1, 1, length])?;
        let spectrum = self.stft_conv.forward(&x.into())?.to_tensor();
        let x = magnitudes(&spectrum)?.into();
        let step = |conv: &Layer<Conv1d>, x: &Value| self.relu.forward(&conv.forward(x)?);
        let x = step(&self.conv2, &step(&self.conv1, &x)?)?;
        let x = step(&self.conv4, &step(&self.conv3, &x)?)?;
        let (h, c) = self.lstm_cell.forward(&(x.reshape(&[1, HIDDEN])?, state))?;
        let y = self.relu.forward(&h)?.reshape(&[1, HIDDEN, 1])?;
        let y = self.sigmoid.forward(&self.final_conv.forward(&y)?)?;
        let values = y.to_tensor().to_vec();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        Ok((mean, Some((h, c))))
    }
}

/// `√(re² + im²)`: of `(1, 2 · BANDS, positions)` the first half of the channels are the real parts.
fn magnitudes(spectrum: &Tensor) -> Result<Tensor> {
    let positions = spectrum.shape()[2];
    let values = spectrum.contiguous().to_vec();
    let (re, im) = values.split_at(BANDS * positions);
    let magnitude = re.iter().zip(im).map(|(re, im)| (re * re + im * im).sqrt());
    Ok(Tensor::from_vec(
        magnitude.collect(),
        &[1, BANDS, positions],
    )?)
}
