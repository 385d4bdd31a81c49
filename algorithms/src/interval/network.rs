//! The network of all interval plans: states at cuts, steps between them.
//!
//! A state is a cut and the set of storages crossing it that earlier steps hold. A step runs one operator plainly or
//! checkpoints a region. If earlier steps hold `w` bytes, a step is possible under a bound `M` exactly if
//! `w + need <= M`, and afterwards `w + held` bytes are held. Where autocast caches casts, the forward pass has a bound
//! of its own: see [`Forward`].

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::allowed::Allowed;
use super::differences::Differences;
use super::keep::Keep;
use super::long::Worth;
use super::nested::{Alternatives, Variant};
use super::profile::Profile;
use super::scan::{Bounds, Local, Locals, Marks, scan};
use super::slots::Slots;

/// Most steps of a network; 32 bytes each.
const MAX_STEPS: usize = 10_000_000;

/// Most states of a network: where there are more, their number doubles every few cuts.
const MAX_STATES: usize = 30_000;
const STATES_PER_CUT: usize = 100;

/// One way to continue from a state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// State it leads to.
    pub to: u32,
    /// Bytes that it holds from then on, beyond what is held already.
    pub held: u64,
    /// Largest live bytes while it runs or its backward pass does, beyond what earlier steps hold; of the backward pass
    /// alone if the network has [`Forward`]s.
    pub need: u64,
    /// Nanoseconds of recomputation.
    pub time: u64,
    pub kind: StepKind,
}

/// Forward pass of a step where autocast caches casts. They are alive in the whole forward pass, held or not, so there
/// they do not count as held: if earlier steps hold `w` bytes without casts, `w + need <= M` must be true as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forward {
    /// Largest live bytes while the step runs, beyond what earlier steps hold without casts.
    pub need: u64,
    /// Of the bytes that the step holds, those of casts.
    pub casts: u64,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// Runs one operator plainly.
    Plain,
    /// Checkpoints a region.
    Region,
    /// Checkpoints a region that keeps the kernels of a candidate set.
    Selective(u8),
    /// Checkpoints a region that checkpoints regions of its own.
    Nested(Variant),
}

/// What may happen inside of a region while it is recomputed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inside<'a> {
    /// Nothing is checkpointed again.
    Flat,
    /// One of these plans may be followed.
    Planned(&'a Alternatives),
    /// Anything: steps need no more than what no plan can avoid. Good for lower bounds only.
    Anything,
}

/// Plans of interest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    /// Those with no larger peak.
    pub peak: u64,
    /// Of these, those with regions that are worth their time.
    pub worth: Option<&'a Worth<'a>>,
}

/// What a network is built of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a, 'p, 'g> {
    pub profile: &'a Profile<'p, 'g>,
    pub slots: &'a Slots,
    pub allowed: &'a Allowed,
    /// Sets of kernels that regions may keep.
    pub keeps: &'a [Keep],
    pub inside: Inside<'a>,
    pub limits: Limits<'a>,
    /// Adds, at all cuts from this one on, the state that holds everything for nothing: see [`Network::free`].
    pub free_from: Option<u32>,
}

/// All steps that can be part of a plan within the limit.
#[derive(Debug)]
pub(super) struct Network {
    /// Cut of every state; states are in ascending order of cuts, the first is the start, the last the end unless no plan
    /// stays within the limit.
    pub cuts: Vec<u32>,
    /// The cut behind the loss.
    pub end: u32,
    /// Steps of state `i`: `steps[first[i] .. first[i + 1]]`.
    pub first: Vec<u32>,
    pub steps: Vec<Step>,
    /// One per step if there are cached casts, else empty.
    pub forward: Vec<Forward>,
    /// What the states of a cut hold beyond others.
    pub differences: Differences,
    /// Per cut, the state that holds all that crosses it for nothing, where one was asked for. From there nothing costs
    /// more than from any other way to that cut.
    pub free: Vec<Option<u32>>,
    /// The limit it was built for.
    pub limit: u64,
    /// Regions whose local peaks were computed.
    pub regions: u64,
}

