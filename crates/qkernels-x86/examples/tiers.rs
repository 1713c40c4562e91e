//! Lists the instruction sets: which of them this CPU runs, and what it lacks for the others.
//!
//! One line a tier, lowest first: its name, and behind `lacks` the missing CPU features.
//!
//! ```text
//! cargo run -p qkernels-x86 --example tiers
//! ```

use qkernels_x86::Tier;

fn main() {
    for tier in Tier::ALL {
        match tier.missing().as_slice() {
            [] => println!("{}", tier.name()),
            missing => println!("{} lacks {}", tier.name(), missing.join(" ")),
        }
    }
}
