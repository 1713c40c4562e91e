//! The derive macro behind qnn::Module.
