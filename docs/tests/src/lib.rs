//! The guides as documentation tests: every Rust block in them is compiled, and runs unless it says `no_run`.
//!
//! A crate of its own, because the guides lie outside of the crates that are published. `cargo xtask tidy` says if a guide
//! is missing here.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct FrontPage;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/accuracy.md")]
struct Accuracy;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-a-module.md")]
struct AddingAModule;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-an-isa.md")]
struct AddingAnIsa;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-an-observer.md")]
struct AddingAnObserver;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-an-op.md")]
struct AddingAnOp;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/benchmarks.md")]
struct Benchmarks;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/file-format.md")]
struct FileFormat;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/kernels.md")]
struct Kernels;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/numerics.md")]
struct Numerics;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/parity.md")]
struct Parity;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/coming-from-pytorch.md")]
struct ComingFromPytorch;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/choosing-qconfigs.md")]
struct ChoosingQconfigs;
