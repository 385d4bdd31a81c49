//! Plans a built-in step and shows what it takes with and without checkpointing.
//!
//! ```sh
//! cargo run --release --example plan_zoo -- gpt2-b8-s512
//! ```

#![expect(clippy::print_stdout, reason = "an example")]

use remat::bytes::human;
use remat::{Options, graphs::zoo};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "unet-b8".into());
    let graph = zoo::load(&name)?;
    let plan = remat::plan(&graph, &Options::default())?;
    let (with, without) = (plan.predicted.unwrap_or_default(), plan.without.unwrap_or_default());
    println!("{name}: {} by {}, {} without checkpointing", human(with.peak), plan.algorithm, human(without.peak));
    for region in plan.segments.iter().flatten() {
        println!("  recompute operators {}..{}", region.start, region.end);
    }
    let verified = remat::check(&graph, &plan)?;
    println!("  the checker confirms {}", human(verified.peak));
    Ok(())
}
