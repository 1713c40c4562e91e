//! Fusing modules without a model around them.

use qnn::{Erased, Identity, Node, erase};

use crate::error::{Error, Result};
use crate::tables::patterns::{Pattern, Purpose, patterns};

/// How a chain of modules is fused: see [`get_fuser_method`].
pub struct FuserMethod(Pattern);

impl FuserMethod {
    /// The chain in words, `Conv2d + BatchNorm2d + ReLU`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The fused module of such a chain.
    ///
    /// # Errors
    /// [`Error::NotFusable`] for another chain, [`Error::FuseChannels`].
    pub fn fuse(&self, modules: &[&dyn Node]) -> Result<Erased> {
        if !self.0.matches(modules) {
            return Err(not_fusable(modules, vec![self.0.name.clone()]));
        }
        self.0.fuse(modules, &numbers(modules))
    }
}

/// How a chain of modules is fused, for inference or, with `is_qat`, for training.
///
/// # Errors
/// [`Error::NotFusable`], which lists the chains that can be fused.
///
/// ```
/// use qflow::get_fuser_method;
/// use qnn::{Linear, ReLU};
///
/// let (linear, relu) = (Linear::new(3, 2)?, ReLU);
/// let method = get_fuser_method(&[&linear, &relu], false)?;
/// assert_eq!(method.name(), "Linear + ReLU");
/// assert_eq!(method.fuse(&[&linear, &relu])?.kind(), "LinearReLU");
/// assert!(get_fuser_method(&[&relu, &linear], false).is_err());
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn get_fuser_method(modules: &[&dyn Node], is_qat: bool) -> Result<FuserMethod> {
    let purpose = if is_qat {
        Purpose::Training
    } else {
        Purpose::Inference
    };
    let mut all = patterns(purpose);
    match all.iter().position(|pattern| pattern.matches(modules)) {
        Some(at) => Ok(FuserMethod(all.swap_remove(at))),
        None => Err(not_fusable(
            modules,
            all.into_iter().map(|p| p.name).collect(),
        )),
    }
}

/// The modules for the places of a chain: the fused one first, then an [`Identity`] for each of the others.
///
/// # Errors
/// As [`get_fuser_method`], and [`Error::FuseChannels`].
pub fn fuse_known_modules(modules: &[&dyn Node], is_qat: bool) -> Result<Vec<Erased>> {
    let mut fused = vec![get_fuser_method(modules, is_qat)?.fuse(modules)?];
    fused.extend(modules[1..].iter().map(|_| erase(Identity)));
    Ok(fused)
}

/// Names for errors about modules that are in no place.
fn numbers(modules: &[&dyn Node]) -> Vec<String> {
    (0..modules.len()).map(|i| i.to_string()).collect()
}

fn not_fusable(modules: &[&dyn Node], patterns: Vec<String>) -> Error {
    Error::NotFusable {
        places: numbers(modules),
        kinds: modules.iter().map(|n| n.kind().to_string()).collect(),
        patterns,
    }
}
