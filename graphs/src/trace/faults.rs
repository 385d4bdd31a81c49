//! What is wrong in a document: a bounded list of faults, each with its place.

use std::fmt;

/// Faults reported one by one; the rest are counted.
const FAULTS_SHOWN: usize = 64;

/// One thing that is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Place in the document, for example `operators[3].kernels[0].reads[1]`.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// All faults that were found, in document order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// The first faults.
    pub shown: Vec<Fault>,
    /// How many more there are.
    pub hidden: usize,
}

impl Faults {
    /// Records a fault; keeps memory bounded whatever the document holds.
    pub(crate) fn add(&mut self, path: impl FnOnce() -> String, message: impl FnOnce() -> String) {
        if self.shown.len() < FAULTS_SHOWN {
            self.shown.push(Fault { path: path(), message: message() });
        } else {
            self.hidden += 1;
        }
    }

    /// Was nothing found?
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.shown.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{}: {}", fault.path, fault.message)?;
        }
        if self.hidden > 0 {
            write!(f, "\nand {} more faults", self.hidden)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
