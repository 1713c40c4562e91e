//! What there is to measure: networks and linear layers, by name.

use clap::ValueEnum;
use qtensor::models::{Init, MobileNetV2, ResNet};
use qtensor::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::Failure;
use crate::subject::{Single, Subject};

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

/// A network on a batch of images, or one linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Network { network: Network, batch: usize },
    Linear { m: usize, k: usize, n: usize },
}

/// Side of the images.
const SIDE: usize = 224;

impl Case {
    /// All cases, in the order of reports.
    pub const ALL: [Case; 7] = [
        network(Network::ResNet18, 1),
        network(Network::ResNet50, 1),
        network(Network::MobileNetV2, 1),
        network(Network::ResNet50, 8),
        linear(128, 768, 3072),
        linear(1, 768, 3072),
        linear(1024, 1024, 1024),
    ];

    /// The name in options and reports.
    pub fn id(self) -> String {
        match self {
            Case::Network { network, batch } => {
                let entry = NETWORKS.iter().find(|(_, other)| *other == network);
                format!("{}_b{batch}", entry.map_or("", |(name, _)| name))
            }
            Case::Linear { m, k, n } => format!("linear_{m}x{k}x{n}"),
        }
    }

    fn lengths(self) -> [usize; 3] {
        match self {
            Case::Network { batch, .. } => [batch, 1, 1],
            Case::Linear { m, k, n } => [m, k, n],
        }
    }

    /// What can be measured of it, in the order of measurement: the int8 models are made of the float one.
    pub fn variants(self) -> &'static [Variant] {
        match self {
            Case::Network { .. } => &[Variant::F32, Variant::Static],
            Case::Linear { .. } => &[Variant::F32, Variant::Static, Variant::Dynamic],
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
        })
    }

    /// What is measured and calibrated on: uniform numbers in −1..1.
    pub fn input(self) -> Result<Value, Failure> {
        match self {
            Case::Network { batch, .. } => uniform(&[batch, 3, SIDE, SIDE]),
            Case::Linear { m, k, .. } => uniform(&[m, k]),
        }
    }

    /// What results are checked on. Portable code would take seconds for a network and a whole image, so that is a
    /// smaller one.
    pub fn check_input(self) -> Result<Value, Failure> {
        match self {
            Case::Network { .. } => uniform(&[1, 3, 64, 64]),
            Case::Linear { .. } => self.input(),
        }
    }
}

const fn network(network: Network, batch: usize) -> Case {
    Case::Network { network, batch }
}

const fn linear(m: usize, k: usize, n: usize) -> Case {
    Case::Linear { m, k, n }
}

/// Every network, with the first part of its name.
const NETWORKS: [(&str, Network); 3] = [
    ("resnet18", Network::ResNet18),
    ("resnet50", Network::ResNet50),
    ("mobilenet_v2", Network::MobileNetV2),
];

/// The case of a name; any batch, and any size of a layer.
pub fn parse(id: &str) -> Result<Case, Failure> {
    let case = match id.strip_prefix("linear_") {
        Some(sizes) => {
            let mut lengths = sizes.split('x').map(|length| length.parse().ok());
            match [
                lengths.next(),
                lengths.next(),
                lengths.next(),
                lengths.next(),
            ] {
                [Some(Some(m)), Some(Some(k)), Some(Some(n)), None] => Some(linear(m, k, n)),
                _ => None,
            }
        }
        None => id.rsplit_once("_b").and_then(|(name, batch)| {
            let (_, net) = NETWORKS.iter().find(|(known, _)| *known == name)?;
            Some(network(*net, batch.parse().ok()?))
        }),
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
    }
}
