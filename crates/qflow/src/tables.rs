//! The tables that the passes read: which chains are fused, what converts to what, and which kinds a file restores.

pub(crate) mod defaults;
pub(crate) mod loaders;
pub(crate) mod mapping;

pub(crate) mod patterns;
