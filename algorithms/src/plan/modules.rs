//! Names the modules that a plan's regions are made of, so that wrapping modules can apply it.

use std::collections::BTreeMap;

use remat_graphs::{Graph, ModuleRegions};

use super::Segment;

/// A region is neither a whole module nor a run of siblings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path}: region {start}..{end} ({first} to {last}) is neither one whole module nor a run of whole sibling modules"
)]
pub struct NotModules {
    /// Place in the plan, for example `segments[2].inner[0]`.
    pub path: String,
    /// First operator.
    pub start: u32,
    /// One past the last operator.
    pub end: u32,
    /// Name of the first operator.
    pub first: String,
    /// Name of the last operator.
    pub last: String,
}

/// Fills in `modules`, `results` and `kept` of all segments, inner ones included. The segments fit the graph.
///
/// # Errors
/// The first region that cuts within modules.
///
/// # Complexity
/// Time O(operators + s log regions) for s segments.
pub fn name(graph: &Graph, regions: &ModuleRegions<'_>, segments: &mut [Segment]) -> Result<(), NotModules> {
    name_at(graph, regions, segments, "segments")
}

fn name_at(graph: &Graph, regions: &ModuleRegions<'_>, segments: &mut [Segment], path: &str) -> Result<(), NotModules> {
    for (i, segment) in segments.iter_mut().enumerate() {
        let path = format!("{path}[{i}]");
        let Some(region) = regions.get(segment.start, segment.end) else {
            let name = |o: u32| graph.operators()[o as usize].name.clone();
            let (start, end) = (segment.start, segment.end);
            return Err(NotModules { path, start, end, first: name(start), last: name(end - 1) });
        };
        segment.modules = region.modules.into_iter().map(str::to_owned).collect();
        segment.results = region.results.into_iter().map(Option::<&_>::cloned).collect();
        segment.kept = kept(graph, segment);
        name_at(graph, regions, &mut segment.inner, &format!("{path}.inner"))?;
    }
    Ok(())
}

/// The kernels of kept operators, by name and by how many of that name ran before them in the region.
fn kept(graph: &Graph, segment: &Segment) -> BTreeMap<String, Vec<u32>> {
    let mut kept: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    if segment.keep.is_empty() {
        return kept;
    }
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for o in segment.start..segment.end {
        for kernel in &graph.operators()[o as usize].kernels {
            let number = counts.entry(&kernel.op).or_default();
            if segment.keep.contains(&o) {
                kept.entry(kernel.op.clone()).or_default().push(*number);
            }
            *number += 1;
        }
    }
    kept
}
