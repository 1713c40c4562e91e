//! Compares this build with results that PyTorch computed, case by case.
//!
//! The files are in `data/`, or in the folder that the variable `QTENSOR_GOLDEN` names. The test has no
//! harness, because its output shall always be seen: for each group the counts, for each deviation the
//! numbers, the name of everything that is not checked, and as the last line `N passed, M failed`, both
//! counting cases. A group whose file is missing or malformed, or of which no case was checked, counts as one failure.

mod affine;
mod arguments;
mod compare;
mod conv;
mod dynamic;
mod exact;
mod fake_quant;
mod flow;
mod flow_net;
mod group;
mod linear;
mod observers;
mod pointwise;
mod pooling;
mod qat;
mod recurrent;
mod store;
mod tensor_ops;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arguments::Arguments;
use group::{Group, Summary};

/// All groups. A group that is not in this table is not looked for.
const GROUPS: [Group; 11] = [
    checked("affine", affine::check, &affine::MAY_DEVIATE),
    checked("observers", observers::check, &observers::MAY_DEVIATE),
    checked("linear", linear::check, &[("linear", exact::SATURATED)]),
    checked("conv", conv::check, &[("conv", exact::SATURATED)]),
    checked("pooling", pooling::check, &[]),
    checked("tensor_ops", tensor_ops::check, &[]),
    checked("pointwise", pointwise::check, &[]),
    checked("flow", flow::check, &flow::MAY_DEVIATE),
    checked("fake_quant", fake_quant::check, &[]),
    checked("qat", qat::check, &[]),
    checked("dynamic", dynamic::check, &dynamic::MAY_DEVIATE),
];

const fn checked(
    name: &'static str,
    check: fn(&store::Case) -> store::Fallible<group::Verdict>,
    may_deviate: &'static [(&'static str, &'static str)],
) -> Group {
    Group {
        name,
        check: Some(check),
        may_deviate,
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::read(std::env::args().skip(1));
    let groups: Vec<&Group> = GROUPS
        .iter()
        .filter(|g| arguments.selects(g.name))
        .collect();
    if arguments.list {
        groups.iter().for_each(|g| println!("{}: test", g.name));
        return ExitCode::SUCCESS;
    }
    let folder = folder();
    println!("golden files in {}", folder.display());
    let results: Vec<(&Group, Summary)> = groups.iter().map(|g| (*g, g.run(&folder))).collect();
    let (passed, failed) = report(&results);
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Where the files are.
fn folder() -> PathBuf {
    match std::env::var_os("QTENSOR_GOLDEN") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data"),
    }
}

/// Prints everything but the last line; returns the numbers of passed and failed cases.
fn report(results: &[(&Group, Summary)]) -> (usize, usize) {
    for (_, summary) in results {
        summary.notes.iter().for_each(|note| println!("{note}"));
    }
    println!(
        "{:12}{:>7}{:>9}{:>7}{:>10}{:>8}{:>13}",
        "group", "cases", "checked", "equal", "accepted", "failed", "not checked"
    );
    let (mut passed, mut failed) = (0, 0);
    for (group, summary) in results {
        let t = summary.total();
        let checked = t.cases - t.not_checked;
        println!(
            "{:12}{:>7}{checked:>9}{:>7}{:>10}{:>8}{:>13}",
            group.name, t.cases, t.equal, t.accepted, t.failed, t.not_checked
        );
        passed += t.equal + t.accepted;
        failed += t.failed + usize::from(summary.broken.is_some());
    }
    for (group, summary) in results {
        for (kind, tally) in &summary.kinds {
            if let Some(rule) = group.rule(kind) {
                println!(
                    "not equal: {} / {kind}: {} of {} cases, {} accepted ({rule})",
                    group.name,
                    tally.cases - tally.equal,
                    tally.cases,
                    tally.accepted
                );
            }
        }
    }
    for (group, summary) in results {
        for (kind, tally) in &summary.kinds {
            if tally.not_checked > 0 {
                let (name, count) = (group.name, tally.not_checked);
                println!("not checked: {name} / {kind}: {count} cases");
            }
        }
    }
    for (group, summary) in results {
        if let Some(why) = &summary.broken {
            println!("FAILED: {}: {why}", group.name);
        }
    }
    (passed, failed)
}
