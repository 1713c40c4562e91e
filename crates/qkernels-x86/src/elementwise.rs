//! Elementwise operations on 8-bit activations: addition, multiplication, table lookup, clamping and
//! the change between signed and unsigned storage.
//!
//! Inputs may be longer than the output (they carry slack); the output's length is the operation's.

use bytemuck::Pod;
use qtensor_core::requant::{OutputRange, requantize_f32};

use crate::context::Context;
use crate::error::{Error, Result};
#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::{add, avx512vnni::add::Sum};
use crate::map::{Binary, Unary, binary, unary};

/// Adds two activations of different scales.
///
/// `out = clamp(rne(((a − z_a)·s_a + (b − z_b)·s_b) · inv) + z, lo, hi)`, every step in `f32`: bit for
/// bit what dequantizing both, adding and quantizing gives. A fused ReLU has `range.lo = z`.
///
/// `a_params` and `b_params` are scale and zero point of the inputs, `inv_scale` is the reciprocal of
/// the output's scale.
///
/// # Errors
/// [`Error::Length`] if an input is shorter than `out`, [`Error::Range`] if `range` or a zero point does
/// not lie within `0..=255`.
///
/// ```
/// # use qkernels_x86::{Context, OutputRange, add};
/// let context = Context::new()?;
/// let range = OutputRange { zero_point: 10, lo: 0, hi: 255 };
/// let mut out = [0u8; 2];
/// add(&context, &[3, 200], (0.5, 1), &[8, 250], (0.25, 4), 1.0, range, &mut out)?;
/// assert_eq!(out, [12, 171]); // 1 + 1 and 99.5 + 61.5, plus 10
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[allow(clippy::too_many_arguments)]
pub fn add(
    ctx: &Context,
    a: &[u8],
    a_params: (f32, i32),
    b: &[u8],
    b_params: (f32, i32),
    inv_scale: f32,
    range: OutputRange,
    out: &mut [u8],
) -> Result<()> {
    check_range("add", range)?;
    check_zero_point("add", a_params.1)?;
    check_zero_point("add", b_params.1)?;
    let formula = Add {
        a_params,
        b_params,
        inv_scale,
        range,
    };
    binary(ctx, "add", formula, [a, b], out)
}

/// The formula of [`add`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Add {
    pub(crate) a_params: (f32, i32),
    pub(crate) b_params: (f32, i32),
    pub(crate) inv_scale: f32,
    pub(crate) range: OutputRange,
}

#[cfg(target_arch = "x86_64")]
impl From<Add> for Sum {
    fn from(add: Add) -> Sum {
        Sum {
            inputs: [add.a_params, add.b_params],
            inv_scale: add.inv_scale,
            range: add.range,
            shortcut: None,
        }
    }
}

impl Binary<u8, u8> for Add {
    #[inline(always)]
    fn apply(self, a: u8, b: u8) -> u8 {
        let ((a_scale, a_zero), (b_scale, b_zero)) = (self.a_params, self.b_params);
        let a = (i32::from(a) - a_zero) as f32 * a_scale;
        let b = (i32::from(b) - b_zero) as f32 * b_scale;
        requantize_f32((a + b) * self.inv_scale, self.range) as u8
    }

    #[cfg(target_arch = "x86_64")]
    fn start(self, isa: Isa, a: &[u8], b: &[u8], out: &mut [u8]) -> usize {
        add::add(isa, self.into(), a, b, out)
    }
}

/// Multiplies two activations.
///
/// `out = clamp(rne(f32((a − z_a)·(b − z_b)) · multiplier) + z, lo, hi)` with
/// `multiplier = f32(f32(s_a·s_b)·(1/s))`, PyTorch's `quantized::mul`
/// (`aten/src/ATen/native/quantized/cpu/kernels/QuantizedOpKernels.cpp`).
///
/// # Errors
/// As [`add`].
///
/// ```
/// # use qkernels_x86::{Context, OutputRange, mul};
/// let context = Context::new()?;
/// let range = OutputRange { zero_point: 0, lo: 0, hi: 255 };
/// let mut out = [0u8; 2];
/// mul(&context, &[6, 9], 1, &[7, 0], 2, 0.1, range, &mut out)?;
/// assert_eq!(out, [2, 0]); // 25 tenths round to even, -16 tenths are cut
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[allow(clippy::too_many_arguments)]
pub fn mul(
    ctx: &Context,
    a: &[u8],
    a_zero_point: i32,
    b: &[u8],
    b_zero_point: i32,
    multiplier: f32,
    range: OutputRange,
    out: &mut [u8],
) -> Result<()> {
    check_range("mul", range)?;
    check_zero_point("mul", a_zero_point)?;
    check_zero_point("mul", b_zero_point)?;
    let formula = Mul {
        a_zero_point,
        b_zero_point,
        multiplier,
        range,
    };
    binary(ctx, "mul", formula, [a, b], out)
}

