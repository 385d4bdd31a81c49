//! Ways to run inside a recomputation: the network of a region's own backward pass.
//!
//! While a region `[a, b)` is recomputed it takes the place of the forward pass, and its operators may be checkpointed
//! again. A state is a cut and the set of storages crossing it for which the steps behind it pay nothing: those made
//! before `a`, which are inputs of the region, and those that earlier steps of the recomputation hold. So one network
//! serves all regions: a region starts at the state of its cut in which everything that crosses is free.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::super::allowed::Allowed;
use super::super::profile::{FOREVER, Profile};
use super::super::scan::Locals;
use super::super::slots::Slots;
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

/// What a run from the start of a region adds to memory.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Bytes that were made since the start and are still needed, before the operator runs.
    before: u64,
    /// Largest bytes made since the start and still needed, up to the operator.
    most: u64,
}

/// What a recomputation adds while it runs one operator, whatever region it belongs to.
#[derive(Debug, Clone, Default)]
struct Own {
    /// Largest bytes of what the operator makes, with what it saves of it if it saves.
    plain: u64,
    plain_at_stop: u64,
    quiet: u64,
    /// Bytes it makes that later operators read.
    stays: u64,
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
            let id = b.reach(a, source.slots.alive_at(a).to_vec(), 0);
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
    pending: Vec<Vec<u32>>,
    found: FxHashMap<(u32, Vec<u64>), u32>,
    masks: Vec<Vec<u64>>,
    least_held: Vec<u64>,
    cuts: Vec<u32>,
    start: Vec<Option<u32>>,
    steps: Vec<Step>,
}

impl<'a, 'p, 'g> Builder<'a, 'p, 'g> {
    fn new(source: &'a Source<'a, 'p, 'g>) -> Self {
        let own = own(source.profile);
        let cuts = source.profile.operators.len() + 1;
        Self {
            source,
            runs: runs(source, &own),
            own,
            pending: vec![Vec::new(); cuts],
            found: FxHashMap::default(),
            masks: Vec::new(),
            least_held: Vec::new(),
            cuts: Vec::new(),
            start: vec![None; cuts],
            steps: Vec::new(),
        }
    }

    fn reach(&mut self, cut: u32, mut mask: Vec<u64>, w: u64) -> u32 {
        self.source.slots.restrict(&mut mask, cut);
        let next = self.masks.len() as u32;
        let id = *self.found.entry((cut, mask)).or_insert_with_key(|(_, mask)| {
            self.masks.push(mask.clone());
            self.least_held.push(w);
            self.cuts.push(cut);
            self.pending[cut as usize].push(next);
            next
        });
        let least = &mut self.least_held[id as usize];
        *least = (*least).min(w);
        id
    }

    fn states_at(&mut self, cut: u32) {
        for id in self.pending[cut as usize].clone() {
            self.plain(id, cut);
            if let Some(locals) = self.source.locals.get(cut as usize) {
                self.regions(id, cut, locals);
            }
            let key = (cut, std::mem::take(&mut self.masks[id as usize]));
            self.found.remove(&key);
        }
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
        let mask = &self.masks[id as usize];
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
        let mut after = mask.clone();
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
        self.step(j + 1, after, step);
    }

