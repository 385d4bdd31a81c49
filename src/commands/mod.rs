//! One file per command: arguments are resolved to settings, then the command runs.

mod check;
mod compare;
mod completions;
mod frontier;
mod inspect;
mod man;
mod plan;
mod predict;
mod report;
mod rules;
mod zoo;

use crate::args::Command;
use crate::failure::Failure;

/// Runs a command.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Plan(args) => plan::run(&plan::Settings::resolve(args)?),
        Command::Predict(args) => predict::run(&predict::Settings::resolve(&args)?),
        Command::Compare(args) => compare::run(&compare::Settings::resolve(args)?),
        Command::Frontier(args) => frontier::run(&frontier::Settings::resolve(args)?),
        Command::Report(args) => report::run(&report::Settings::resolve(args)?),
        Command::Check(args) => check::run(&check::Settings::resolve(&args)?),
        Command::Inspect(args) => inspect::run(&inspect::Settings::resolve(&args)?),
        Command::Zoo(args) => zoo::run(args.format),
        Command::Completions(args) => completions::run(args.shell),
        Command::Man(args) => man::run(args.command.as_deref()),
    }
}
