//! Which long regions are worth their time.
//!
//! Networks grow with the pairs of cuts, and most of the pairs are far apart. Such regions run much again that would
//! better be held. So a network of short regions comes first. Its plan bounds the time, and with a price per byte
//! (as in `active`) it says what any way to a cut and from there costs at least, long regions included: of these it
//! takes only the time into account, their inputs are free, and behind them everything that crosses the cut is held for
//! nothing. What a long region costs then depends on its two cuts by two terms, one of each, and the least of many is a
//! running minimum.

use super::active::SCALE;
use super::keep::Keep;
use super::network::Network;
use super::profile::Profile;

/// Unreachable.
const NEVER: i128 = i128::MAX / 4;

/// Least costs to and from cuts, at one price of a byte; time in scaled nanoseconds.
#[derive(Debug)]
pub(super) struct Costs {
    /// Least cost of a way to each cut.
    reach: Vec<i128>,
    /// `ahead[b]`: the least, over ends `e >= b` of a long region, of what running up to there takes and of what
    /// follows.
    ahead: Vec<i128>,
    /// Time of the operators before each cut.
    before: Vec<i128>,
    /// Longest regions that are in the network.
    longest: u32,
    /// Least cost of all ways.
    all: i128,
    /// What bytes held at the end may cost.
    paid: i128,
}

impl Costs {
    /// Of a network with free states behind the `longest` regions that it has. Time O(steps).
    pub(super) fn of(network: &Network, profile: &Profile<'_, '_>, keeps: &[Keep], longest: u32, price: u64) -> Self {
        let n = profile.operators.len();
        let scaled = |ns: u64| i128::from(ns) << SCALE;
        let mut before = vec![0i128];
        for (o, op) in profile.operators.iter().enumerate() {
            let kept = keeps.iter().map(|keep| keep.saved[o].0).max().unwrap_or(0);
            before.push(before[o] + scaled(op.time.saturating_sub(kept)));
        }
        // A recomputation runs all operators up to the last needy one.
        let mut until: Vec<i128> = vec![0; n + 1];
        for b in 0..n {
            until[b + 1] = if profile.operators[b].is_needy { before[b] } else { until[b] };
        }
        let price_of = |bytes: u64| i128::from(bytes) * i128::from(price);
        let last = network.len() - 1;
        let mut from = vec![NEVER; network.len()];
        from[last] = 0;
        let mut ahead = vec![NEVER; n + 2];
        let mut at = n as u32;
        for v in (0..network.len()).rev() {
            let cut = network.cuts[v];
            while at > cut {
                ahead[at as usize] = ahead[at as usize + 1].min(landing(network, &from, at) + until[at as usize]);
                at -= 1;
            }
            let far = ahead[(cut as usize + longest as usize + 1).min(n + 1)] - before[cut as usize];
            let steps = network.steps_of(v).iter();
            let near = steps.map(|s| from[s.to as usize] + scaled(s.time) + price_of(s.held)).min();
            from[v] = from[v].min(far).min(near.unwrap_or(NEVER)).min(NEVER);
        }
        let mut to = vec![NEVER; network.len()];
        to[0] = 0;
        let mut reach = vec![NEVER; n + 1];
        let mut behind = NEVER;
        let mut v = 0;
        for cut in 0..=n as u32 {
            if let Some(a) = cut.checked_sub(longest + 1) {
                behind = behind.min(reach[a as usize] - before[a as usize]);
            }
            if let Some(Some(free)) = network.free.get(cut as usize) {
                let free = &mut to[*free as usize];
                *free = (*free).min(behind + until[cut as usize]).min(NEVER);
            }
            while v < network.len() && network.cuts[v] == cut {
                reach[cut as usize] = reach[cut as usize].min(to[v]);
                for s in network.steps_of(v) {
                    let cost = to[v] + scaled(s.time) + price_of(s.held);
                    let to = &mut to[s.to as usize];
                    *to = (*to).min(cost);
                }
                v += 1;
            }
        }
        let loss = |v: &usize| network.cuts[*v] + 1 == network.end;
        let ends = (0..network.len()).filter(loss).flat_map(|v| network.steps_of(v));
        let most_held = ends.map(|s| (network.limit + s.held).saturating_sub(s.need)).max().unwrap_or(0);
        Self { reach, ahead, before, longest, all: from[0], paid: price_of(most_held) }
    }

    /// No plan takes less.
    pub(super) fn least(&self) -> u64 {
        let scaled = (self.all - self.paid).max(0).unsigned_abs();
        u64::try_from(scaled.div_ceil(1 << SCALE)).unwrap_or(u64::MAX)
    }
}

fn landing(network: &Network, from: &[i128], cut: u32) -> i128 {
    match network.free.get(cut as usize) {
        Some(Some(free)) => from[*free as usize],
        _ => NEVER,
    }
}

/// Long regions of plans below a time.
#[derive(Debug)]
pub(super) struct Worth<'a> {
    pub costs: &'a Costs,
    pub below: u64,
}

impl Worth<'_> {
    /// Can a plan below the time have a region from `a` to `b` or further?
    pub(super) fn any(&self, a: u32, b: u32) -> bool {
        let c = self.costs;
        b - a <= c.longest
            || c.reach[a as usize] - c.before[a as usize] + c.ahead[b as usize] - c.paid
                < i128::from(self.below) << SCALE
    }
}
