//! Segments of a plan, checked against a graph and resolved to a flat tree.

use remat_graphs::Graph;

use super::Segment;

/// Deepest nesting of regions that is accepted.
pub const DEPTH_LIMIT: u32 = 32;

/// One checkpointed region of operators `start..end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// First operator.
    pub start: u32,
    /// One past the last operator.
    pub end: u32,
    /// Enclosing region, as an index into [`Regions::all`].
    pub parent: Option<u32>,
    /// Nesting depth: 1 for a region that lies in no other.
    pub depth: u32,
    /// Regions directly inside, as indices into [`Regions::all`], in order of operators.
    pub inner: Vec<u32>,
    /// Kernels `(operator, kernel)` whose results are kept from the forward pass, ascending.
    pub kept: Vec<(u32, u32)>,
}

/// The regions of a plan, outer before inner, in order of operators.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Regions {
    /// All regions.
    pub all: Vec<Region>,
    /// Regions that lie in no other, as indices into `all`.
    pub outermost: Vec<u32>,
    /// Deepest nesting, 0 without regions.
    pub depth: u32,
}

/// Why a plan does not fit its graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {kind}")]
pub struct PlanError {
    /// Place in the plan, for example `segments[2].inner[0]`.
    pub path: String,
    /// What is wrong there.
    pub kind: PlanErrorKind,
}

/// What is wrong with a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanErrorKind {
    /// Start is not before end, or end lies behind the last operator before the loss.
    #[error("region {start}..{end} must be a non-empty range within the {loss} operators before the loss")]
    Range {
        /// First operator.
        start: u32,
        /// One past the last operator.
        end: u32,
        /// Index of the loss.
        loss: u32,
    },
    /// Overlaps the region before it, or leaves the region around it.
    #[error("region {start}..{end} overlaps its neighbour or leaves the region around it")]
    Overlap {
        /// First operator.
        start: u32,
        /// One past the last operator.
        end: u32,
    },
    /// Starts or ends where a storage made before is mutated afterwards.
    #[error("cut {cut} is not safe: an operator at or after it changes in place what was made before it")]
    UnsafeCut {
        /// The cut.
        cut: u32,
    },
    /// A kept operator lies outside the region.
    #[error("operator {operator} cannot be kept: it lies outside the region")]
    KeepOutside {
        /// The operator.
        operator: u32,
    },
    /// A kept result is changed in place later.
    #[error("operator {operator} cannot be kept: its result (storage {storage}) is changed in place afterwards")]
    KeepMutated {
        /// The operator.
        operator: u32,
        /// The storage that is mutated.
        storage: u32,
    },
    /// A kept kernel works in place: PyTorch refuses to hand over what it changed.
    #[error(
        "operator {operator} cannot be kept: its kernel {kernel} works in place; name its other kernels in `save` instead"
    )]
    KeepInPlace {
        /// The operator.
        operator: u32,
        /// The kernel.
        kernel: String,
    },
    /// A kept result is a view of something that the region recomputes.
    #[error(
        "operator {operator} cannot be kept: its kernel {kernel} returns a view of storage {storage}, which the region \
         recomputes; name its other kernels in `save` instead"
    )]
    KeepView {
        /// The operator.
        operator: u32,
        /// The kernel that returns a view.
        kernel: String,
        /// The storage that is viewed.
        storage: u32,
    },
    /// A selective region nests another region or lies in one.
    #[error("a selective region (keep, save) cannot contain another region or lie in one")]
    SelectiveNested,
    /// Regions are nested too deeply.
    #[error("regions are nested more than {DEPTH_LIMIT} deep")]
    TooDeep,
}

impl Regions {
    /// Resolves segments over a graph. Segments may be in any order. Time O(kernels in kept regions + s log s) for s
    /// segments.
    ///
    /// # Errors
    /// The first thing that is wrong with the segments, with its place.
    pub fn resolve(graph: &Graph, segments: &[Segment]) -> Result<Self, PlanError> {
        let mut regions = Self::default();
        let frame = Frame { start: 0, end: graph.loss(), parent: None, depth: 1 };
        regions.outermost = regions.add(graph, segments, &frame, "segments")?;
        Ok(regions)
    }

    /// The regions less one and those inside it. Regions before it keep their indices. Time and memory O(regions).
    #[must_use]
    pub fn without(&self, region: u32) -> Self {
        // Outer before inner: the regions inside follow it.
        let from = region as usize;
        let depth = self.all[from].depth;
        let end = self.all[from + 1..].iter().position(|r| r.depth <= depth).map_or(self.all.len(), |n| from + 1 + n);
        let gone = (end - from) as u32;
        let moved = |&i: &u32| match i as usize {
            i if i < from => Some(i as u32),
            i if i < end => None,
            i => Some(i as u32 - gone),
        };
        let kept = self.all.iter().enumerate().filter(|(i, _)| !(from..end).contains(i));
        let all: Vec<Region> = kept
            .map(|(_, r)| Region {
                parent: r.parent.as_ref().and_then(moved),
                inner: r.inner.iter().filter_map(moved).collect(),
                ..r.clone()
            })
            .collect();
        let depth = all.iter().map(|r| r.depth).max().unwrap_or(0);
        Self { outermost: self.outermost.iter().filter_map(moved).collect(), all, depth }
    }

