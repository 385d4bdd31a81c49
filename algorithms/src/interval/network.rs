//! The network of all interval plans: states at cuts, steps between them.
//!
//! A state is a cut and the set of storages crossing it that earlier steps hold. A step runs one operator plainly or
//! checkpoints a region. If earlier steps hold `w` bytes, a step is possible under a bound `M` exactly if
//! `w + need <= M`, and afterwards `w + held` bytes are held.

use rayon::prelude::*;
use remat_graphs::Graph;
use rustc_hash::FxHashMap;

use super::profile::Profile;
use super::scan::{Bounds, Locals, Marks, scan};
use super::slots::Slots;

/// One way to continue from a state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// State it leads to.
    pub to: u32,
    /// Bytes that it holds from then on, beyond what is held already.
    pub held: u64,
    /// Largest live bytes while it runs or its backward pass does, beyond what earlier steps hold.
    pub need: u64,
    /// Nanoseconds of recomputation.
    pub time: u64,
    /// Is it a checkpointed region? Otherwise one plain operator.
    pub is_region: bool,
}

/// All steps that can be part of a plan within the limit.
#[derive(Debug)]
pub(super) struct Network {
    /// Cut of every state; states are in ascending order of cuts, the first is the start, the last the end.
    pub cuts: Vec<u32>,
    /// Least bytes that any plan within the limit holds in a state.
    pub least_held: Vec<u64>,
    /// Steps of state `i`: `steps[first[i] .. first[i + 1]]`.
    pub first: Vec<u32>,
    pub steps: Vec<Step>,
    /// Pairs of cuts whose local peaks were computed.
    pub regions: u64,
}

/// Where regions may lie.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// Per start cut: allowed ends, ascending.
    pub(super) ends: Vec<Vec<u32>>,
}

impl Allowed {
    /// Every pair of safe cuts. A region that starts or ends with an operator that changes nothing is never better than
    /// one without it, so such pairs are left out. Time and memory O(cuts²) at worst.
    pub fn operators(graph: &Graph) -> Self {
        let inert: Vec<bool> = (0..graph.loss()).map(|o| is_inert(graph, o)).collect();
        let ends: Vec<u32> = graph.safe_cuts().filter(|&k| k > 0 && !inert[k as usize - 1]).collect();
        let starts = (0..graph.loss()).map(|a| {
            if graph.is_safe_cut(a) && !inert[a as usize] {
                ends[ends.partition_point(|&e| e <= a)..].to_vec()
            } else {
                Vec::new()
            }
        });
        Self { ends: starts.collect() }
    }

    /// Exactly the given regions; those that start or end at unsafe cuts are dropped.
    pub fn regions(graph: &Graph, regions: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut ends = vec![Vec::new(); graph.loss() as usize];
        for (a, b) in regions {
            if a < b && graph.is_safe_cut(a) && graph.is_safe_cut(b) {
                ends[a as usize].push(b);
            }
        }
        for e in &mut ends {
            e.sort_unstable();
            e.dedup();
        }
        Self { ends }
    }

    /// Drops the regions that a predicate refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, u32) -> bool) {
        for (a, ends) in self.ends.iter_mut().enumerate() {
            ends.retain(|&b| keep(a as u32, b));
        }
    }
}

/// Does an operator neither allocate, release, save nor compute anything, in either pass?
///
/// Then a region `[a, b)` that begins with it can begin behind it, and one that ends with it can end before it: the
/// inputs, local peaks and times stay the same or shrink.
fn is_inert(graph: &Graph, o: u32) -> bool {
    let operator = &graph.operators()[o as usize];
    let quiet = operator.saves.is_empty()
        && operator
            .kernels
            .iter()
            .all(|k| k.writes.is_empty() && k.mutates.is_empty() && k.flops == 0 && k.ns.is_none());
    let reads = || operator.kernels.iter().flat_map(|k| &k.reads);
    quiet && reads().all(|&s| graph.producer(s).is_none() || graph.last_reader(s).is_some_and(|l| l > o))
}

impl Network {
    /// Builds the network of all plans whose peak stays within `limit`. Time and memory O(states × cuts).
    pub(super) fn build(profile: &Profile<'_, '_>, slots: &Slots, allowed: &Allowed, limit: u64) -> Self {
        let locals = scan_all(profile, slots, allowed, limit);
        let mut b = Builder::new(profile, slots, limit);
        for cut in 0..profile.operators.len() as u32 {
            b.states_at(cut, locals.get(cut as usize));
        }
        let regions = locals.iter().map(|l| l.regions.len() as u64).sum();
        b.finish(regions)
    }

    pub(super) fn len(&self) -> usize {
        self.cuts.len()
    }

    pub(super) fn steps_of(&self, state: usize) -> &[Step] {
        &self.steps[self.first[state] as usize..self.first[state + 1] as usize]
    }
}

fn scan_all(profile: &Profile<'_, '_>, slots: &Slots, allowed: &Allowed, limit: u64) -> Vec<Locals> {
    let graph = profile.program.graph;
    (0..graph.loss())
        .into_par_iter()
        .map_init(Marks::default, |marks, a| {
            let ends = &allowed.ends[a as usize];
            let crossing = slots.crossing(a).iter().map(|&s| graph.size(s)).sum();
            if ends.is_empty() { Locals::default() } else { scan(profile, a, &Bounds { ends, limit, crossing }, marks) }
        })
        .collect()
}

