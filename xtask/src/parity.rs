//! `cargo xtask parity`: what PyTorch's eager-mode quantization has, and where it is here.
//!
//! The tables are in `parity/`, one file a group. This command writes `docs/parity.md` from them, and a test that names every
//! path of the tables to the compiler, so that no row can promise what is not there. In `cargo xtask ci` it writes nothing and fails
//! if a file is not what it would write.

mod files;
mod flow;
mod modules;
mod observers;
mod operations;
mod render;
mod row;
mod tensor;
mod tools;
mod training;

use std::fs;

use crate::process::{Failure, root};
use row::Group;

/// All groups, in the order of the document.
fn groups() -> Vec<Group> {
    let mut all = vec![tensor::TENSOR];
    all.extend([operations::TENSOR_OPS, operations::FUNCTIONAL]);
    all.extend([modules::QUANTIZED, modules::DYNAMIC, modules::INTRINSIC]);
    all.extend([modules::INTRINSIC_QUANTIZED, modules::QUANTIZABLE]);
    all.extend([training::QAT, training::INTRINSIC_QAT]);
    all.extend([
        observers::OBSERVERS,
        observers::FAKE_QUANTS,
        observers::QCONFIG,
    ]);
    all.extend([flow::FLOW, tools::NUMERIC_SUITE, tools::EQUALIZATION]);
    all.push(files::SERIALIZATION);
    all
}

/// Writes both files or, with `check`, fails if they are not up to date.
pub fn run(check: bool) -> Result<(), Failure> {
    let (root, groups) = (root(), groups());
    let tests = render::Tests::read(&root)?;
    let document = render::document(&groups, &tests)?;
    let proof = render::proof(&groups);
    for (path, content) in [
        ("docs/parity.md", document),
        ("crates/qtensor/tests/parity.rs", proof),
    ] {
        let file = root.join(path);
        let old = fs::read_to_string(&file).unwrap_or_default();
        if old == content {
            continue;
        }
        if check {
            return Err(Failure::new(format!(
                "{path} is not what the tables in xtask/src/parity/ say; `cargo xtask parity` writes it"
            )));
        }
        fs::write(&file, content).map_err(|e| Failure::new(format!("{path}: {e}")))?;
        println!("wrote {path}");
    }
    println!("{}", render::summary(&groups));
    Ok(())
}