    fn add(&mut self, graph: &Graph, segments: &[Segment], frame: &Frame, path: &str) -> Result<Vec<u32>, PlanError> {
        let mut order: Vec<usize> = (0..segments.len()).collect();
        order.sort_by_key(|&i| segments[i].start);
        let mut added = Vec::with_capacity(segments.len());
        let mut at = frame.start;
        for i in order {
            let s = &segments[i];
            let error = |kind| PlanError { path: format!("{path}[{i}]"), kind };
            let (start, end) = (s.start, s.end);
            if start >= end || end > graph.loss() {
                return Err(error(PlanErrorKind::Range { start, end, loss: graph.loss() }));
            }
            if start < at || end > frame.end {
                return Err(error(PlanErrorKind::Overlap { start, end }));
            }
            if let Some(cut) = [start, end].into_iter().find(|&c| !graph.is_safe_cut(c)) {
                return Err(error(PlanErrorKind::UnsafeCut { cut }));
            }
            if frame.depth > DEPTH_LIMIT {
                return Err(error(PlanErrorKind::TooDeep));
            }
            at = end;
            let index = self.all.len() as u32;
            self.depth = self.depth.max(frame.depth);
            let region =
                Region { start, end, parent: frame.parent, depth: frame.depth, inner: Vec::new(), kept: Vec::new() };
            self.all.push(region);
            let within = Frame { start, end, parent: Some(index), depth: frame.depth + 1 };
            let inner = self.add(graph, &s.inner, &within, &format!("{path}[{i}].inner"))?;
            let kept = Self::kept(graph, s, &inner, frame.depth).map_err(error)?;
            let region = &mut self.all[index as usize];
            region.inner = inner;
            region.kept = kept;
            added.push(index);
        }
        Ok(added)
    }

    /// Kernels that a selective region keeps.
    fn kept(graph: &Graph, s: &Segment, inner: &[u32], depth: u32) -> Result<Vec<(u32, u32)>, PlanErrorKind> {
        if s.keep.is_empty() && s.save.is_empty() {
            return Ok(Vec::new());
        }
        // PyTorch's policy of an outer region would also see the kernels of the inner one.
        if !inner.is_empty() || depth > 1 {
            return Err(PlanErrorKind::SelectiveNested);
        }
        if let Some(&operator) = s.keep.iter().find(|&&o| !(s.start..s.end).contains(&o)) {
            return Err(PlanErrorKind::KeepOutside { operator });
        }
        let mut kept = Vec::new();
        for o in s.start..s.end {
            let whole = s.keep.contains(&o);
            for (k, kernel) in graph.operators()[o as usize].kernels.iter().enumerate() {
                if whole || s.save.contains(&kernel.op) {
                    if !kernel.mutates.is_empty() {
                        return Err(PlanErrorKind::KeepInPlace { operator: o, kernel: kernel.op.clone() });
                    }
                    kept.push((o, k as u32));
                }
            }
        }
        Self::refuse_mutated(graph, s, &kept)?;
        Self::refuse_views(graph, s, &kept)?;
        Ok(kept)
    }

    /// A kept view holds the first run's storage, while other readers see the recomputed one.
    fn refuse_views(graph: &Graph, s: &Segment, kept: &[(u32, u32)]) -> Result<(), PlanErrorKind> {
        for &(operator, k) in kept {
            let kernels = &graph.operators()[operator as usize].kernels;
            let kernel = &kernels[k as usize];
            if !kernel.writes.is_empty() || !kernel.mutates.is_empty() {
                continue;
            }
            let is_kept = |storage: u32| {
                kept.iter().any(|&(o, k)| graph.operators()[o as usize].kernels[k as usize].writes.contains(&storage))
            };
            let recomputed = |storage: &&u32| graph.producer(**storage).is_some_and(|p| p >= s.start);
            if let Some(&storage) = kernel.reads.iter().filter(recomputed).find(|&&storage| !is_kept(storage)) {
                return Err(PlanErrorKind::KeepView { operator, kernel: kernel.op.clone(), storage });
            }
        }
        Ok(())
    }

    /// A kept result that is later mutated inside the region would be handed over in the wrong state.
    fn refuse_mutated(graph: &Graph, s: &Segment, kept: &[(u32, u32)]) -> Result<(), PlanErrorKind> {
        let mut results: Vec<(u32, u32)> = kept
            .iter()
            .flat_map(|&(o, k)| graph.operators()[o as usize].kernels[k as usize].writes.iter().map(move |&w| (w, o)))
            .collect();
        results.sort_unstable();
        let kernels = graph.operators()[s.start as usize..s.end as usize].iter().flat_map(|o| &o.kernels);
        for &storage in kernels.flat_map(|k| &k.mutates) {
            if let Ok(i) = results.binary_search_by_key(&storage, |r| r.0) {
                return Err(PlanErrorKind::KeepMutated { operator: results[i].1, storage });
            }
        }
        Ok(())
    }
}

/// What lies around a list of segments.
struct Frame {
    start: u32,
    end: u32,
    parent: Option<u32>,
    depth: u32,
}