struct Builder<'a, 'p, 'g> {
    profile: &'a Profile<'p, 'g>,
    slots: &'a Slots,
    limit: u64,
    /// States found so far at cuts not yet processed: their masks, least bytes held and temporary numbers.
    pending: Vec<Vec<u32>>,
    found: FxHashMap<(u32, Vec<u64>), u32>,
    masks: Vec<Vec<u64>>,
    least_held: Vec<u64>,
    cuts: Vec<u32>,
    /// Temporary number -> final number.
    order: Vec<u32>,
    processed: u32,
    first: Vec<u32>,
    steps: Vec<Step>,
}

impl<'a, 'p, 'g> Builder<'a, 'p, 'g> {
    fn new(profile: &'a Profile<'p, 'g>, slots: &'a Slots, limit: u64) -> Self {
        let mut b = Self {
            profile,
            slots,
            limit,
            pending: vec![Vec::new(); profile.operators.len() + 1],
            found: FxHashMap::default(),
            masks: Vec::new(),
            least_held: Vec::new(),
            cuts: Vec::new(),
            order: Vec::new(),
            processed: 0,
            first: vec![0],
            steps: Vec::new(),
        };
        b.reach(0, vec![0; slots.words], 0);
        b
    }

    /// The state at a cut with a mask, held bytes `w`.
    fn reach(&mut self, cut: u32, mut mask: Vec<u64>, w: u64) -> u32 {
        self.slots.restrict(&mut mask, cut);
        let next = self.masks.len() as u32;
        let id = *self.found.entry((cut, mask)).or_insert_with_key(|(_, mask)| {
            self.masks.push(mask.clone());
            self.least_held.push(w);
            self.cuts.push(cut);
            self.order.push(0);
            self.pending[cut as usize].push(next);
            next
        });
        let least = &mut self.least_held[id as usize];
        *least = (*least).min(w);
        id
    }

    fn states_at(&mut self, cut: u32, locals: Option<&Locals>) {
        for id in std::mem::take(&mut self.pending[cut as usize]) {
            self.order[id as usize] = self.processed;
            self.processed += 1;
            self.plain(id, cut);
            if let Some(locals) = locals {
                self.regions(id, cut, locals);
            }
            self.first.push(self.steps.len() as u32);
            let key = (cut, std::mem::take(&mut self.masks[id as usize]));
            self.found.remove(&key);
        }
    }

    /// Runs operator `j` plainly: it holds what it saves until its own nodes are done.
    fn plain(&mut self, id: u32, j: u32) {
        let graph = self.profile.program.graph;
        let size = |s: u32| graph.size(s);
        let op = &self.profile.operators[j as usize];
        let mask = &self.masks[id as usize];
        let is_held = |s: u32| graph.producer(s).is_some_and(|p| p < j) && self.slots.contains(mask, s);
        let mut need = 0;
        let shared: u64 = self.held_and_running(mask, j);
        for moment in &op.moments {
            let saved: u64 = moment.saved_only.iter().copied().filter(|&s| !is_held(s)).map(size).sum();
            need = need.max((moment.running + saved).saturating_sub(shared));
        }
        let held: u64 = op.saves.iter().copied().filter(|&s| !is_held(s)).map(size).sum();
        let mut left = held;
        for node in &op.nodes {
            need = need.max(node.formula.max(node.reduction) + left);
            left -= node.frees.iter().copied().filter(|&s| !is_held(s)).map(size).sum::<u64>();
            need = need.max(node.after + left);
        }
        if j == graph.loss() {
            need = need.max(self.profile.root + held);
        }
        let mut mask = mask.clone();
        self.slots.restrict(&mut mask, j + 1);
        for &s in &op.saves {
            self.slots.add(&mut mask, s);
        }
        self.step(id, j + 1, mask, Step { to: 0, held, need, time: 0, is_region: false });
    }

    /// Checkpoints the regions that start at cut `a`.
    fn regions(&mut self, id: u32, a: u32, locals: &Locals) {
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
            let forward = region.forward.saturating_sub(shared);
            let need = forward.max(region.backward + held).max(locals.after_inputs);
            self.step(id, region.end, mask.clone(), Step { to: 0, held, need, time: region.time, is_region: true });
        }
    }

    /// Bytes of the mask that the running code holds as well: counted once.
    fn held_and_running(&self, mask: &[u64], cut: u32) -> u64 {
        let is = |s: &&u32| self.profile.running_until[**s as usize] >= cut && self.slots.contains(mask, **s);
        self.slots.crossing(cut).iter().filter(is).map(|&s| self.profile.program.graph.size(s)).sum()
    }

    fn step(&mut self, id: u32, cut: u32, mask: Vec<u64>, step: Step) {
        let w = self.least_held[id as usize];
        if w + step.need <= self.limit {
            let to = self.reach(cut, mask, w + step.held);
            self.steps.push(Step { to, ..step });
        }
    }

    fn finish(mut self, regions: u64) -> Network {
        // At most one state lies behind the loss: nothing crosses that cut.
        for id in std::mem::take(&mut self.pending[self.profile.operators.len()]) {
            self.order[id as usize] = self.processed;
            self.processed += 1;
            self.first.push(self.steps.len() as u32);
        }
        for step in &mut self.steps {
            step.to = self.order[step.to as usize];
        }
        let mut by_order: Vec<u32> = (0..self.order.len() as u32).collect();
        by_order.sort_unstable_by_key(|&id| self.order[id as usize]);
        Network {
            cuts: by_order.iter().map(|&id| self.cuts[id as usize]).collect(),
            least_held: by_order.iter().map(|&id| self.least_held[id as usize]).collect(),
            first: self.first,
            steps: self.steps,
            regions,
        }
    }
}
