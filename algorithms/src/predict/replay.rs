//! Replays a step under a plan, allocation by allocation.
//!
//! Every storage instance has a count of who holds it: the running code, autograd, a region for its inputs, a
//! selective region for what it keeps. It is released when the count falls to zero. A recomputation makes new
//! instances: instance level 0 is the forward pass, level `d` a recomputation of a region of depth `d`.

use remat_graphs::{Graph, Node, StorageKind};

use super::program::Program;
use crate::plan::Regions;

/// A moment at which memory may peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A kernel of the forward pass.
    Forward {
        /// Operator.
        operator: u32,
        /// Kernel within the operator.
        kernel: u32,
    },
    /// A kernel that runs again for the backward pass.
    Recompute {
        /// Region that is recomputed, as an index into the plan's [`Regions`].
        region: u32,
        /// Operator.
        operator: u32,
        /// Kernel within the operator.
        kernel: u32,
    },
    /// A kernel of the backward pass.
    Backward {
        /// Index of the backward kernel.
        kernel: u32,
    },
}

/// Watches a replay. All methods have empty defaults.
pub trait Observer {
    /// A kernel has allocated its results and still has its inputs: `live` bytes are alive, optimizer states excluded.
    fn moment(&mut self, _moment: Moment, _live: u64) {}

    /// Instance `level` of a storage came to life.
    fn born(&mut self, _storage: u32, _level: u32) {}

    /// Instance `level` of a storage was released.
    fn died(&mut self, _storage: u32, _level: u32) {}

    /// An operator's kernel ran again; `false` if its kept result was handed over instead.
    fn ran_again(&mut self, _operator: u32, _kernel: u32) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// What a replay finds, in bytes; optimizer states excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Largest sum of live storages in the forward pass and the loss.
    pub peak_forward: u64,
    /// The same in the backward pass.
    pub peak_backward: u64,
    /// Alive between the passes.
    pub after_forward: u64,
    /// Alive after the backward pass.
    pub after_backward: u64,
    /// Operators that ran again, counted each time.
    pub operators: u64,
}

/// Reusable memory of replays over one program.
#[derive(Debug, Default)]
pub struct Scratch {
    holds: Vec<u32>,
    running: Vec<bool>,
    running_list: Vec<(u32, u32)>,
    done: Vec<bool>,
    region_of: Vec<Option<u32>>,
    kept_by: Vec<Option<u32>>,
}

/// What a region needs to know of itself.
#[allow(clippy::struct_excessive_bools)] // Independent facts, each set once.
#[derive(Debug, Clone, Default)]
struct RegionPlan {
    inputs: Vec<u32>,
    /// Is anything handed in, the model's own inputs included? Then starting the region saves something.
    takes_tensors: bool,
    /// Results of an operator with several results that are handed to a nested region as one tuple. A tuple is no saved
    /// tensor: the region holds it from the forward pass on, and its recomputation reads the originals.
    tuple: Vec<u32>,
    holds_tuple: bool,
    has_saves: bool,
    stop: Option<Stop>,
    last_node: Option<u32>,
    is_recomputed: bool,
    holds_inputs: bool,
    holds_kept: bool,
}

/// Where a recomputation stops: everything that is saved has been saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stop {
    operator: u32,
    kernels: u32,
    /// The last save is that of a nested region's inputs.
    at_inner: bool,
}

/// Who is running operators.
#[derive(Clone, Copy)]
struct Context {
    /// Region being recomputed; absent in the forward pass.
    region: Option<u32>,
    /// Does autograd save here? Not inside a region of the forward pass.
    saves: bool,
}

/// Replays a step. Time O(kernels run), memory O(storages × depth); no allocation per event.
pub fn replay<O: Observer>(
    program: &Program<'_>,
    regions: &Regions,
    scratch: &mut Scratch,
    observer: &mut O,
) -> Replayed {
    let mut r = Replay::new(program, regions, scratch, observer);
    r.forward();
    r.backward();
    r.result
}

