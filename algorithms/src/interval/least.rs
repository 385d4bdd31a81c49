//! The least peak: one pass over the network.
//!
//! Let `rest(v)` be the least peak, beyond what is held in state `v`, over all ways to finish from `v`. Every bound in
//! the network is of the form `w + need`, so `rest(v) = min over steps of max(need, held + rest(to))` whatever `w` is,
//! and the least peak of all plans is `rest(start)`.
//!
//! Where autocast caches casts there are two such bounds, `f + need` in the forward pass with `f` the bytes held without
//! casts, and `w + need` in the backward pass with `w` those held with casts. A way to finish is then a pair `(x, y)`
//! of rests and its peak `max(f + x, w + y)`; of all ways only the pairs matter that no other is below in both. Since
//! `f <= w <= f + casts`, a pair can be moved to `x >= y` and to `y >= x - casts` without changing any peak, which
//! leaves few.

use super::network::Network;

/// Least peaks to go.
#[derive(Debug)]
pub(super) struct Rest {
    /// Beyond all that is held, for the backward pass (and for the forward pass if there are no casts); `u64::MAX` where
    /// no plan within the network's limit leads to the end.
    pub backward: Vec<u64>,
    /// Beyond what is held without casts, for the forward pass. Empty without casts.
    pub forward: Vec<u64>,
    /// Per state, the pairs that matter: forward rests ascend, backward rests descend. Empty without casts.
    pairs: Vec<Vec<(u64, u64)>>,
    /// Least peak of all plans; `u64::MAX` if none stays within the network's limit.
    pub least: u64,
}

impl Rest {
    /// Time O(steps), with casts O(steps × pairs).
    pub(super) fn of(network: &Network) -> Self {
        if network.forward.is_empty() {
            let backward = backward(network);
            let least = backward[0];
            return Self { backward, forward: Vec::new(), pairs: Vec::new(), least };
        }
        let pairs = pairs(network);
        let least = pairs[0].iter().map(|&(x, y)| x.max(y)).min().unwrap_or(u64::MAX);
        let backward = pairs.iter().map(|p| p.last().map_or(u64::MAX, |p| p.1)).collect();
        let forward = pairs.iter().map(|p| p.first().map_or(u64::MAX, |p| p.0)).collect();
        Self { backward, forward, pairs, least }
    }

    /// Some path whose peak is within `limit`, in steps of the network; `None` without casts. It takes the least time at every
    /// step. Time O(steps of the states on the path × pairs).
    pub(super) fn path(&self, network: &Network, limit: u64) -> Option<Vec<u32>> {
        if self.pairs.is_empty() {
            return None;
        }
        let (mut v, mut held, mut forward) = (0, 0, 0);
        let mut path = Vec::new();
        while network.cuts[v] != network.end {
            let fits = |i: &u32| {
                let (step, first) = (&network.steps[*i as usize], &network.forward[*i as usize]);
                let (held, after) = (held + step.held, forward + step.held - first.casts);
                let to_go = &self.pairs[step.to as usize];
                held - step.held + step.need <= limit
                    && forward + first.need <= limit
                    && to_go.iter().any(|&(x, y)| after + x <= limit && held + y <= limit)
            };
            let steps = (network.first[v]..network.first[v + 1]).filter(fits);
            let best = steps.min_by_key(|&i| network.steps[i as usize].time)?;
            let step = &network.steps[best as usize];
            held += step.held;
            forward += step.held - network.forward[best as usize].casts;
            v = step.to as usize;
            path.push(best);
        }
        Some(path)
    }
}

fn backward(network: &Network) -> Vec<u64> {
    let n = network.len();
    let mut rest = vec![u64::MAX; n];
    for v in (0..n).rev() {
        if network.cuts[v] == network.end {
            rest[v] = 0;
            continue;
        }
        for step in network.steps_of(v) {
            let after = rest[step.to as usize];
            if after != u64::MAX {
                rest[v] = rest[v].min(step.need.max(step.held + after));
            }
        }
    }
    rest
}

/// Per state: least bytes held, least bytes held without casts, most bytes of casts.
fn reached(network: &Network) -> Vec<(u64, u64, u64)> {
    let mut reached = vec![(u64::MAX, u64::MAX, 0); network.len()];
    reached[0] = (0, 0, 0);
    for v in 0..network.len() {
        let (held, forward, casts) = reached[v];
        if held == u64::MAX {
            continue;
        }
        for i in network.first[v] as usize..network.first[v + 1] as usize {
            let (step, first) = (&network.steps[i], &network.forward[i]);
            let to = &mut reached[step.to as usize];
            to.0 = to.0.min(held + step.held);
            to.1 = to.1.min(forward + step.held - first.casts);
            to.2 = to.2.max(casts + first.casts);
        }
    }
    reached
}

fn pairs(network: &Network) -> Vec<Vec<(u64, u64)>> {
    let n = network.len();
    let reached = reached(network);
    let mut pairs: Vec<Vec<(u64, u64)>> = vec![Vec::new(); n];
    let mut found: Vec<(u64, u64)> = Vec::new();
    for v in (0..n).rev() {
        if network.cuts[v] == network.end {
            pairs[v] = vec![(0, 0)];
            continue;
        }
        let (held, forward, casts) = reached[v];
        if held == u64::MAX {
            continue;
        }
        found.clear();
        for i in network.first[v] as usize..network.first[v + 1] as usize {
            let (step, first) = (&network.steps[i], &network.forward[i]);
            for &(x, y) in &pairs[step.to as usize] {
                let x = first.need.max(step.held - first.casts + x);
                let y = step.need.max(step.held + y);
                if forward.saturating_add(x) > network.limit || held.saturating_add(y) > network.limit {
                    continue;
                }
                found.push((x.max(y), y.max(x.saturating_sub(casts))));
            }
        }
        found.sort_unstable();
        let mut least = u64::MAX;
        found.retain(|&(_, y)| {
            let keep = y < least;
            least = least.min(y);
            keep
        });
        pairs[v].clone_from(&found);
    }
    pairs
}
