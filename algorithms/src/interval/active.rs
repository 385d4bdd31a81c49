//! The part of a network that a bound leaves, and lower bounds on what is still to be paid.

use super::least::Rest;
use super::network::Network;

/// Fixed-point scale of multipliers: a multiplier `m` prices one byte at `m / 2^SCALE` nanoseconds.
pub(super) const SCALE: u32 = 32;

/// A step within a bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct ActiveStep {
    pub from: u32,
    /// Index into the network's steps.
    pub step: u32,
    pub held: u64,
    pub time: u64,
    /// Most bytes that may be held before the step.
    pub cap: u64,
}

/// Steps that some plan with a peak of at most `limit` can take, sorted by the state they lead to.
#[derive(Debug)]
pub(super) struct Active {
    /// Steps into state `i`: `steps[first[i] .. first[i + 1]]`.
    pub first: Vec<u32>,
    pub steps: Vec<ActiveStep>,
    /// Most bytes that may be held at the end of a plan.
    pub end_cap: u64,
    /// The forward pass's own bounds where there are casts.
    pub forward: Option<ForwardCaps>,
    /// Prices of bytes, with the least price to go from every state.
    duals: Vec<Dual>,
    /// The price of all bytes held with the best bound.
    pub held_price: Option<u64>,
}

/// Bytes that are priced, and bounded at the end of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priced {
    /// All that are held: the bounds of the backward pass.
    Held,
    /// Those without casts: the bounds of the forward pass, where there are casts.
    Bare,
}

impl Priced {
    /// Which of the two counts.
    fn count(self, held: u64, bare: u64) -> u64 {
        match self {
            Self::Held => held,
            Self::Bare => bare,
        }
    }
}

/// A price per byte, in scaled nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Price {
    pub of: Priced,
    pub per_byte: u64,
}

/// Bounds on bytes held without casts.
#[derive(Debug)]
pub(super) struct ForwardCaps {
    /// Per step of the network: most bytes that may be held before it, `None` if the step is impossible.
    pub cap: Vec<Option<u64>>,
    /// Per step of the network: bytes of casts that it holds.
    pub casts: Vec<u64>,
    /// Per state: can such a bound matter from there on? Else those on all bytes held imply it.
    pub matters: Vec<bool>,
    /// Most bytes that may be held at the end of a plan.
    pub end_cap: u64,
}

impl ForwardCaps {
    fn new(network: &Network, rest: &Rest, limit: u64) -> Option<Self> {
        if network.forward.is_empty() {
            return None;
        }
        let mut caps = Self {
            cap: vec![None; network.steps.len()],
            casts: network.forward.iter().map(|f| f.casts).collect(),
            matters: vec![false; network.len()],
            end_cap: 0,
        };
        for v in (0..network.len()).rev() {
            for i in network.first[v] as usize..network.first[v + 1] as usize {
                let (step, first) = (&network.steps[i], &network.forward[i]);
                let to = step.to as usize;
                let bound = |need: u64, held: u64, rest: u64| limit.checked_sub(need.max(held.checked_add(rest)?));
                let Some(held) = bound(step.need, step.held, rest.backward[to]) else { continue };
                let Some(cap) = bound(first.need, step.held - first.casts, rest.forward[to]) else { continue };
                caps.cap[i] = Some(cap);
                caps.matters[v] |= cap < held || caps.matters[to];
                if network.cuts[to] == network.end {
                    caps.end_cap = caps.end_cap.max(cap + step.held - first.casts);
                }
            }
        }
        Some(caps)
    }
}

/// A bound by one price: passed if time and priced bytes together stay within a limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Test {
    price: Price,
    limit: Option<u128>,
}

impl Test {
    /// `bare` are the bytes held without casts.
    pub(super) fn passes(&self, time: u64, held: u64, bare: u64) -> bool {
        let priced =
            (u128::from(time) << SCALE) + u128::from(self.price.of.count(held, bare)) * u128::from(self.price.per_byte);
        self.limit.is_some_and(|limit| priced <= limit)
    }
}

#[derive(Debug, Clone)]
struct Dual {
    price: Price,
    to_go: Vec<u128>,
}