    fn regions(&mut self, id: u32, c: u32, locals: &'a Locals) {
        let Source { profile, slots, inner, .. } = *self.source;
        let mut mask = self.masks[id as usize].clone();
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
                self.step(region.end, mask.clone(), step);
            };
            offer(region.backward, 0, region.time, Variant::FLAT);
            if let Some(inner) = inner {
                for (variant, alternative) in inner.of(c, region.end) {
                    offer(alternative.backward, alternative.calls, alternative.time, variant);
                }
            }
        }
    }

    fn step(&mut self, cut: u32, mask: Vec<u64>, step: Step) {
        let w = self.least_held[step.from as usize];
        if w + step.backward <= self.source.limit && w + step.held <= self.source.limit {
            let to = self.reach(cut, mask, w + step.held);
            self.steps.push(Step { to, ..step });
        }
    }

    /// Orders states by cut and steps by the state they lead to.
    fn finish(mut self) -> Network {
        let cuts = self.pending.len();
        let mut order = vec![0u32; self.cuts.len()];
        let mut sorted = Vec::with_capacity(self.cuts.len());
        let mut at_cut = Vec::with_capacity(cuts + 1);
        for (cut, states) in self.pending.iter().enumerate() {
            at_cut.push(sorted.len() as u32);
            for &id in states {
                order[id as usize] = sorted.len() as u32;
                sorted.push(cut as u32);
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

/// What every operator adds to a recomputation while it runs.
fn own(profile: &Profile<'_, '_>) -> Vec<Own> {
    let program = profile.program;
    let graph = program.graph;
    let mut own = Vec::with_capacity(profile.operators.len());
    let mut is_running = vec![false; graph.storages().len()];
    let mut is_saved = vec![false; graph.storages().len()];
    for (o, step) in program.operators.iter().enumerate() {
        let casts: u64 = program.storages(step.casts).iter().map(|&s| graph.size(s)).sum();
        let saves = &program.saves[step.saves.range()];
        let (mut running, mut saved, mut due) = (casts, 0, 0);
        let mut of = Own { plain: casts, plain_at_stop: casts, quiet: casts, stays: 0 };
        let mut made: Vec<u32> = Vec::new();
        for (k, kernel) in program.kernels[step.kernels.range()].iter().enumerate() {
            for &s in program.storages(kernel.allocs) {
                running += graph.size(s);
                is_running[s as usize] = true;
                made.push(s);
            }
            while due < saves.len() && saves[due].1 as usize <= k {
                is_saved[saves[due].0 as usize] = true;
                due += 1;
            }
            // Saved, and no longer held by the running code.
            saved = saved.max(
                made.iter().filter(|&&s| is_saved[s as usize] && !is_running[s as usize]).map(|&s| graph.size(s)).sum(),
            );
            of.plain = of.plain.max(running + saved);
            of.quiet = of.quiet.max(running);
            if step.last_save.is_some_and(|last| (k as u32) < last) {
                of.plain_at_stop = of.plain;
            }
            for &s in program.storages(kernel.frees) {
                if std::mem::take(&mut is_running[s as usize]) {
                    running -= graph.size(s);
                }
            }
        }
        for &s in &made {
            let until = profile.running_until[s as usize];
            if is_running[s as usize] && until > o as u32 {
                of.stays += graph.size(s);
            }
            is_running[s as usize] = false;
        }
        for s in saves {
            is_saved[s.0 as usize] = false;
        }
        own.push(of);
    }
    own
}

/// What runs from all starts of regions add, up to the last end of a region from there.
fn runs(source: &Source<'_, '_, '_>, own: &[Own]) -> Vec<Vec<Run>> {
    let profile = source.profile;
    let graph = profile.program.graph;
    let mut ending: Vec<Vec<u32>> = vec![Vec::new(); profile.operators.len()];
    for (s, &until) in profile.running_until.iter().enumerate() {
        let made = graph.producer(s as u32);
        if until != FOREVER && made.is_some_and(|made| made < until) && !profile.always[s] {
            ending[until as usize].push(s as u32);
        }
    }
    (0..source.locals.len())
        .into_par_iter()
        .map(|c| {
            let inner = source.locals[c].regions.last().map_or(c, |r| r.end as usize);
            let outer = source.outer.ends[c].last().map_or(c, |&end| end as usize);
            let end = inner.max(outer);
            let mut run = Run { before: 0, most: 0 };
            let mut all = Vec::with_capacity(end - c);
            for t in c..end {
                run.most = run.most.max(run.before + own[t].quiet);
                all.push(run);
                let gone = ending[t].iter().filter(|&&s| graph.producer(s).is_some_and(|made| made as usize >= c));
                run.before += own[t].stays;
                run.before -= gone.map(|&s| graph.size(s)).sum::<u64>();
            }
            all
        })
        .collect()
}
