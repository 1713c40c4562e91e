//! Observers that turn calibration data into quantization parameters.
