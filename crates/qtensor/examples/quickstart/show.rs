//! The tables that the quickstart prints.

use std::path::Path;

use comfy_table::{CellAlignment, Table, TableComponent, presets};
use qtensor::prelude::*;
use qtensor::qkernels_x86::Isa;

use crate::measure::Measured;

/// Prints what was fused, what became of each place, and both models side by side.
pub fn print(chains: &[Vec<String>], report: &Report, m: &Measured, path: &Path, kept: bool) {
    println!(
        "Fused: {}\n",
        chains
            .iter()
            .map(|c| c.join(" + "))
            .collect::<Vec<_>>()
            .join("; ")
    );
    println!("{report}\n");

    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header(["360 test images", "float", "int8", ""]);
    let percent = |x: f64| format!("{:.2} %", 100.0 * x);
    let bytes = |n: u64| format!("{:.1} kB", n as f64 / 1000.0);
    let share = 100.0 * m.int8_bytes as f64 / m.float_bytes as f64;
    table.add_row([
        "accuracy".into(),
        percent(m.float_accuracy),
        percent(m.int8_accuracy),
        String::new(),
    ]);
    table.add_row([
        "same prediction".into(),
        String::new(),
        percent(m.agreement),
        "of the images".into(),
    ]);
    table.add_row([
        "SQNR of the logits".into(),
        String::new(),
        format!("{:.1} dB", m.sqnr_db),
        String::new(),
    ]);
    table.add_row([
        "size on disk".into(),
        bytes(m.float_bytes),
        bytes(m.int8_bytes),
        format!("{share:.0} % of float"),
    ]);
    table.add_row([
        "time for one image".into(),
        format!("{:.1} µs", m.float_us),
        format!("{:.1} µs", m.int8_us),
        format!("{:.2} times as fast", m.float_us / m.int8_us),
    ]);
    for column in 1..3 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    let isa = Isa::active().map_or_else(|e| e.to_string(), |isa| isa.name().to_string());
    println!(
        "Kernels: {isa}. Threads: {}.",
        std::thread::available_parallelism().map_or(1, |n| n.get())
    );
    if m.int8_us >= m.float_us {
        println!("int8 was not faster in this run; is the machine busy, or QTENSOR_ISA set?");
    }
    if kept {
        println!("The int8 model is in {}.", path.display());
    }
}
