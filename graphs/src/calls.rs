//! Regions of whole module calls: one call, or calls of siblings one behind the other.
//!
//! These are the regions that can be applied by wrapping modules. A module that is called several times is never part of
//! one, for its wrapper could not tell the calls apart; neither is one that changes state other than by counting
//! batches. A run of siblings is one region if the code between them only hands on what each of them returns: no
//! operator runs in between, and nothing that a call but the last returns is read behind the run.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::graph::Graph;
use crate::modules::ModuleTree;
use crate::trace::Returned;

/// The operator of recorded calls that stands for a variable of the model's code: it runs nothing.
const HOLD: &str = "hold";

/// A region of whole module calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleRegion<'g> {
    /// First operator.
    pub start: u32,
    /// One past the last operator.
    pub end: u32,
    /// Paths of the modules, in the order of their calls. Where the trace has no calls of its own, a path may name a
    /// container that is never called itself; it then stands for the modules in it.
    pub modules: Vec<&'g str>,
    /// What the calls but the last return; empty where the trace does not say.
    pub results: Vec<Option<&'g Returned>>,
}

/// All regions of whole module calls of a graph, by their operators.
#[derive(Debug, Clone)]
pub struct ModuleRegions<'g> {
    calls: Vec<Usable<'g>>,
    /// Ascending by start and end, without repetitions.
    regions: Vec<Entry>,
}

/// A call that may be part of a region.
#[derive(Debug, Clone)]
struct Usable<'g> {
    path: &'g str,
    start: u32,
    end: u32,
    returned: Known<'g>,
    /// Last operator that reads what the call returns or, if that is not known, what it allocates.
    last_read: u32,
}

/// What a trace says of a call's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known<'g> {
    /// Nothing.
    Unsaid,
    /// Nothing that a placeholder can stand for.
    Opaque,
    /// A tensor or a tuple.
    Plain(&'g Returned),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    start: u32,
    end: u32,
    /// First and last call.
    first: u32,
    last: u32,
}

impl<'g> ModuleRegions<'g> {
    /// The regions of a graph that start and end at safe cuts. Of several calls over the same operators the outermost
    /// counts. Time and memory O(N d + sum over modules of calls inside²) for N operators and depth d.
    pub fn of(graph: &'g Graph) -> Self {
        let calls = usable(graph);
        let busy = busy(graph);
        let mut regions = Vec::new();
        for (i, first) in calls.iter().enumerate() {
            regions.push(Entry { start: first.start, end: first.end, first: i as u32, last: i as u32 });
            let (mut previous, mut last_read) = (first, first.last_read);
            for (j, call) in calls.iter().enumerate().skip(i + 1) {
                if call.start < previous.end {
                    // A call inside the last one.
                    continue;
                }
                let is_next = busy[call.start as usize] == busy[previous.end as usize];
                if !is_next || parent(call.path) != parent(first.path) || previous.returned == Known::Opaque {
                    break;
                }
                let end = taken_in(graph, first.start, call.end);
                if last_read < end {
                    regions.push(Entry { start: first.start, end, first: i as u32, last: j as u32 });
                }
                last_read = last_read.max(call.last_read);
                previous = call;
            }
        }
        regions.retain(|r| graph.is_safe_cut(r.start) && graph.is_safe_cut(r.end));
        // Calls are in order, outer before inner: of equal ranges the outermost is first.
        regions.sort_unstable();
        regions.dedup_by_key(|r| (r.start, r.end));
        Self { calls, regions }
    }

    /// First operators and ends of all regions, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.regions.iter().map(|r| (r.start, r.end))
    }

    /// The region of exactly these operators. Time O(log regions + calls in it).
    pub fn get(&self, start: u32, end: u32) -> Option<ModuleRegion<'g>> {
        let i = self.regions.binary_search_by_key(&(start, end), |r| (r.start, r.end)).ok()?;
        let Entry { first, last, .. } = self.regions[i];
        let mut region = ModuleRegion { start, end, modules: Vec::new(), results: Vec::new() };
        let mut at = 0;
        for call in self.calls[first as usize..=last as usize].iter().filter(|c| {
            let is_outermost = c.start >= at;
            at = at.max(c.end);
            is_outermost
        }) {
            region.modules.push(call.path);
            match call.returned {
                Known::Unsaid => {}
                Known::Opaque => region.results.push(None),
                Known::Plain(result) => region.results.push(Some(result)),
            }
        }
        region.results.pop();
        Some(region)
    }
}