struct Replay<'a, 'g, O> {
    program: &'a Program<'g>,
    regions: &'a Regions,
    plans: Vec<RegionPlan>,
    s: &'a mut Scratch,
    observer: &'a mut O,
    storages: usize,
    live: u64,
    in_backward: bool,
    result: Replayed,
}

impl<'a, 'g, O: Observer> Replay<'a, 'g, O> {
    fn new(program: &'a Program<'g>, regions: &'a Regions, s: &'a mut Scratch, observer: &'a mut O) -> Self {
        let graph = program.graph;
        let storages = graph.storages().len();
        let operators = graph.operators().len();
        let instances = storages * (regions.depth as usize + 1);
        refill(&mut s.holds, instances, 0);
        refill(&mut s.running, instances, false);
        refill(&mut s.done, operators, false);
        refill(&mut s.region_of, operators, None);
        refill(&mut s.kept_by, storages, None);
        s.running_list.clear();
        // Outer regions come before inner ones, so the innermost wins.
        for (i, r) in regions.all.iter().enumerate() {
            s.region_of[r.start as usize..r.end as usize].fill(Some(i as u32));
            for &(o, k) in &r.kept {
                for &w in &graph.operators()[o as usize].kernels[k as usize].writes {
                    s.kept_by[w as usize] = Some(i as u32);
                }
            }
        }
        let live = graph.static_bytes() + graph.input_bytes();
        let plans = vec![RegionPlan::default(); regions.all.len()];
        let mut r = Self {
            program,
            regions,
            plans,
            s,
            observer,
            storages,
            live,
            in_backward: false,
            result: Replayed { peak_forward: live, peak_backward: 0, ..Replayed::default() },
        };
        r.prepare();
        r
    }

    /// Inputs, stopping points and last nodes of all regions.
    fn prepare(&mut self) {
        let program = self.program;
        let graph = program.graph;
        for (i, region) in self.regions.all.iter().enumerate() {
            let plan = &mut self.plans[i];
            let first = &graph.operators()[region.start as usize];
            if is_getitem(&first.op) && region.depth > 1 {
                plan.tuple = tuple_before(graph, region.start);
            }
            plan.takes_tensors = first.kernels.is_empty() && !is_getitem(&first.op);
            for o in region.start..region.end {
                let step = &program.operators[o as usize];
                for kernel in &graph.operators()[o as usize].kernels {
                    for &s in kernel.reads.iter().chain(&kernel.mutates) {
                        if plan.tuple.contains(&s) {
                            // Elements taken out before the region are handed in as tensors.
                            plan.takes_tensors |= is_getitem(&graph.operators()[region.start as usize - 1].op);
                            continue;
                        }
                        let before = graph.producer(s).is_some_and(|p| p < region.start);
                        plan.takes_tensors |= before || graph.kind(s) == StorageKind::Input;
                        if before && !program.is_cached_cast[s as usize] {
                            plan.inputs.push(s);
                        }
                    }
                }
                plan.has_saves |= step.last_save.is_some();
                if let Some(kernels) = step.last_save.filter(|_| self.s.region_of[o as usize] == Some(i as u32)) {
                    plan.stop = plan.stop.max(Some(Stop { operator: o, kernels, at_inner: false }));
                }
            }
            plan.inputs.sort_unstable();
            plan.inputs.dedup();
        }
        for (i, region) in self.regions.all.iter().enumerate() {
            for &inner in region.inner.iter().filter(|&&r| self.plans[r as usize].takes_tensors).collect::<Vec<_>>() {
                let plan = &mut self.plans[i];
                let operator = self.regions.all[inner as usize].start;
                plan.stop = plan.stop.max(Some(Stop { operator, kernels: 0, at_inner: true }));
            }
        }
        for (n, node) in graph.nodes().iter().enumerate() {
            let Some(of) = node.of.filter(|_| !node.needs.is_empty()) else { continue };
            let mut region = self.s.region_of[of as usize];
            while let Some(r) = region {
                self.plans[r as usize].last_node = Some(n as u32);
                region = self.regions.all[r as usize].parent;
            }
        }
    }

