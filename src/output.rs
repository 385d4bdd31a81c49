//! The only place that writes: data to standard output or files, everything else to standard error.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::failure::{Failure, Message};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Where a document goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Standard output.
    Stdout,
    /// A file, replaced as a whole.
    File(PathBuf),
}

impl Destination {
    /// `-` and nothing are standard output.
    pub(crate) fn new(argument: Option<PathBuf>) -> Self {
        match argument {
            Some(path) if path.as_os_str() != "-" => Self::File(path),
            _ => Self::Stdout,
        }
    }

    /// Writes a document.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout => data(text),
            Self::File(path) => file(path, text),
        }
    }
}

/// Writes data to standard output.
pub(crate) fn data(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::writing("standard output", &e))
}

/// Writes text with styles to standard output; they are left out where nobody would see them.
pub(crate) fn styled(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::writing("standard output", &e))
}

/// A value as indented JSON, with a newline at the end.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| Failure::wrong(e.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// Says something to a person who watches.
pub(crate) fn note(text: &str) {
    // There is nowhere to report that standard error is closed.
    let _ = writeln!(anstream::stderr().lock(), "{}", printable(text));
}

/// Shows lines of text with styles to a person who watches.
pub(crate) fn show(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Says why the command failed; the exit code says how.
pub(crate) fn failure(failure: &Failure) -> ExitCode {
    let (message, code) = match failure {
        Failure::Closed => return ExitCode::SUCCESS,
        Failure::No(message) => (message, 1),
        Failure::Wrong(message) => (message, 2),
    };
    let Message { text, hints } = message;
    let mut stderr = anstream::stderr().lock();
    let lines = text.lines().map(str::to_owned).chain(hints.iter().map(|h| format!("hint: {h}")));
    for (i, line) in lines.enumerate() {
        let line = printable(&line);
        let _ = match line.strip_prefix("hint: ") {
            _ if i == 0 => writeln!(stderr, "{ERROR}error:{ERROR:#} {line}"),
            Some(hint) => writeln!(stderr, "{HINT}hint:{HINT:#} {hint}"),
            None => writeln!(stderr, "  {line}"),
        };
    }
    ExitCode::from(code)
}

/// Prints what clap has to say: help and version as data, usage errors as errors.
pub(crate) fn clap(said: &clap::Error) -> ExitCode {
    match said.print() {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => failure(&Failure::writing("the help", &e)),
        _ => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2)),
    }
}

/// Text without characters that move a terminal's cursor; documents may contain any.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Replaces a file as a whole: who reads it sees the old text or the new one, also if this process is killed.
fn file(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |e: &io::Error| Failure::writing(&path.display().to_string(), e);
    // Through symbolic links, so that the link stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let existing = fs::metadata(&target).ok();
    if let Some(existing) = &existing {
        if existing.is_dir() {
            return Err(Failure::wrong(format!("cannot write {}: is a directory", path.display())));
        }
        if !existing.is_file() {
            // A device or a pipe is written to; there is no old text to keep.
            return fs::write(&target, text).map_err(|e| failed(&e));
        }
        if existing.permissions().readonly() {
            return Err(Failure::wrong(format!("cannot write {}: it is read-only", path.display())));
        }
    }
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".remat-").suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let replaced = builder.tempfile_in(folder).and_then(|mut temporary| {
        temporary.write_all(text.as_bytes())?;
        if let Some(existing) = existing {
            temporary.as_file().set_permissions(existing.permissions())?;
        }
        temporary.as_file().sync_all()?;
        temporary.persist(&target).map_err(|e| e.error)
    });
    // The kind alone: the rest names the temporary file.
    replaced.map(drop).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound if !folder.is_dir() => {
            Failure::wrong(format!("cannot write {}: there is no folder {}", path.display(), folder.display()))
        }
        kind => failed(&kind.into()),
    })
}

/// Does someone watch standard error?
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}