impl Network {
    /// Builds the network of all plans within the limits.
    ///
    /// # Errors
    /// The cut that was reached when it had too many steps.
    ///
    /// Time and memory O(states × cuts).
    pub(super) fn build(source: &Source<'_, '_, '_>) -> Result<Self, u32> {
        let flat = Source { inside: Inside::Flat, ..*source };
        let mut all = vec![(StepKind::Region, scan_all(source, None))];
        for (i, keep) in source.keeps.iter().enumerate() {
            let mut locals = scan_all(&flat, Some(keep));
            for (_, less) in &all {
                drop_dominated(&mut locals, less);
            }
            all.push((StepKind::Selective(i as u8), locals));
        }
        // What is only a help to something else may not take long.
        let is_help = matches!(source.inside, Inside::Anything) || source.free_from.is_some();
        let most = if is_help { MAX_STEPS / 2 } else { MAX_STEPS };
        let mut b = Builder::new(source);
        for cut in 0..source.profile.operators.len() as u32 {
            b.states_at(cut, &all);
            if b.steps.len() > most || b.cuts.len() > MAX_STATES + STATES_PER_CUT * cut as usize {
                return Err(cut);
            }
        }
        let regions = all.iter().flat_map(|(_, locals)| locals).map(|l| l.regions.len() as u64).sum();
        Ok(b.finish(regions))
    }

    pub(super) fn len(&self) -> usize {
        self.cuts.len()
    }

    pub(super) fn steps_of(&self, state: usize) -> &[Step] {
        &self.steps[self.first[state] as usize..self.first[state + 1] as usize]
    }
}

/// Local peaks of all allowed regions that can stay within the limits.
pub(super) fn scan_all(source: &Source<'_, '_, '_>, keep: Option<&Keep>) -> Vec<Locals> {
    let Source { profile, slots, limits, .. } = source;
    let graph = profile.program.graph;
    (0..graph.loss())
        .into_par_iter()
        .map_init(Marks::default, |marks, a| {
            let ends = &source.allowed.ends[a as usize];
            let crossing = slots.crossing(a).iter().map(|&s| graph.size(s)).sum();
            if ends.is_empty() {
                Locals::default()
            } else {
                let nested_until = match source.inside {
                    Inside::Flat => 0,
                    Inside::Planned(plans) => plans.last_end(a),
                    Inside::Anything => u32::MAX,
                };
                scan(profile, a, &Bounds { ends, limits, nested_until, crossing, keep }, marks)
            }
        })
        .collect()
}

/// Drops the regions that keep more than the same regions of `less` do, and gain nothing.
fn drop_dominated(locals: &mut [Locals], less: &[Locals]) {
    locals.par_iter_mut().zip(less).for_each(|(locals, less)| {
        let mut others = less.regions.iter().peekable();
        locals.regions.retain(|region| {
            while others.next_if(|other| other.end < region.end).is_some() {}
            let is_no_worse = |l: &Local| {
                let needs_no_more = l.backward <= region.backward && l.after_inputs <= region.after_inputs;
                l.time <= region.time && l.kept <= region.kept && l.forward <= region.forward && needs_no_more
            };
            !others.peek().is_some_and(|other| other.end == region.end && is_no_worse(other))
        });
    });
}

struct Builder<'a, 'p, 'g> {
    profile: &'a Profile<'p, 'g>,
    slots: &'a Slots,
    inside: Inside<'a>,
    limit: u64,
    free_from: Option<u32>,
    free: Vec<Option<u32>>,
    /// States found so far at cuts not yet processed: their masks, least bytes held and temporary numbers.
    pending: Vec<Vec<u32>>,
    found: FxHashMap<(u32, Vec<u64>), u32>,
    masks: Vec<Vec<u64>>,
    least_held: Vec<u64>,
    /// Least bytes held without casts.
    least_forward: Vec<u64>,
    cuts: Vec<u32>,
    /// Temporary number -> final number.
    order: Vec<u32>,
    processed: u32,
    first: Vec<u32>,
    steps: Vec<Step>,
    forward: Vec<Forward>,
    differences: Differences,
}

