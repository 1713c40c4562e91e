//! What there is to measure: networks and linear layers, by name.

use clap::ValueEnum;
use qtensor::models::{Init, MobileNetV2, ResNet};
use qtensor::prelude::*;
use qtensor::qnn::{Gru, Lstm};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::Failure;
use crate::subject::{Outputs, Single, Subject};

/// How a case computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Variant {
    /// In `f32`, batch norms folded.
    F32,
    /// In int8, calibrated beforehand.
    Static,
    /// In int8 from float to float, the input's integers chosen in every call.
    Dynamic,
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    ResNet18,
    ResNet50,
    MobileNetV2,
}

/// A recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Lstm,
    Gru,
}

/// A network on a batch of images, one linear layer, or one recurrent layer over sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Network {
        network: Network,
        batch: usize,
    },
    Linear {
        m: usize,
        k: usize,
        n: usize,
    },
    Recurrent {
        unit: Unit,
        steps: usize,
        batch: usize,
        input: usize,
        hidden: usize,
    },
}

/// Side of the images.
const SIDE: usize = 224;

impl Case {
    /// All cases, in the order of reports.
    pub const ALL: [Case; 10] = [
        network(Network::ResNet18, 1),
        network(Network::ResNet50, 1),
        network(Network::MobileNetV2, 1),
        network(Network::ResNet50, 8),
        linear(128, 768, 3072),
        linear(1, 768, 3072),
        linear(1024, 1024, 1024),
        recurrent(Unit::Lstm, 32, 1, 512, 512),
        recurrent(Unit::Lstm, 32, 16, 512, 512),
        recurrent(Unit::Gru, 32, 1, 512, 512),
    ];

    /// The name in options and reports.
    pub fn id(self) -> String {
        match self {
            Case::Network { network, batch } => {
                let entry = NETWORKS.iter().find(|(_, other)| *other == network);
                format!("{}_b{batch}", entry.map_or("", |(name, _)| name))
            }
            Case::Linear { m, k, n } => format!("linear_{m}x{k}x{n}"),
            Case::Recurrent {
                unit,
                steps,
                batch,
                input,
                hidden,
            } => {
                let entry = UNITS.iter().find(|(_, other)| *other == unit);
                let name = entry.map_or("", |(name, _)| name);
                format!("{name}_t{steps}_b{batch}_{input}_{hidden}")
            }
        }
    }

    fn lengths(self) -> Vec<usize> {
        match self {
            Case::Network { batch, .. } => vec![batch],
            Case::Linear { m, k, n } => vec![m, k, n],
            Case::Recurrent {
                steps,
                batch,
                input,
                hidden,
                ..
            } => vec![steps, batch, input, hidden],
        }
    }

    /// The products of a recurrent layer, which the shapes of its values do not tell; 0 for other cases.
    pub fn recurrent_macs(self) -> u64 {
        match self {
            Case::Recurrent {
                unit,
                steps,
                batch,
                input,
                hidden,
            } => {
                let gates = match unit {
                    Unit::Lstm => 4,
                    Unit::Gru => 3,
                };
                (steps * batch * gates * hidden * (input + hidden)) as u64
            }
            Case::Network { .. } | Case::Linear { .. } => 0,
        }
    }

    /// What can be measured of it, in the order of measurement: the int8 models are made of the float one.
    pub fn variants(self) -> &'static [Variant] {
        match self {
            Case::Network { .. } => &[Variant::F32, Variant::Static],
            Case::Linear { .. } => &[Variant::F32, Variant::Static, Variant::Dynamic],
            Case::Recurrent { .. } => &[Variant::F32, Variant::Dynamic],
        }
    }

    /// The float model.
    pub fn build(self, init: Init) -> Result<Subject, Failure> {
        Ok(match self {
            Case::Network { network, .. } => match network {
                Network::ResNet18 => Subject::network(ResNet::resnet18().init(init).build()?),
                Network::ResNet50 => Subject::network(ResNet::resnet50().init(init).build()?),
                Network::MobileNetV2 => Subject::network(MobileNetV2::config().init(init).build()?),
            },
            Case::Linear { k, n, .. } => {
                qtensor::qnn::manual_seed(0);
                Subject::single(Single::new(Linear::new(k, n)?))
            }
            Case::Recurrent {
                unit,
                input,
                hidden,
                ..
            } => {
                qtensor::qnn::manual_seed(0);
                match unit {
                    Unit::Lstm => Subject::network(Outputs::<Lstm>::new(input, hidden)?),
                    Unit::Gru => Subject::network(Outputs::<Gru>::new(input, hidden)?),
                }
            }
        })
    }

    /// What is measured and calibrated on: uniform numbers in −1..1.
    pub fn input(self) -> Result<Value, Failure> {
        match self {
            Case::Network { batch, .. } => uniform(&[batch, 3, SIDE, SIDE]),
            Case::Linear { m, k, .. } => uniform(&[m, k]),
            Case::Recurrent {
                steps,
                batch,
                input,
                ..
            } => uniform(&[steps, batch, input]),
        }
    }

    /// What results are checked on. Portable code would take seconds for a network and a whole image, so that is a
    /// smaller one.
    pub fn check_input(self) -> Result<Value, Failure> {
        match self {
            Case::Network { .. } => uniform(&[1, 3, 64, 64]),
            Case::Linear { .. } | Case::Recurrent { .. } => self.input(),
        }
    }
}

