//! `cargo xtask codegen`: looks at the machine code of the kernels' innermost loops.
//!
//! A kernel whose accumulators leave their registers gives the right bytes at half the speed, and no
//! test notices. So the kernel crate is compiled to assembly in a directory of its own, and each loop
//! around dot products is held to the table in `codegen/kernels.rs`: enough products of the right width,
//! no vector on the stack, no call.

mod asm;
mod kernels;
mod loops;

use std::path::{Path, PathBuf};

use crate::process::{self, Failure};
use asm::Function;
use kernels::{KERNELS, Kernel, NOT_KERNELS, fits};
use loops::Loop;

/// The crate whose functions are looked at.
const CRATE: &str = "qkernels_x86";

/// Compiles the kernels, prints the table of their loops, and fails at the first that breaks a promise.
pub fn run() -> Result<(), Failure> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("nothing to look at: the kernels are compiled for x86-64, and read in ELF syntax");
        return Ok(());
    }
    let path = compile()?;
    let assembly = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(format!(
            "cannot read {}: {error}; without its directory it is made anew",
            path.display()
        ))
    })?;
    let report = inspect(&assembly, KERNELS);
    println!("{}", report.lines.join("\n"));
    if report.findings.is_empty() {
        return Ok(());
    }
    let findings = report.findings.join("\n");
    Err(Failure::new(format!("in {}\n{findings}", path.display())))
}

/// Compiles the kernel crate as a release does, but in one unit, and returns the assembly's path.
fn compile() -> Result<PathBuf, Failure> {
    let directory = target_directory()?.join("codegen");
    let path = directory.join(CRATE).with_extension("s");
    let mut command = process::cargo();
    command.args([
        "rustc",
        "--quiet",
        "-p",
        "qkernels-x86",
        "--release",
        "--lib",
    ]);
    command.arg("--target-dir").arg(&directory);
    // Nothing of the dependencies is looked at but what they inline into the kernels, which is optimized there.
    for setting in [
        "\"*\".opt-level=0",
        "bytemuck.opt-level=3",
        "safe_arch.opt-level=3",
    ] {
        command.args(["--config", &format!("profile.release.package.{setting}")]);
    }
    command.args(["--", "-C", "codegen-units=1", "-C", "debuginfo=0"]);
    // Only these names keep the values of constant arguments, the sizes of a tile.
    command.args(["-C", "symbol-mangling-version=v0"]);
    command.arg(format!("--emit=asm={}", path.display()));
    println!("$ {}", process::describe(&command));
    process::run(&mut command)?;
    Ok(path)
}

/// Where cargo puts its output.
fn target_directory() -> Result<PathBuf, Failure> {
    let mut command = process::cargo();
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata = process::capture(&mut command)?;
    serde_json::from_str::<serde_json::Value>(&metadata)
        .ok()
        .and_then(|metadata| metadata["target_directory"].as_str().map(PathBuf::from))
        .filter(|directory| directory != Path::new(""))
        .ok_or_else(|| Failure::new("`cargo metadata` names no target directory"))
}

/// The printed table, and a line for each broken promise.
struct Report {
    lines: Vec<String>,
    findings: Vec<String>,
}

/// Holds the functions of an assembly file to a table.
fn inspect(assembly: &str, kernels: &[Kernel]) -> Report {
    let functions = asm::functions(assembly);
    // Without the crate's name, which also stands within others: `<crate::Type>::method`.
    let own: Vec<(String, &Function)> = functions
        .iter()
        .filter(|function| function.name.contains(CRATE))
        .map(|function| (function.name.replace(&format!("{CRATE}::"), ""), function))
        .collect();
    let mut report = Report {
        lines: vec![format!(
            "{:<66}{:>6}{:>8}{:>6}{:>6}{:>7}{:>6}  products",
            "function", "loops", "length", "dots", "loads", "stores", "stack"
        )],
        findings: Vec::new(),
    };
    for kernel in kernels {
        for height in kernel.heights.clone() {
            let pattern = kernel.pattern(height);
            let mut matched = own
                .iter()
                .filter(|(name, _)| fits(&pattern, name))
                .peekable();
            if matched.peek().is_none() {
                report.findings.push(format!(
                    "{pattern}: no such function; was it renamed, or inlined into another?"
                ));
            }
            for (name, function) in matched {
                judge(kernel, height, name, function, &mut report);
            }
        }
    }
    for (name, function) in &own {
        let known = kernels.iter().any(|kernel| {
            let mut heights = kernel.heights.clone();
            heights.any(|height| fits(&kernel.pattern(height), name))
        }) || NOT_KERNELS.iter().any(|pattern| fits(pattern, name));
        if !known && let Some(first) = loops::dot_loops(function).first() {
            report.findings.push(format!(
                "{name}: a loop around dot products (line {}) without a row in \
                 xtask/src/codegen/kernels.rs",
                first.body[0].line
            ));
        }
    }
    report
}

