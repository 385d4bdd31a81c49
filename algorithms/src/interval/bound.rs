//! Lower bounds from single operators, for graphs whose network of plans is too large to build in full.

use super::keep::Keep;
use super::profile::Profile;

/// No plan's passes need fewer bytes: the running code of the forward pass, and every operator's node together with what
/// the operator saved, held or recomputed. Time O(kernels).
pub(super) fn least_peak(profile: &Profile<'_, '_>) -> u64 {
    let graph = profile.program.graph;
    let mut least = profile.root;
    for op in &profile.operators {
        let saved: u64 = op.saves.iter().map(|&s| graph.size(s)).sum();
        let running = op.moments.iter().map(|m| m.running).max();
        // A recomputation comes before the first node that needs something; later nodes may have let go of some.
        let formula = op.nodes.first().filter(|n| n.needs).map(|n| n.formula + saved);
        least = least.max(running.unwrap_or(0)).max(formula.unwrap_or(0));
    }
    least
}

/// No plan within `limit` takes fewer nanoseconds of recomputation.
///
/// When the backward pass starts, what plain operators saved is alive. Each storage is counted for one of the operators
/// that save it; operators are recomputed, whole or in part, in the order of time per byte until the rest fits. That
/// regions hold their inputs and run other operators as well is left out. Time O(n log n) for n operators.
pub(super) fn least_time(profile: &Profile<'_, '_>, keeps: &[Keep], limit: u64) -> u64 {
    let graph = profile.program.graph;
    let loss = graph.loss() as usize;
    let mut is_counted = vec![false; graph.storages().len()];
    let mut count = |o: usize| -> u64 {
        let new = profile.operators[o].saves.iter().filter(|&&s| !std::mem::replace(&mut is_counted[s as usize], true));
        new.map(|&s| graph.size(s)).sum()
    };
    let first = profile.operators[loss].nodes.first().map_or(0, |n| n.formula);
    let mut held = count(loss) + profile.root.max(first);
    let mut choices: Vec<(u64, u64)> = Vec::new();
    for o in (0..loss).filter(|&o| profile.operators[o].is_needy) {
        let kept = keeps.iter().map(|k| k.saved[o].1).max().unwrap_or(0);
        let bytes = count(o);
        held += bytes;
        choices.push((profile.operators[o].time_to_last_save.saturating_sub(kept), bytes));
    }
    choices.retain(|c| c.1 > 0);
    choices.sort_unstable_by(|a, b| (u128::from(a.0) * u128::from(b.1)).cmp(&(u128::from(b.0) * u128::from(a.1))));
    let mut excess = held.saturating_sub(limit);
    let mut time = 0;
    for (ns, bytes) in choices {
        if excess < bytes {
            let part = (u128::from(ns) * u128::from(excess)).div_ceil(u128::from(bytes));
            return time + part as u64;
        }
        excess -= bytes;
        time += ns;
    }
    time
}

#[cfg(test)]
mod tests {
    use remat_graphs::{Graph, synthetic};

    use super::{least_peak, least_time};
    use crate::cost::Costs;
    use crate::interval::{Options, Planner, Resolution};
    use crate::predict::Predictor;

    #[test]
    fn no_plan_is_below_the_bounds() {
        let mut tight = 0;
        for seed in 0..400 {
            let graph = Graph::new(synthetic::tiny(seed)).expect("valid");
            let predictor = Predictor::new(&graph);
            let costs = Costs::new(&graph, |k| k.bytes, |k| k.bytes);
            let planner = Planner::new(&predictor, &costs);
            for selective in [false, true] {
                let options = Options { selective, ..Options::default() };
                let keeps = if selective { &planner.keeps[..] } else { &[] };
                let frontier = planner.frontier(Resolution::Exact, &options, &mut |_, _| {}).expect("plans");
                for point in &frontier.points {
                    assert!(least_peak(&planner.profile) <= point.peak, "{} {point:?}", graph.name());
                    let bound = least_time(&planner.profile, keeps, point.peak);
                    assert!(bound <= point.time_ns, "{}: {bound} {point:?}", graph.name());
                    tight += u32::from(bound > 0);
                }
            }
        }
        assert!(tight >= 100, "{tight}");
    }
}
