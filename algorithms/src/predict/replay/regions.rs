//! What a checkpointed region takes in, holds, keeps and lets go.

use remat_graphs::{Graph, StorageKind};

use super::super::program::is_getitem;
use super::{Observer, Replay};

/// What a region needs to know of itself.
#[allow(clippy::struct_excessive_bools)] // Independent facts, each set once.
#[derive(Debug, Clone, Default)]
pub(super) struct RegionPlan {
    pub(super) inputs: Vec<u32>,
    /// Is anything handed in, the model's own inputs included? Then starting the region saves something.
    pub(super) takes_tensors: bool,
    /// Results of an operator with several results that are handed to a nested region as one tuple. A tuple is no saved
    /// tensor: the region holds it from the forward pass on, and its recomputation reads the originals.
    pub(super) tuple: Vec<u32>,
    pub(super) holds_tuple: bool,
    /// Does a saved tensor refer to it?
    pub(super) has_saves: bool,
    pub(super) stop: Option<Stop>,
    /// When the last tensor saved in it is released: with it go its inputs and what it kept.
    pub(super) over: Option<Over>,
    pub(super) is_recomputed: bool,
    pub(super) holds_inputs: bool,
    pub(super) holds_kept: bool,
    /// The last tensor saved in it has been released.
    pub(super) is_over: bool,
}

/// A moment at which saved tensors are released, in order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Over {
    /// Autograd node.
    pub(super) node: u32,
    /// When it is done, or when it starts: the backward pass has then moved below an operator without nodes.
    pub(super) is_done: bool,
}

/// Where a recomputation stops: everything that is saved has been saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stop {
    pub(super) operator: u32,
    pub(super) kernels: u32,
    /// The last save is that of a nested region's inputs.
    pub(super) at_inner: bool,
}

impl<O: Observer> Replay<'_, '_, O> {
    /// Inputs, stopping points and last nodes of all regions.
    pub(super) fn prepare(&mut self) {
        let program = self.program;
        let graph = program.graph;
        for (i, region) in self.regions.all.iter().enumerate() {
            let plan = &mut self.plans[i];
            let first = &graph.operators()[region.start as usize];
            if is_getitem(&first.op) && region.depth > 1 {
                plan.tuple = tuple_before(graph, region.start);
            }
            let handed = program.handed_to(region.start);
            plan.takes_tensors = handed.is_some();
            plan.inputs.extend(handed.filter(|&s| !program.is_cached_cast[s as usize]));
            for o in region.start..region.end {
                let step = &program.operators[o as usize];
                for kernel in &graph.operators()[o as usize].kernels {
                    for &s in kernel.reads.iter().chain(&kernel.mutates) {
                        if plan.tuple.contains(&s) {
                            // Elements taken out before the region are handed in as tensors.
                            plan.takes_tensors |= is_getitem(&graph.operators()[region.start as usize - 1].op);
                            continue;
                        }
                        let before = graph.producer(s).is_some_and(|p| p < region.start);
                        plan.takes_tensors |= before || graph.kind(s) == StorageKind::Input;
                        if before && !program.is_cached_cast[s as usize] {
                            plan.inputs.push(s);
                        }
                    }
                }
                if let Some(kernels) = step.last_save.filter(|_| self.s.region_of[o as usize] == Some(i as u32)) {
                    plan.has_saves = true;
                    plan.stop = plan.stop.max(Some(Stop { operator: o, kernels, at_inner: false }));
                }
            }
            plan.inputs.sort_unstable();
            plan.inputs.dedup();
        }
        for (i, region) in self.regions.all.iter().enumerate() {
            for &inner in region.inner.iter().filter(|&&r| self.plans[r as usize].takes_tensors).collect::<Vec<_>>() {
                let plan = &mut self.plans[i];
                let operator = self.regions.all[inner as usize].start;
                plan.stop = plan.stop.max(Some(Stop { operator, kernels: 0, at_inner: true }));
            }
        }
        for (n, node) in graph.nodes().iter().enumerate() {
            if let Some(of) = node.of.filter(|_| !node.frees.is_empty()) {
                self.holds_until(self.s.region_of[of as usize], Some(Over { node: n as u32, is_done: true }));
            }
        }
        for &(o, node) in &program.orphans {
            self.holds_until(self.s.region_of[o as usize], Some(Over { node, is_done: false }));
        }
        // What is handed to a nested region that saves something is saved in the region around it. Inner ones come last.
        for i in (0..self.plans.len()).rev() {
            let parent = self.regions.all[i].parent.filter(|_| self.plans[i].has_saves && self.plans[i].takes_tensors);
            if let Some(parent) = parent {
                self.plans[parent as usize].has_saves = true;
                self.holds_until(Some(parent), self.plans[i].over);
            }
        }
    }

