//! The flow from a float model to int8: fuse, prepare, calibrate, convert, save.
