//! Recomputes the objective value of a checkpoint set on a chain.

use remat_graphs::Chain;

use super::claims::of_graph;
use super::error::{CheckError, Mismatch};
use super::persistent::{self, PERSISTENT_LIMIT};
use crate::plan::{PLAN_FORMAT, Plan};

/// What a chain planner minimises; `d_i` are the sizes of layers `0 .. n`, `C` the checkpointed layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainObjective {
    /// All checkpoints plus the largest run of other layers: `sum_C d + max_runs sum d`.
    Conservative,
    /// Checkpoints up to the segment at hand, the segment recomputed, and its largest gradient pair. Layers `0` and
    /// `n - 1` are in `C`. The larger of `sum_C d` and, over consecutive checkpoints `i < j`, of
    /// `sum_{c in C, c <= i} d_c + sum_{i<k<j} d_k + max_{i<=k<j} d_k + d_j`.
    Traced,
    /// As [`Traced`](Self::Traced), with the segment followed step by step: instead of the last three terms
    /// `max_{i<k<=j} ( sum_{i<l<k} d_l + d_k + d_{k-1} )`.
    Stepwise,
    /// The least memory of a persistent schedule (Beaumont et al., Inria RR-9302) whose first forward pass keeps the
    /// results of exactly the layers in `C`: what lies between two of them that are not neighbours runs again, the second
    /// one with it, and may keep some results and run parts again in turn. Layers `0` and `n - 1` are in `C`. Layer `k`
    /// needs `d_k` and its gradient, and gives the gradient of `k - 1`. Only for chains of up to [`PERSISTENT_LIMIT`] layers.
    Persistent,
}

/// Value in bytes of an objective for a checkpoint set. Time O(n), memory O(1) beyond the arguments; for the persistent
/// objective time O(n^3), memory O(n^2).
///
/// Source: Hong et al., "GPU Memory Usage Optimization for Backward Propagation in Deep Network Training", 2025.
///
/// # Errors
/// A checkpoint that is no layer or out of order, or an end of the chain that the objective wants in the set.
pub fn check_chain(chain: &Chain, checkpoints: &[u32], objective: ChainObjective) -> Result<u64, CheckError> {
    let layers = chain.layers.len();
    for (at, &layer) in checkpoints.iter().enumerate() {
        let ascends = at == 0 || checkpoints[at - 1] < layer;
        if layer as usize >= layers || !ascends {
            return Err(CheckError::Checkpoint { at, layer, layers });
        }
    }
    if objective != ChainObjective::Conservative {
        let last = (layers as u32).saturating_sub(1);
        if checkpoints.first() != Some(&0) {
            return Err(CheckError::EndNotKept(0));
        }
        if checkpoints.last() != Some(&last) {
            return Err(CheckError::EndNotKept(last));
        }
    }
    if objective == ChainObjective::Persistent && layers > PERSISTENT_LIMIT {
        return Err(CheckError::TooLong { layers, limit: PERSISTENT_LIMIT });
    }
    let sizes: Vec<u64> = chain.layers.iter().map(|l| l.bytes).collect();
    let kept: u64 = checkpoints.iter().fold(0, |sum, &c| sum.saturating_add(sizes[c as usize]));
    Ok(match objective {
        ChainObjective::Conservative => kept.saturating_add(largest_run(&sizes, checkpoints)),
        ChainObjective::Persistent => persistent::value(&sizes, checkpoints),
        _ => kept.max(worst_segment(&sizes, checkpoints, objective)),
    })
}

/// Largest sum of a maximal run of layers that are not checkpointed.
fn largest_run(sizes: &[u64], checkpoints: &[u32]) -> u64 {
    let mut from = 0;
    let ends = checkpoints.iter().map(|&c| c as usize).chain([sizes.len()]);
    let runs = ends.map(|end| {
        let run = sizes[from..end].iter().fold(0u64, |sum, &d| sum.saturating_add(d));
        from = end + 1;
        run
    });
    runs.max().unwrap_or(0)
}

/// Largest sum of checkpoints so far and the need of the segment that follows.
fn worst_segment(sizes: &[u64], checkpoints: &[u32], objective: ChainObjective) -> u64 {
    let mut alive = 0u64;
    let mut worst = 0;
    for pair in checkpoints.windows(2) {
        let (i, j) = (pair[0] as usize, pair[1] as usize);
        alive = alive.saturating_add(sizes[i]);
        let mut inner = 0u64;
        let mut need = 0u64;
        if objective == ChainObjective::Traced {
            let largest = sizes[i..j].iter().copied().max().unwrap_or(0);
            let sum = sizes[i + 1..j].iter().fold(0u64, |sum, &d| sum.saturating_add(d));
            need = sum.saturating_add(largest).saturating_add(sizes[j]);
        } else {
            for k in i + 1..=j {
                need = need.max(inner.saturating_add(sizes[k]).saturating_add(sizes[k - 1]));
                inner = inner.saturating_add(sizes[k]);
            }
        }
        worst = worst.max(alive.saturating_add(need));
    }
    worst
}

/// Verifies a chain plan: its checkpoints, that `predicted.peak` is the objective's value, and that the budget is met.
/// Returns the value in bytes. Time O(n).
///
/// # Errors
/// What [`check_chain`] finds, a plan without `checkpoints`, or a wrong number.
pub fn check_chain_plan(chain: &Chain, plan: &Plan, objective: ChainObjective) -> Result<u64, CheckError> {
    if plan.format != PLAN_FORMAT {
        return Err(CheckError::Format(plan.format.clone()));
    }
    let checkpoints = plan.checkpoints.as_ref().ok_or(CheckError::WrongKind("checkpoints"))?;
    of_graph(plan, &chain.name)?;
    let found = check_chain(chain, checkpoints, objective)?;
    let mut wrong = Vec::new();
    if let Some(claimed) = plan.predicted.map(|p| p.peak).filter(|&p| p != found) {
        wrong.push(Mismatch { field: "predicted.peak", claimed, found });
    }
    if let Some(claimed) = plan.budget.filter(|&b| found > b) {
        wrong.push(Mismatch { field: "budget", claimed, found });
    }
    if wrong.is_empty() { Ok(found) } else { Err(CheckError::Mismatch(wrong)) }
}
