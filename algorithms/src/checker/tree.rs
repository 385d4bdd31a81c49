//! Resolves the segments of a plan to a tree of scopes and checks its shape.

use remat_graphs::StorageKind;

use super::error::CheckError;
use super::facts::Facts;
use crate::plan::Segment;

/// Deepest nesting that is checked.
const DEPTH_LIMIT: usize = 32;

/// One region.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) parent: Option<usize>,
    /// Regions directly inside, in order of operators.
    pub(super) children: Vec<usize>,
    /// Kernels whose results the region keeps, ascending.
    pub(super) kept: Vec<(u32, u32)>,
    /// Storages made before the region and read in it, ascending: activations and step inputs.
    pub(super) inputs: Vec<u32>,
    /// Does the region's frame outlive its forward pass? It does if something saved refers to it.
    pub(super) anchored: bool,
}

/// All regions; a parent comes before its children.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) scopes: Vec<Scope>,
    pub(super) roots: Vec<usize>,
    /// Innermost region of each operator.
    pub(super) innermost: Vec<Option<usize>>,
}

impl Tree {
    /// Time O(s log s + depth x kernels x log) for s segments.
    pub(super) fn new(facts: &Facts<'_>, segments: &[Segment]) -> Result<Self, CheckError> {
        let mut tree = Self { scopes: Vec::new(), roots: Vec::new(), innermost: vec![None; facts.trace.operators.len()] };
        let unsafe_by = mutation_spans(facts);
        let mut open = vec![(segments, None::<usize>, "segments".to_owned(), 1)];
        while let Some((list, parent, path, depth)) = open.pop() {
            let mut order: Vec<usize> = (0..list.len()).collect();
            order.sort_by_key(|&i| (list[i].start, list[i].end));
            let mut before: Option<&Segment> = None;
            for i in order {
                let (s, path) = (&list[i], format!("{path}[{i}]"));
                let around = parent.map(|p| &tree.scopes[p]);
                shape(facts, s, &path, before, around)?;
                if depth > DEPTH_LIMIT {
                    return Err(CheckError::TooDeep { path, limit: DEPTH_LIMIT });
                }
                before = Some(s);
                replayable(facts, &unsafe_by, s, &path)?;
                let index = tree.scopes.len();
                match parent {
                    Some(p) => tree.scopes[p].children.push(index),
                    None => tree.roots.push(index),
                }
                for o in s.start..s.end {
                    tree.innermost[o as usize] = Some(index);
                }
                tree.scopes.push(Scope {
                    start: s.start,
                    end: s.end,
                    parent,
                    children: Vec::new(),
                    kept: kept(facts, s, &path)?,
                    inputs: inputs(facts, s),
                    anchored: false,
                });
                open.push((&s.inner, Some(index), format!("{path}.inner"), depth + 1));
            }
        }
        tree.anchor(facts);
        Ok(tree)
    }

    /// Is `(operator, kernel)` kept by the region?
    pub(super) fn keeps(&self, scope: usize, at: (u32, u32)) -> bool {
        self.scopes[scope].kept.binary_search(&at).is_ok()
    }

    /// Regions directly inside a region, or inside none.
    pub(super) fn children(&self, scope: Option<usize>) -> &[usize] {
        scope.map_or(&self.roots, |s| &self.scopes[s].children)
    }

    /// Region directly inside `scope` that contains the operator.
    pub(super) fn child_at(&self, scope: Option<usize>, operator: u32) -> Option<usize> {
        let children = self.children(scope);
        let i = children.partition_point(|&c| self.scopes[c].end <= operator);
        children.get(i).copied().filter(|&c| self.scopes[c].start <= operator)
    }

    /// A region is anchored by a tensor that one of its own operators saved, or by the inputs of an anchored region
    /// directly inside. Children follow their parents, so one pass from the end settles all.
    fn anchor(&mut self, facts: &Facts<'_>) {
        for (o, operator) in facts.trace.operators.iter().enumerate() {
            if let Some(scope) = self.innermost[o].filter(|_| !operator.saves.is_empty()) {
                self.scopes[scope].anchored = true;
            }
        }
        for i in (0..self.scopes.len()).rev() {
            let scope = &self.scopes[i];
            if let Some(parent) = scope.parent.filter(|_| scope.anchored && !scope.inputs.is_empty()) {
                self.scopes[parent].anchored = true;
            }
        }
    }
}

