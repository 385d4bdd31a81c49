//! Walks through all kernels of a schedule, requires what they read, and counts what runs again.

use remat_graphs::{CostModel, StorageKind};

use super::error::{CheckError, Step};
use super::facts::Facts;
use super::lives::Lives;
use super::schedule::{NEVER, Schedule, Tick};
use super::tree::Tree;

/// Work that is done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Again {
    pub(super) operators: u64,
    pub(super) flops: u64,
    pub(super) bytes: u64,
    pub(super) ns: u64,
}

/// Requires that everything a kernel of the forward pass or of a recomputation reads is alive. Time O(depth x kernels).
pub(super) fn forward(
    facts: &Facts<'_>,
    tree: &Tree,
    line: &Schedule,
    lives: &Lives<'_>,
    times: Option<&CostModel>,
) -> Result<Again, CheckError> {
    let mut again = Again::default();
    for (a, activity) in line.activities.iter().enumerate() {
        for o in activity.start..activity.end {
            let mut ran = false;
            for k in 0..activity.reached(facts, o) {
                if activity.scope.is_some_and(|s| tree.keeps(s, (o, k))) {
                    continue;
                }
                let kernel = &facts.trace.operators[o as usize].kernels[k as usize];
                let step = if activity.scope.is_none() {
                    Step::Forward { operator: o, kernel: k }
                } else {
                    ran = true;
                    again.flops += kernel.flops;
                    again.bytes += kernel.bytes;
                    again.ns = again.ns.saturating_add(times.map_or(0, |model| model.kernel_ns(kernel)));
                    Step::Recompute { start: activity.start, end: activity.end, operator: o, kernel: k }
                };
                let at = activity.kernel_at(facts, (o, k));
                for &s in kernel.reads.iter().chain(&kernel.mutates) {
                    if !facts.kind(s).is_static() {
                        lives.require(a, s, ((o, k), at), step)?;
                    }
                }
            }
            again.operators += u64::from(ran);
        }
    }
    Ok(again)
}

/// Lives of all gradients: from the kernel that writes them to the kernel after which they die.
pub(super) fn gradients(facts: &Facts<'_>, line: &Schedule) -> Vec<Option<(Tick, Tick)>> {
    let mut lives = vec![None; facts.trace.storages.len()];
    for (b, kernel) in facts.trace.backward.iter().enumerate() {
        for &s in &kernel.writes {
            let dies = facts.trace.storages[s as usize].dies;
            lives[s as usize] = Some((line.backward[b], dies.map_or(NEVER, |d| line.backward[d as usize])));
        }
    }
    lives
}

/// Requires that everything a backward kernel reads is alive: gradients by their recorded lives, saved tensors where
/// the kernel's operator finds them. Time O(backward kernels).
pub(super) fn backward(
    facts: &Facts<'_>,
    tree: &Tree,
    line: &Schedule,
    lives: &Lives<'_>,
    gradients: &[Option<(Tick, Tick)>],
) -> Result<(), CheckError> {
    for (b, kernel) in facts.trace.backward.iter().enumerate() {
        let (at, step) = (line.backward[b], Step::Backward { kernel: b as u32 });
        let scope = kernel.of.and_then(|of| tree.innermost[of as usize]);
        for &storage in kernel.reads.iter().chain(&kernel.mutates) {
            match facts.kind(storage) {
                StorageKind::Activation => {
                    let activity = scope.map_or(Some(0), |s| line.recomputed[s]);
                    let activity = activity.ok_or(CheckError::Missing { step, storage })?;
                    let position = (kernel.of.unwrap_or(facts.loss()), u32::MAX);
                    lives.require(activity, storage, (position, at), step)?;
                }
                StorageKind::Gradient | StorageKind::ParamGrad => match gradients[storage as usize] {
                    Some((birth, death)) if birth < at => {
                        if at > death {
                            return Err(CheckError::Dead { step, storage });
                        }
                    }
                    _ => return Err(CheckError::Missing { step, storage }),
                },
                _ => {}
            }
        }
    }
    Ok(())
}
