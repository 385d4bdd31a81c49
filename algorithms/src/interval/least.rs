//! The least peak: one pass over the network.
//!
//! Let `rest(v)` be the least peak, beyond what is held in state `v`, over all ways to finish from `v`. Every bound in
//! the network is of the form `w + need`, so `rest(v) = min over steps of max(need, held + rest(to))` whatever `w` is,
//! and the least peak of all plans is `rest(start)`.

use super::network::Network;

/// `rest` of every state; `u64::MAX` where no plan within the network's limit leads to the end. Time O(steps).
pub(super) fn rest(network: &Network) -> Vec<u64> {
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
