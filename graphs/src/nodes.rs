//! Groups backward kernels into autograd nodes and finds when each lets go of its saved tensors.

use crate::trace::{StorageKind, Trace};

/// One autograd node of the backward pass: a maximal run of kernels with the same operator and node name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Operator whose gradient the node computes; absent for the root and for accumulation into parameters.
    pub of: Option<u32>,
    /// First backward kernel of the node.
    pub start: u32,
    /// Kernel at which the node's own formula ends; the engine's reduction of broadcast gradients follows
    /// (`start < formula_end <= release`).
    pub formula_end: u32,
    /// Kernel before which the node lets go of its saved tensors; the engine's summation with gradients of other nodes
    /// follows (`formula_end <= release <= end`).
    pub release: u32,
    /// One past the last backward kernel.
    pub end: u32,
    /// Saved storages that the node's kernels read, ascending.
    pub needs: Vec<u32>,
    /// Saved storages of its operator that no later node needs, ascending: released when the node is done.
    pub frees: Vec<u32>,
}

/// Splits the backward pass into nodes. Time O(kernels log saves).
pub(crate) fn group(trace: &Trace) -> Vec<Node> {
    let saved: Vec<Vec<u32>> = trace
        .operators
        .iter()
        .map(|o| {
            let mut saved: Vec<u32> = o.saves.iter().map(|s| s.0).collect();
            saved.sort_unstable();
            saved.dedup();
            saved
        })
        .collect();
    let mut nodes: Vec<Node> = Vec::new();
    let mut unread = saved.clone();
    for (b, kernel) in trace.backward.iter().enumerate() {
        let b = b as u32;
        let same = nodes.last().is_some_and(|n| {
            let first = &trace.backward[n.start as usize];
            n.of == kernel.of && first.node == kernel.node && kernel.of.is_some()
        });
        if !same {
            nodes.push(Node {
                of: kernel.of,
                start: b,
                formula_end: b,
                release: b,
                end: b,
                needs: Vec::new(),
                frees: Vec::new(),
            });
        }
        let Some(node) = nodes.last_mut() else { continue };
        node.end = b + 1;
        if let Some(of) = kernel.of {
            node.needs.extend(kernel.reads.iter().filter(|&s| saved[of as usize].binary_search(s).is_ok()));
            unread[of as usize].retain(|s| !kernel.reads.contains(s));
        }
    }
    let born = births(trace);
    // A storage is freed by the last node of its operator that needs it; what none needs, by the operator's last node.
    let mut pending = saved;
    let mut is_last = vec![true; trace.operators.len()];
    for node in nodes.iter_mut().rev() {
        node.needs.sort_unstable();
        node.needs.dedup();
        node.release = node.end;
        while node.release > node.start + 1 && is_summation(trace, &born, node, node.release - 1) {
            node.release -= 1;
        }
        node.formula_end = formula_end(trace, node);
        let Some(of) = node.of else { continue };
        let last = std::mem::replace(&mut is_last[of as usize], false);
        let unread = &unread[of as usize];
        pending[of as usize].retain(|s| {
            let frees = node.needs.binary_search(s).is_ok() || (last && unread.binary_search(s).is_ok());
            if frees {
                node.frees.push(*s);
            }
            !frees
        });
    }
    nodes
}

/// Backward kernel that writes each storage, `None` for those of the forward pass.
fn births(trace: &Trace) -> Vec<Option<u32>> {
    let mut born = vec![None; trace.storages.len()];
    for (b, kernel) in trace.backward.iter().enumerate() {
        for &s in &kernel.writes {
            born[s as usize] = Some(b as u32);
        }
    }
    born
}

/// Is kernel `b` the engine summing a gradient of this node with one that an earlier node left?
fn is_summation(trace: &Trace, born: &[Option<u32>], node: &Node, b: u32) -> bool {
    let kernel = &trace.backward[b as usize];
    let is_gradient =
        |s: u32| matches!(trace.storages[s as usize].kind, StorageKind::Gradient | StorageKind::ParamGrad);
    matches!(kernel.op.as_str(), "add.Tensor" | "add_.Tensor")
        && kernel.reads.iter().all(|&s| is_gradient(s))
        && kernel.reads.iter().any(|&s| born[s as usize].is_some_and(|at| at < node.start))
}

/// Where the kernels end that the node's formula runs: sums at its end, with the views of their results, reduce a
/// gradient to the shape of a broadcast input and belong to the engine.
fn formula_end(trace: &Trace, node: &Node) -> u32 {
    let op = |b: u32| trace.backward[b as usize].op.as_str();
    let mut end = node.release;
    let mut at = end;
    while at > node.start + 1 {
        at -= 1;
        match op(at) {
            "sum.dim_IntList" => end = at,
            "view.default" | "_unsafe_view.default" | "squeeze.dim" | "squeeze.dims" => {}
            _ => break,
        }
    }
    end
}
