//! Ways to run inside a recomputation: the network of a region's own backward pass.
//!
//! While a region `[a, b)` is recomputed it takes the place of the forward pass, and its operators may be checkpointed
//! again. A state is a cut and the set of storages crossing it for which the steps behind it pay nothing: those made
//! before `a`, which are inputs of the region, and those that earlier steps of the recomputation hold. So one network
//! serves all regions: a region starts at the state of its cut in which everything that crosses is free.

use super::super::allowed::Allowed;
use super::super::profile::{FOREVER, Profile};
use super::super::scan::Locals;
use super::super::slots::Slots;
use super::super::states::States;
use super::runs::{Own, Run, own, runs};
use super::{Alternatives, Variant};

/// One way to continue inside a recomputation. Bytes are beyond what earlier steps hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub from: u32,
    pub to: u32,
    /// Bytes that it holds from then on.
    pub held: u64,
    /// Largest live bytes while its backward pass runs, gradients and all that never changes included.
    pub backward: u64,
    /// Largest live bytes while the recomputation runs it, gradients left out.
    pub forward: u64,
    /// The same if the recomputation stops in it, because nothing behind it saves anything.
    pub forward_at_stop: u64,
    /// Nanoseconds: run by the recomputation, and again for a region of its own.
    pub time: u64,
    pub time_at_stop: u64,
    pub kind: Kind,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Runs an operator that saves nothing.
    Quiet,
    /// Runs an operator and saves for it.
    Plain,
    /// Checkpoints a region.
    Region(Variant),
}

/// The states and steps of all recomputations.
#[derive(Debug)]
pub(super) struct Network {
    /// Cut of every state, ascending.
    pub cuts: Vec<u32>,
    /// Steps into state `i`: `steps[first[i] .. first[i + 1]]`.
    pub first: Vec<u32>,
    pub steps: Vec<Step>,
    /// First state at or behind every cut.
    pub at_cut: Vec<u32>,
    /// Per cut: the state in which a region starts there.
    pub start: Vec<Option<u32>>,
    /// Per start of a region: what running from there adds, by operator.
    runs: Vec<Vec<Run>>,
}

/// What the builder works on.
pub(super) struct Source<'a, 'p, 'g> {
    pub profile: &'a Profile<'p, 'g>,
    pub slots: &'a Slots,
    /// Flat regions by start.
    pub locals: &'a [Locals],
    /// Plans for the inside of these regions, if they may nest further.
    pub inner: Option<&'a Alternatives>,
    /// Cuts at which an outer region may start.
    pub starts: &'a [u32],
    /// Where outer regions may lie.
    pub outer: &'a Allowed,
    /// No step whose peak is above this is of interest.
    pub limit: u64,
    /// Most steps.
    pub most: usize,
}

impl Network {
    /// Builds the network; `None` if it has too many steps. Time and memory O(states × cuts).
    pub(super) fn build(source: &Source<'_, '_, '_>) -> Option<Self> {
        let mut b = Builder::new(source);
        for &a in source.starts {
            let id = b.reach(a, &mut source.slots.alive_at(a).to_vec(), 0);
            b.start[a as usize] = Some(id);
        }
        for cut in 0..source.profile.program.graph.loss() {
            b.states_at(cut);
            if b.steps.len() > source.most {
                return None;
            }
        }
        Some(b.finish())
    }

    pub(super) fn steps_into(&self, state: u32) -> &[Step] {
        &self.steps[self.first[state as usize] as usize..self.first[state as usize + 1] as usize]
    }

    /// Bytes that a run of the region `[a, b)` takes, if all in it runs plainly.
    pub(super) fn run(&self, a: u32, b: u32) -> u64 {
        self.runs[a as usize][(b - a) as usize - 1].most
    }

    /// Bytes that a run from `a` has made and still needs when it comes to cut `k`.
    pub(super) fn made(&self, a: u32, k: u32) -> u64 {
        self.runs[a as usize][(k - a) as usize].before
    }

    /// Index of a step.
    pub(super) fn index_into(&self, state: u32) -> u32 {
        self.first[state as usize]
    }
}

struct Builder<'a, 'p, 'g> {
    source: &'a Source<'a, 'p, 'g>,
    own: Vec<Own>,
    runs: Vec<Vec<Run>>,
    states: States,
    least_held: Vec<u64>,
    start: Vec<Option<u32>>,
    steps: Vec<Step>,
}

impl<'a, 'p, 'g> Builder<'a, 'p, 'g> {
    fn new(source: &'a Source<'a, 'p, 'g>) -> Self {
        let own = own(source.profile);
        let last = source.profile.operators.len();
        Self {
            source,
            runs: runs(source, &own),
            own,
            states: States::new(last as u32),
            least_held: Vec::new(),
            start: vec![None; last + 1],
            steps: Vec::new(),
        }
    }

    fn reach(&mut self, cut: u32, mask: &mut [u64], w: u64) -> u32 {
        let (id, is_new) = self.states.reach(cut, mask, self.source.slots);
        if is_new {
            self.least_held.push(w);
        }
        let least = &mut self.least_held[id as usize];
        *least = (*least).min(w);
        id
    }

    fn states_at(&mut self, cut: u32) {
        for id in self.states.at(cut).to_vec() {
            self.plain(id, cut);
            if let Some(locals) = self.source.locals.get(cut as usize) {
                self.regions(id, cut, locals);
            }
        }
        self.states.leave(cut);
    }

