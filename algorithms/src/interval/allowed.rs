//! Where regions may lie.

use remat_graphs::{Graph, ModuleRegions};

use crate::plan::Segment;

/// Where regions may lie.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// Per start cut: allowed ends, ascending.
    pub(super) ends: Vec<Vec<u32>>,
}

impl Allowed {
    /// Every pair of safe cuts. A region that starts or ends with an operator that changes nothing is never better than
    /// one without it, so such pairs are left out. Time and memory O(cuts²) at worst.
    pub fn operators(graph: &Graph) -> Self {
        let inert: Vec<bool> = (0..graph.loss()).map(|o| is_inert(graph, o)).collect();
        let ends: Vec<u32> = graph.safe_cuts().filter(|&k| k > 0 && !inert[k as usize - 1]).collect();
        let starts = (0..graph.loss()).map(|a| {
            if graph.is_safe_cut(a) && !inert[a as usize] {
                ends[ends.partition_point(|&e| e <= a)..].to_vec()
            } else {
                Vec::new()
            }
        });
        Self { ends: starts.collect() }
    }

    /// Whole module calls, and runs of consecutive calls of siblings: what can be applied by wrapping modules. Time and
    /// memory as of [`ModuleRegions::of`].
    pub fn modules(graph: &Graph) -> Self {
        Self::regions(graph, ModuleRegions::of(graph).ranges())
    }

    /// Exactly the given regions; those that start or end at unsafe cuts are dropped.
    pub fn regions(graph: &Graph, regions: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut ends = vec![Vec::new(); graph.loss() as usize];
        for (a, b) in regions {
            if a < b && b <= graph.loss() && graph.is_safe_cut(a) && graph.is_safe_cut(b) {
                ends[a as usize].push(b);
            }
        }
        for e in &mut ends {
            e.sort_unstable();
            e.dedup();
        }
        Self { ends }
    }

    /// About `parts` regions of equally many operators, one behind the other, as far as they are allowed.
    pub(super) fn uniform(&self, parts: u32) -> Vec<Segment> {
        let n = self.ends.len() as u32;
        let length = n.div_ceil(parts).max(1);
        let mut segments = Vec::new();
        let mut at = 0;
        while at < n {
            let ends = &self.ends[at as usize];
            let i = ends.partition_point(|&e| e < at.saturating_add(length));
            match ends.get(i).or(ends.last()) {
                Some(&end) => {
                    segments.push(Segment::new(at, end));
                    at = end;
                }
                None => at += 1,
            }
        }
        segments
    }

    /// Drops the regions that a predicate refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, u32) -> bool) {
        for (a, ends) in self.ends.iter_mut().enumerate() {
            ends.retain(|&b| keep(a as u32, b));
        }
    }
}

/// Does an operator neither allocate, release, save nor compute anything, in either pass?
///
/// Then a region `[a, b)` that begins with it can begin behind it, and one that ends with it can end before it: the
/// inputs, local peaks and times stay the same or shrink.
fn is_inert(graph: &Graph, o: u32) -> bool {
    let operator = &graph.operators()[o as usize];
    let quiet = operator.saves.is_empty()
        && operator
            .kernels
            .iter()
            .all(|k| k.writes.is_empty() && k.mutates.is_empty() && k.flops == 0 && k.ns.is_none());
    let reads = || operator.kernels.iter().flat_map(|k| &k.reads);
    quiet && reads().all(|&s| graph.producer(s).is_none() || graph.last_reader(s).is_some_and(|l| l > o))
}
