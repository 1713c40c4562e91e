//! `observers`: batches in order, then the scale and the zero point.

use qobserve::{
    HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver, Observer, PerChannelMinMaxObserver,
};
use qtensor_core::{DType, QScheme};

use crate::compare::{differences, equal, parts, same_scale};
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// A value on a bin's edge may fall to either side, depending on the order of float operations.
pub const MAY_DEVIATE: [(&str, &str); 1] = [(
    "HistogramObserver",
    "scale within 2/2048 of the range, zero point within 1",
)];

/// The scale and zero point after all batches.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let mut observer = observer(case)?;
    let batches = case.size("batches")?;
    if batches == 0 {
        return Err("malformed case: no batches".into());
    }
    for batch in 0..batches {
        observer.observe(&case.float(&format!("batch{batch}"))?)?;
    }
    let (_, scales, zero_points) = parts(&observer.calculate_qparams()?);
    let their_scales = case.float("scale")?;
    let shape = their_scales.shape();
    let their_scales: Vec<f64> = their_scales.to_vec().into_iter().map(f64::from).collect();
    let (zero_shape, their_zero_points) = case.ints("zero_point")?;
    let our_shape = [scales.len()];
    let zero_points: Vec<i64> = zero_points.into_iter().map(i64::from).collect();
    let compare = || -> Fallible<()> {
        differences(
            "scale",
            (&our_shape, &scales),
            (shape, &their_scales),
            |&a, &b| same_scale(a, b),
        )?;
        let theirs = (zero_shape, their_zero_points.as_slice());
        equal("zero point", (&our_shape, &zero_points), theirs)
    };
    let Err(why) = compare() else {
        return Ok(Verdict::Equal);
    };
    match (
        scales.as_slice(),
        their_scales.as_slice(),
        zero_points.as_slice(),
        their_zero_points.as_slice(),
    ) {
        (&[a], &[b], &[x], &[y]) if within_bins((a, x), (b, y)) => Ok(Verdict::Accepted(format!(
            "scale {a} and not {b} ({:+.3} of 2/2048 of the range), zero point {x} and not {y}",
            (a - b) / b * 1024.0
        ))),
        _ => Err(why),
    }
}

/// Whether both ranges are as wide as each other within two of 2048 bins, and the zero points within 1.
///
/// A range is its scale times the number of steps, so the same share of both is allowed.
pub fn within_bins(ours: (f64, i64), theirs: (f64, i64)) -> bool {
    (ours.0 - theirs.0).abs() <= 2.0 / 2048.0 * theirs.0 && ours.1.abs_diff(theirs.1) <= 1
}

fn observer(case: &Case) -> Fallible<Box<dyn Observer>> {
    let name = case.text("dtype")?;
    let dtype = DType::from_name(name).ok_or_else(|| format!("unknown dtype {name}"))?;
    let name = case.text("qscheme")?;
    let qscheme = QScheme::from_name(name).ok_or_else(|| format!("unknown qscheme {name}"))?;
    let reduce_range = case.flag("reduce_range")?;
    // Every builder has these three settings, and they are parameters of every case.
    macro_rules! with_settings {
        ($observer:ty $(, $setting:ident($value:expr))*) => {
            Box::new(
                <$observer>::builder()
                    .dtype(dtype)
                    .qscheme(qscheme)
                    .reduce_range(reduce_range)
                    $(.$setting($value))*
                    .build()?,
            )
        };
    }
    let constant = || case.real("averaging_constant").map(|c| c as f32);
    Ok(match case.text("observer")? {
        "MinMaxObserver" => with_settings!(MinMaxObserver),
        "PerChannelMinMaxObserver" => {
            with_settings!(PerChannelMinMaxObserver, ch_axis(case.size("ch_axis")?))
        }
        "MovingAverageMinMaxObserver" => {
            with_settings!(MovingAverageMinMaxObserver, averaging_constant(constant()?))
        }
        "MovingAveragePerChannelMinMaxObserver" => with_settings!(
            MovingAveragePerChannelMinMaxObserver,
            averaging_constant(constant()?),
            ch_axis(case.size("ch_axis")?)
        ),
        "HistogramObserver" => with_settings!(HistogramObserver, bins(case.size("bins")?)),
        other => return Err(format!("unknown observer {other}").into()),
    })
}