impl<'a, 'p, 'g> Builder<'a, 'p, 'g> {
    fn new(source: &Source<'a, 'p, 'g>) -> Self {
        let slots = source.slots;
        let mut b = Self {
            profile: source.profile,
            slots,
            inside: source.inside,
            limit: source.limits.peak,
            free_from: source.free_from,
            free: Vec::new(),
            pending: vec![Vec::new(); source.profile.operators.len() + 1],
            found: FxHashMap::default(),
            masks: Vec::new(),
            least_held: Vec::new(),
            least_forward: Vec::new(),
            cuts: Vec::new(),
            order: Vec::new(),
            processed: 0,
            first: vec![0],
            steps: Vec::new(),
            forward: Vec::new(),
            differences: Differences::default(),
        };
        b.reach(0, vec![0; slots.words], (0, 0));
        b
    }

    /// The state at a cut with a mask, reached with held bytes `w`, with and without casts.
    fn reach(&mut self, cut: u32, mut mask: Vec<u64>, w: (u64, u64)) -> u32 {
        self.slots.restrict(&mut mask, cut);
        let next = self.masks.len() as u32;
        let id = *self.found.entry((cut, mask)).or_insert_with_key(|(_, mask)| {
            self.masks.push(mask.clone());
            self.least_held.push(w.0);
            self.least_forward.push(w.1);
            self.cuts.push(cut);
            self.order.push(0);
            self.pending[cut as usize].push(next);
            next
        });
        let least = &mut self.least_held[id as usize];
        *least = (*least).min(w.0);
        let least = &mut self.least_forward[id as usize];
        *least = (*least).min(w.1);
        id
    }

    fn states_at(&mut self, cut: u32, all: &[(StepKind, Vec<Locals>)]) {
        let is_free = self.free_from.is_some_and(|from| cut >= from);
        let free = is_free.then(|| self.reach(cut, self.slots.alive_at(cut).to_vec(), (0, 0)));
        self.free.push(free);
        let ids = std::mem::take(&mut self.pending[cut as usize]);
        let mut masks = Vec::with_capacity(ids.len());
        for id in ids {
            self.order[id as usize] = self.processed;
            self.processed += 1;
            self.plain(id, cut);
            for (kind, locals) in all {
                if let Some(locals) = locals.get(cut as usize) {
                    self.regions(id, cut, locals, *kind);
                }
            }
            self.first.push(self.steps.len() as u32);
            let key = (cut, std::mem::take(&mut self.masks[id as usize]));
            self.found.remove(&key);
            masks.push(key.1);
        }
        let graph = self.profile.program.graph;
        self.differences.add(&masks, cut, self.slots, |s| graph.size(s));
    }

    /// Runs operator `j` plainly: it holds what it saves until its own nodes are done.
    fn plain(&mut self, id: u32, j: u32) {
        let graph = self.profile.program.graph;
        let size = |s: u32| graph.size(s);
        let op = &self.profile.operators[j as usize];
        let mask = &self.masks[id as usize];
        let is_new = |s: &u32| {
            let is_held = graph.producer(*s).is_some_and(|p| p < j) && self.slots.contains(mask, *s);
            !is_held && !self.profile.always[*s as usize]
        };
        let is_cast = |s: &u32| self.profile.program.is_cached_cast[*s as usize];
        let mut forward = 0;
        let shared: u64 = self.held_and_running(mask, j);
        for moment in &op.moments {
            let saved: u64 = moment.saved_only.iter().copied().filter(is_new).map(size).sum();
            forward = forward.max((moment.running + saved).saturating_sub(shared));
        }
        let held: u64 = op.saves.iter().copied().filter(is_new).map(size).sum();
        let casts: u64 = op.saves.iter().copied().filter(is_new).filter(is_cast).map(size).sum();
        let (mut need, mut left) = (0, held);
        for node in &op.nodes {
            need = need.max(node.formula.max(node.reduction) + left);
            left -= node.frees.iter().copied().filter(is_new).map(size).sum::<u64>();
            need = need.max(node.after + left);
        }
        if j == graph.loss() {
            need = need.max(self.profile.root + held);
            // Also of a step that runs no kernel at all.
            need = need.max(graph.static_bytes() + graph.input_bytes());
        }
        let mut mask = mask.clone();
        self.slots.restrict(&mut mask, j + 1);
        for &s in &op.saves {
            self.slots.add(&mut mask, s);
        }
        let forward = Forward { need: forward, casts };
        self.step(id, j + 1, mask, forward, Step { to: 0, held, need, time: 0, kind: StepKind::Plain });
    }