    fn forward(&mut self) {
        let context = Context { region: None, saves: true };
        let end = self.program.operators.len() as u32;
        let regions = self.regions;
        self.range(0, end, &regions.outermost, context);
        self.stop_running(0);
        self.result.after_forward = self.live;
    }

    /// Runs operators `at..end` with the given regions checkpointed.
    fn range(&mut self, mut at: u32, end: u32, regions: &[u32], context: Context) {
        for &r in regions {
            let region = &self.regions.all[r as usize];
            while at < region.start {
                self.operator(at, context, None);
                at += 1;
            }
            self.checkpoint(r, context);
            at = region.end;
        }
        while at < end {
            self.operator(at, context, None);
            at += 1;
        }
    }

    /// Runs a region as a checkpoint: nothing in it is saved, its inputs are.
    fn checkpoint(&mut self, r: u32, context: Context) {
        let regions = self.regions;
        let region = &regions.all[r as usize];
        self.hold_inputs(r, context.region);
        self.hold_tuple(r, context.region);
        self.range(region.start, region.end, &region.inner, Context { region: context.region, saves: false });
        if context.region.is_none() && self.plans[r as usize].has_saves {
            self.plans[r as usize].holds_tuple = true;
        } else {
            self.release_tuple(r, context.region);
        }
        let plan = &mut self.plans[r as usize];
        if plan.has_saves && context.saves {
            plan.holds_inputs = true;
        } else {
            self.release_inputs(r, context.region);
        }
        // Kept results belong to the first run alone: a recomputation of the outer region makes and drops its own.
        if context.region.is_none() && !region.kept.is_empty() {
            self.plans[r as usize].holds_kept = true;
            if !self.plans[r as usize].has_saves {
                self.release_kept(r);
            }
        }
    }

    fn operator(&mut self, o: u32, context: Context, stop: Option<u32>) {
        let program = self.program;
        let step = program.operators[o as usize];
        let level = self.level(context.region);
        let again = context.region.is_some();
        for &s in program.storages(step.casts) {
            // The autocast cache is empty when a recomputation starts.
            if !self.s.running[self.instance(s, level)] {
                self.run(s, level);
                self.moment(o, 0, context);
            }
        }
        let saves =
            if context.saves && !(again && self.s.done[o as usize]) { &program.saves[step.saves.range()] } else { &[] };
        let mut saved = 0;
        let mut ran = false;
        for (k, kernel) in program.kernels[step.kernels.range()].iter().enumerate() {
            let k = k as u32;
            saved = self.save(saves, saved, k, context.region);
            if stop == Some(k) {
                self.result.operators += u64::from(ran);
                return;
            }
            let allocs = program.storages(kernel.allocs);
            let kept = self.kept(o, k);
            if kept.is_some() && kept == context.region {
                for &s in allocs {
                    self.hand_over(s);
                }
            } else {
                for &s in allocs {
                    self.run(s, level);
                    if kept.is_some() && !again {
                        self.hold(s, 0);
                    }
                }
                if again {
                    self.observer.ran_again(o, k);
                    ran = true;
                }
            }
            self.moment(o, k, context);
            for &s in program.storages(kernel.frees) {
                self.let_go(s, context.region);
            }
        }
        self.save(saves, saved, step.kernels.range().len() as u32, context.region);
        self.result.operators += u64::from(ran);
        if stop.is_some() {
            return;
        }
        let from = context.region.map_or(0, |r| self.regions.all[r as usize].start);
        for &s in program.storages(step.returns) {
            if program.graph.producer(s).is_some_and(|p| p >= from) {
                self.let_go(s, context.region);
            }
        }
    }

    /// Saves what is due after `k` kernels; returns how many saves are done.
    fn save(&mut self, saves: &[(u32, u32)], mut from: usize, k: u32, region: Option<u32>) -> usize {
        while from < saves.len() && saves[from].1 <= k {
            let s = saves[from].0;
            let level = self.level_of(s, region);
            self.hold(s, level);
            from += 1;
        }
        from
    }