fn shape(
    facts: &Facts<'_>,
    s: &Segment,
    path: &str,
    before: Option<&Segment>,
    around: Option<&Scope>,
) -> Result<(), CheckError> {
    let (path, start, end, loss) = (path.to_owned(), s.start, s.end, facts.loss());
    if start >= end || end > loss {
        return Err(CheckError::Range { path, start, end, loss });
    }
    if let Some(o) = around.filter(|o| start < o.start || end > o.end) {
        return Err(CheckError::NotNested { path, start, end, outer_start: o.start, outer_end: o.end });
    }
    match before.filter(|b| start < b.end) {
        Some(b) => Err(CheckError::Overlap { path, start, end, other_start: b.start, other_end: b.end }),
        None => Ok(()),
    }
}

/// For every cut the storage made before it that is mutated latest, if that is at or after the cut.
fn mutation_spans(facts: &Facts<'_>) -> Vec<Option<(u32, u32)>> {
    let mut latest: Vec<Option<(u32, u32)>> = vec![None; facts.trace.operators.len() + 1];
    for (s, by) in facts.mutated.iter().enumerate().filter_map(|(s, by)| by.map(|by| (s as u32, by))) {
        let from = match (facts.kind(s), facts.writer[s as usize]) {
            (StorageKind::Activation, Some((o, _))) => o as usize + 1,
            (StorageKind::Input | StorageKind::Constant, _) => 0,
            _ => continue,
        };
        if latest[from].is_none_or(|l| l.0 < by) {
            latest[from] = Some((by, s));
        }
    }
    let mut running: Option<(u32, u32)> = None;
    for (cut, slot) in latest.iter_mut().enumerate() {
        running = (*slot).max(running);
        *slot = running.filter(|r| r.0 as usize >= cut);
    }
    latest
}

/// Nothing made before a cut of the region may be mutated after it, and no parameter inside.
fn replayable(
    facts: &Facts<'_>,
    unsafe_by: &[Option<(u32, u32)>],
    s: &Segment,
    path: &str,
) -> Result<(), CheckError> {
    for cut in [s.start, s.end] {
        if let Some((operator, storage)) = unsafe_by[cut as usize] {
            return Err(CheckError::UnsafeCut { path: path.to_owned(), cut, storage, operator });
        }
    }
    for operator in s.start..s.end {
        let kernels = &facts.trace.operators[operator as usize].kernels;
        let mut mutated = kernels.iter().flat_map(|k| &k.mutates);
        if let Some(&storage) = mutated.find(|&&m| facts.kind(m) == StorageKind::Param) {
            return Err(CheckError::ReplayedMutation { path: path.to_owned(), operator, storage });
        }
    }
    Ok(())
}

/// Kernels of the region's own operators whose results are kept, none of which may be mutated afterwards.
fn kept(facts: &Facts<'_>, s: &Segment, path: &str) -> Result<Vec<(u32, u32)>, CheckError> {
    if s.keep.is_empty() && s.save.is_empty() {
        return Ok(Vec::new());
    }
    let mut own = vec![true; (s.end - s.start) as usize];
    for i in &s.inner {
        let (from, to) = (i.start.clamp(s.start, s.end), i.end.clamp(s.start, s.end));
        own[(from - s.start) as usize..(to.max(from) - s.start) as usize].fill(false);
    }
    let mut all = vec![false; own.len()];
    for &operator in &s.keep {
        let at = operator.checked_sub(s.start).map(|o| o as usize).filter(|&o| o < own.len() && own[o]);
        let Some(at) = at else { return Err(CheckError::KeepOutside { path: path.to_owned(), operator }) };
        all[at] = true;
    }
    let mut kept = Vec::new();
    for at in (0..own.len()).filter(|&at| own[at]) {
        let operator = s.start + at as u32;
        for (k, kernel) in facts.trace.operators[operator as usize].kernels.iter().enumerate() {
            if !all[at] && !s.save.contains(&kernel.op) {
                continue;
            }
            if let Some((&storage, by)) = kernel.writes.iter().find_map(|w| Some((w, facts.mutated[*w as usize]?))) {
                return Err(CheckError::KeepMutated { path: path.to_owned(), operator, kernel: k as u32, storage, by });
            }
            kept.push((operator, k as u32));
        }
    }
    Ok(kept)
}

fn inputs(facts: &Facts<'_>, s: &Segment) -> Vec<u32> {
    let kernels = facts.trace.operators[s.start as usize..s.end as usize].iter().flat_map(|o| &o.kernels);
    let mut inputs: Vec<u32> = kernels
        .flat_map(|k| k.reads.iter().chain(&k.mutates))
        .copied()
        .filter(|&r| match facts.writer[r as usize] {
            Some((o, _)) => o < s.start,
            None => facts.kind(r) == StorageKind::Input,
        })
        .collect();
    inputs.sort_unstable();
    inputs.dedup();
    inputs
}
