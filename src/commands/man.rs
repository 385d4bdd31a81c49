//! `remat man`: manual pages generated from the arguments themselves.

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(command: Option<&str>) -> Result<(), Failure> {
    let mut cli = Cli::command();
    // Gives subcommands their full names and versions.
    cli.build();
    let page = match command {
        None => cli,
        Some(name) => {
            let known: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
            let unknown = || {
                Failure::wrong(format!("there is no command {name:?}"))
                    .hint(format!("commands are {}", known.join(", ")))
            };
            cli.find_subcommand(name).cloned().ok_or_else(unknown)?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).map_err(|e| Failure::writing("the manual page", &e))?;
    output::data(&String::from_utf8_lossy(&text))
}
