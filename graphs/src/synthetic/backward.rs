//! Derives loss and backward pass of a recorded forward pass, in the order in which autograd runs it.

use super::recorder::{Flow, Formula, Recorder, Tensor, To};
use crate::trace::{BackwardKernel, Kernel, Operator, StorageKind, Trace};

impl Recorder {
    /// Ends the step with a classification loss over `logits` and the backward pass.
    ///
    /// Operators run backward in reverse order. Gradients that meet at a tensor are summed pairwise at the end of the
    /// node that brings the later one; a parameter's gradient stays once its last user has contributed. A gradient dies
    /// with its last reader, or with the node that consumes it. Time O(size of the step).
    pub fn finish(mut self, logits: Tensor, targets: Tensor) -> Trace {
        let loss = self.operators();
        let (soft, value, weight) = (self.activation(logits.bytes), self.activation(4), self.activation(4));
        let kernels = vec![
            self.kernel("_log_softmax.default", &[logits.storage], &[soft], &[]),
            self.kernel("nll_loss_forward.default", &[soft, targets.storage], &[value, weight], &[]),
        ];
        let grad = self.has_gradient(logits);
        let saves = if grad { vec![(soft, 1), (targets.storage, 1), (weight, 2)] } else { vec![] };
        self.trace.operators.push(Operator {
            name: "loss".into(),
            op: "loss".into(),
            module: String::new(),
            random: false,
            kernels,
            saves,
        });
        let uses = self.uses(logits);
        let formulas = std::mem::take(&mut self.formulas);
        let values = self.values.len();
        let storages = self.trace.storages.len();
        let mut pass = Pass { recorder: self, pending: vec![None; values], params: vec![None; storages], uses };
        if grad {
            pass.loss(loss, logits, [soft, targets.storage, weight], value);
            for (o, formula) in formulas.iter().enumerate().rev() {
                pass.operator(o as u32, formula);
            }
        }
        pass.recorder.trace
    }

    /// How many gradients each parameter will get.
    fn uses(&self, logits: Tensor) -> Vec<u32> {
        let mut reached = vec![false; self.values.len()];
        reached[logits.value as usize] = self.has_gradient(logits);
        let mut uses = vec![0; self.trainable.len()];
        for formula in self.formulas.iter().rev().filter(|f| !f.flows.is_empty()) {
            if !reached[formula.output as usize] {
                continue;
            }
            for flow in &formula.flows {
                match flow {
                    Flow::Through { to, .. } => reached[to.value as usize] |= self.has_gradient(*to),
                    Flow::Kernel { to, .. } => {
                        for to in to.iter().filter(|to| self.wants(to)) {
                            match to {
                                To::Tensor(t) => reached[t.value as usize] = true,
                                To::Param(p) => uses[*p as usize] += 1,
                            }
                        }
                    }
                }
            }
        }
        uses
    }
}

/// The backward pass while it is derived.
struct Pass {
    recorder: Recorder,
    /// Per tensor, the gradient that waits for it.
    pending: Vec<Option<u32>>,
    /// Per parameter, the sum of its gradients so far.
    params: Vec<Option<u32>>,
    /// Per parameter, how many gradients are still to come.
    uses: Vec<u32>,
}

/// The autograd node that runs a kernel.
#[derive(Clone, Copy)]
struct At<'a> {
    of: Option<u32>,
    node: Option<&'a str>,
}

impl Pass {
    fn loss(&mut self, o: u32, logits: Tensor, [soft, targets, weight]: [u32; 3], value: u32) {
        let root = self.gradient(4);
        self.run(At { of: None, node: None }, "ones_like.default", &[value], &[root], 0);
        let middle = self.gradient(logits.bytes);
        let nll = At { of: Some(o), node: Some("NllLossBackward0") };
        self.run(nll, "nll_loss_backward.default", &[root, soft, targets, weight], &[middle], 0);
        let end = self.gradient(logits.bytes);
        let soft_node = At { of: Some(o), node: Some("LogSoftmaxBackward0") };
        self.run(soft_node, "_log_softmax_backward_data.default", &[middle, soft], &[end], 0);
        self.deliver(soft_node, To::Tensor(logits), end);
        self.hold(root);
        self.hold(middle);
    }

