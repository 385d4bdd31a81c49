//! Documents from the command line: graphs, plans and devices.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::path::Path;

use remat::Plan;
use remat::algorithms::checker::CheckError;
use remat::graphs::{CostModel, Document, LoadError, Source, read};

use crate::failure::Failure;
use crate::progress::Progress;

/// What an argument names: `-`, a step of the zoo, or a path, which need not be valid Unicode.
pub(crate) fn source(argument: &OsStr) -> Source {
    argument.to_str().map_or_else(|| Source::Path(argument.into()), Source::new)
}

/// A plan is a path or `-`, never a step of the zoo.
pub(crate) fn plan_source(argument: &OsStr) -> Source {
    if argument == "-" { Source::Stdin } else { Source::Path(argument.into()) }
}

/// Standard input can be read once.
pub(crate) fn refuse_two_stdin<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Result<(), Failure> {
    let count = sources.into_iter().filter(|s| **s == Source::Stdin).count();
    if count < 2 {
        return Ok(());
    }
    Err(Failure::wrong("standard input (-) is named twice").hint("write one of the documents to a file"))
}

/// Loads a graph or a chain.
pub(crate) fn document(source: &Source) -> Result<Document, Failure> {
    let is_typed = *source == Source::Stdin && io::stdin().is_terminal();
    let _progress = (!is_typed).then(|| Progress::new(format!("reading {}", source.label())));
    read::load(source).map_err(|e| Failure::loading(&e, "GRAPH"))
}

/// Loads a plan.
pub(crate) fn plan(source: &Source) -> Result<Plan, Failure> {
    let failed = |e: LoadError| Failure::loading(&e, "PLAN");
    let text = source.read().map_err(failed)?;
    remat::algorithms::plan::parse(&text, &source.label()).map_err(failed)
}

/// A built-in device, or one described in a file.
pub(crate) fn device(argument: &OsString) -> Result<CostModel, Failure> {
    let load = |path: &Path| CostModel::load(path).map_err(|e| Failure::loading(&e, "DEVICE"));
    let named = match argument.to_str() {
        Some(name) => CostModel::device(name),
        None => return load(Path::new(argument)),
    };
    named.or_else(|unknown| {
        let path = Path::new(argument);
        if path.exists() || path.components().count() > 1 || path.extension().is_some() {
            load(path)
        } else {
            Err(Failure::wrong(unknown.to_string()).hint("or name a JSON file that describes one"))
        }
    })
}

/// A plan of a graph was given for a chain, or the other way round.
pub(crate) fn wrong_kind(source: &Source, error: &CheckError) -> Failure {
    Failure::wrong(format!("{}: {error}", source.label()))
        .hint("plans of training graphs (trace/1) have segments, plans of chains (chain/1) have checkpoints")
}
