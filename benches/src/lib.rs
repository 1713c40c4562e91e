//! Shared shapes and data of the benches.
