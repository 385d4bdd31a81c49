//! Reads documents from a path, standard input or memory: plain or gzip, within bounded memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Graph;
use crate::chain::{CHAIN_FORMAT, Chain};
use crate::trace::{Faults, TRACE_FORMAT, Trace};
use crate::zoo;

/// Largest document that is read, in bytes after decompression. The largest real trace known is under 1 MiB.
pub const DOCUMENT_LIMIT: u64 = 128 << 20;

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// Standard input, written `-`.
    Stdin,
    /// A built-in step of the [`zoo`].
    Zoo(&'static zoo::Entry),
}

impl Source {
    /// `-` is standard input, the name of a zoo entry that entry, anything else a path. A file that is called like an
    /// entry is reached as `./name`.
    pub fn new(argument: &str) -> Self {
        match (argument, zoo::find(argument)) {
            ("-", _) => Self::Stdin,
            (_, Some(entry)) => Self::Zoo(entry),
            _ => Self::Path(argument.into()),
        }
    }

    /// How messages name the source.
    pub fn label(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Stdin => "standard input".into(),
            Self::Zoo(entry) => entry.name.into(),
        }
    }

    /// The whole document, decompressed if it starts as gzip does.
    ///
    /// # Errors
    /// [`LoadError::Io`], [`LoadError::Gzip`], or [`LoadError::TooLarge`] once [`DOCUMENT_LIMIT`] is passed; memory
    /// stays within twice that limit. [`LoadError::Unknown`] for a plain name that is neither a file nor in the zoo.
    pub fn read(&self) -> Result<Vec<u8>, LoadError> {
        let name = self.label();
        let io = |source| LoadError::Io { name: name.clone(), source };
        match self {
            Self::Path(path) => {
                if path.is_dir() {
                    return Err(io(io::Error::new(io::ErrorKind::IsADirectory, "is a directory")));
                }
                match File::open(path) {
                    Ok(file) => decompress(file, &name),
                    Err(e) if e.kind() == io::ErrorKind::NotFound && is_plain_name(path) => {
                        Err(LoadError::Unknown { nearest: zoo::nearest(&name), name: excerpt(&name) })
                    }
                    Err(e) => Err(io(e)),
                }
            }
            Self::Stdin => decompress(io::stdin().lock(), &name),
            Self::Zoo(entry) => decompress(entry.compressed, &name),
        }
    }
}

/// A document that can be planned.
#[derive(Debug, Clone)]
pub enum Document {
    /// A training graph, from `trace/1`.
    Graph(Box<Graph>),
    /// A chain, from `chain/1`.
    Chain(Chain),
}

