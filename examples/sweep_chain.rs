//! Sweeps synthetic chains: how the least peak grows with the number of layers, by three objectives.
//!
//! ```sh
//! cargo run --release --example sweep_chain
//! ```

#![expect(clippy::print_stdout, reason = "an example")]

use remat::algorithms::chain::{cubic, linear, linear_stepwise};
use remat::bytes::human;
use remat::graphs::synthetic::Choices;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{:>9}  {:>12}  {:>12}  {:>12}  {:>12}", "layers", "all", "conservative", "traced", "stepwise");
    for layers in [10, 100, 1_000, 10_000, 1_000_000] {
        let mut choices = Choices::seeded(1);
        let sizes: Vec<u64> = (0..layers).map(|_| choices.between(1, 4096) * 1024).collect();
        // The conservative objective takes cubic time: not for a million layers.
        let conservative = if layers <= 1_000 { human(cubic(sizes.as_slice())?.peak) } else { "-".into() };
        println!(
            "{layers:>9}  {:>12}  {conservative:>12}  {:>12}  {:>12}",
            human(sizes.iter().sum()),
            human(linear(sizes.as_slice())?.peak),
            human(linear_stepwise(sizes.as_slice())?.peak),
        );
    }
    Ok(())
}
