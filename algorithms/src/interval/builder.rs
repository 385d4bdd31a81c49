//! Builds the network cut by cut: what every step of a state needs, holds and leads to.

use std::sync::Arc;

use super::differences::Differences;
use super::network::{Forward, Inside, Network, Source, Step, StepKind};
use super::scan::Locals;
use super::states::States;

pub(super) struct Builder<'a, 'p, 'g> {
    source: Source<'a, 'p, 'g>,
    free: Vec<Option<u32>>,
    states: States,
    /// Least bytes held, per state.
    least_held: Vec<u64>,
    /// Least bytes held without casts.
    least_forward: Vec<u64>,
    /// Temporary number -> final number.
    order: Vec<u32>,
    processed: u32,
    first: Vec<u32>,
    steps: Vec<Step>,
    forward: Vec<Forward>,
    differences: Differences,
}

impl<'a, 'p, 'g> Builder<'a, 'p, 'g> {
    pub(super) fn new(source: &Source<'a, 'p, 'g>) -> Self {
        let mut b = Self {
            source: *source,
            free: Vec::new(),
            states: States::new(source.profile.operators.len() as u32),
            least_held: Vec::new(),
            least_forward: Vec::new(),
            order: Vec::new(),
            processed: 0,
            first: vec![0],
            steps: Vec::new(),
            forward: Vec::new(),
            differences: Differences::default(),
        };
        b.reach(0, &mut vec![0; source.slots.words], (0, 0));
        b
    }

    /// The state at a cut with a mask, reached with held bytes `w`, with and without casts.
    fn reach(&mut self, cut: u32, mask: &mut [u64], w: (u64, u64)) -> u32 {
        let (id, is_new) = self.states.reach(cut, mask, self.source.slots);
        if is_new {
            self.least_held.push(w.0);
            self.least_forward.push(w.1);
            self.order.push(0);
        }
        let least = &mut self.least_held[id as usize];
        *least = (*least).min(w.0);
        let least = &mut self.least_forward[id as usize];
        *least = (*least).min(w.1);
        id
    }