/// Why a document could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The source cannot be read.
    #[error("cannot read {name}: {source}")]
    Io {
        /// Name of the source.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A plain name is neither a file nor an entry of the zoo.
    #[error("there is no file and no built-in step named {name}{}", hint(nearest))]
    Unknown {
        /// The name.
        name: String,
        /// Entries of the zoo that come close, best first.
        nearest: Vec<&'static str>,
    },
    /// The compressed stream is broken.
    #[error("{name}: the gzip stream is damaged or cut short: {source}")]
    Gzip {
        /// Name of the source.
        name: String,
        /// What the decoder said.
        source: io::Error,
    },
    /// The document is too large.
    #[error("{name}: larger than {} MiB after decompression; is this a trace?", limit >> 20)]
    TooLarge {
        /// Name of the source.
        name: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The document is not JSON, or not of the shape its format promises.
    #[error("{name}: {path}: {message} (line {line} column {column})")]
    Json {
        /// Name of the source.
        name: String,
        /// Path in the document; `document` for the whole.
        path: String,
        /// Line in the (decompressed) text, from 1.
        line: usize,
        /// Column in the line, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// The `format` field names something else.
    #[error("{name}: format: expected {expected}, found {found}")]
    Format {
        /// Name of the source.
        name: String,
        /// Formats that would do.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The document is well-formed, but what it says is not possible.
    #[error("{name} is not valid:\n{faults}")]
    Invalid {
        /// Name of the source.
        name: String,
        /// Everything that is wrong.
        faults: Faults,
    },
}

/// Loads a `trace/1` or `chain/1` document.
///
/// # Errors
/// See [`LoadError`]; validation reports all faults at once.
pub fn load(source: &Source) -> Result<Document, LoadError> {
    parse(&source.read()?, &source.label())
}

/// Loads the file at `path`; see [`load`].
///
/// # Errors
/// As [`load`].
pub fn load_path(path: impl AsRef<Path>) -> Result<Document, LoadError> {
    load(&Source::Path(path.as_ref().into()))
}

/// Parses a `trace/1` or `chain/1` document from decompressed text; `name` is how messages call it.
///
/// # Errors
/// As [`load`], without the I/O.
pub fn parse(text: &[u8], name: &str) -> Result<Document, LoadError> {
    let invalid = |faults| LoadError::Invalid { name: name.into(), faults };
    let graph = |trace| Ok(Document::Graph(Box::new(Graph::new(trace).map_err(invalid)?)));
    expect_object(text, name)?;
    // Nearly all documents are well-formed traces, so the format is looked up only where this fails.
    if let Ok(trace) = serde_json::from_slice::<Trace>(text)
        && trace.format == TRACE_FORMAT
    {
        return graph(trace);
    }
    match format_of(text, name)?.as_deref() {
        Some(TRACE_FORMAT) => graph(json(text, name)?),
        Some(CHAIN_FORMAT) => {
            let chain: Chain = json(text, name)?;
            chain.validate().map_err(invalid)?;
            Ok(Document::Chain(chain))
        }
        found => Err(other_format(name, format!("\"{TRACE_FORMAT}\" or \"{CHAIN_FORMAT}\""), found)),
    }
}

/// Parses a document whose `format` is `expected`; the format is looked at before anything else.
///
/// # Errors
/// [`LoadError::Format`], [`LoadError::Json`].
pub fn json_of_format<T: DeserializeOwned>(text: &[u8], name: &str, expected: &str) -> Result<T, LoadError> {
    match format_of(text, name)?.as_deref() {
        Some(found) if found == expected => json(text, name),
        found => Err(other_format(name, format!("\"{expected}\""), found)),
    }
}

fn other_format(name: &str, expected: String, found: Option<&str>) -> LoadError {
    let found = found.map_or_else(|| "nothing".into(), |f| format!("{:?}", excerpt(f)));
    LoadError::Format { name: name.into(), expected, found }
}

/// The `format` field of a document.
fn format_of(text: &[u8], name: &str) -> Result<Option<String>, LoadError> {
    #[derive(Deserialize)]
    struct Head {
        format: Option<String>,
    }
    expect_object(text, name)?;
    Ok(json::<Head>(text, name)?.format)
}

/// Parses JSON; errors say the path in the document, line and column.
///
/// # Errors
/// [`LoadError::Json`].
pub fn json<T: DeserializeOwned>(text: &[u8], name: &str) -> Result<T, LoadError> {
    // The plain parser first: tracking paths costs, and nearly all documents are well-formed.
    if let Ok(value) = serde_json::from_slice(text) {
        return Ok(value);
    }
    let error = |path: String, e: &serde_json::Error| {
        let message = e.to_string();
        let message = excerpt(message.rsplit_once(" at line ").map_or(message.as_str(), |(said, _)| said));
        // Where the text breaks off in front of a name, the path ends with a question mark.
        let path = path.trim_end_matches('?').trim_end_matches('.');
        let path = if path.is_empty() { "document".into() } else { excerpt(path) };
        LoadError::Json { name: name.into(), path, line: e.line(), column: e.column(), message }
    };
    let mut de = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut de).map_err(|e| error(e.path().to_string(), e.inner()))?;
    de.end().map_err(|e| error(".".into(), &e))?;
    Ok(value)
}

/// Every document is an object; a list would pass for one whose fields have no names.
pub(crate) fn expect_object(text: &[u8], name: &str) -> Result<(), LoadError> {
    let message = match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => return Ok(()),
        Some(_) => "expected a JSON object: the first character must be {",
        None => "there is nothing in it",
    };
    Err(LoadError::Json { name: name.into(), path: "document".into(), line: 1, column: 1, message: message.into() })
}

/// Text from a document or the command line, short and printable enough for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const LIMIT: usize = 160;
    let mut out: String = text.chars().take(LIMIT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(LIMIT).is_some() {
        out.push_str("...");
    }
    out
}

/// Could the user have meant an entry of the zoo?
fn is_plain_name(path: &Path) -> bool {
    path.components().count() == 1 && path.extension().is_none() && !path.starts_with(".")
}

fn hint(nearest: &[&str]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    format!("\nhint: the zoo has {}", nearest.join(", "))
}

/// Reads at most [`DOCUMENT_LIMIT`] bytes, through gzip if the magic number says so.
pub(crate) fn decompress(mut input: impl Read, name: &str) -> Result<Vec<u8>, LoadError> {
    let io = |source| LoadError::Io { name: name.into(), source };
    let mut magic = Vec::with_capacity(2);
    input.by_ref().take(2).read_to_end(&mut magic).map_err(io)?;
    let is_gzip = magic == [0x1f, 0x8b];
    let mut input = io::Cursor::new(magic).chain(input);
    let mut text = Vec::new();
    if is_gzip {
        let decoder = flate2::read::MultiGzDecoder::new(input);
        decoder
            .take(DOCUMENT_LIMIT + 1)
            .read_to_end(&mut text)
            .map_err(|source| LoadError::Gzip { name: name.into(), source })?;
    } else {
        input.by_ref().take(DOCUMENT_LIMIT + 1).read_to_end(&mut text).map_err(io)?;
    }
    if text.len() as u64 > DOCUMENT_LIMIT {
        return Err(LoadError::TooLarge { name: name.into(), limit: DOCUMENT_LIMIT });
    }
    Ok(text)
}