impl Active {
    /// Selects the steps within `limit`. Only plans that take less time than `below`
    /// are of interest. `price` is that of a similar question, if there is one. Time O(steps).
    pub(super) fn new(network: &Network, rest: &Rest, limit: u64, below: u64, price: Option<Price>) -> Self {
        let n = network.len();
        let forward = ForwardCaps::new(network, rest, limit);
        let cap_of = |i: u32, least_held: u64| {
            let step = &network.steps[i as usize];
            let total = rest.backward[step.to as usize].checked_add(step.held)?;
            let cap = limit.checked_sub(step.need.max(total))?;
            let is_possible = forward.as_ref().is_none_or(|f| f.cap[i as usize].is_some());
            (least_held <= cap && is_possible).then_some(cap)
        };
        let mut least_held = vec![u64::MAX; n];
        least_held[0] = 0;
        let mut first = vec![0u32; n + 1];
        let mut end_cap = 0;
        for v in 0..n {
            let held = least_held[v];
            for i in network.first[v]..network.first[v + 1] {
                let Some(cap) = cap_of(i, held) else { continue };
                let step = &network.steps[i as usize];
                let to = step.to as usize;
                least_held[to] = least_held[to].min(held + step.held);
                if network.cuts[to] == network.end {
                    end_cap = end_cap.max(cap + step.held);
                }
                first[to + 1] += 1;
            }
        }
        for v in 0..n {
            first[v + 1] += first[v];
        }
        let empty = ActiveStep { from: 0, step: 0, held: 0, time: 0, cap: 0 };
        let mut steps = vec![empty; first[n] as usize];
        let mut next = first.clone();
        for (v, &least) in least_held.iter().enumerate() {
            for i in network.first[v]..network.first[v + 1] {
                let Some(cap) = cap_of(i, least) else { continue };
                let step = &network.steps[i as usize];
                let at = &mut next[step.to as usize];
                steps[*at as usize] = ActiveStep { from: v as u32, step: i, held: step.held, time: step.time, cap };
                *at += 1;
            }
        }
        let mut active = Self { first, steps, end_cap, forward, duals: Vec::new(), held_price: None };
        if let Some(price) = price {
            active.attempt(price);
            active.reduce(below);
        }
        let kinds = if active.forward.is_some() { &[Priced::Held, Priced::Bare][..] } else { &[Priced::Held] };
        let brackets: Vec<_> = kinds.iter().map(|&of| (of, active.bracket(of))).collect();
        active.reduce(below);
        for (of, bracket) in brackets {
            active.refine(of, bracket);
        }
        active.sort_duals();
        active.reduce(below);
        active
    }

    /// The price with the best bound.
    pub(super) fn best_price(&self) -> Option<Price> {
        self.duals.first().map(|d| d.price)
    }

    /// Most priced bytes at the end of a plan.
    fn end_cap(&self, of: Priced) -> u64 {
        match (&self.forward, of) {
            (Some(forward), Priced::Bare) => forward.end_cap,
            _ => self.end_cap,
        }
    }

    /// Priced bytes that a step holds.
    fn bytes(&self, of: Priced, step: &ActiveStep) -> u64 {
        match (&self.forward, of) {
            (Some(forward), Priced::Bare) => step.held - forward.casts[step.step as usize],
            _ => step.held,
        }
    }

    /// Drops the steps that no plan below a time takes, by the bound that each price gives for all plans through a
    /// step (reduced costs). Time O(steps).
    pub(super) fn reduce(&mut self, below: u64) {
        if below == u64::MAX {
            return;
        }
        let n = self.first.len() - 1;
        for d in 0..self.duals.len().min(2) {
            let dual = &self.duals[d];
            let Price { of, per_byte } = dual.price;
            let price = u128::from(per_byte);
            let limit = (u128::from(below) << SCALE) + u128::from(self.end_cap(of)) * price;
            let mut so_far = vec![u128::MAX; n];
            so_far[0] = 0;
            let (mut from, mut kept) = (0, 0);
            for v in 0..n {
                let to = self.first[v + 1] as usize;
                let after = dual.to_go[v];
                for i in from..to {
                    let step = self.steps[i];
                    let before = so_far[step.from as usize];
                    if before == u128::MAX || after == u128::MAX {
                        continue;
                    }
                    let here = before + (u128::from(step.time) << SCALE) + u128::from(self.bytes(of, &step)) * price;
                    if here + after < limit {
                        so_far[v] = so_far[v].min(here);
                        self.steps[kept] = step;
                        kept += 1;
                    }
                }
                from = to;
                self.first[v + 1] = kept as u32;
            }
            self.steps.truncate(kept);
        }
    }

