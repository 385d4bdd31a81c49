//! Cuts of the forward pass: where a region may start and end, and what crosses.
//!
//! Cut `k` lies between operators `k - 1` and `k`. A storage crosses it if an operator before `k` makes it and one at
//! or after `k` reads it.

use crate::Graph;
use crate::trace::{StorageKind, Trace};

/// Safety of cuts `0 ..= operators`: no storage written before the cut is mutated at or after it.
///
/// Inputs and constants count as written before everything: replaying their mutation would corrupt them. Buffers are
/// exempt: batch normalisation updates its statistics in place, and the framework handles that.
pub(crate) fn safe(trace: &Trace, producer: &[Option<u32>]) -> Vec<bool> {
    let n = trace.operators.len();
    // unsafe_from[k] counts mutations whose span (written, mutated] starts at k, as a difference array.
    let mut open = vec![0i64; n + 2];
    for (o, operator) in trace.operators.iter().enumerate() {
        for &s in operator.kernels.iter().flat_map(|k| &k.mutates) {
            let first = match (trace.storages[s as usize].kind, producer[s as usize]) {
                (StorageKind::Activation, Some(p)) => p as usize + 1,
                (StorageKind::Input | StorageKind::Constant, _) => 0,
                _ => continue,
            };
            if first <= o {
                open[first] += 1;
                open[o + 1] -= 1;
            }
        }
    }
    let mut depth = 0;
    (0..=n)
        .map(|k| {
            depth += open[k];
            depth == 0
        })
        .collect()
}

/// Storages crossing every cut, as one flat list.
#[derive(Debug, Clone)]
pub struct Crossings {
    offsets: Vec<usize>,
    storages: Vec<u32>,
}

impl Crossings {
    /// Activation storages that cross each cut `0 ..= loss`. Time and memory O(operators + total crossings).
    pub fn of(graph: &Graph) -> Self {
        let cuts = graph.loss() as usize + 1;
        let spans: Vec<(u32, u32, u32)> = (0..graph.storages().len() as u32)
            .filter_map(|s| {
                let made = graph.producer(s)?;
                let read = graph.last_reader(s)?;
                (read > made).then_some((s, made + 1, read))
            })
            .collect();
        let mut offsets = vec![0usize; cuts + 1];
        for &(_, first, last) in &spans {
            for k in first..=last {
                offsets[k as usize + 1] += 1;
            }
        }
        for k in 0..cuts {
            offsets[k + 1] += offsets[k];
        }
        let mut storages = vec![0u32; offsets[cuts]];
        let mut next = offsets.clone();
        for &(s, first, last) in &spans {
            for k in first..=last {
                storages[next[k as usize]] = s;
                next[k as usize] += 1;
            }
        }
        Self { offsets, storages }
    }

    /// Storages crossing cut `k`, ascending.
    pub fn at(&self, k: u32) -> &[u32] {
        &self.storages[self.offsets[k as usize]..self.offsets[k as usize + 1]]
    }
}

/// Which storages depend on a trainable parameter, so that a gradient may flow through them: trainable parameters
/// themselves, and what kernels that read or change such a storage write or change. Time O(kernel arguments).
pub fn carries_gradient(graph: &Graph) -> Vec<bool> {
    let mut carries: Vec<bool> = (0..graph.storages().len() as u32).map(|s| graph.is_trainable(s)).collect();
    for kernel in graph.operators().iter().flat_map(|o| &o.kernels) {
        if kernel.reads.iter().chain(&kernel.mutates).any(|&s| carries[s as usize]) {
            for &s in kernel.writes.iter().chain(&kernel.mutates) {
                carries[s as usize] = true;
            }
        }
    }
    carries
}

/// Safe cuts crossed by exactly one activation storage: there the network is a chain.
pub fn chain_cuts(graph: &Graph, crossings: &Crossings) -> Vec<u32> {
    graph.safe_cuts().filter(|&k| crossings.at(k).len() == 1).collect()
}
