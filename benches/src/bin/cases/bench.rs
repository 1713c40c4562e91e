//! A case on its way: built in float, checked, converted, checked again.

use qtensor::models::Init;
use qtensor::prelude::*;
use qtensor::qflow::state_dict;
use qtensor::qnn::profile;

use crate::Failure;
use crate::case::Case;
use crate::check::{self, Rows};
use crate::measure::{Session, Timing, timed};
use crate::subject::Subject;

/// A model that gave right results, ready to be timed.
pub struct Bench {
    /// The case.
    pub case: Case,
    /// Its model, float at first.
    pub subject: Subject,
    /// Products of one call.
    pub macs: u64,
    x: Value,
    float: Tensor,
}

impl Bench {
    /// The float model, its batch norms folded.
    pub fn float(case: Case, session: &Session) -> Result<Bench, Failure> {
        let id = case.id();
        session.say(&id, "building the float model");
        let mut subject = case.build(Init::default())?;
        let sample = case.check_input()?;
        let unfused = subject.forward(&sample)?.to_tensor();
        fuse_all(&mut subject, &sample)?;
        let fused = subject.forward(&sample)?.to_tensor();
        check::near(&id, &fused.to_vec(), &unfused.to_vec())?;

        let x = case.input()?;
        let (result, visits) = profile::record(|| subject.forward(&x));
        let float = result?.to_tensor();
        if matches!(case, Case::Linear { .. }) {
            let state = state_dict(&subject);
            let weight = &state["linear.weight"];
            Rows::of(&x.to_tensor(), weight, state.get("linear.bias")).check(&id, &float)?;
        }
        let weights = subject.weights();
        let places = visits.iter().map(|v| Subject::macs(&weights, v));
        let macs = places.sum::<u64>() + case.recurrent_macs();
        Ok(Bench {
            case,
            subject,
            macs,
            x,
            float,
        })
    }

    /// Makes the model int8, calibrated on the input that is measured.
    pub fn convert(&mut self, session: &Session) -> Result<(), Failure> {
        let id = self.case.id();
        session.say(&id, "calibrating");
        prepare(&mut self.subject, QConfig::x86())?;
        calibrate(&self.subject, [self.x.clone()])?;
        convert(&mut self.subject)?;
        self.check_int8(session)
    }

    /// Makes a model anew and its layers dynamically quantized.
    pub fn convert_dynamic(&mut self, session: &Session) -> Result<(), Failure> {
        session.say(&self.case.id(), "quantizing");
        self.subject = self.case.build(Init::default())?;
        quantize_dynamic(&mut self.subject, QConfig::dynamic())?;
        self.check_int8(session)
    }

    fn check_int8(&self, session: &Session) -> Result<(), Failure> {
        let id = self.case.id();
        session.say(&id, "comparing with portable code");
        check::same_as_portable(self.case, &self.subject)?;
        let int8 = self.subject.forward(&self.x)?.to_tensor();
        check::near_float(&id, &self.float, &int8)
    }

    /// Times calls of the model as it is, whatever `call` does besides.
    pub fn time(
        &self,
        session: &Session,
        what: &str,
        mut call: impl FnMut(&dyn Fn() -> Result<Value>) -> Result<Value>,
    ) -> Result<Timing, Failure> {
        let input = self.subject.call_input(&self.x)?;
        session.say(&self.case.id(), what);
        timed(session.seconds, || call(&|| self.subject.call(&input)))
    }
}
