//! Printing: `Display` shows real values as PyTorch does, `Debug` shows raw integers.
//!
//! A tensor of more than 1,000 elements is summarized to the first and last three of each dimension.

use std::fmt;

use crate::int_tensor::IntTensor;
use crate::qtensor::QTensor;
use crate::quantizer::Quantizer;
use crate::tensor::{Element, Tensor};

/// Above this many elements only the edges are printed.
const THRESHOLD: usize = 1000;
/// How many entries at each edge of a summarized dimension.
const EDGE: usize = 3;
/// Entries on one line before it is broken.
const LINE_WIDTH: usize = 80;

/// `tensor([[1.0000, 2.0000], …])`, with the size where it could not be read off.
impl<T: Element> fmt::Display for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tensor({}", body(self, "tensor(".len()))?;
        if self.numel() == 0 {
            write!(f, ", size={:?}", self.shape())?;
        }
        if T::NAME != "float32" {
            write!(f, ", dtype={}", T::NAME)?;
        }
        f.write_str(")")
    }
}

/// As `Display`: a float tensor has nothing rawer to show.
impl<T: Element> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The dequantized values with size, type and map: PyTorch's form.
impl fmt::Display for QTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "tensor({}, size={:?}",
            body(&self.dequantize(), "tensor(".len()),
            self.shape()
        )?;
        write!(f, ", dtype={}", self.dtype())?;
        match self.quantizer() {
            Quantizer::PerTensor { scale, zero_point } => {
                write!(
                    f,
                    ", quantization_scheme=per_tensor_affine, scale={scale}, zero_point={zero_point})"
                )
            }
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } => {
                write!(
                    f,
                    ", quantization_scheme=per_channel_affine, scale={}",
                    short(scales)
                )?;
                write!(f, ", zero_point={}, axis={axis})", short(zero_points))
            }
        }
    }
}

/// The raw integers and the map.
impl fmt::Debug for QTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QTensor({:?}, {}", self.int_repr(), self.dtype())?;
        match self.quantizer() {
            Quantizer::PerTensor { scale, zero_point } => {
                write!(f, ", scale={scale}, zero_point={zero_point})")
            }
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } => {
                write!(
                    f,
                    ", scales={}, zero_points={}, axis={axis})",
                    short(scales),
                    short(zero_points)
                )
            }
        }
    }
}

impl fmt::Debug for IntTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntTensor::U8(t) => f.write_str(&body(t, "QTensor(".len())),
            IntTensor::I8(t) => f.write_str(&body(t, "QTensor(".len())),
            IntTensor::I32(t) => f.write_str(&body(t, "QTensor(".len())),
        }
    }
}

