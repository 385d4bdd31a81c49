//! The backward pass of a region, node by node.

use super::super::profile::NodeBase;
use super::Scanner;

impl Scanner<'_, '_, '_> {
    /// Peaks of the operator's nodes, after [`Self::recompute`] has marked what it saves.
    pub(super) fn backward(&mut self, j: u32) {
        let op = &self.p.operators[j as usize];
        // The lowest operator that saves: with its last release the region lets go of its inputs.
        let is_lowest = op.is_saver && !self.now.seen_saver;
        self.now.seen_saver |= op.is_saver;
        if !self.now.seen_saver {
            let largest = op.nodes.iter().map(NodeBase::largest).max().unwrap_or(0);
            self.now.after_inputs = self.now.after_inputs.max(largest);
            return;
        }
        let last_release = if is_lowest { op.nodes.iter().rposition(|n| n.releases) } else { None };
        let last_release = last_release.unwrap_or(usize::MAX);
        let size = |s: u32| self.p.program.graph.size(s);
        self.now.floor = self.now.floor.max(op.alone(|s| if self.is_own(s) { size(s) } else { 0 }));
        if op.is_needy {
            self.now.interior = self.now.interior.max(self.now.pending);
            (self.now.pending, self.now.tail, self.now.top) = (0, 0, 0);
        }
        let mut is_recomputed = false;
        let mut held = self.now.saved;
        for (i, node) in op.nodes.iter().enumerate() {
            is_recomputed |= node.needs;
            let before = held;
            held -= self.freed(node, j);
            let at_node = ((node.formula + before).max(node.reduction + held), node.formula.max(node.reduction));
            self.during(at_node, i > last_release, is_recomputed);
            self.during((node.after + held, node.after), i >= last_release, is_recomputed);
        }
    }

    /// A moment of a node, with what the region has recomputed and without.
    fn during(&mut self, (with, without): (u64, u64), is_after_inputs: bool, is_recomputed: bool) {
        let now = &mut self.now;
        if is_after_inputs {
            now.after_inputs = now.after_inputs.max(with);
            return;
        }
        now.pending = now.pending.max(with);
        if is_recomputed {
            now.top = now.top.max(with);
        } else {
            now.tail = now.tail.max(without);
        }
    }

    /// Recomputed bytes that a node of operator `j` releases: what no operator of the region below `j` saved too.
    fn freed(&self, node: &NodeBase, j: u32) -> u64 {
        let is_last = |s: &&u32| {
            let at = **s as usize;
            self.m.saved[at] == self.m.stamp && self.m.saver[at] == j && self.m.input[at] != self.m.stamp
        };
        node.frees.iter().filter(is_last).map(|&s| self.p.program.graph.size(s)).sum()
    }
}