    fn backward(&mut self) {
        self.in_backward = true;
        let program = self.program;
        let graph = program.graph;
        let mut orphans = program.orphans.len();
        // Regions whose saved tensors no node needs let go when the backward pass has moved below them.
        let unneeded = |r: &u32| self.plans[*r as usize].has_saves && self.plans[*r as usize].last_node.is_none();
        let mut unneeded: Vec<u32> = (0..self.plans.len() as u32).filter(unneeded).collect();
        unneeded.sort_by_key(|&r| self.regions.all[r as usize].start);
        for (n, node) in graph.nodes().iter().enumerate() {
            if let Some(of) = node.of {
                while orphans > 0 && program.orphans[orphans - 1] > of {
                    orphans -= 1;
                    self.abandon(program.orphans[orphans]);
                }
                while unneeded.last().is_some_and(|&r| self.regions.all[r as usize].start > of) {
                    unneeded.pop().into_iter().for_each(|r| self.finish(r));
                }
                if !node.needs.is_empty() {
                    self.recompute_for(of);
                }
            }
            // A recomputed tensor is held by the formula alone, a saved one until its gradients are reduced.
            let in_region = node.of.is_some_and(|of| self.s.region_of[of as usize].is_some());
            let saved_end = if in_region { node.formula_end } else { node.release };
            self.kernels(node.start, saved_end);
            if let Some(of) = node.of {
                self.release_saved(of, node);
            }
            self.kernels(saved_end, node.release);
            if let Some(of) = node.of {
                self.node_done(n as u32, of);
            }
            self.kernels(node.release, node.end);
        }
        while orphans > 0 {
            orphans -= 1;
            self.abandon(program.orphans[orphans]);
        }
        for r in 0..self.plans.len() as u32 {
            self.finish(r);
        }
        for &s in &program.held_by_caller {
            self.unhold(s, 0);
        }
        self.result.after_backward = self.live;
    }

    fn kernels(&mut self, from: u32, to: u32) {
        let program = self.program;
        for b in from..to {
            for &s in &program.graph.backward()[b as usize].writes {
                self.live += program.graph.size(s);
                self.observer.born(s, 0);
            }
            self.peak(Moment::Backward { kernel: b });
            for &s in program.storages(program.deaths[b as usize]) {
                self.live -= program.graph.size(s);
                self.observer.died(s, 0);
            }
        }
    }

    fn release_saved(&mut self, of: u32, node: &Node) {
        let region = self.s.region_of[of as usize];
        if self.is_recomputed(region) {
            for &s in node.frees.iter().filter(|&&s| self.program.graph.producer(s).is_some()) {
                let level = self.level_of(s, region);
                self.unhold(s, level);
            }
        }
    }

    fn node_done(&mut self, n: u32, of: u32) {
        if self.program.last_node[of as usize] == Some(n) {
            self.s.done[of as usize] = true;
        }
        let mut region = self.s.region_of[of as usize];
        while let Some(r) = region {
            if self.plans[r as usize].last_node == Some(n) {
                self.finish(r);
            }
            region = self.regions.all[r as usize].parent;
        }
    }

    /// An operator without backward kernels lets go: the backward pass has moved below it.
    fn abandon(&mut self, o: u32) {
        self.s.done[o as usize] = true;
        let region = self.s.region_of[o as usize];
        if self.is_recomputed(region) {
            let program = self.program;
            for &(s, _) in &program.saves[program.operators[o as usize].saves.range()] {
                let level = self.level_of(s, region);
                self.unhold(s, level);
            }
        }
    }

    fn is_recomputed(&self, region: Option<u32>) -> bool {
        region.is_none_or(|r| self.plans[r as usize].is_recomputed)
    }

