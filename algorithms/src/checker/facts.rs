//! What the raw trace says about lifetimes, whatever the plan.

use remat_graphs::{Graph, StorageKind, Trace};

/// One autograd node of the backward pass.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Operator whose gradient it computes.
    pub(super) of: Option<u32>,
    /// First kernel.
    pub(super) start: usize,
    /// One past the last kernel of the node's own formula: what it unpacked goes here.
    pub(super) formula: usize,
    /// One past the last kernel that reduces its gradients to the shapes and types wanted: what it saved goes here.
    pub(super) reduced: usize,
    /// One past the last kernel, sums with other gradients included.
    pub(super) end: usize,
    /// Does a kernel read what the operator saved?
    pub(super) unpacks: bool,
}

/// When autograd lets go of a tensor that an operator saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// When the formula of this node is done.
    Done(usize),
    /// When this node starts: the backward pass has moved below the operator.
    Passed(usize),
    /// With the backward pass.
    End,
}

/// Tables over a trace.
pub(super) struct Facts<'a> {
    pub(super) trace: &'a Trace,
    /// Occupied bytes of each storage.
    pub(super) size: Vec<u64>,
    /// Kernel `(operator, kernel)` of the forward pass that writes each storage.
    pub(super) writer: Vec<Option<(u32, u32)>>,
    /// Last operator that reads or mutates each storage; the loss for what the model returns.
    pub(super) last: Vec<Option<u32>>,
    /// Last operator that mutates each storage.
    pub(super) mutated: Vec<Option<u32>>,
    /// Position of each activation in order of production.
    pub(super) rank: Vec<usize>,
    /// Activations produced before each operator; one entry more than operators.
    pub(super) ranks: Vec<usize>,
    /// Is the storage a cast of a trainable parameter that the autocast context keeps?
    pub(super) cached_cast: Vec<bool>,
    /// Autograd nodes in execution order.
    pub(super) nodes: Vec<Node>,
    /// For each operator its saved storages, ascending, and when each is released.
    pub(super) releases: Vec<Vec<(u32, Release)>>,
    /// The loss, whoever computes it: what the backward pass starts from.
    pub(super) loss_result: Vec<u32>,
}

impl<'a> Facts<'a> {
    /// Time O(size of the trace x log saves), memory O(size of the trace).
    pub(super) fn new(graph: &'a Graph) -> Self {
        let trace = graph.trace();
        let n = trace.storages.len();
        let mut facts = Self {
            trace,
            size: trace.storages.iter().map(|s| s.bytes.next_multiple_of(trace.block)).collect(),
            writer: vec![None; n],
            last: vec![None; n],
            mutated: vec![None; n],
            rank: vec![usize::MAX; n],
            ranks: Vec::with_capacity(trace.operators.len() + 1),
            cached_cast: vec![false; n],
            nodes: Vec::new(),
            releases: Vec::new(),
            loss_result: Vec::new(),
        };
        facts.forward();
        facts.group();
        facts.release();
        facts
    }

    /// Index of the loss.
    pub(super) fn loss(&self) -> u32 {
        self.trace.operators.len() as u32 - 1
    }

    /// Number of kernels of an operator.
    pub(super) fn kernels(&self, operator: u32) -> u32 {
        self.trace.operators[operator as usize].kernels.len() as u32
    }

    pub(super) fn kind(&self, storage: u32) -> StorageKind {
        self.trace.storages[storage as usize].kind
    }

    /// Is a kernel's result the cast of something its operator was given? Autocast makes such casts; the loss, which
    /// may be a function of several calls, makes its own.
    pub(super) fn is_input_cast(&self, operator: u32, kernel: u32) -> bool {
        let k = &self.trace.operators[operator as usize].kernels[kernel as usize];
        let given = || k.reads.iter().all(|&s| self.writer[s as usize].is_none_or(|w| w.0 != operator));
        k.op == "_to_copy.default" && (operator == self.loss() || self.trace.autocast.is_some() && given())
    }

