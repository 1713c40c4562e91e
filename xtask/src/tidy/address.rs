//! Rules that give a thing one address: `unsafe`, intrinsics, the environment, rounding.
//!
//! They look at code only. Prose about these things is welcome everywhere.

use super::code::has_word;
use super::report::{Exception, Report};
use super::tree::{SourceFile, Tree};

/// Where `unsafe` and intrinsics live.
const ISA: &str = "crates/qkernels-x86/src/isa/";
/// Where libraries read the environment and the CPU's features.
const DETECT: &str = "crates/qkernels-x86/src/isa/detect.rs";
/// Where libraries round.
const ROUNDING: &str = "crates/qtensor-core/src/rounding.rs";

/// Files of libraries that may round for themselves.
const ROUNDING_EXCEPTIONS: &[Exception] = &[];

/// The keyword `unsafe`, in any Rust file of the repository.
pub fn unsafe_code(tree: &Tree) -> Report {
    only_at(ISA, tree.rust(), |line| has_word(line, "unsafe"))
}

/// Paths into the intrinsics modules, in any Rust file of the repository.
pub fn arch_intrinsics(tree: &Tree) -> Report {
    only_at(ISA, tree.rust(), |line| {
        // The last two are found in `use core::{arch::x86_64::*, ..}`.
        ["core::arch", "std::arch", "arch::x86_64", "arch::x86"]
            .iter()
            .any(|path| has_word(line, path))
    })
}

/// Environment variables and CPU detection, in libraries. `env!` reads at build time and is free.
pub fn environment(tree: &Tree) -> Report {
    only_at(DETECT, tree.library_rust(), |line| {
        ["env::var", "env::var_os", "env::vars", "env::vars_os"]
            .iter()
            .any(|path| has_word(line, path))
            || [
                "is_x86_feature_detected",
                "__cpuid",
                "__cpuid_count",
                "_xgetbv",
            ]
            .iter()
            .any(|name| has_word(line, name))
    })
}

/// Float rounding, in libraries. Conversion instructions are held to the same bytes by tests.
pub fn rounding(tree: &Tree) -> Report {
    let report = only_at(ROUNDING, tree.library_rust(), |line| {
        line.contains(".round()")
            || line.contains(".rint")
            || ["round_ties_even", "f32::round", "f64::round"]
                .iter()
                .any(|name| has_word(line, name))
    });
    report.except(ROUNDING_EXCEPTIONS)
}

/// Reports each line of code outside `address` on which `breaks` is true.
fn only_at<'tree>(
    address: &str,
    files: impl Iterator<Item = (&'tree SourceFile, &'tree str)>,
    breaks: impl Fn(&str) -> bool,
) -> Report {
    let mut report = Report::new("files");
    for (file, code) in files {
        if file.path.starts_with(address) {
            continue;
        }
        report.checked += 1;
        for (index, (code, text)) in code.lines().zip(file.text.lines()).enumerate() {
            if breaks(code) {
                report
                    .findings
                    .push(format!("{}:{}: {}", file.path, index + 1, text.trim()));
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELSEWHERE: &str = "crates/qops/src/linear.rs";

    fn findings(rule: fn(&Tree) -> Report, path: &str, text: &str) -> Vec<String> {
        rule(&Tree::from_texts(&[(path, text)])).findings
    }

    /// Each of `bad` is found elsewhere and allowed at `home`; none of `good` is found anywhere.
    fn has_one_address(rule: fn(&Tree) -> Report, home: &str, bad: &[&str], good: &[&str]) {
        for text in bad {
            assert_eq!(findings(rule, ELSEWHERE, text).len(), 1, "{text}");
            assert_eq!(findings(rule, home, text).len(), 0, "{text}");
        }
        for text in good {
            assert_eq!(findings(rule, ELSEWHERE, text).len(), 0, "{text}");
        }
    }

    #[test]
    fn unsafe_has_one_address() {
        let home = "crates/qkernels-x86/src/isa/avx2.rs";
        has_one_address(
            unsafe_code,
            home,
            &[
                "unsafe { f() }",
                "pub unsafe fn f() {}",
                "unsafe impl Send for A {}",
            ],
            &[
                "// unsafe",
                "#![forbid(unsafe_code)]",
                "\"unsafe\"",
                "/// unsafe { f() }",
            ],
        );
        for near in [
            "crates/qkernels-x86/src/isa.rs",
            "crates/qkernels-x86/tests/isa/a.rs",
        ] {
            let found = findings(unsafe_code, near, "//! x\nunsafe {}\n");
            assert_eq!(found, [format!("{near}:2: unsafe {{}}")]);
        }
    }

    #[test]
    fn intrinsics_have_one_address() {
        has_one_address(
            arch_intrinsics,
            "crates/qkernels-x86/src/isa/sse2.rs",
            &[
                "use core::arch::x86_64::*;",
                "std::arch::x86_64::_mm_pause()",
                "use core::{arch::x86_64::__m128i, fmt};",
            ],
            &[
                "// core::arch",
                "use crate::march::x86;",
                "cfg!(target_arch = \"x86_64\")",
            ],
        );
    }

    #[test]
    fn the_environment_has_one_address() {
        has_one_address(
            environment,
            "crates/qkernels-x86/src/isa/detect.rs",
            &[
                "std::env::var(\"X\")",
                "env::var_os(name)",
                "std::is_x86_feature_detected!(\"avx2\")",
                "let leaf = __cpuid(7);",
            ],
            &[
                "env!(\"CARGO_PKG_VERSION\")",
                "// std::env::var",
                "std::env::temp_dir()",
            ],
        );
        // Tests and tools may read what they like.
        let report = environment(&Tree::from_texts(&[(
            "crates/qtensor/tests/golden.rs",
            "std::env::var(\"X\")",
        )]));
        assert!(report.findings.is_empty() && report.checked == 0);
    }

    #[test]
    fn rounding_has_one_address() {
        has_one_address(
            |tree| {
                // The list of exceptions would report itself as unused on this small tree.
                let mut report = rounding(tree);
                report
                    .findings
                    .retain(|finding| !finding.contains("excuses nothing"));
                report
            },
            "crates/qtensor-core/src/rounding.rs",
            &[
                "x.round()",
                "x.round_ties_even() as i32",
                "x.rint()",
                "xs.map(f32::round)",
            ],
            &[
                "rounding::round_half_even(x)",
                "// x.round()",
                "x.rounded()",
                "background.rs",
            ],
        );
    }
}