    /// Checkpoints the regions that start at cut `a`.
    fn regions(&mut self, id: u32, a: u32, locals: &Locals, kind: StepKind) {
        let graph = self.profile.program.graph;
        let mut mask = self.masks[id as usize].clone();
        let shared = self.held_and_running(&mask, a);
        let (mut inputs, mut held) = (0, 0);
        let mut ending = self.slots.crossing(a).iter().copied().peekable();
        for region in &locals.regions {
            for &s in &locals.inputs[inputs..region.inputs as usize] {
                if !self.slots.contains(&mask, s) {
                    held += graph.size(s);
                    self.slots.add(&mut mask, s);
                }
            }
            inputs = region.inputs as usize;
            while let Some(s) = ending.next_if(|&s| self.profile.last_use[s as usize] < region.end) {
                self.slots.remove(&mut mask, s);
            }
            let mut after = mask.clone();
            for &s in &locals.kept[..region.kept_until as usize] {
                if self.profile.last_use[s as usize] >= region.end {
                    self.slots.add(&mut after, s);
                }
            }
            let forward = Forward { need: region.forward.saturating_sub(shared), casts: 0 };
            let need = (region.backward + held).max(region.after_inputs);
            let step = Step { to: 0, held: held + region.kept, need, time: region.time, kind };
            match self.inside {
                Inside::Planned(plans) if kind == StepKind::Region => {
                    for (variant, plan) in plans.of(a, region.end) {
                        let need = (plan.backward + held).max(region.after_inputs);
                        let nested = Step { need, time: plan.time, kind: StepKind::Nested(variant), ..step };
                        self.step(id, region.end, after.clone(), forward, nested);
                    }
                    self.step(id, region.end, after, forward, step);
                }
                Inside::Anything if kind == StepKind::Region => {
                    self.step(id, region.end, after, forward, Step { need: region.floor + held, ..step });
                }
                _ => self.step(id, region.end, after, forward, step),
            }
        }
    }

    /// Bytes of the mask that the running code holds as well: counted once. Casts never count as held there.
    fn held_and_running(&self, mask: &[u64], cut: u32) -> u64 {
        let is = |s: &&u32| {
            self.profile.running_until[**s as usize] >= cut
                && self.slots.contains(mask, **s)
                && !self.profile.program.is_cached_cast[**s as usize]
        };
        self.slots.crossing(cut).iter().filter(is).map(|&s| self.profile.program.graph.size(s)).sum()
    }

    /// Adds a step unless it passes the limit. `step.need` is that of the backward pass.
    fn step(&mut self, id: u32, cut: u32, mask: Vec<u64>, forward: Forward, mut step: Step) {
        let (w, w_forward) = (self.least_held[id as usize], self.least_forward[id as usize]);
        if w + step.need > self.limit || w_forward + forward.need > self.limit {
            return;
        }
        step.to = self.reach(cut, mask, (w + step.held, w_forward + step.held - forward.casts));
        if self.profile.has_casts {
            self.forward.push(forward);
        } else {
            step.need = step.need.max(forward.need);
        }
        self.steps.push(step);
    }

    fn finish(mut self, regions: u64) -> Network {
        // At most one state lies behind the loss: nothing crosses that cut.
        let end = self.profile.operators.len() as u32;
        for id in std::mem::take(&mut self.pending[end as usize]) {
            self.differences.add(&self.masks[id as usize..=id as usize], end, self.slots, |_| 0);
            self.order[id as usize] = self.processed;
            self.processed += 1;
            self.first.push(self.steps.len() as u32);
        }
        for step in &mut self.steps {
            step.to = self.order[step.to as usize];
        }
        let mut by_order: Vec<u32> = (0..self.order.len() as u32).collect();
        by_order.sort_unstable_by_key(|&id| self.order[id as usize]);
        let free = self.free.iter().map(|free| free.map(|id| self.order[id as usize])).collect();
        Network {
            cuts: by_order.iter().map(|&id| self.cuts[id as usize]).collect(),
            end: self.profile.operators.len() as u32,
            first: self.first,
            steps: self.steps,
            forward: self.forward,
            differences: self.differences,
            free,
            limit: self.limit,
            regions,
        }
    }
}
