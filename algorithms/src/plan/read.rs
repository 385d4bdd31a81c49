//! Reads plan documents.

use remat_graphs::read;
use remat_graphs::{LoadError, trace};

use super::{PLAN_FORMAT, Plan};

/// Parses a `plan/1` document from decompressed text; `name` is how messages call it.
///
/// Only `format` and one of `segments` and `checkpoints` must be there, and in a segment `start` and `end`; fields that
/// are not known are ignored. Whether the segments fit a graph is for [`Regions::resolve`](super::Regions::resolve).
///
/// # Errors
/// [`LoadError::Format`] for another format, [`LoadError::Json`] with path, line and column, [`LoadError::Invalid`] if
/// there is nothing to follow, or both kinds of it.
///
/// # Complexity
/// Time and memory O(length of the text).
pub fn parse(text: &[u8], name: &str) -> Result<Plan, LoadError> {
    let plan: Plan = read::json_of_format(text, name, PLAN_FORMAT)?;
    let fault = match (&plan.segments, &plan.checkpoints) {
        (Some(_), None) | (None, Some(_)) => return Ok(plan),
        (None, None) => "has neither segments (for a graph) nor checkpoints (for a chain)",
        (Some(_), Some(_)) => "has both segments (for a graph) and checkpoints (for a chain)",
    };
    let shown = vec![trace::Fault { path: "document".into(), message: fault.into() }];
    Err(LoadError::Invalid { name: name.into(), faults: trace::Faults { shown, hidden: 0 } })
}