    fn size(&self, s: u32) -> u64 {
        self.source.profile.program.graph.size(s)
    }

    /// Bytes that cross the cut, run, and are not free.
    fn crossing(&self, mask: &[u64], cut: u32) -> u64 {
        let profile = self.source.profile;
        let counts = |s: &&u32| {
            let until = profile.running_until[**s as usize];
            until >= cut && until != FOREVER && !self.source.slots.contains(mask, **s)
        };
        self.source.slots.crossing(cut).iter().filter(counts).map(|&s| self.size(s)).sum()
    }

    fn plain(&mut self, id: u32, j: u32) {
        let profile = self.source.profile;
        let graph = profile.program.graph;
        let op = &profile.operators[j as usize];
        let mask = self.states.mask(id);
        let is_held = |s: u32| {
            graph.producer(s).is_some_and(|p| p < j)
                && !profile.program.is_cached_cast[s as usize]
                && self.source.slots.contains(mask, s)
        };
        let held: u64 = op.saves.iter().copied().filter(|&s| !is_held(s)).map(|s| graph.size(s)).sum();
        let (mut left, mut backward) = (held, 0);
        for node in &op.nodes {
            let freed: u64 = node.frees.iter().copied().filter(|&s| !is_held(s)).map(|s| graph.size(s)).sum();
            backward = backward.max(node.formula + left);
            left = left.saturating_sub(freed);
            backward = backward.max(node.reduction.max(node.after) + left);
        }
        let crossing = self.crossing(mask, j);
        let own = &self.own[j as usize];
        let mut after = mask.to_vec();
        self.source.slots.restrict(&mut after, j + 1);
        op.saves.iter().for_each(|&s| self.source.slots.add(&mut after, s));
        let step = Step {
            from: id,
            to: 0,
            held,
            backward,
            forward: crossing + own.plain,
            forward_at_stop: crossing + own.plain_at_stop,
            time: op.time,
            time_at_stop: op.time_to_last_save,
            kind: if op.is_saver { Kind::Plain } else { Kind::Quiet },
        };
        self.step(j + 1, &mut after, step);
    }

    fn regions(&mut self, id: u32, c: u32, locals: &'a Locals) {
        let Source { profile, slots, inner, .. } = *self.source;
        let mut mask = self.states.mask(id).to_vec();
        let mut after = mask.clone();
        let crossing = self.crossing(&mask, c);
        let (mut inputs, mut held, mut time, mut at) = (0, 0, 0, c);
        let mut ending = slots.crossing(c).iter().copied().peekable();
        for region in &locals.regions {
            for &s in &locals.inputs[inputs..region.inputs as usize] {
                if !slots.contains(&mask, s) {
                    held += self.size(s);
                    slots.add(&mut mask, s);
                }
            }
            inputs = region.inputs as usize;
            while let Some(s) = ending.next_if(|&s| profile.last_use[s as usize] < region.end) {
                slots.remove(&mut mask, s);
            }
            time += profile.operators[at as usize..region.end as usize].iter().map(|o| o.time).sum::<u64>();
            at = region.end;
            let forward = crossing + self.runs[c as usize][(region.end - c) as usize - 1].most;
            let mut offer = |backward: u64, calls: u64, again: u64, variant| {
                let step = Step {
                    from: id,
                    to: 0,
                    held,
                    backward: (backward + held).max(region.after_inputs),
                    forward: forward + calls,
                    forward_at_stop: 0,
                    time: time + again,
                    time_at_stop: again,
                    kind: Kind::Region(variant),
                };
                after.copy_from_slice(&mask);
                self.step(region.end, &mut after, step);
            };
            offer(region.backward, 0, region.time, Variant::FLAT);
            if let Some(inner) = inner {
                for (variant, alternative) in inner.of(c, region.end) {
                    offer(alternative.backward, alternative.calls, alternative.time, variant);
                }
            }
        }
    }

    fn step(&mut self, cut: u32, mask: &mut [u64], step: Step) {
        let w = self.least_held[step.from as usize];
        if w + step.backward <= self.source.limit && w + step.held <= self.source.limit {
            let to = self.reach(cut, mask, w + step.held);
            self.steps.push(Step { to, ..step });
        }
    }

    /// Orders states by cut and steps by the state they lead to.
    fn finish(mut self) -> Network {
        let cuts = self.start.len() as u32;
        let mut order = vec![0u32; self.states.cuts.len()];
        let mut sorted = Vec::with_capacity(order.len());
        let mut at_cut = Vec::with_capacity(cuts as usize + 1);
        for cut in 0..cuts {
            at_cut.push(sorted.len() as u32);
            for &id in self.states.at(cut) {
                order[id as usize] = sorted.len() as u32;
                sorted.push(cut);
            }
        }
        at_cut.push(sorted.len() as u32);
        for step in &mut self.steps {
            step.from = order[step.from as usize];
            step.to = order[step.to as usize];
        }
        self.steps.sort_by_key(|s| s.to);
        let mut first = vec![0u32; sorted.len() + 1];
        for step in &self.steps {
            first[step.to as usize + 1] += 1;
        }
        for i in 0..sorted.len() {
            first[i + 1] += first[i];
        }
        let start = self.start.iter().map(|id| id.map(|id| order[id as usize])).collect();
        Network { cuts: sorted, first, steps: self.steps, at_cut, start, runs: self.runs }
    }
}