    fn operator(&mut self, o: u32, formula: &Formula) {
        let Some(incoming) = self.pending[formula.output as usize].take() else { return };
        let at = At { of: Some(o), node: Some(formula.node) };
        let mut made: Vec<(To, u32, bool)> = Vec::new();
        for flow in &formula.flows {
            if !self.recorder.is_wanted(flow) {
                continue;
            }
            match flow {
                Flow::Through { to, view } => {
                    if *view {
                        self.run(at, "view.default", &[incoming], &[], 0);
                    }
                    made.push((To::Tensor(*to), incoming, false));
                }
                Flow::Kernel { op, to, saved, cast, flops } => {
                    let mut reads: Vec<u32> = saved.iter().map(|s| s.0).chain([incoming]).collect();
                    reads.sort_unstable();
                    reads.dedup();
                    let to: Vec<To> = to.iter().filter(|to| self.recorder.wants(to)).copied().collect();
                    let writes: Vec<u32> = to
                        .iter()
                        .map(|to| {
                            let bytes = self.bytes(to);
                            self.gradient(if *cast { bytes.div_ceil(2) } else { bytes })
                        })
                        .collect();
                    self.run(at, op, &reads, &writes, *flops);
                    made.extend(to.iter().zip(&writes).map(|(to, w)| (*to, *w, *cast)));
                }
            }
        }
        for &(to, gradient, _) in made.iter().filter(|m| !m.2) {
            self.deliver(at, to, gradient);
        }
        self.hold(incoming);
        for &(to, gradient, _) in made.iter().filter(|m| m.2) {
            let cast = At { of: Some(o), node: Some("ToCopyBackward0") };
            let bytes = self.bytes(&to);
            let full = self.gradient(bytes);
            self.run(cast, "_to_copy.default", &[gradient], &[full], 0);
            self.hold(gradient);
            self.deliver(cast, to, full);
        }
    }

    /// Hands a finished gradient to its tensor or parameter, summing it with what waits there.
    fn deliver(&mut self, at: At<'_>, to: To, gradient: u32) {
        let waiting = match to {
            To::Tensor(t) => self.pending[t.value as usize].take(),
            To::Param(p) => self.params[p as usize].take(),
        };
        let gradient = match waiting {
            None => gradient,
            Some(waiting) => {
                let bytes = self.bytes(&to);
                let sum = self.gradient(bytes);
                self.run(at, "add.Tensor", &[waiting, gradient], &[sum], 0);
                sum
            }
        };
        match to {
            To::Tensor(t) => self.pending[t.value as usize] = Some(gradient),
            To::Param(p) => {
                self.uses[p as usize] -= 1;
                if self.uses[p as usize] > 0 {
                    self.params[p as usize] = Some(gradient);
                    return;
                }
                let accumulate = At { of: None, node: Some("torch::autograd::AccumulateGrad") };
                self.run(accumulate, "detach.default", &[gradient], &[], 0);
                let storage = &mut self.recorder.trace.storages[gradient as usize];
                storage.kind = StorageKind::ParamGrad;
                storage.of = Some(p);
                storage.dies = None;
            }
        }
    }

    fn bytes(&self, to: &To) -> u64 {
        match to {
            To::Tensor(t) => t.bytes,
            To::Param(p) => self.recorder.trace.storages[*p as usize].bytes,
        }
    }

    fn gradient(&mut self, bytes: u64) -> u32 {
        self.recorder.storage(bytes, StorageKind::Gradient, None)
    }

    /// Keeps a gradient until the kernel that ran last.
    fn hold(&mut self, gradient: u32) {
        let last = self.recorder.trace.backward.len() as u32 - 1;
        let storage = &mut self.recorder.trace.storages[gradient as usize];
        if storage.kind == StorageKind::Gradient {
            storage.dies = Some(last);
        }
    }

    fn run(&mut self, at: At<'_>, op: &str, reads: &[u32], writes: &[u32], flops: u64) {
        let Kernel { op, reads, writes, bytes, dtype, .. } = self.recorder.kernel(op, reads, writes, &[]);
        for &s in reads.iter().chain(&writes) {
            let now = self.recorder.trace.backward.len() as u32;
            let storage = &mut self.recorder.trace.storages[s as usize];
            if storage.kind == StorageKind::Gradient {
                storage.dies = Some(now);
            }
        }
        self.recorder.trace.backward.push(BackwardKernel {
            of: at.of,
            node: at.node.map(Into::into),
            op,
            reads,
            writes,
            mutates: Vec::new(),
            flops,
            bytes,
            dtype,
            ns: None,
        });
    }
}
