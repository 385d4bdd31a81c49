//! The backward pass: nodes in recorded order, each region recomputed when it is first needed.

use remat_graphs::Node;

use super::regions::Over;
use super::{Context, Moment, Observer, Replay};

impl<O: Observer> Replay<'_, '_, O> {
    pub(super) fn backward(&mut self) {
        self.in_backward = true;
        let program = self.program;
        let graph = program.graph;
        let mut orphans = program.orphans.iter().rev().peekable();
        let passed = |r: u32| self.plans[r as usize].over.filter(|o| !o.is_done).map(|o| (o.node, r));
        let mut passed: Vec<(u32, u32)> = (0..self.plans.len() as u32).filter_map(passed).collect();
        passed.sort_unstable();
        let mut passed = passed.into_iter().peekable();
        for (n, node) in graph.nodes().iter().enumerate() {
            while let Some(&(o, _)) = orphans.next_if(|o| o.1 as usize <= n) {
                self.abandon(o);
            }
            while let Some((_, r)) = passed.next_if(|p| p.0 as usize <= n) {
                self.finish(r);
            }
            if let Some(of) = node.of.filter(|_| !node.needs.is_empty()) {
                self.recompute_for(self.s.region_of[of as usize]);
            }
            // A recomputed tensor is held by the formula alone, a saved one until its gradients are reduced.
            let in_region = node.of.is_some_and(|of| self.s.region_of[of as usize].is_some());
            let saved_end = if in_region { node.formula_end } else { node.release };
            self.kernels(node.start, saved_end);
            if let Some(of) = node.of {
                self.release_saved(of, node);
            }
            self.kernels(saved_end, node.release);
            if let Some(of) = node.of {
                self.node_done(n as u32, of);
            }
            self.kernels(node.release, node.end);
        }
        for &(o, _) in orphans {
            self.abandon(o);
        }
        for r in 0..self.plans.len() as u32 {
            self.finish(r);
        }
        for &s in &program.held_by_caller {
            self.unhold(s, 0);
        }
        self.result.after_backward = self.live;
    }

    pub(super) fn kernels(&mut self, from: u32, to: u32) {
        let program = self.program;
        for b in from..to {
            for &s in &program.graph.backward()[b as usize].writes {
                self.live += program.graph.size(s);
                self.observer.born(s, 0);
            }
            self.peak(Moment::Backward { kernel: b });
            for &s in program.storages(program.deaths[b as usize]) {
                self.live -= program.graph.size(s);
                self.observer.died(s, 0);
            }
        }
    }

    pub(super) fn release_saved(&mut self, of: u32, node: &Node) {
        let region = self.s.region_of[of as usize];
        if self.is_recomputed(region) {
            for &s in node.frees.iter().filter(|&&s| self.program.graph.producer(s).is_some()) {
                let level = self.level_of(s, region);
                self.unhold(s, level);
            }
        }
    }

    pub(super) fn node_done(&mut self, n: u32, of: u32) {
        if self.program.last_node[of as usize] == Some(n) {
            self.s.done[of as usize] = true;
        }
        let mut region = self.s.region_of[of as usize];
        while let Some(r) = region {
            if self.plans[r as usize].over == Some(Over { node: n, is_done: true }) {
                self.finish(r);
            }
            region = self.regions.all[r as usize].parent;
        }
    }

    /// An operator without backward kernels lets go: the backward pass has moved below it.
    pub(super) fn abandon(&mut self, o: u32) {
        self.s.done[o as usize] = true;
        let region = self.s.region_of[o as usize];
        if self.is_recomputed(region) {
            let program = self.program;
            for &(s, _) in &program.saves[program.operators[o as usize].saves.range()] {
                let level = self.level_of(s, region);
                self.unhold(s, level);
            }
        }
    }

    pub(super) fn is_recomputed(&self, region: Option<u32>) -> bool {
        region.is_none_or(|r| self.plans[r as usize].is_recomputed)
    }

    /// Recomputes the region around an operator if that has not been done yet; first the one around it, if it must hand
    /// over its inputs.
    pub(super) fn recompute_for(&mut self, region: Option<u32>) {
        let Some(r) = region.filter(|&r| !self.plans[r as usize].is_recomputed) else { return };
        if self.plans[r as usize].takes_tensors {
            self.recompute_for(self.regions.all[r as usize].parent);
        }
        self.recompute(r);
    }

    pub(super) fn recompute(&mut self, r: u32) {
        self.plans[r as usize].is_recomputed = true;
        let regions = self.regions;
        let region = &regions.all[r as usize];
        let context = Context { region: Some(r), saves: true };
        let from = self.s.running_list.len();
        if let Some(stop) = self.plans[r as usize].stop {
            let inner: &[u32] = {
                let before = region.inner.partition_point(|&i| regions.all[i as usize].start < stop.operator);
                &region.inner[..before]
            };
            self.range(region.start, stop.operator, inner, context);
            if stop.at_inner {
                let i = region.inner[region.inner.partition_point(|&i| regions.all[i as usize].start < stop.operator)];
                if self.plans[i as usize].has_saves && !self.plans[i as usize].is_over {
                    self.hold_inputs(i, context.region);
                    self.plans[i as usize].holds_inputs = true;
                }
            } else {
                self.operator(stop.operator, context, Some(stop.kernels));
            }
        }
        self.stop_running(from);
        if region.parent.is_some() {
            // Inputs of a nested region are handed over: only what its operators saved stays.
            self.finish_inputs(r);
        }
    }
}
