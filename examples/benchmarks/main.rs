//! Writes `BENCHMARKS.md`: remat against published results, and against other methods on the same instances.
//!
//! ```sh
//! cargo run --release --example benchmarks > BENCHMARKS.md
//! ```
//!
//! Peaks and overheads are the same on every machine; planning times are those of the machine that ran this.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "writes the document, and how far it is")]

mod neighbours;
mod published;
mod stages;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("# Benchmarks\n");
    println!("Written by `cargo run --release --example benchmarks`, on {}.\n", machine());
    println!(
        "Peaks are those of remat's predictor, which agrees with PyTorch's own to the byte in the peak of every measured flat, \
         selective and nested plan, those of `interval`, rotor and Kusumoto among them. The checker confirms each. Overhead is recomputed time as a share of forward and backward pass by a roofline model of an H100, \
         also for other methods' plans. Planning times vary with the machine and its load; all else does not.\n"
    );
    print!("{}", published::section()?);
    print!("{}", neighbours::section(&neighbours::INSTANCES)?);
    print!("{}", stages::section());
    Ok(())
}

/// Model and number of processors.
fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("model name"))?.to_owned();
        line.split_once(':').map(|(_, name)| name.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} with {cores} cores", model.unwrap_or_else(|| "an unnamed processor".into()))
}
