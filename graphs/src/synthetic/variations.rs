//! Changes to a recorded step: what real models do now and then.

use super::rng::Choices;
use crate::trace::{BackwardKernel, Operator, Storage, StorageKind, Trace};

/// The loss becomes an operator of the model, as in models that take labels; what is left for the loss operator is to
/// pick it from what the model returns. Time O(kernels of the loss).
pub fn loss_inside(trace: &mut Trace, returned: Vec<u32>) {
    let Some(loss) = trace.operators.last_mut() else { return };
    loss.name = "cross_entropy".into();
    loss.op = "cross_entropy_loss.default".into();
    let value = loss.kernels.last().and_then(|k| k.writes.first().copied());
    let is_activation = |s: &u32| trace.storages[*s as usize].kind == StorageKind::Activation;
    trace.outputs = returned.into_iter().chain(value).filter(is_activation).collect();
    trace.outputs.sort_unstable();
    trace.outputs.dedup();
    trace.operators.push(Operator {
        name: "loss".into(),
        op: "loss".into(),
        module: String::new(),
        random: false,
        kernels: Vec::new(),
        saves: Vec::new(),
    });
}

/// Makes some operators save what none of their backward kernels reads: some keep backward kernels all the same, others
/// have none. Time O(operators × kernels).
pub(super) fn save_unread(trace: &mut Trace, c: &mut Choices, percent: u64) {
    let loss = trace.operators.len() - 1;
    // One past the last operator that changes it.
    let mut changed_before = vec![0; trace.storages.len()];
    for (o, operator) in trace.operators.iter().enumerate() {
        operator.kernels.iter().flat_map(|k| &k.mutates).for_each(|&s| changed_before[s as usize] = o + 1);
    }
    for o in 0..loss {
        if !c.chance(percent) {
            continue;
        }
        let operator = &mut trace.operators[o];
        if operator.saves.is_empty() {
            let count = operator.kernels.len() as u32;
            let reads = operator.kernels.iter().flat_map(|k| k.reads.iter().map(|&s| (s, 0)));
            let writes = operator.kernels.iter().flat_map(|k| k.writes.iter().map(|&s| (s, count)));
            let is_possible = |s: &(u32, u32)| {
                let kind = trace.storages[s.0 as usize].kind;
                let is_kept = matches!(kind, StorageKind::Activation | StorageKind::Param | StorageKind::Input);
                is_kept && changed_before[s.0 as usize] <= o
            };
            // A result, or what existed before the operator.
            let made: Vec<u32> = operator.kernels.iter().flat_map(|k| k.writes.iter().copied()).collect();
            let possible: Vec<(u32, u32)> =
                reads.filter(|s| !made.contains(&s.0)).chain(writes).filter(is_possible).collect();
            operator.saves.extend(c.pick(&possible));
        } else {
            let saved: Vec<u32> = operator.saves.iter().map(|s| s.0).collect();
            for kernel in trace.backward.iter_mut().filter(|k| k.of == Some(o as u32)) {
                kernel.reads.retain(|s| !saved.contains(s));
            }
        }
    }
}

/// Gives some operators an autograd node more: one that scales the gradient that arrives and needs nothing that was saved, so
/// that a recomputation comes in the middle of the operator's nodes. Time O(operators × backward kernels).
pub(super) fn split_nodes(trace: &mut Trace, c: &mut Choices, percent: u64) {
    let loss = trace.operators.len() as u32 - 1;
    for o in (0..loss).rev() {
        let Some(first) = trace.backward.iter().position(|k| k.of == Some(o)) else { continue };
        let is_gradient = |s: &u32| trace.storages[*s as usize].kind == StorageKind::Gradient;
        let arrives: Vec<u32> = trace.backward[first].reads.iter().copied().filter(is_gradient).collect();
        let [arrives] = arrives[..] else { continue };
        let mut readers = trace.backward.iter().filter(|k| k.reads.contains(&arrives) || k.mutates.contains(&arrives));
        if !readers.all(|k| k.of == Some(o)) || !c.chance(percent) {
            continue;
        }
        let at = first as u32;
        for dies in trace.storages.iter_mut().filter_map(|s| s.dies.as_mut()).filter(|dies| **dies >= at) {
            *dies += 1;
        }
        let scaled = trace.storages.len() as u32;
        let Storage { bytes, dies, .. } = trace.storages[arrives as usize];
        trace.storages.push(Storage { bytes, kind: StorageKind::Gradient, name: None, of: None, dies });
        trace.storages[arrives as usize].dies = Some(at);
        for read in trace.backward[first..].iter_mut().flat_map(|k| &mut k.reads).filter(|s| **s == arrives) {
            *read = scaled;
        }
        let kernel = BackwardKernel {
            node: Some("DivBackward0".into()),
            op: "div.Tensor".into(),
            reads: vec![arrives],
            writes: vec![scaled],
            mutates: Vec::new(),
            flops: 0,
            bytes: 2 * bytes,
            ..trace.backward[first].clone()
        };
        trace.backward.insert(first, kernel);
    }
}