    /// Recomputes the regions around an operator, outer before inner, where that has not been done yet.
    fn recompute_for(&mut self, of: u32) {
        let Some(innermost) = self.s.region_of[of as usize] else { return };
        for depth in 1..=self.regions.all[innermost as usize].depth {
            let mut r = innermost;
            while self.regions.all[r as usize].depth > depth {
                r = self.regions.all[r as usize].parent.unwrap_or(r);
            }
            if !self.plans[r as usize].is_recomputed {
                self.recompute(r);
            }
        }
    }

    fn recompute(&mut self, r: u32) {
        self.plans[r as usize].is_recomputed = true;
        let regions = self.regions;
        let region = &regions.all[r as usize];
        let context = Context { region: Some(r), saves: true };
        let from = self.s.running_list.len();
        if let Some(stop) = self.plans[r as usize].stop {
            let inner: &[u32] = {
                let before = region.inner.partition_point(|&i| regions.all[i as usize].start < stop.operator);
                &region.inner[..before]
            };
            self.range(region.start, stop.operator, inner, context);
            if stop.at_inner {
                let i = region.inner[region.inner.partition_point(|&i| regions.all[i as usize].start < stop.operator)];
                if self.plans[i as usize].has_saves {
                    self.hold_inputs(i, context.region);
                    self.plans[i as usize].holds_inputs = true;
                }
            } else {
                self.operator(stop.operator, context, Some(stop.kernels));
            }
        }
        self.stop_running(from);
        if region.parent.is_some() {
            // Inputs of a nested region are handed over: only what its operators saved stays.
            self.finish_inputs(r);
        }
    }

    /// The last node of a region is done: its inputs and what it kept go.
    fn finish(&mut self, r: u32) {
        self.finish_inputs(r);
        self.release_kept(r);
        if std::mem::take(&mut self.plans[r as usize].holds_tuple) {
            self.release_tuple(r, None);
        }
    }

    fn finish_inputs(&mut self, r: u32) {
        if std::mem::take(&mut self.plans[r as usize].holds_inputs) {
            self.release_inputs(r, self.regions.all[r as usize].parent);
        }
    }

    fn hold_inputs(&mut self, r: u32, caller: Option<u32>) {
        for i in 0..self.plans[r as usize].inputs.len() {
            let s = self.plans[r as usize].inputs[i];
            let level = self.level_of(s, caller);
            self.hold(s, level);
        }
    }

    fn release_inputs(&mut self, r: u32, caller: Option<u32>) {
        for i in 0..self.plans[r as usize].inputs.len() {
            let s = self.plans[r as usize].inputs[i];
            let level = self.level_of(s, caller);
            self.unhold(s, level);
        }
    }

    fn hold_tuple(&mut self, r: u32, caller: Option<u32>) {
        for i in 0..self.plans[r as usize].tuple.len() {
            let s = self.plans[r as usize].tuple[i];
            let level = self.level_of(s, caller);
            self.hold(s, level);
        }
    }

    fn release_tuple(&mut self, r: u32, caller: Option<u32>) {
        for i in 0..self.plans[r as usize].tuple.len() {
            let s = self.plans[r as usize].tuple[i];
            let level = self.level_of(s, caller);
            self.unhold(s, level);
        }
    }

    /// Region that keeps the results of a kernel.
    fn kept(&self, o: u32, k: u32) -> Option<u32> {
        let r = self.s.region_of[o as usize]?;
        self.regions.all[r as usize].kept.binary_search(&(o, k)).is_ok().then_some(r)
    }

    /// A kept result becomes a value of the recomputation.
    fn hand_over(&mut self, s: u32) {
        // The hold of the region becomes that of the running code.
        let at = self.instance(s, 0);
        self.s.running[at] = true;
        self.s.running_list.push((s, 0));
    }

    fn release_kept(&mut self, r: u32) {
        if !std::mem::take(&mut self.plans[r as usize].holds_kept) {
            return;
        }
        let regions = self.regions;
        for &(o, k) in &regions.all[r as usize].kept {
            let reached = self.plans[r as usize].is_recomputed
                && self.plans[r as usize].stop.is_some_and(|stop| (o, k) < (stop.operator, stop.kernels));
            if !reached {
                for &s in &self.program.graph.operators()[o as usize].kernels[k as usize].writes {
                    self.unhold(s, 0);
                }
            }
        }
    }

