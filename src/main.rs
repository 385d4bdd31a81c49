//! The command line of remat: see `remat help`, and [`args`] for what it accepts.

mod algorithms;
mod args;
mod commands;
mod failure;
mod glyphs;
mod input;
mod output;
mod progress;
mod report;
mod table;
mod terminal;
mod timeline;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = match args::Cli::try_parse() {
        Ok(args) => args,
        Err(said) => return output::clap(&said),
    };
    match commands::run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output::failure(&failure),
    }
}
