//! The backward pass of a region, node by node.

use super::super::profile::NodeBase;
use super::{Late, Scanner};

impl Scanner<'_, '_, '_> {
    /// Peaks of the operator's nodes, after [`Self::recompute`] has marked what it saves.
    pub(super) fn backward(&mut self, j: u32) {
        let op = &self.p.operators[j as usize];
        if !op.is_needy {
            let mut held = self.now.saved;
            let mut late = self.late.clone();
            for node in &op.nodes {
                let before = held;
                held -= self.freed(node, j);
                if self.now.seen_needy {
                    let peak = (node.formula + before).max(node.reduction.max(node.after) + held);
                    self.now.pending = self.now.pending.max(peak);
                } else {
                    self.after_inputs(node.formula + before, &late);
                    self.let_go_late(node, j, &mut late);
                    self.after_inputs(node.reduction.max(node.after) + held, &late);
                }
                self.now.tail = self.now.tail.max(node.largest());
            }
            return;
        }
        let is_lowest = !std::mem::replace(&mut self.now.seen_needy, true);
        self.now.interior = self.now.interior.max(self.now.pending);
        let last_need = op.nodes.iter().rposition(|n| n.needs).unwrap_or(0);
        let (mut top, mut inside, mut tail) = (0, 0, 0);
        let mut is_recomputed = false;
        let mut held = self.now.saved;
        let mut late = std::mem::take(&mut self.late);
        let mut own = op.saves.iter().filter(|&&s| self.is_own(s)).map(|&s| self.p.program.graph.size(s)).sum::<u64>();
        for (i, node) in op.nodes.iter().enumerate() {
            is_recomputed |= node.needs;
            if i <= last_need {
                self.now.floor = self.now.floor.max(node.formula + own);
            }
            let goes = node.frees.iter().filter(|&&s| op.saves.contains(&s) && self.is_own(s));
            own = own.saturating_sub(goes.map(|&s| self.p.program.graph.size(s)).sum());
            let before = held;
            held -= self.freed(node, j);
            let mut with_inputs = (node.formula + before).max(node.reduction + held);
            let mut without = node.formula.max(node.reduction);
            if is_lowest && i > last_need {
                self.after_inputs(node.formula + before, &late);
                self.let_go_late(node, j, &mut late);
                self.after_inputs(node.reduction + held, &late);
                (with_inputs, without) = (0, 0);
            } else {
                self.let_go_late(node, j, &mut late);
            }
            if is_lowest && i >= last_need {
                self.after_inputs(node.after + held, &late);
            } else {
                with_inputs = with_inputs.max(node.after + held);
                without = without.max(node.after);
            }
            inside = inside.max(with_inputs);
            if is_recomputed {
                top = top.max(with_inputs);
            } else {
                tail = tail.max(without);
            }
        }
        self.now.top = top;
        self.now.tail = tail;
        self.now.pending = inside;
    }

    /// A moment after the region has let go of its inputs, `late` of which its operators still hold.
    fn after_inputs(&mut self, peak: u64, late: &[u32]) {
        if late.is_empty() {
            self.now.after_inputs = self.now.after_inputs.max(peak);
        } else {
            self.out.late.push(Late { peak, inputs: late.to_vec() });
        }
    }

    /// Drops the inputs that a node of operator `j` is the last to hold.
    fn let_go_late(&self, node: &NodeBase, j: u32, late: &mut Vec<u32>) {
        late.retain(|s| self.m.saver[*s as usize] != j || !node.frees.contains(s));
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
