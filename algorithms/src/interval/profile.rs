//! What every operator contributes to memory and time, whatever the plan: the part of a step that planning cannot change.

use remat_graphs::{Graph, StorageKind};

use crate::cost::Costs;
use crate::predict::Program;

/// Held by the running code until the end of the forward pass.
pub(super) const FOREVER: u32 = u32::MAX;

/// Backward kernels of one autograd node, with the largest live bytes that no plan can change: everything alive the
/// whole step, the loss, and the gradients.
#[derive(Debug, Clone)]
pub(super) struct NodeBase {
    /// While the node's formula runs.
    pub formula: u64,
    /// While the engine reduces its gradients; saved tensors of a plain operator are still held.
    pub reduction: u64,
    /// While its gradients are summed with others, and until the next node.
    pub after: u64,
    /// When the node is about to start: what a recomputation finds.
    pub at_start: u64,
    /// Does the node need a saved tensor?
    pub needs: bool,
    /// Is it the last to hold something that its operator saved, parameters included?
    pub releases: bool,
    /// Saved activations released when it is done.
    pub frees: Vec<u32>,
}

impl NodeBase {
    /// Largest live bytes from its start to the next node, with nothing saved.
    pub(super) fn largest(&self) -> u64 {
        self.formula.max(self.reduction).max(self.after)
    }
}

/// A moment of an operator's forward kernels.
#[derive(Debug, Clone)]
pub(super) struct KernelMoment {
    /// Live bytes held by the running code, with everything alive the whole step and all cached casts made so far.
    pub running: u64,
    /// Saved storages of the operator that the running code no longer holds at this moment.
    pub saved_only: Vec<u32>,
}

/// One operator.
#[derive(Debug, Clone, Default)]
pub(super) struct OperatorProfile {
    pub moments: Vec<KernelMoment>,
    pub nodes: Vec<NodeBase>,
    /// Activations it reads that an earlier operator made, ascending.
    pub reads: Vec<u32>,
    /// Activations it saves, without the loss.
    pub saves: Vec<u32>,
    /// Does it save anything, parameters included?
    pub is_saver: bool,
    /// Does one of its nodes need a saved tensor? Then it makes the region around it recompute.
    pub is_needy: bool,
    /// Nanoseconds of all its kernels, and of those that run when its last tensor is saved.
    pub time: u64,
    pub time_to_last_save: u64,
}

impl OperatorProfile {
    /// Largest live bytes at the nodes that cannot run without what the operator saved, if nothing else is saved; `size` says
    /// what a storage counts. A recomputation comes before the first node that needs something, and goes no further than
    /// the last one wants. Time O(nodes + saves).
    pub(super) fn alone(&self, size: impl Fn(u32) -> u64) -> u64 {
        let Some(last) = self.nodes.iter().rposition(|n| n.needs) else { return 0 };
        let first = self.nodes.iter().position(|n| n.needs).unwrap_or(last);
        let mut saved: u64 = self.saves.iter().map(|&s| size(s)).sum();
        let mut most = 0;
        for (i, node) in self.nodes[..=last].iter().enumerate() {
            if i >= first {
                most = most.max(node.formula + saved);
            }
            let goes = node.frees.iter().filter(|s| self.saves.contains(s));
            saved = saved.saturating_sub(goes.map(|&s| size(s)).sum());
        }
        most
    }
}

/// The parts of a graph that planning needs.
#[derive(Debug)]
pub(super) struct Profile<'p, 'g> {
    pub program: &'p Program<'g>,
    pub operators: Vec<OperatorProfile>,
    /// Operator after which the running code lets go of a storage; [`FOREVER`] for cached casts and the loss.
    pub running_until: Vec<u32>,
    /// Last operator that reads or saves a storage.
    pub last_use: Vec<u32>,
    /// Storages counted as alive from their production on, whatever the plan.
    pub always: Vec<bool>,
    /// Live bytes before the first node: what the root of the backward pass finds, largest over its kernels.
    pub root: u64,
    /// Are there cached casts? They are alive in the whole forward pass, held or not, so bytes held count differently in
    /// the two passes.
    pub has_casts: bool,
    /// Does the decomposition describe the graph exactly? It does unless backward kernels run out of order.
    pub is_exact: bool,
}

impl<'p, 'g> Profile<'p, 'g> {
    pub(super) fn new(program: &'p Program<'g>, costs: &Costs) -> Self {
        let graph = program.graph;
        let mut always = vec![false; graph.storages().len()];
        for &s in &program.held_by_caller {
            always[s as usize] = true;
        }
        let mut running_until: Vec<u32> = (0..graph.storages().len() as u32)
            .map(|s| match (graph.producer(s), graph.last_reader(s)) {
                (Some(made), Some(read)) => read.max(made),
                (Some(made), None) => made,
                _ => FOREVER,
            })
            .collect();
        for s in 0..running_until.len() {
            if program.is_cached_cast[s] || always[s] {
                running_until[s] = FOREVER;
            }
        }
        let mut p = Self {
            program,
            operators: vec![OperatorProfile::default(); graph.operators().len()],
            last_use: running_until.iter().map(|&u| if u == FOREVER { 0 } else { u }).collect(),
            running_until,
            always,
            root: 0,
            has_casts: program.is_cached_cast.contains(&true),
            is_exact: true,
        };
        p.reads_and_saves(costs);
        p.forward();
        p.backward();
        p
    }

