//! Memory and CPU time of this process, read from /proc when metrics are collected.

use std::fs;

use opentelemetry::{KeyValue, global};

const PAGE: i64 = 4096;
const TICKS: f64 = 100.0; // a second, on every Linux that runs this

pub fn observe() {
    let meter = global::meter("payments");
    meter
        .i64_observable_up_down_counter("process.memory.usage")
        .with_unit("By")
        .with_description("The amount of physical memory in use.")
        .with_callback(|o| {
            // statm: total, resident, ... in pages
            if let Some(pages) = word("/proc/self/statm", 1) {
                o.observe(pages * PAGE, &[]);
            }
        })
        .build();
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Total CPU seconds broken down by different states.")
        .with_callback(|o| {
            // stat, counted from 0: 13 is utime, 14 is stime (the process' name has no blank)
            for (mode, at) in [("user", 13), ("system", 14)] {
                if let Some(ticks) = word("/proc/self/stat", at) {
                    o.observe(ticks as f64 / TICKS, &[KeyValue::new("cpu.mode", mode)]);
                }
            }
        })
        .build();
}

fn word(path: &str, at: usize) -> Option<i64> {
    fs::read_to_string(path).ok()?.split_ascii_whitespace().nth(at)?.parse().ok()
}