/// Calls that may be part of regions, in order, outer before inner.
fn usable(graph: &Graph) -> Vec<Usable<'_>> {
    let tree = ModuleTree::of(graph);
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    match graph.trace().modules.as_deref() {
        Some(recorded) if !recorded.is_empty() => recorded.iter().for_each(|m| *times.entry(&m.path).or_default() += 1),
        _ => (0..tree.calls().len() as u32).for_each(|c| *times.entry(tree.path(graph, c)).or_default() += 1),
    }
    let (busy, changes) = (busy(graph), changes(graph));
    let differs = |of: &[u32], start: u32, end: u32| of[start as usize] != of[end as usize];
    let mut found = Vec::new();
    for (c, call) in tree.calls().iter().enumerate().skip(1) {
        let (start, end, path) = (call.start, call.end, tree.path(graph, c as u32));
        let recorded = tree.recorded(graph, c as u32);
        if times.get(path) != Some(&1) || end > graph.loss() || recorded.is_some_and(|r| r.stateful) {
            continue;
        }
        if !differs(&busy, start, end) || differs(&changes, start, end) {
            continue;
        }
        let returns = recorded.and_then(|r| r.returns.as_deref());
        let last_read = match returns {
            Some(storages) => storages.iter().filter_map(|&s| graph.last_reader(s)).max(),
            None => allocated(graph, start, end).filter_map(|s| graph.last_reader(s)).max(),
        };
        let returned = match (returns, recorded.and_then(|r| r.result.as_ref())) {
            (None, _) => Known::Unsaid,
            (_, None) => Known::Opaque,
            (_, Some(result)) => Known::Plain(result),
        };
        found.push(Usable { path, start, end, returned, last_read: last_read.unwrap_or(0) });
    }
    found
}

fn allocated(graph: &Graph, start: u32, end: u32) -> impl Iterator<Item = u32> + '_ {
    let operators = &graph.operators()[start as usize..end as usize];
    operators.iter().flat_map(|o| &o.kernels).flat_map(|k| k.writes.iter().copied())
}

/// How many operators before each position run something.
fn busy(graph: &Graph) -> Vec<u32> {
    count(graph, |o| graph.operators()[o].op != HOLD)
}

/// How many operators before each position change a tensor of the whole step, other than by counting batches.
fn changes(graph: &Graph) -> Vec<u32> {
    let counts_batches = |s: u32| {
        let name = graph.storages()[s as usize].name.as_deref();
        name.is_some_and(|n| n.ends_with("num_batches_tracked"))
    };
    count(graph, |o| {
        let mutated = graph.operators()[o].kernels.iter().flat_map(|k| &k.mutates);
        mutated.into_iter().any(|&s| graph.kind(s).is_static() && !counts_batches(s))
    })
}

fn count(graph: &Graph, is: impl Fn(usize) -> bool) -> Vec<u32> {
    let mut so_far = 0;
    let mut counts = vec![0];
    counts.extend((0..graph.operators().len()).map(|o| {
        so_far += u32::from(is(o));
        so_far
    }));
    counts
}

/// Where a run ends: what its parent would hold of its last call is the region's own, for the parent has a placeholder.
fn taken_in(graph: &Graph, start: u32, end: u32) -> u32 {
    let is_own = |s: &u32| graph.producer(*s).is_some_and(|p| p >= start);
    let is_taken = |o: u32| {
        let operator = &graph.operators()[o as usize];
        operator.op == HOLD && operator.kernels.iter().flat_map(|k| &k.reads).all(is_own)
    };
    (end..graph.loss()).find(|&o| !is_taken(o)).unwrap_or(graph.loss())
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}