    fn graph(&self) -> &'g Graph {
        self.program.graph
    }

    fn reads_and_saves(&mut self, costs: &Costs) {
        let graph = self.graph();
        for (o, operator) in graph.operators().iter().enumerate() {
            let profile = &mut self.operators[o];
            for kernel in &operator.kernels {
                for &s in kernel.reads.iter().chain(&kernel.mutates) {
                    if graph.producer(s).is_some_and(|p| (p as usize) < o) {
                        profile.reads.push(s);
                    }
                }
            }
            profile.reads.sort_unstable();
            profile.reads.dedup();
            let step = &self.program.operators[o];
            profile.saves = self.program.saves[step.saves.range()].iter().map(|s| s.0).collect();
            profile.saves.retain(|&s| !self.always[s as usize]);
            profile.is_saver = step.last_save.is_some();
            for (k, ns) in costs.operator_kernels(o as u32).iter().enumerate() {
                profile.time += ns;
                if step.last_save.is_some_and(|last| (k as u32) < last) {
                    profile.time_to_last_save += ns;
                }
            }
            // Regions do not take casts as inputs: they make their own.
            let reads = profile.reads.iter().filter(|&&s| !self.program.is_cached_cast[s as usize]);
            for &s in profile.saves.iter().chain(reads) {
                self.last_use[s as usize] = self.last_use[s as usize].max(o as u32);
            }
        }
    }

    /// Live bytes of the running code at every forward kernel.
    fn forward(&mut self) {
        let graph = self.graph();
        let program = self.program;
        let mut live = graph.static_bytes() + graph.input_bytes();
        let mut is_running = vec![false; graph.storages().len()];
        for o in 0..graph.operators().len() {
            let step = &program.operators[o];
            let saves = &program.saves[step.saves.range()];
            let mut moments = Vec::with_capacity(step.kernels.range().len());
            for (k, kernel) in program.kernels[step.kernels.range()].iter().enumerate() {
                for &s in program.storages(kernel.allocs) {
                    live += graph.size(s);
                    is_running[s as usize] = true;
                }
                let saved_only = saves.iter().filter(|&&(s, at)| at as usize <= k && !is_running[s as usize]);
                let saved_only = saved_only.map(|s| s.0).filter(|&s| !self.always[s as usize]).collect();
                moments.push(KernelMoment { running: live, saved_only });
                for &s in program.storages(kernel.frees) {
                    if std::mem::take(&mut is_running[s as usize]) {
                        live -= graph.size(s);
                    }
                }
            }
            for &s in program.storages(step.returns) {
                if std::mem::take(&mut is_running[s as usize]) {
                    live -= graph.size(s);
                }
            }
            self.operators[o].moments = moments;
        }
    }

    /// Live bytes of gradients at every backward kernel, grouped by node and operator.
    fn backward(&mut self) {
        let graph = self.graph();
        let program = self.program;
        let fixed = graph.static_bytes() + graph.input_bytes();
        let loss: u64 = program.held_by_caller.iter().map(|&s| graph.size(s)).sum();
        let mut live = fixed + loss;
        let mut last_of: Option<u32> = None;
        for node in graph.nodes() {
            let mut peak = |from: u32, to: u32| {
                let mut peak = 0;
                for b in from..to {
                    live += graph.backward()[b as usize].writes.iter().map(|&s| graph.size(s)).sum::<u64>();
                    peak = peak.max(live);
                    live -= program.storages(program.deaths[b as usize]).iter().map(|&s| graph.size(s)).sum::<u64>();
                }
                (peak, live)
            };
            let (_, at_start) = peak(0, 0);
            let formula = peak(node.start, node.formula_end).0;
            let reduction = peak(node.formula_end, node.release).0;
            let after = peak(node.release, node.end).0;
            let Some(of) = node.of else {
                let all = formula.max(reduction).max(after);
                match last_of.and_then(|o| self.operators[o as usize].nodes.last_mut()) {
                    Some(previous) => previous.after = previous.after.max(all),
                    None => self.root = self.root.max(all),
                }
                continue;
            };
            self.is_exact &= last_of.is_none_or(|last| of <= last);
            last_of = Some(of);
            let frees = node.frees.iter().copied().filter(|&s| graph.kind(s) == StorageKind::Activation);
            self.operators[of as usize].is_needy |= !node.needs.is_empty();
            let (needs, releases) = (!node.needs.is_empty(), !node.frees.is_empty());
            let base = NodeBase { formula, reduction, after, at_start, needs, releases, frees: frees.collect() };
            self.operators[of as usize].nodes.push(base);
        }
    }
}