    fn forward(&mut self) {
        let trace = self.trace;
        let mut trainable = vec![false; trace.storages.len()];
        for parameter in trace.storages.iter().filter_map(|s| s.of) {
            trainable[parameter as usize] = true;
        }
        let mut produced = 0;
        for (o, operator) in trace.operators.iter().enumerate() {
            self.ranks.push(produced);
            for (k, kernel) in operator.kernels.iter().enumerate() {
                for &s in kernel.reads.iter().chain(&kernel.mutates) {
                    self.last[s as usize] = Some(o as u32);
                }
                for &s in &kernel.mutates {
                    self.mutated[s as usize] = Some(o as u32);
                }
                for &s in &kernel.writes {
                    self.writer[s as usize] = Some((o as u32, k as u32));
                    self.rank[s as usize] = produced;
                    produced += 1;
                    self.cached_cast[s as usize] = self.is_input_cast(o as u32, k as u32)
                        && kernel.dtype == trace.autocast
                        && kernel.reads.iter().all(|&p| trainable[p as usize]);
                }
            }
        }
        self.ranks.push(produced);
        for &s in &trace.outputs {
            self.last[s as usize] = Some(self.loss());
        }
        let roots = trace.backward.iter().take_while(|k| k.of.is_none()).flat_map(|k| &k.reads);
        self.loss_result.extend(roots.filter(|&&s| self.writer[s as usize].is_some()));
    }

    /// A node is a maximal run of kernels of one operator under one name; accumulation and the root stand alone.
    fn group(&mut self) {
        let trace = self.trace;
        let mut born = vec![usize::MAX; trace.storages.len()];
        for (b, kernel) in trace.backward.iter().enumerate() {
            for &s in &kernel.writes {
                born[s as usize] = b;
            }
        }
        let mut start = 0;
        while start < trace.backward.len() {
            let head = &trace.backward[start];
            let run = trace.backward[start..].iter().take_while(|k| k.of == head.of && k.node == head.node).count();
            let end = start + if head.of.is_some() { run } else { 1 };
            let is_gradient =
                |s: &u32| matches!(trace.storages[*s as usize].kind, StorageKind::Gradient | StorageKind::ParamGrad);
            // The engine's sums at the end have two gradients as operands, one of which an earlier node left.
            let sums = trace.backward[start + 1..end].iter().rev().take_while(|k| {
                (k.op == "add.Tensor" || k.op == "add_.Tensor")
                    && k.reads.iter().all(is_gradient)
                    && k.reads.iter().any(|&s| born[s as usize] < start)
            });
            let reduced = end - sums.count();
            // The first kernel is the node's own, whatever it is.
            let reductions = trace.backward[start + 1..reduced.max(start + 1)].iter().rev().take_while(|k| {
                matches!(k.op.as_str(), "sum.dim_IntList" | "view.default" | "_to_copy.default")
                    && k.reads.iter().all(is_gradient)
            });
            let formula = reduced - reductions.count();
            let unpacks = head.of.is_some_and(|of| {
                let saves = &trace.operators[of as usize].saves;
                trace.backward[start..end].iter().any(|k| k.reads.iter().any(|s| saves.iter().any(|v| v.0 == *s)))
            });
            self.nodes.push(Node { of: head.of, start, formula, reduced, end, unpacks });
            start = end;
        }
    }

    /// The last node that reads a saved tensor releases it; what none reads goes with the operator's last node, or,
    /// where the operator has none, once the backward pass has moved below the operator.
    fn release(&mut self) {
        let trace = self.trace;
        let mut last_node = vec![None; trace.operators.len()];
        let mut last_reading: Vec<Vec<(u32, usize)>> = vec![Vec::new(); trace.operators.len()];
        for (n, node) in self.nodes.iter().enumerate() {
            let Some(of) = node.of else { continue };
            last_node[of as usize] = Some(n);
            let reads = trace.backward[node.start..node.end].iter().flat_map(|k| &k.reads);
            last_reading[of as usize].extend(reads.map(|&s| (s, n)));
        }
        // passed[o]: first node of an operator below o.
        let mut passed = vec![Release::End; trace.operators.len()];
        let mut lowest = trace.operators.len();
        for (n, node) in self.nodes.iter().enumerate() {
            let Some(of) = node.of.map(|o| o as usize).filter(|&o| o < lowest) else { continue };
            passed[of + 1..lowest].fill(Release::Passed(n));
            if lowest < trace.operators.len() {
                passed[lowest] = Release::Passed(n);
            }
            lowest = of;
        }
        for (o, operator) in trace.operators.iter().enumerate() {
            let reading = &mut last_reading[o];
            reading.sort_unstable();
            let mut saved: Vec<u32> = operator.saves.iter().map(|s| s.0).collect();
            saved.sort_unstable();
            saved.dedup();
            let releases = saved.into_iter().map(|s| {
                let after = reading.partition_point(|r| r.0 <= s);
                let read = after.checked_sub(1).map(|i| reading[i]).filter(|r| r.0 == s).map(|r| r.1);
                (s, read.or(last_node[o]).map_or(passed[o], Release::Done))
            });
            self.releases.push(releases.collect());
        }
    }
}