    /// Steps and states so far.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.steps.len(), self.states.cuts.len())
    }

    /// Goes on from all states of a cut by all regions that start there.
    pub(super) fn states_at(&mut self, cut: u32, all: &[(StepKind, Vec<Locals>)]) {
        let is_free = self.source.free_from.is_some_and(|from| cut >= from);
        let free = is_free.then(|| self.reach(cut, &mut self.source.slots.alive_at(cut).to_vec(), (0, 0)));
        self.free.push(free);
        for id in self.states.at(cut).to_vec() {
            self.order[id as usize] = self.processed;
            self.processed += 1;
            self.plain(id, cut);
            for (kind, locals) in all {
                if let Some(locals) = locals.get(cut as usize) {
                    self.regions(id, cut, locals, *kind);
                }
            }
            self.first.push(self.steps.len() as u32);
        }
        let masks = self.states.leave(cut);
        let graph = self.source.profile.program.graph;
        self.differences.add(&masks, cut, self.source.slots, |s| graph.size(s));
    }

    /// Runs operator `j` plainly: it holds what it saves until its own nodes are done.
    fn plain(&mut self, id: u32, j: u32) {
        let graph = self.source.profile.program.graph;
        let size = |s: u32| graph.size(s);
        let op = &self.source.profile.operators[j as usize];
        let mask = self.states.mask(id);
        let is_new = |s: &u32| {
            let is_held = graph.producer(*s).is_some_and(|p| p < j) && self.source.slots.contains(mask, *s);
            !is_held && !self.source.profile.always[*s as usize]
        };
        let is_cast = |s: &u32| self.source.profile.program.is_cached_cast[*s as usize];
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
            need = need.max(self.source.profile.root + held);
            // Also of a step that runs no kernel at all.
            need = need.max(graph.static_bytes() + graph.input_bytes());
        }
        let mut mask = mask.to_vec();
        self.source.slots.restrict(&mut mask, j + 1);
        for &s in &op.saves {
            self.source.slots.add(&mut mask, s);
        }
        let forward = Forward { need: forward, casts };
        self.step(id, j + 1, &mut mask, forward, Step { to: 0, held, need, time: 0, kind: StepKind::Plain });
    }

    /// Checkpoints the regions that start at cut `a`.
    fn regions(&mut self, id: u32, a: u32, locals: &Locals, kind: StepKind) {
        let graph = self.source.profile.program.graph;
        let mut mask = self.states.mask(id).to_vec();
        let mut after = mask.clone();
        let shared = self.held_and_running(&mask, a);
        let (mut inputs, mut held) = (0, 0);
        let mut ending = self.source.slots.crossing(a).iter().copied().peekable();
        for region in &locals.regions {
            for &s in &locals.inputs[inputs..region.inputs as usize] {
                if !self.source.slots.contains(&mask, s) {
                    held += graph.size(s);
                    self.source.slots.add(&mut mask, s);
                }
            }
            inputs = region.inputs as usize;
            while let Some(s) = ending.next_if(|&s| self.source.profile.last_use[s as usize] < region.end) {
                self.source.slots.remove(&mut mask, s);
            }
            after.copy_from_slice(&mask);
            for &s in &locals.kept[..region.kept_until as usize] {
                if self.source.profile.last_use[s as usize] >= region.end {
                    self.source.slots.add(&mut after, s);
                }
            }
            let forward = Forward { need: region.forward.saturating_sub(shared), casts: 0 };
            let need = (region.backward + held).max(region.after_inputs);
            let step = Step { to: 0, held: held + region.kept, need, time: region.time, kind };
            match self.source.inside {
                Inside::Planned(plans) if kind == StepKind::Region => {
                    for (variant, plan) in plans.of(a, region.end) {
                        let need = (plan.backward + held).max(region.after_inputs);
                        let nested = Step { need, time: plan.time, kind: StepKind::Nested(variant), ..step };
                        let forward = Forward { need: (region.forward + plan.calls).saturating_sub(shared), casts: 0 };
                        self.step(id, region.end, &mut after, forward, nested);
                    }
                    self.step(id, region.end, &mut after, forward, step);
                }
                Inside::Anything if kind == StepKind::Region => {
                    let least = Step { need: region.floor + held, time: region.floor_time, ..step };
                    self.step(id, region.end, &mut after, forward, least);
                }
                _ => self.step(id, region.end, &mut after, forward, step),
            }
        }
    }

    /// Bytes of the mask that the running code holds as well: counted once. Casts never count as held there.
    fn held_and_running(&self, mask: &[u64], cut: u32) -> u64 {
        let is = |s: &&u32| {
            self.source.profile.running_until[**s as usize] >= cut
                && self.source.slots.contains(mask, **s)
                && !self.source.profile.program.is_cached_cast[**s as usize]
        };
        self.source.slots.crossing(cut).iter().filter(is).map(|&s| self.source.profile.program.graph.size(s)).sum()
    }

    /// Adds a step unless it passes the limit. `step.need` is that of the backward pass.
    fn step(&mut self, id: u32, cut: u32, mask: &mut [u64], forward: Forward, mut step: Step) {
        let (w, w_forward) = (self.least_held[id as usize], self.least_forward[id as usize]);
        if w + step.need > self.source.limits.peak || w_forward + forward.need > self.source.limits.peak {
            return;
        }
        step.to = self.reach(cut, mask, (w + step.held, w_forward + step.held - forward.casts));
        if self.source.profile.has_casts {
            self.forward.push(forward);
        } else {
            step.need = step.need.max(forward.need);
        }
        self.steps.push(step);
    }

    pub(super) fn finish(mut self, regions: u64) -> Network {
        // At most one state lies behind the loss: nothing crosses that cut.
        let end = self.source.profile.operators.len() as u32;
        for id in self.states.at(end).to_vec() {
            self.differences.add(&self.states.leave(end), end, self.source.slots, |_| 0);
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
            cuts: by_order.iter().map(|&id| self.states.cuts[id as usize]).collect(),
            end: self.source.profile.operators.len() as u32,
            first: self.first,
            steps: self.steps,
            forward: self.forward,
            differences: Arc::new(self.differences),
            free,
            limit: self.source.limits.peak,
            regions,
        }
    }
}