    fn moment(&mut self, operator: u32, kernel: u32, context: Context) {
        self.peak(match context.region {
            Some(region) => Moment::Recompute { region, operator, kernel },
            None => Moment::Forward { operator, kernel },
        });
    }

    fn peak(&mut self, moment: Moment) {
        let peak = if self.in_backward { &mut self.result.peak_backward } else { &mut self.result.peak_forward };
        *peak = (*peak).max(self.live);
        self.observer.moment(moment, self.live);
    }

    fn level(&self, region: Option<u32>) -> u32 {
        region.map_or(0, |r| self.regions.all[r as usize].depth)
    }

    /// Instance of a storage that operators of `region` see once it is recomputed.
    fn level_of(&self, s: u32, mut region: Option<u32>) -> u32 {
        if self.program.is_cached_cast[s as usize] {
            return self.level(region);
        }
        let made = self.program.graph.producer(s).unwrap_or(0);
        while let Some(r) = region {
            if self.s.kept_by[s as usize] == Some(r) || self.plans[r as usize].tuple.contains(&s) {
                return 0;
            }
            let at = &self.regions.all[r as usize];
            if made >= at.start {
                return at.depth;
            }
            region = at.parent;
        }
        0
    }

    fn instance(&self, s: u32, level: u32) -> usize {
        level as usize * self.storages + s as usize
    }

    /// Allocates an instance; the running code holds it.
    fn run(&mut self, s: u32, level: u32) {
        self.hold(s, level);
        let at = self.instance(s, level);
        self.s.running[at] = true;
        self.s.running_list.push((s, level));
    }

    /// The running code drops a storage of its own.
    fn let_go(&mut self, s: u32, region: Option<u32>) {
        let level = self.level_of(s, region);
        let at = self.instance(s, level);
        if std::mem::take(&mut self.s.running[at]) {
            self.unhold(s, level);
        }
    }

    /// The running code returns and drops all it still holds.
    fn stop_running(&mut self, from: usize) {
        while self.s.running_list.len() > from {
            let Some((s, level)) = self.s.running_list.pop() else { break };
            let at = self.instance(s, level);
            let is_loss = !self.in_backward && self.program.held_by_caller.binary_search(&s).is_ok();
            if std::mem::take(&mut self.s.running[at]) && !is_loss {
                self.unhold(s, level);
            }
        }
    }

    fn hold(&mut self, s: u32, level: u32) {
        let at = self.instance(s, level);
        if self.s.holds[at] == 0 {
            self.live += self.program.graph.size(s);
            self.observer.born(s, level);
        }
        self.s.holds[at] += 1;
    }

    fn unhold(&mut self, s: u32, level: u32) {
        let at = self.instance(s, level);
        debug_assert!(self.s.holds[at] > 0, "storage {s} at level {level} is released twice");
        self.s.holds[at] -= 1;
        if self.s.holds[at] == 0 {
            self.live -= self.program.graph.size(s);
            self.observer.died(s, level);
        }
    }
}

fn is_getitem(op: &str) -> bool {
    op.contains("getitem")
}

/// Storages of the tuple that the `getitem` operators around `start` take apart.
fn tuple_before(graph: &Graph, start: u32) -> Vec<u32> {
    let made = (0..start).rev().find(|&o| !is_getitem(&graph.operators()[o as usize].op));
    let Some(kernel) = made.and_then(|o| graph.operators()[o as usize].kernels.last()) else { return Vec::new() };
    let mut tuple = if kernel.writes.is_empty() { kernel.reads.clone() } else { kernel.writes.clone() };
    tuple.retain(|&s| graph.kind(s) == StorageKind::Activation);
    tuple
}

fn refill<T: Clone>(list: &mut Vec<T>, len: usize, value: T) {
    list.clear();
    list.resize(len, value);
}