const fn network(network: Network, batch: usize) -> Case {
    Case::Network { network, batch }
}

const fn linear(m: usize, k: usize, n: usize) -> Case {
    Case::Linear { m, k, n }
}

const fn recurrent(unit: Unit, steps: usize, batch: usize, input: usize, hidden: usize) -> Case {
    Case::Recurrent {
        unit,
        steps,
        batch,
        input,
        hidden,
    }
}

/// Every recurrent layer, with the first part of its name.
const UNITS: [(&str, Unit); 2] = [("lstm", Unit::Lstm), ("gru", Unit::Gru)];

/// Every network, with the first part of its name.
const NETWORKS: [(&str, Network); 3] = [
    ("resnet18", Network::ResNet18),
    ("resnet50", Network::ResNet50),
    ("mobilenet_v2", Network::MobileNetV2),
];

/// The case of a name; any batch, and any size of a layer.
pub fn parse(id: &str) -> Result<Case, Failure> {
    let case = match id.strip_prefix("linear_") {
        Some(sizes) => match lengths(sizes.split('x')).as_deref() {
            Some(&[m, k, n]) => Some(linear(m, k, n)),
            _ => None,
        },
        None => parse_recurrent(id).or_else(|| parse_network(id)),
    };
    // Spelled in one way only, so that a report has the name that was asked for.
    let case = case.filter(|case| case.id() == id && !case.lengths().contains(&0));
    case.ok_or_else(|| {
        let known = Case::ALL.map(Case::id).join(", ");
        format!(
            "no case is called {id:?}; there are {known}, and such with other batches and sizes"
        )
        .into()
    })
}

fn lengths<'a>(parts: impl Iterator<Item = &'a str>) -> Option<Vec<usize>> {
    parts.map(|part| part.parse().ok()).collect()
}

fn parse_network(id: &str) -> Option<Case> {
    let (name, batch) = id.rsplit_once("_b")?;
    let (_, net) = NETWORKS.iter().find(|(known, _)| *known == name)?;
    Some(network(*net, batch.parse().ok()?))
}

fn parse_recurrent(id: &str) -> Option<Case> {
    let (name, sizes) = id.split_once("_t")?;
    let (_, unit) = UNITS.iter().find(|(known, _)| *known == name)?;
    let sizes = sizes.replacen('b', "", 1);
    match lengths(sizes.split('_'))?.as_slice() {
        &[steps, batch, input, hidden] => Some(recurrent(*unit, steps, batch, input, hidden)),
        _ => None,
    }
}

fn uniform(shape: &[usize]) -> Result<Value, Failure> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let count = shape.iter().product();
    let numbers = (0..count)
        .map(|_| rng.random::<f32>() * 2.0 - 1.0)
        .collect();
    Ok(Tensor::from_vec(numbers, shape)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_cases_apart_and_find_them() {
        for case in Case::ALL {
            assert_eq!(parse(&case.id()).ok(), Some(case));
        }
        assert_eq!(Case::ALL[3].id(), "resnet50_b8");
        assert_eq!(Case::ALL[4].id(), "linear_128x768x3072");
        assert_eq!(parse("linear_2x3x4").ok(), Some(linear(2, 3, 4)));
        assert_eq!(
            parse("resnet18_b3").ok(),
            Some(network(Network::ResNet18, 3))
        );
        for wrong in [
            "",
            "resnet18",
            "resnet18_b0",
            "resnet18_b01",
            "resnet19_b1",
            "linear_1x2",
            "linear_1x2x3x4",
            "linear_0x2x3",
            "linear_1x2x-3",
            "lstm_t32_b1_512",
            "lstm_t32_1_512_512",
            "gru_t0_b1_2_3",
        ] {
            let message = parse(wrong).err().map(|e| e.to_string());
            assert!(
                message.is_some_and(|m| m.contains("mobilenet_v2_b1")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn inputs_have_the_shapes_that_the_names_promise() {
        let shape = |case: Case| case.input().map(|x| x.shape().to_vec()).ok();
        assert_eq!(shape(Case::ALL[3]), Some(vec![8, 3, 224, 224]));
        assert_eq!(shape(Case::ALL[5]), Some(vec![1, 768]));
        assert_eq!(Case::ALL[8].id(), "lstm_t32_b16_512_512");
        assert_eq!(shape(Case::ALL[8]), Some(vec![32, 16, 512]));
        assert_eq!(Case::ALL[9].recurrent_macs(), 32 * 3 * 512 * 1024);
    }
}
