//! Groups backward kernels into autograd nodes and finds when each lets go of its saved tensors.

use crate::trace::{StorageKind, Trace, saved_storages};

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

/// Splits the backward pass into nodes. Time O(K log K) for K kernel arguments and saves.
pub(crate) fn group(trace: &Trace) -> Vec<Node> {
    let saved = saved_storages(trace);
    let flags = || -> Vec<Vec<bool>> { saved.iter().map(|s| vec![false; s.len()]).collect() };
    let mut nodes: Vec<Node> = Vec::new();
    let mut read = flags();
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
        let Some(of) = kernel.of else { continue };
        for &s in &kernel.reads {
            if let Ok(i) = saved[of as usize].binary_search(&s) {
                node.needs.push(s);
                read[of as usize][i] = true;
            }
        }
    }
    let born = births(trace);
    // A storage is freed by the last node of its operator that needs it; what none needs, by the operator's last node.
    let mut freed = flags();
    let mut is_last = vec![true; trace.operators.len()];
    for node in nodes.iter_mut().rev() {
        node.needs.sort_unstable();
        node.needs.dedup();
        node.release = node.end;
        while node.release > node.start + 1 && is_summation(trace, &born, node, node.release - 1) {
            node.release -= 1;
        }
        node.formula_end = formula_end(trace, node);
        let Some(of) = node.of.map(|of| of as usize) else { continue };
        let (saved, freed) = (&saved[of], &mut freed[of]);
        for s in &node.needs {
            if let Ok(i) = saved.binary_search(s)
                && !std::mem::replace(&mut freed[i], true)
            {
                node.frees.push(*s);
            }
        }
        if std::mem::replace(&mut is_last[of], false) {
            node.frees.extend(saved.iter().zip(&read[of]).filter(|(_, read)| !**read).map(|(s, _)| *s));
            node.frees.sort_unstable();
        }
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

fn is_gradient(trace: &Trace, storage: u32) -> bool {
    matches!(trace.storages[storage as usize].kind, StorageKind::Gradient | StorageKind::ParamGrad)
}

/// Is kernel `b` the engine summing a gradient of this node with one that an earlier node left?
fn is_summation(trace: &Trace, born: &[Option<u32>], node: &Node, b: u32) -> bool {
    let kernel = &trace.backward[b as usize];
    matches!(kernel.op.as_str(), "add.Tensor" | "add_.Tensor")
        && kernel.reads.iter().all(|&s| is_gradient(trace, s))
        && kernel.reads.iter().any(|&s| born[s as usize].is_some_and(|at| at < node.start))
}

/// Where the kernels end that the node's formula runs: sums and casts of gradients at its end, with the views of their
/// results, bring a gradient to the shape and type of the input and belong to the engine.
fn formula_end(trace: &Trace, node: &Node) -> u32 {
    let mut end = node.release;
    let mut at = end;
    while at > node.start + 1 {
        at -= 1;
        let kernel = &trace.backward[at as usize];
        if !kernel.reads.iter().all(|&s| is_gradient(trace, s)) {
            break;
        }
        match kernel.op.as_str() {
            "sum.dim_IntList" | "_to_copy.default" => end = at,
            "view.default" | "_unsafe_view.default" | "squeeze.dim" | "squeeze.dims" => {}
            _ => break,
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use crate::{Graph, synthetic, zoo};

    /// The definition, word for word: a storage is freed by the last node of its operator that reads it, or by the
    /// operator's last node if none does.
    fn check(graph: &Graph) {
        let nodes = graph.nodes();
        let mut expected: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
        let mut nodes_of: Vec<Vec<usize>> = vec![Vec::new(); graph.operators().len()];
        for (i, node) in nodes.iter().enumerate() {
            assert!(node.start < node.formula_end && node.formula_end <= node.release && node.release <= node.end);
            assert_eq!(node.start, if i == 0 { 0 } else { nodes[i - 1].end });
            node.of.inspect(|&of| nodes_of[of as usize].push(i));
        }
        for (o, of) in nodes_of.iter().enumerate() {
            let mut saved: Vec<u32> = graph.operators()[o].saves.iter().map(|s| s.0).collect();
            saved.sort_unstable();
            saved.dedup();
            for s in saved {
                let reads = |i: usize| {
                    let n = &nodes[i];
                    graph.backward()[n.start as usize..n.end as usize].iter().any(|k| k.reads.contains(&s))
                };
                let by = of.iter().rev().find(|&&i| reads(i)).or(of.last());
                if let Some(&i) = by {
                    expected[i].push(s);
                }
            }
        }
        assert!(nodes.iter().zip(&expected).all(|(n, e)| n.frees == *e), "{}", graph.name());
    }

    #[test]
    fn every_saved_storage_is_freed_once_by_its_last_reader() {
        for name in ["gpt2-b8-s512-amp", "mobilenet_v3_large-b64", "unet-b8", "whisper-dialect-lora-b8"] {
            check(&zoo::load(name).expect("a zoo entry"));
        }
        for seed in 0..300 {
            check(&Graph::new(synthetic::tiny(seed)).expect("valid"));
        }
    }
}
