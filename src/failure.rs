//! Why a command ends without having done what was asked.

use std::io;

use remat::graphs::LoadError;

/// The command's answer, where it is not the one hoped for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A proven no: exit code 1.
    No(Message),
    /// Usage or input is wrong: exit code 2.
    Wrong(Message),
    /// Whoever read the output went away: nothing to say.
    Closed,
}

/// What is wrong, and what to do about it.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// What is wrong, and where.
    pub text: String,
    /// What to do.
    pub hints: Vec<String>,
}

impl Failure {
    /// Usage or input is wrong.
    pub(crate) fn wrong(text: impl Into<String>) -> Self {
        Self::Wrong(Message { text: text.into(), hints: Vec::new() })
    }

    /// A proven no.
    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self::No(Message { text: text.into(), hints: Vec::new() })
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::No(message) | Self::Wrong(message) = &mut self {
            message.hints.push(hint.into());
        }
        self
    }

    /// What happened while `name` was written.
    pub(crate) fn writing(name: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::wrong(format!("cannot write {name}: {error}")),
        }
    }

    /// What is wrong with a document that was read as `wanted`: GRAPH, PLAN or DEVICE.
    pub(crate) fn loading(error: &LoadError, wanted: &str) -> Self {
        let failure = Self::wrong(error.to_string());
        match error {
            LoadError::Io { name, .. } if name.is_empty() => {
                Self::wrong(format!("{wanted} is empty")).hint("name a path, or - for standard input")
            }
            LoadError::Io { source: io, .. } if io.kind() == io::ErrorKind::NotFound && wanted == "DEVICE" => failure,
            LoadError::Io { source: io, .. } if io.kind() == io::ErrorKind::NotFound => {
                failure.hint(format!("{wanted} is a path, or - for standard input"))
            }
            LoadError::Io { source: io, .. } if io.kind() == io::ErrorKind::IsADirectory => {
                failure.hint("name a file in it")
            }
            LoadError::Unknown { name, .. } if wanted == "PLAN" => {
                Self::wrong(format!("there is no file {name}")).hint("PLAN is a path, or - for standard input")
            }
            LoadError::Unknown { name, .. } if wanted == "DEVICE" => Self::wrong(format!("there is no file {name}")),
            LoadError::Unknown { nearest, .. } if nearest.is_empty() => {
                failure.hint("`remat zoo` lists the built-in steps; a path has a folder or an extension")
            }
            LoadError::Gzip { .. } => failure.hint("copy or compress the file again"),
            LoadError::Format { found, .. } if found == "\"plan/1\"" && wanted == "GRAPH" => {
                failure.hint("this is a plan; the graph comes first, then the plan")
            }
            LoadError::Format { found, .. } if found == "\"trace/1\"" && wanted == "PLAN" => {
                failure.hint("this is a training step; the plan comes after the graph")
            }
            _ => failure,
        }
    }
}