/// Adds a function's line to the table, and its findings.
fn judge(kernel: &Kernel, height: usize, name: &str, function: &Function, report: &mut Report) {
    let (dot, at_least) = (kernel.dot, kernel.per_row * height);
    let wanted = format!("{} {}", dot.mnemonic, dot.register.name());
    let loops = loops::dot_loops(function);
    let Some(greatest) = loops.iter().max_by_key(|each| each.count(dot)) else {
        let finding = format!("{name}: no loop around dot products, expected {wanted}");
        return report.findings.push(finding);
    };
    let spills: usize = loops.iter().map(|each| each.on_stack().count()).sum();
    let dots = greatest.count(dot);
    report.lines.push(format!(
        "{name:<66}{:>6}{:>8}{dots:>6}{:>6}{:>7}{spills:>6}  {wanted}{}",
        loops.len(),
        greatest.body.len(),
        greatest.loads(),
        greatest.stores(),
        kernel
            .excuse
            .map(|excuse| format!(" ({excuse})"))
            .unwrap_or_default(),
    ));
    if dots < at_least {
        let line = greatest.body[0].line;
        report.findings.push(format!(
            "{name}: {dots} {wanted} in the loop at line {line}, expected at least {at_least}"
        ));
    }
    match kernel.excuse {
        Some(excuse) if spills == 0 => report.findings.push(format!(
            "{name}: no vector is on the stack, so the excuse ({excuse}) has no use"
        )),
        Some(_) => {}
        None => offences(name, &loops, report),
    }
}

/// Names each instruction that has no place in a hot loop.
fn offences(name: &str, loops: &[Loop], report: &mut Report) {
    for each in loops {
        let spills = each.on_stack().map(|at| ("a vector on the stack", at));
        for (what, at) in spills.chain(each.calls().map(|at| ("a call", at))) {
            report.findings.push(format!(
                "{name}: {what} in a hot loop, line {}: {}",
                at.line, at.text
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use asm::Register;
    use loops::Dot;

    const PATTERN: &str = "isa::avx2::split_tile::<4>";
    const SYMBOL: &str = "_RINvNtNtCsjU7PBsSa31s_12qkernels_x863isa4avx210split_tileKj4_EB6_";

    fn findings(body: &str, at_least: usize, excuse: Option<&'static str>) -> Vec<String> {
        let dot = Dot {
            mnemonic: "vpmaddwd",
            register: Register::Ymm,
        };
        let kernel = Kernel {
            pattern: PATTERN,
            heights: 1..=1,
            dot,
            per_row: at_least,
            excuse,
        };
        let report = inspect(&format!("{SYMBOL}:\n{body}"), &[kernel]);
        assert!(report.lines[0].starts_with("function"));
        report.findings
    }

    const CLEAN: &str = ".L1:\n\tvpmaddwd\t(%rdi), %ymm1, %ymm2\n\tvpaddd\t%ymm2, %ymm3, %ymm3\n\
                         \tjb\t.L1\n\tvmovdqu\t%ymm3, 8(%rsp)\n\tcallq\tf\n\tret\n";

    #[test]
    fn a_clean_loop_passes_whatever_stands_around_it() {
        assert_eq!(findings(CLEAN, 1, None), [""; 0]);
    }

    #[test]
    fn a_spill_fails_with_its_line() {
        let spilled = CLEAN.replace("%ymm2, %ymm3, %ymm3", "16(%rsp), %ymm3, %ymm3");
        assert_eq!(
            findings(&spilled, 1, None),
            [format!(
                "{PATTERN}: a vector on the stack in a hot loop, line 4: vpaddd 16(%rsp), %ymm3, %ymm3"
            )]
        );
        assert_eq!(findings(&spilled, 1, Some("known")), [""; 0]);
    }

    #[test]
    fn an_excuse_without_a_spill_fails() {
        let found = findings(CLEAN, 1, Some("known"));
        assert!(
            found.len() == 1 && found[0].contains("has no use"),
            "{found:?}"
        );
    }

    #[test]
    fn a_call_in_the_loop_fails() {
        let called = CLEAN.replace("\tjb", "\tcallq\tg\n\tjb");
        let found = findings(&called, 1, None);
        assert!(
            found.len() == 1 && found[0].ends_with("line 5: callq g"),
            "{found:?}"
        );
    }

    #[test]
    fn too_few_products_and_narrow_ones_fail() {
        let found = findings(CLEAN, 2, None);
        assert_eq!(
            found,
            [format!(
                "{PATTERN}: 1 vpmaddwd ymm in the loop at line 3, expected at least 2"
            )]
        );
        let narrow = CLEAN.replace("ymm", "xmm");
        assert_eq!(findings(&narrow, 1, None).len(), 1);
    }

    #[test]
    fn a_kernel_without_a_loop_fails() {
        let found = findings("\tret\n", 1, None);
        assert!(
            found.len() == 1 && found[0].contains("no loop"),
            "{found:?}"
        );
    }

    #[test]
    fn missing_functions_and_missing_rows_fail() {
        let report = inspect(&format!("{SYMBOL}:\n{CLEAN}"), &[]);
        assert!(
            report.findings[0].contains("without a row"),
            "{:?}",
            report.findings
        );
        let dot = Dot {
            mnemonic: "vpmaddwd",
            register: Register::Ymm,
        };
        let gone = Kernel {
            pattern: "isa::gone",
            heights: 1..=1,
            dot,
            per_row: 1,
            excuse: None,
        };
        let report = inspect("f:\n\tret\n", &[gone]);
        assert!(
            report.findings[0].contains("no such function"),
            "{:?}",
            report.findings
        );
    }
}
