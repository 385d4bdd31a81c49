//! `remat completions`: scripts generated from the arguments themselves.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "remat", &mut script);
    output::data(&String::from_utf8_lossy(&script))
}
