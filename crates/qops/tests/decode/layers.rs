//! Calls of the int8 layers: linear, convolution with and without an addition, tables of embeddings.

use qops::quantized::*;
use qtensor_core::{QTensor, Tensor};

use super::int8::same;
use super::naive;
use super::{Call, Numbers, is_large};

pub fn bias(numbers: &mut Numbers, channels: usize) -> Option<Option<Tensor>> {
    if numbers.one_in(3) {
        return Some(None);
    }
    let channels = if numbers.one_in(24) {
        channels + 1
    } else {
        channels
    };
    numbers.tensor(&[channels]).map(Some)
}

pub fn granularity(numbers: &mut Numbers) -> DynamicQuant {
    let mut quant = DynamicQuant::default();
    if numbers.one_in(3) {
        quant = DynamicQuant::pytorch();
    }
    quant
}

pub fn linear_call(numbers: &mut Numbers) -> Option<Call> {
    let mut shape = numbers.shape(1, 3);
    let (n, k) = (numbers.within(0, 40), numbers.within(1, 70));
    if !numbers.one_in(24) {
        *shape.last_mut()? = k;
    }
    let dtype = numbers.dtype();
    let weight = numbers.weight(&[n, k])?;
    let bias = bias(numbers, n)?;
    let (out, activation) = (numbers.out(dtype), numbers.activation());
    let Ok(packed) = PackedLinear::new(&weight, bias.as_ref()) else {
        return Some(Call::Refused);
    };
    if numbers.one_in(4) {
        let x = numbers.tensor(&shape)?;
        let quant = granularity(numbers);
        return Some(packed.run_dynamic(&x, quant, activation).into());
    }
    let x = numbers.qtensor(&shape, dtype)?;
    let y = packed.run(&x, out, activation);
    let plain = packed.run(&x.contiguous(), out, activation);
    let call = same(&y, &plain);
    let Ok(y) = y else { return Some(call) };
    Some(naive::linear(
        &x,
        &weight,
        bias.as_ref(),
        (out, activation),
        &y,
    ))
}

pub fn conv_call(numbers: &mut Numbers) -> Option<Call> {
    let spatial = numbers.within(1, 3);
    let groups = if numbers.one_in(3) {
        numbers.within(1, 6)
    } else {
        1
    };
    let (group_in, group_out) = (numbers.within(1, 9), numbers.within(1, 9));
    let mut shape = vec![numbers.within(0, 2), groups * group_in];
    shape.extend((0..spatial).map(|_| numbers.within(1, 7)));
    if numbers.one_in(32) {
        shape = numbers.shape(0, 6);
    }
    let mut kernel = vec![groups * group_out, group_in];
    kernel.extend((0..spatial).map(|_| numbers.within(1, 4)));
    if numbers.one_in(32) {
        kernel = numbers.shape(0, 6);
    }
    let dtype = numbers.dtype();
    let spec = numbers.conv_spec(spatial, groups)?;
    let weight = numbers.weight(&kernel)?;
    let bias = bias(numbers, kernel.first().copied().unwrap_or(0))?;
    let (out, activation) = (numbers.out(dtype), numbers.activation());
    let Ok(packed) = PackedConv::new(&weight, bias.as_ref(), &spec) else {
        return Some(Call::Refused);
    };
    let size = naive::conv_shape(&shape, &kernel, &spec);
    if size.is_some_and(|size| is_large(&size)) {
        return Some(Call::Large);
    }
    if numbers.one_in(5) {
        let x = numbers.tensor(&shape)?;
        let quant = granularity(numbers);
        return Some(packed.run_dynamic(&x, quant, activation).into());
    }
    let x = numbers.qtensor(&shape, dtype)?;
    let y = packed.run(&x, out, activation);
    let call = same(&y, &packed.run(&x.contiguous(), out, activation));
    let Ok(y) = y else { return Some(call) };
    if numbers.one_in(3) {
        return added(numbers, &packed, &x, (out, activation), &y);
    }
    Some(naive::conv(
        &x,
        &weight,
        bias.as_ref(),
        &spec,
        (out, activation),
        &y,
    ))
}

/// The convolution with an addition inside is the convolution and the addition.
fn added(
    numbers: &mut Numbers,
    packed: &PackedConv,
    x: &QTensor,
    conv: (OutQParams, Activation),
    y: &QTensor,
) -> Option<Call> {
    let shape = if numbers.one_in(8) {
        numbers.shape(0, 5)
    } else {
        y.shape().to_vec()
    };
    let other = numbers.qtensor(&shape, y.dtype())?;
    let sum = (
        numbers.out(y.dtype()),
        numbers.pick(&[Activation::None, Activation::Relu]),
    );
    let got = packed.run_add(x, conv, &other, sum);
    let want = match sum.1 {
        Activation::None => add(y, &other, sum.0),
        _ => add_relu(y, &other, sum.0),
    };
    match (&got, &want) {
        (Ok(got), Ok(want)) => {
            assert_eq!(got, want, "a convolution with an addition");
            Some(Call::Compared)
        }
        // Within a convolution no operand is repeated along a dimension.
        (Err(_), _) => Some(Call::Refused),
        (Ok(got), Err(e)) => panic!("{got:?} where an addition is {e}"),
    }
}

pub fn table(numbers: &mut Numbers) -> Option<Call> {
    let shape = [numbers.within(0, 9), numbers.within(0, 9)];
    let bits = if numbers.one_in(16) {
        numbers.byte()
    } else {
        numbers.pick(&[4, 8])
    };
    let weight = numbers.tensor(&shape)?;
    let found = if numbers.one_in(3) {
        let shape = [numbers.size(0, 5), numbers.size(0, 5)];
        let rows = shape[0].min(9);
        let bytes = vec![7; numbers.within(0, 25)];
        EmbeddingTable::from_parts(shape, bits, bytes, vec![0.5; rows], vec![1.0; rows])
    } else {
        EmbeddingTable::quantize(&weight, bits)
    };
    let indices_shape = numbers.shape(0, 3);
    let indices = numbers.indices(&indices_shape, shape[0])?;
    let bags = numbers.within(0, 5);
    let offsets = numbers.indices(&[bags], 4)?;
    let mode = numbers.pick(&[BagMode::Sum, BagMode::Mean, BagMode::Max]);
    drop(float_bags(&weight, &indices, &offsets, mode));
    let Ok(found) = found else {
        return Some(Call::Refused);
    };
    drop(found.bags(&indices, &offsets, mode));
    Some(found.lookup(&indices).into())
}