#[derive(Clone, Copy)]
struct Mul {
    a_zero_point: i32,
    b_zero_point: i32,
    multiplier: f32,
    range: OutputRange,
}

impl Binary<u8, u8> for Mul {
    #[inline(always)]
    fn apply(self, a: u8, b: u8) -> u8 {
        let product = (i32::from(a) - self.a_zero_point) * (i32::from(b) - self.b_zero_point);
        requantize_f32(product as f32 * self.multiplier, self.range) as u8
    }
}

/// `out[i] = table[x[i]]`: any unary function of an activation, its table made by the scalar formula.
///
/// # Errors
/// [`Error::Length`] if `x` is shorter than `out`.
pub fn lookup(ctx: &Context, x: &[u8], table: &[u8; 256], out: &mut [u8]) -> Result<()> {
    unary(ctx, "lookup", Lookup(table), x, out)
}

#[derive(Clone, Copy)]
struct Lookup<'a>(&'a [u8; 256]);

impl Unary<u8, u8> for Lookup<'_> {
    #[inline(always)]
    fn apply(self, x: u8) -> u8 {
        self.0[usize::from(x)]
    }
}

/// `out[i] = min(max(x[i], lo), hi)`: ReLU, ReLU6 and hardtanh on stored integers.
///
/// # Errors
/// [`Error::Length`] if `x` is shorter than `out`, [`Error::Range`] if `lo > hi`.
#[doc(alias = "relu")]
#[doc(alias = "hardtanh")]
pub fn clamp(ctx: &Context, x: &[u8], lo: u8, hi: u8, out: &mut [u8]) -> Result<()> {
    let range = OutputRange {
        zero_point: i32::from(lo),
        lo: i32::from(lo),
        hi: i32::from(hi),
    };
    check_range("clamp", range)?;
    unary(ctx, "clamp", Clamp { lo, hi }, x, out)
}

#[derive(Clone, Copy)]
struct Clamp {
    lo: u8,
    hi: u8,
}

impl Unary<u8, u8> for Clamp {
    #[inline(always)]
    fn apply(self, x: u8) -> u8 {
        x.max(self.lo).min(self.hi)
    }
}

/// Moves between signed and unsigned storage: `out[i] = x[i] xor 0x80`, byte for byte.
///
/// A signed activation `q` with zero point `z` is the unsigned one `q + 128` with `z + 128`, and the
/// same exclusive or leads back. Input and output are any mix of `u8` and `i8`.
///
/// # Errors
/// [`Error::Length`] if `x` is shorter than `out`.
///
/// ```
/// # use qkernels_x86::{Context, flip_sign};
/// let mut out = [0u8; 3];
/// flip_sign(&Context::new()?, &[-128i8, 0, 127], &mut out)?;
/// assert_eq!(out, [0, 128, 255]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
pub fn flip_sign<X: Byte, Y: Byte>(ctx: &Context, x: &[X], out: &mut [Y]) -> Result<()> {
    let (x, out): (&[u8], &mut [u8]) = (bytemuck::cast_slice(x), bytemuck::cast_slice_mut(out));
    unary(ctx, "flip_sign", FlipSign, x, out)
}

/// An 8-bit stored integer, `u8` or `i8`.
pub trait Byte: Pod + private::Sealed {}

impl Byte for u8 {}
impl Byte for i8 {}

mod private {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
}

#[derive(Clone, Copy)]
struct FlipSign;

impl Unary<u8, u8> for FlipSign {
    #[inline(always)]
    fn apply(self, x: u8) -> u8 {
        x ^ 0x80
    }
}

/// Refuses an output range that is empty or leaves `0..=255`, and such a zero point.
pub(crate) fn check_range(operation: &'static str, range: OutputRange) -> Result<()> {
    let OutputRange { zero_point, lo, hi } = range;
    if 0 <= lo && lo <= hi && hi <= 255 && (0..=255).contains(&zero_point) {
        return Ok(());
    }
    Err(Error::Range {
        operation,
        lo,
        hi,
        zero_point,
        allowed: "0..=255",
    })
}

/// Refuses a zero point that no `u8` activation can have.
pub(crate) fn check_zero_point(operation: &'static str, zero_point: i32) -> Result<()> {
    check_range(
        operation,
        OutputRange {
            zero_point,
            lo: 0,
            hi: 255,
        },
    )
}
