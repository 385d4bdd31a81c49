//! Reads documents from a path, standard input or memory: plain or gzip, within bounded memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Graph;
use crate::chain::{CHAIN_FORMAT, Chain};
use crate::trace::{Faults, TRACE_FORMAT, Trace};

/// Largest document that is read, in bytes after decompression. The largest real trace known is under 1 MiB.
pub const DOCUMENT_LIMIT: u64 = 256 << 20;

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// Standard input, written `-`.
    Stdin,
}

impl Source {
    /// `-` is standard input, anything else a path.
    pub fn new(argument: &str) -> Self {
        if argument == "-" { Self::Stdin } else { Self::Path(argument.into()) }
    }

    /// How messages name the source.
    pub fn label(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Stdin => "standard input".into(),
        }
    }

    /// The whole document, decompressed if it starts as gzip does.
    ///
    /// # Errors
    /// [`LoadError::Io`], [`LoadError::Gzip`], or [`LoadError::TooLarge`] once [`DOCUMENT_LIMIT`] is passed; memory
    /// stays within twice that limit.
    pub fn read(&self) -> Result<Vec<u8>, LoadError> {
        let name = self.label();
        let io = |source| LoadError::Io { name: name.clone(), source };
        match self {
            Self::Path(path) => {
                if path.is_dir() {
                    return Err(io(io::Error::new(io::ErrorKind::IsADirectory, "is a directory")));
                }
                let file = File::open(path).map_err(io)?;
                decompress(file, &name)
            }
            Self::Stdin => decompress(io::stdin().lock(), &name),
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
pub enum LoadError {
    /// The source cannot be read.
    #[error("cannot read {name}: {source}")]
    Io {
        /// Name of the source.
        name: String,
        /// What the system said.
        source: io::Error,
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
    match format_of(text, name)?.as_deref() {
        Some(TRACE_FORMAT) => {
            let trace: Trace = json(text, name)?;
            Ok(Document::Graph(Box::new(Graph::new(trace).map_err(invalid)?)))
        }
        Some(CHAIN_FORMAT) => {
            let chain: Chain = json(text, name)?;
            chain.validate().map_err(invalid)?;
            Ok(Document::Chain(chain))
        }
        found => Err(LoadError::Format {
            name: name.into(),
            expected: format!("\"{TRACE_FORMAT}\" or \"{CHAIN_FORMAT}\""),
            found: found.map_or_else(|| "nothing".into(), |f| format!("{f:?}")),
        }),
    }
}

/// The `format` field of a document.
fn format_of(text: &[u8], name: &str) -> Result<Option<String>, LoadError> {
    #[derive(Deserialize)]
    struct Head {
        format: Option<String>,
    }
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
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        let path = if path == "." { "document".into() } else { path };
        LoadError::Json { name: name.into(), path, line: e.line(), column: e.column(), message }
    };
    let mut de = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut de).map_err(|e| error(e.path().to_string(), e.inner()))?;
    de.end().map_err(|e| error(".".into(), &e))?;
    Ok(value)
}

/// Reads at most [`DOCUMENT_LIMIT`] bytes, through gzip if the magic number says so.
fn decompress(mut input: impl Read, name: &str) -> Result<Vec<u8>, LoadError> {
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
