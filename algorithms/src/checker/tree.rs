//! Resolves the segments of a plan to a tree of scopes and checks its shape.

use remat_graphs::StorageKind;

use super::error::CheckError;
use super::facts::Facts;
use crate::plan::Segment;

/// Deepest nesting that is checked.
const DEPTH_LIMIT: usize = 32;

/// Takes apart what an operator with several results returns.
const GETITEM: &str = "<built-in function getitem>";

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
    /// Those of them that return views, ascending.
    pub(super) views: Vec<KeptView>,
    /// Storages made before the region and read in it, ascending: activations and step inputs.
    pub(super) inputs: Vec<u32>,
    /// Storages that enter as parts of a tuple, ascending. A checkpoint saves tensors only; a tuple it holds itself.
    pub(super) tuples: Vec<u32>,
    /// Does the region's frame outlive its forward pass? It does if something saved refers to it.
    pub(super) anchored: bool,
}

/// A kept kernel whose result is a view: keeping it keeps the storage it looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeptView {
    pub(super) storage: u32,
    /// Operator and kernel.
    pub(super) at: (u32, u32),
    /// Is the view what the operator returns, so that later operators read through it?
    pub(super) returned: bool,
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
        let mut tree =
            Self { scopes: Vec::new(), roots: Vec::new(), innermost: vec![None; facts.trace.operators.len()] };
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
                let kept = kept(facts, s, &path)?;
                let views = views(facts, &kept, &path)?;
                let mut inputs = inputs(facts, s);
                let (tuples, whole) = tuples(facts, s);
                if whole {
                    inputs.retain(|i| tuples.binary_search(i).is_err());
                }
                tree.scopes.push(Scope {
                    start: s.start,
                    end: s.end,
                    parent,
                    children: Vec::new(),
                    kept,
                    views,
                    inputs,
                    tuples,
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

    /// The kept view through which a step at `(operator, kernel)` of the region's recomputation reads a storage.
    pub(super) fn view(&self, scope: usize, storage: u32, at: (u32, u32)) -> Option<&KeptView> {
        let views = &self.scopes[scope].views;
        let from = views.partition_point(|v| v.storage < storage);
        let of = views[from..].iter().take_while(|v| v.storage == storage && v.at < at);
        of.into_iter().find(|v| v.returned || v.at.0 == at.0)
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
fn replayable(facts: &Facts<'_>, unsafe_by: &[Option<(u32, u32)>], s: &Segment, path: &str) -> Result<(), CheckError> {
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

/// Kernels whose results are kept: all of the own operators in `keep`, and everywhere in the region, inner regions
/// included, those named in `save`. None may change anything in place, and no result may be changed afterwards.
fn kept(facts: &Facts<'_>, s: &Segment, path: &str) -> Result<Vec<(u32, u32)>, CheckError> {
    let mut kept = Vec::new();
    let own = |o: u32| (s.start..s.end).contains(&o) && !s.inner.iter().any(|i| (i.start..i.end).contains(&o));
    if let Some(&operator) = s.keep.iter().find(|&&o| !own(o)) {
        return Err(CheckError::KeepOutside { path: path.to_owned(), operator });
    }
    let mut all: Vec<u32> = s.keep.clone();
    all.sort_unstable();
    for operator in s.start..if s.keep.is_empty() && s.save.is_empty() { s.start } else { s.end } {
        let whole = all.binary_search(&operator).is_ok();
        for (k, kernel) in facts.trace.operators[operator as usize].kernels.iter().enumerate() {
            if kernel.op == "detach.default" || !whole && !s.save.contains(&kernel.op) {
                continue;
            }
            let itself = kernel.mutates.first().map(|&m| (m, operator));
            let later = || kernel.writes.iter().find_map(|&w| Some((w, facts.mutated[w as usize]?)));
            if let Some((storage, by)) = itself.or_else(later) {
                return Err(CheckError::KeepMutated { path: path.to_owned(), operator, kernel: k as u32, storage, by });
            }
            kept.push((operator, k as u32));
        }
    }
    Ok(kept)
}

/// Kept kernels that return a tensor, allocate nothing and read one activation: views.
fn views(facts: &Facts<'_>, kept: &[(u32, u32)], path: &str) -> Result<Vec<KeptView>, CheckError> {
    let mut views = Vec::new();
    for &(operator, kernel) in kept {
        let kernels = &facts.trace.operators[operator as usize].kernels;
        let k = &kernels[kernel as usize];
        let &[storage] = k.reads.as_slice() else { continue };
        if !k.writes.is_empty() || k.dtype.is_none() || facts.writer[storage as usize].is_none() {
            continue;
        }
        let after = &kernels[kernel as usize + 1..];
        let mutated = after.iter().any(|k| k.mutates.contains(&storage)).then_some(operator);
        if let Some(by) = mutated.or(facts.mutated[storage as usize].filter(|&by| by > operator)) {
            return Err(CheckError::KeepMutated { path: path.to_owned(), operator, kernel, storage, by });
        }
        let returned = after.iter().all(|k| k.writes.is_empty());
        views.push(KeptView { storage, at: (operator, kernel), returned });
    }
    views.sort_unstable();
    Ok(views)
}

fn inputs(facts: &Facts<'_>, s: &Segment) -> Vec<u32> {
    let kernels = facts.trace.operators[s.start as usize..s.end as usize].iter().flat_map(|o| &o.kernels);
    let mut inputs: Vec<u32> = kernels
        .flat_map(|k| k.reads.iter().chain(&k.mutates))
        .copied()
        .filter(|&r| match facts.writer[r as usize] {
            // A region is given parameters and makes its own casts of them.
            Some((o, _)) => o < s.start && !facts.cached_cast[r as usize],
            None => facts.kind(r) == StorageKind::Input,
        })
        .collect();
    // An operator without kernels hands on what it is given: the result before it, as far as a trace tells.
    let first = &facts.trace.operators[s.start as usize];
    if first.kernels.is_empty() && first.op != GETITEM {
        let before = facts.trace.operators[..s.start as usize].iter().rev().find_map(|o| o.kernels.last());
        let result = before.and_then(|k| if k.writes.is_empty() { k.reads.first() } else { k.writes.first() });
        let is_alive = |r: &&u32| {
            facts.writer[**r as usize].is_some() && facts.last[**r as usize].is_some_and(|last| last >= s.start)
        };
        inputs.extend(result.filter(is_alive));
    }
    inputs.sort_unstable();
    inputs.dedup();
    inputs
}

/// What enters the region as a tuple: the results of an operator before it that a `getitem` in it takes apart; and
/// whether all of the tuple's parts are taken inside, so that none enters as a tensor.
fn tuples(facts: &Facts<'_>, s: &Segment) -> (Vec<u32>, bool) {
    let is_getitem = |o: u32| facts.trace.operators[o as usize].op == GETITEM;
    if !is_getitem(s.start) {
        return (Vec::new(), false);
    }
    let Some(source) = (0..s.start).rev().find(|&o| !is_getitem(o)) else { return (Vec::new(), false) };
    let last = facts.trace.operators[source as usize].kernels.last();
    let results = last.map_or(&[][..], |k| if k.writes.is_empty() { &k.reads[..] } else { &k.writes[..] });
    let mut results: Vec<u32> = results.iter().copied().filter(|&r| facts.writer[r as usize].is_some()).collect();
    results.sort_unstable();
    (results, source + 1 == s.start)
}
