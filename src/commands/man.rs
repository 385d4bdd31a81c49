//! `remat man`: manual pages generated from the arguments themselves.

use std::io::{self, Write};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::args::Cli;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(command: Option<&str>) -> Result<(), Failure> {
    let mut cli = Cli::command();
    // Gives subcommands their full names and versions.
    cli.build();
    // `remat help plan` is `remat plan --help`; neither has a page of its own.
    let cli = cli.mut_subcommand("help", |help| help.hide(true));
    let page = match command {
        None => cli,
        Some(name) => {
            let known: Vec<&str> = cli.get_subcommands().filter(|c| !c.is_hide_set()).map(Command::get_name).collect();
            let unknown = || {
                Failure::wrong(format!("there is no command {name:?}"))
                    .hint(format!("commands are {}", known.join(", ")))
            };
            cli.find_subcommand(name).filter(|c| !c.is_hide_set()).cloned().ok_or_else(unknown)?
        }
    };
    let mut text = Vec::new();
    render(page, &mut text).map_err(|e| Failure::writing("the manual page", &e))?;
    output::data(&String::from_utf8_lossy(&text))
}

/// A page whose closing help is in the sections where readers of manuals look for it.
fn render(command: Command, out: &mut dyn Write) -> io::Result<()> {
    let closing = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let has_commands = command.get_subcommands().any(|c| !c.is_hide_set());
    // Pages have no date, so that they change with the arguments alone; an empty one would shift what follows it.
    let page = Man::new(command).date(" ").source(concat!("remat ", env!("CARGO_PKG_VERSION"))).manual("remat manual");
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    if has_commands {
        page.render_subcommands_section(out)?;
    }
    let mut sections = Roff::new();
    for paragraph in closing.split("\n\n") {
        if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
            sections.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines() {
                sections.text([roman(line.trim_start())]);
            }
            sections.control("fi", []);
        } else if let Some(codes) = paragraph.strip_prefix("Exit codes: ") {
            sections.control("SH", ["EXIT STATUS"]).text([roman(codes)]);
        } else {
            sections.control("SH", ["NOTES"]).text([roman(paragraph)]);
        }
    }
    // The preamble came with the title.
    out.write_all(sections.to_roff().as_bytes())
}
