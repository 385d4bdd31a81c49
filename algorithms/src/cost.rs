//! Times of all kernels of a graph, in nanoseconds, as planners and reports use them.

use remat_graphs::{BackwardKernel, Graph, Kernel};

/// Nanoseconds of every kernel of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Costs {
    kernels: Vec<u64>,
    offsets: Vec<u32>,
    backward: Vec<u64>,
    forward_ns: u64,
    backward_ns: u64,
}

impl Costs {
    /// Evaluates a cost model over a graph. Time O(kernels).
    pub fn new(graph: &Graph, forward: impl Fn(&Kernel) -> u64, backward: impl Fn(&BackwardKernel) -> u64) -> Self {
        let mut kernels = Vec::new();
        let mut offsets = vec![0];
        for operator in graph.operators() {
            kernels.extend(operator.kernels.iter().map(&forward));
            offsets.push(kernels.len() as u32);
        }
        let forward_ns = kernels.iter().fold(0u64, |sum, &ns| sum.saturating_add(ns));
        let backward: Vec<u64> = graph.backward().iter().map(backward).collect();
        let backward_ns = backward.iter().fold(0u64, |sum, &ns| sum.saturating_add(ns));
        Self { kernels, offsets, backward, forward_ns, backward_ns }
    }

    /// Times of an operator's kernels.
    pub fn operator_kernels(&self, operator: u32) -> &[u64] {
        let o = operator as usize;
        &self.kernels[self.offsets[o] as usize..self.offsets[o + 1] as usize]
    }

    /// Times of the kernels of the backward pass, recomputations excluded.
    pub fn backward_kernels(&self) -> &[u64] {
        &self.backward
    }

    /// Time of the forward pass and the loss.
    pub fn forward_ns(&self) -> u64 {
        self.forward_ns
    }

    /// Time of the backward pass.
    pub fn backward_ns(&self) -> u64 {
        self.backward_ns
    }

    /// Time of both passes.
    pub fn step_ns(&self) -> u64 {
        self.forward_ns.saturating_add(self.backward_ns)
    }
}