/// A list, shortened in the middle.
fn short<T: fmt::Debug>(values: &[T]) -> String {
    let show = |part: &[T]| {
        part.iter()
            .map(|v| format!("{v:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if values.len() <= 2 * EDGE + 2 {
        return format!("[{}]", show(values));
    }
    format!(
        "[{}, ..., {}]",
        show(&values[..EDGE]),
        show(&values[values.len() - EDGE..])
    )
}

/// The nested brackets, continuation lines indented past `prefix` columns.
fn body<T: Element>(t: &Tensor<T>, prefix: usize) -> String {
    // A shape without elements may still have any number of rows.
    if t.numel() == 0 {
        return "[]".to_owned();
    }
    let summarize = t.numel() > THRESHOLD;
    let style = Style::of(t, summarize);
    let mut out = String::new();
    nest(t, &style, summarize, prefix, &mut out);
    out
}

fn nest<T: Element>(
    t: &Tensor<T>,
    style: &Style,
    summarize: bool,
    indent: usize,
    out: &mut String,
) {
    let Some(&len) = t.shape().first() else {
        out.push_str(
            style
                .format(&t.item().map(|v| v.to_string()).unwrap_or_default())
                .trim_start(),
        );
        return;
    };
    out.push('[');
    let innermost = t.rank() == 1;
    let mut column = indent + 1;
    for (place, index) in kept(len, summarize).into_iter().enumerate() {
        if place > 0 {
            if innermost {
                out.push(',');
                let too_wide = column + style.width + 2 > LINE_WIDTH;
                out.push_str(&if too_wide {
                    line_break(1, indent)
                } else {
                    " ".into()
                });
                column = if too_wide { indent + 1 } else { column + 1 };
            } else {
                // One empty line less for each level, as nested brackets close.
                out.push(',');
                out.push_str(&line_break(t.rank() - 1, indent));
            }
        }
        match index {
            None => {
                out.push_str("...");
                column += 4;
            }
            Some(i) => {
                let Ok(part) = t.select(0, i) else { continue };
                if innermost {
                    let text =
                        style.format(&part.item().map(|v| v.to_string()).unwrap_or_default());
                    column += text.len() + 1;
                    out.push_str(&text);
                } else {
                    nest(&part, style, summarize, indent + 1, out);
                }
            }
        }
    }
    out.push(']');
}

fn line_break(lines: usize, indent: usize) -> String {
    format!("{}{}", "\n".repeat(lines), " ".repeat(indent + 1))
}

/// The indices to print; `None` stands for the dots.
fn kept(len: usize, summarize: bool) -> Vec<Option<usize>> {
    if !summarize || len <= 2 * EDGE {
        return (0..len).map(Some).collect();
    }
    (0..EDGE)
        .map(Some)
        .chain([None])
        .chain((len - EDGE..len).map(Some))
        .collect()
}

/// How numbers of one tensor are written: PyTorch's rules (`torch/_tensor_str.py`) with 4 digits.
struct Style {
    kind: Kind,
    width: usize,
}

#[derive(PartialEq)]
enum Kind {
    Integer,
    /// Whole floats are printed `3.`.
    Whole,
    Fixed,
    Scientific,
}

impl Style {
    fn of<T: Element>(t: &Tensor<T>, summarize: bool) -> Style {
        let mut shown = Vec::new();
        collect(t, summarize, &mut shown);
        let kind = if T::NAME != "float32" {
            Kind::Integer
        } else {
            Style::float_kind(&shown)
        };
        let mut style = Style { kind, width: 0 };
        style.width = shown
            .iter()
            .map(|text| style.format(text).len())
            .max()
            .unwrap_or(0);
        style
    }

    fn float_kind(shown: &[String]) -> Kind {
        let values: Vec<f64> = shown
            .iter()
            .filter_map(|s| s.parse().ok())
            .filter(|v: &f64| v.is_finite())
            .collect();
        let nonzero = values.iter().map(|v| v.abs()).filter(|v| *v > 0.0);
        let (least, most) = nonzero.fold((f64::MAX, 0f64), |(lo, hi), v| (lo.min(v), hi.max(v)));
        let whole = values.iter().all(|v| v.fract() == 0.0);
        let wide = most > 0.0 && (most / least > 1000.0 || most > 1e8 || (!whole && least < 1e-4));
        match (wide, whole) {
            (true, true) if most < 1e8 => Kind::Whole,
            (true, _) => Kind::Scientific,
            (false, true) => Kind::Whole,
            (false, false) => Kind::Fixed,
        }
    }

    fn format(&self, text: &str) -> String {
        let written = match (&self.kind, text.parse::<f64>()) {
            (Kind::Integer, _) | (_, Err(_)) => text.to_string(),
            (_, Ok(v)) if !v.is_finite() => text.to_lowercase(),
            (Kind::Whole, Ok(v)) => format!("{v:.0}."),
            (Kind::Fixed, Ok(v)) => format!("{v:.4}"),
            (Kind::Scientific, Ok(v)) => scientific(v),
        };
        format!("{written:>width$}", width = self.width)
    }
}

/// `1.2346e-05`, the exponent with a sign and at least two digits.
fn scientific(v: f64) -> String {
    let text = format!("{v:.4e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let e: i32 = exponent.parse().unwrap_or(0);
            format!("{mantissa}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs())
        }
        None => text,
    }
}

/// The texts of all elements that will be printed.
fn collect<T: Element>(t: &Tensor<T>, summarize: bool, into: &mut Vec<String>) {
    let Some(&len) = t.shape().first() else {
        into.extend(t.item().map(|v| v.to_string()));
        return;
    };
    for i in kept(len, summarize).into_iter().flatten() {
        if let Ok(part) = t.select(0, i) {
            collect(&part, summarize, into);
        }
    }
}