    /// A region holds what it holds at least until then.
    fn holds_until(&mut self, region: Option<u32>, over: Option<Over>) {
        if let Some(r) = region {
            let plan = &mut self.plans[r as usize];
            plan.over = plan.over.max(over);
        }
    }

    /// The last tensor saved in a region has been released: its inputs and what it kept go.
    pub(super) fn finish(&mut self, r: u32) {
        self.plans[r as usize].is_over = true;
        self.finish_inputs(r);
        self.release_kept(r);
        if std::mem::take(&mut self.plans[r as usize].holds_tuple) {
            self.release_tuple(r, None);
        }
    }

    pub(super) fn finish_inputs(&mut self, r: u32) {
        if std::mem::take(&mut self.plans[r as usize].holds_inputs) {
            self.release_inputs(r, self.regions.all[r as usize].parent);
        }
    }

    pub(super) fn hold_inputs(&mut self, r: u32, caller: Option<u32>) {
        for i in 0..self.plans[r as usize].inputs.len() {
            let s = self.plans[r as usize].inputs[i];
            let level = self.level_of(s, caller);
            self.hold(s, level);
        }
    }

    pub(super) fn release_inputs(&mut self, r: u32, caller: Option<u32>) {
        for i in 0..self.plans[r as usize].inputs.len() {
            let s = self.plans[r as usize].inputs[i];
            let level = self.level_of(s, caller);
            self.unhold(s, level);
        }
    }

    pub(super) fn hold_tuple(&mut self, r: u32, caller: Option<u32>) {
        for i in 0..self.plans[r as usize].tuple.len() {
            let s = self.plans[r as usize].tuple[i];
            let level = self.level_of(s, caller);
            self.hold(s, level);
        }
    }

    pub(super) fn release_tuple(&mut self, r: u32, caller: Option<u32>) {
        for i in 0..self.plans[r as usize].tuple.len() {
            let s = self.plans[r as usize].tuple[i];
            let level = self.level_of(s, caller);
            self.unhold(s, level);
        }
    }

    /// Region that keeps the results of a kernel.
    pub(super) fn kept(&self, o: u32, k: u32) -> Option<u32> {
        let r = self.s.region_of[o as usize]?;
        self.regions.all[r as usize].kept.binary_search(&(o, k)).is_ok().then_some(r)
    }

    /// A kept result becomes a value of the recomputation.
    pub(super) fn hand_over(&mut self, s: u32) {
        // The hold of the region becomes that of the running code.
        let at = self.instance(s, 0);
        self.s.running[at] = true;
        self.s.running_list.push((s, 0));
    }

    pub(super) fn release_kept(&mut self, r: u32) {
        if !std::mem::take(&mut self.plans[r as usize].holds_kept) {
            return;
        }
        let regions = self.regions;
        for &(o, k) in &regions.all[r as usize].kept {
            let reached = self.plans[r as usize].is_recomputed
                && self.plans[r as usize].stop.is_some_and(|stop| (o, k) < (stop.operator, stop.kernels));
            if !reached {
                for &s in &self.program.graph.operators()[o as usize].kernels[k as usize].writes {
                    self.unhold(s, 0);
                }
            }
        }
    }
}

/// Storages of the tuple that the `getitem` operators around `start` take apart.
fn tuple_before(graph: &Graph, start: u32) -> Vec<u32> {
    let made = (0..start).rev().find(|&o| !is_getitem(&graph.operators()[o as usize].op));
    let Some(kernel) = made.and_then(|o| graph.operators()[o as usize].kernels.last()) else { return Vec::new() };
    let mut tuple = if kernel.writes.is_empty() { kernel.reads.clone() } else { kernel.writes.clone() };
    tuple.retain(|&s| graph.kind(s) == StorageKind::Activation);
    tuple
}
