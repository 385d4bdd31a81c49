//! Lower bounds from single operators: where a network of plans is too large to build in full, or time runs out, and where a
//! simple plan may be the best already.

use super::keep::Keep;
use super::profile::{NodeBase, Profile};

/// No plan's passes need fewer bytes: the running code of the forward pass, every node with nothing saved, and every operator
/// together with what it saved, held or recomputed. Time O(kernels).
pub(super) fn least_peak(profile: &Profile<'_, '_>) -> u64 {
    let graph = profile.program.graph;
    profile.operators.iter().fold(profile.root, |least, op| {
        let running = op.moments.iter().map(|m| m.running).max().unwrap_or(0);
        let largest = op.nodes.iter().map(NodeBase::largest).max().unwrap_or(0);
        least.max(running).max(largest).max(op.alone(|s| graph.size(s)))
    })
}

/// Nanoseconds of recomputation that no plan within a limit avoids.
///
/// When the backward pass starts, all that plain operators saved and all inputs of regions are alive. A storage that an
/// operator with a hungry node saves is not among them only if one region holds its producer and all its savers. Then
/// the region runs the producer again: all of it if a later operator saves, else up to what it saves last. So every
/// storage is alive or made again, and what takes the least time per byte may go until the rest fits: a knapsack, relaxed
/// to parts of storages.
///
/// Time O(n log n) and memory O(n) for n operators, and O(storages).
pub(super) fn least_time(profile: &Profile<'_, '_>, keeps: &[Keep], limit: u64) -> u64 {
    let loss = profile.program.graph.loss() as usize;
    let items: Vec<[Item; 2]> = items(profile, keeps);
    let first = profile.operators[loss].nodes.first().map_or(0, |n| n.formula);
    let alive: u64 = profile.root.max(first) + items.as_flattened().iter().map(|item| item.bytes).sum::<u64>();
    let mut items: Vec<Item> = items[..loss].as_flattened().iter().copied().filter(|item| item.bytes > 0).collect();
    let dearer = |a: &Item, b: &Item| u128::from(a.time) * u128::from(b.bytes);
    items.sort_unstable_by(|a, b| dearer(a, b).cmp(&dearer(b, a)));
    let mut excess = alive.saturating_sub(limit);
    let mut time = 0;
    for item in items {
        if excess <= item.bytes {
            let part = (u128::from(item.time) * u128::from(excess)).div_ceil(u128::from(item.bytes));
            return time + part as u64;
        }
        excess -= item.bytes;
        time += item.time;
    }
    time
}

/// Bytes that are not alive only if something takes this time.
#[derive(Debug, Clone, Copy, Default)]
struct Item {
    time: u64,
    bytes: u64,
}

/// Per operator: what only it saves of what it makes, and what later operators save.
fn items(profile: &Profile<'_, '_>, keeps: &[Keep]) -> Vec<[Item; 2]> {
    let graph = profile.program.graph;
    // Descending, so that the last saver counts.
    let mut items = vec![[Item::default(); 2]; profile.operators.len()];
    let mut is_counted = vec![false; graph.storages().len()];
    for (saver, op) in profile.operators.iter().enumerate().rev().filter(|(_, op)| op.is_needy) {
        for &s in &op.saves {
            let is_held = !profile.program.is_cached_cast[s as usize] && !profile.always[s as usize];
            let Some(made) = graph.producer(s).filter(|_| is_held) else { continue };
            if !std::mem::replace(&mut is_counted[s as usize], true) {
                items[made as usize][usize::from((made as usize) < saver)].bytes += graph.size(s);
            }
        }
    }
    for (o, [own, others]) in items.iter_mut().enumerate() {
        let op = &profile.operators[o];
        let kept = |k: fn(&(u64, u64)) -> u64| keeps.iter().map(|keep| k(&keep.saved[o])).max().unwrap_or(0);
        let all = op.time.saturating_sub(kept(|k| k.0));
        own.time = if own.bytes > 0 { op.time_to_last_save.saturating_sub(kept(|k| k.1)) } else { 0 };
        others.time = all.saturating_sub(own.time);
    }
    items
}

#[cfg(test)]
mod tests {
    use remat_graphs::{Graph, synthetic};

    use super::{least_peak, least_time};
    use crate::cost::Costs;
    use crate::interval::profile::OperatorProfile;
    use crate::interval::{Options, Planner, Resolution};
    use crate::predict::Predictor;

    #[test]
    fn no_plan_is_below_the_bounds() {
        let (mut tight, mut met, mut late) = (0, 0, 0);
        for seed in 0..600 {
            let graph = Graph::new(synthetic::tiny(seed)).expect("valid");
            let predictor = Predictor::new(&graph);
            let costs = Costs::new(&graph, |k| k.bytes, |k| k.bytes);
            let planner = Planner::new(&predictor, &costs);
            let is_late = |op: &OperatorProfile| op.is_needy && op.nodes.first().is_some_and(|n| !n.needs);
            late += planner.profile.operators.iter().filter(|op| is_late(op)).count();
            for selective in [false, true] {
                let options = Options { selective, ..Options::default() };
                let keeps = if selective { &planner.keeps[..] } else { &[] };
                let frontier = planner.frontier(Resolution::Exact, &options, &mut |_, _| {}).expect("plans");
                let least = frontier.points.last().expect("at least one");
                met += u32::from(least_peak(&planner.profile) == least.peak);
                for point in &frontier.points {
                    assert!(least_peak(&planner.profile) <= point.peak, "{} {point:?}", graph.name());
                    let bound = least_time(&planner.profile, keeps, point.peak);
                    assert!(bound <= point.time_ns, "{}: {bound} {point:?}", graph.name());
                    tight += u32::from(bound > 0);
                }
            }
        }
        assert!(tight >= 100 && met >= 100 && late >= 100, "{tight} {met} {late}");
    }
}