    pub(super) fn steps_into(&self, state: usize) -> &[ActiveStep] {
        &self.steps[self.first[state] as usize..self.first[state + 1] as usize]
    }

    /// Finds prices of bytes under which the relaxation is tight: without the bounds on the way, only with that at the
    /// end, a plan pays its time plus the price of what it holds in excess (Lagrange). The bound is concave in the
    /// price, and the cheapest plan holds less as the price grows: bisect until it just fits, here to a power of two.
    fn bracket(&mut self, of: Priced) -> (u64, u64) {
        let (mut low, mut high) = (0u32, 56u32);
        while high - low > 1 {
            let middle = u32::midpoint(low, high);
            if self.attempt(Price { of, per_byte: 1 << middle }) { high = middle } else { low = middle }
        }
        self.sort_duals();
        (1 << low, 1 << high)
    }

    /// Bisects the price further on what is left.
    fn refine(&mut self, of: Priced, (mut low, mut high): (u64, u64)) {
        for _ in 0..5 {
            let per_byte = u64::midpoint(low, high);
            if self.attempt(Price { of, per_byte }) { high = per_byte } else { low = per_byte }
        }
    }

    /// The best bound first; a few others, because another state may want another price.
    fn sort_duals(&mut self) {
        let mut by_bound: Vec<(u64, usize)> =
            self.duals.iter().enumerate().map(|(i, d)| (self.value(d, 0, 0, 0), i)).collect();
        by_bound.sort_unstable_by(|a, b| b.cmp(a));
        let held = by_bound.iter().map(|&(_, i)| self.duals[i].price).find(|price| price.of == Priced::Held);
        self.held_price = held.map(|price| price.per_byte);
        let mut duals: Vec<Option<Dual>> = std::mem::take(&mut self.duals).into_iter().map(Some).collect();
        self.duals = by_bound.into_iter().take(4).filter_map(|(_, i)| duals[i].take()).collect();
    }

    /// Tries a price; does the cheapest plan fit under it?
    fn attempt(&mut self, price: Price) -> bool {
        let (dual, bytes) = self.dual(price);
        self.duals.push(dual);
        bytes <= self.end_cap(price.of)
    }

    /// Least price to go under one price of a byte, and what the cheapest plan holds at the end. Time O(steps).
    fn dual(&self, price: Price) -> (Dual, u64) {
        let n = self.first.len() - 1;
        let mut to_go = vec![(u128::MAX, 0u64); n];
        to_go[n - 1] = (0, 0);
        for v in (0..n).rev() {
            let (here, bytes) = to_go[v];
            if here == u128::MAX {
                continue;
            }
            for step in self.steps_into(v) {
                let more = self.bytes(price.of, step);
                let cost = (u128::from(step.time) << SCALE) + u128::from(more) * u128::from(price.per_byte);
                let from = &mut to_go[step.from as usize];
                *from = (*from).min((here + cost, bytes + more));
            }
        }
        let bytes = to_go[0].1;
        (Dual { price, to_go: to_go.into_iter().map(|t| t.0).collect() }, bytes)
    }

    fn value(&self, dual: &Dual, state: usize, held: u64, bare: u64) -> u64 {
        let to_go = dual.to_go[state];
        if to_go == u128::MAX {
            return u64::MAX;
        }
        let Price { of, per_byte } = dual.price;
        let slack = u128::from(self.end_cap(of).saturating_sub(of.count(held, bare))) * u128::from(per_byte);
        // Rounded up: times are whole nanoseconds.
        (to_go.saturating_sub(slack).div_ceil(1 << SCALE)) as u64
    }

    /// The tests whether a way from a state to the end can take less time than `below` in all, one per price.
    pub(super) fn tests(&self, state: usize, below: u64, tests: &mut Vec<Test>) {
        tests.clear();
        // Times are whole: at most one nanosecond less.
        let Some(most) = below.checked_sub(1) else { return };
        tests.extend(self.duals.iter().map(|d| {
            let cap = u128::from(self.end_cap(d.price.of));
            let all = (u128::from(most) << SCALE) + cap * u128::from(d.price.per_byte);
            Test { price: d.price, limit: all.checked_sub(d.to_go[state]) }
        }));
    }

    /// A lower bound on the nanoseconds from a state with `held` bytes, `bare` of them without casts, to the end.
    pub(super) fn time_to_go(&self, state: usize, held: u64, bare: u64) -> u64 {
        self.duals.iter().map(|d| self.value(d, state, held, bare)).max().unwrap_or(0)
    }
}
