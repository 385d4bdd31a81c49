//! Local peaks of all regions that start at one cut, in one scan.
//!
//! For a fixed start `a` everything that a region `[a, b)` needs is a running maximum as `b` grows: its recomputation
//! runs the same kernels whatever `b` is, it only stops at the last saving operator before `b`; and while the backward
//! pass stands at operator `k`, the recomputed tensors still alive are those saved by operators `a ..= k`.

use super::keep::Keep;
use super::profile::{NodeBase, Profile};

/// What a region `[a, b)` needs, apart from what earlier steps hold and from its inputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    /// End of the region.
    pub end: u32,
    /// Largest live bytes in the forward pass: running code and region inputs, nothing else held.
    pub forward: u64,
    /// Largest live bytes of its backward pass while its inputs are held, inputs not counted.
    pub backward: u64,
    /// What no plan for the inside of the region can avoid of it: single operators with what they saved.
    pub floor: u64,
    /// How many of [`Locals::inputs`] the region reads.
    pub inputs: u32,
    /// Nanoseconds of its recomputation.
    pub time: u64,
    /// Bytes that a selective region keeps, and how many of [`Locals::kept`] these are.
    pub kept: u64,
    pub kept_until: u32,
}

/// All regions that start at one cut.
#[derive(Debug, Clone, Default)]
pub(super) struct Locals {
    /// Largest live bytes after the last node of the region has let go of its inputs; the same for all ends.
    pub after_inputs: u64,
    /// Region inputs in the order in which they are first read.
    pub inputs: Vec<u32>,
    /// Kept storages in the order in which they are made.
    pub kept: Vec<u32>,
    /// One entry per allowed end at which the region holds something, ascending.
    pub regions: Vec<Local>,
}

/// Marks of one scan; reused between scans.
#[derive(Debug, Default)]
pub(super) struct Marks {
    stamp: u32,
    running: Vec<u32>,
    saved: Vec<u32>,
    saver: Vec<u32>,
    input: Vec<u32>,
}

impl Marks {
    fn start(&mut self, storages: usize) {
        if self.running.len() != storages {
            let zeros = vec![0; storages];
            *self = Self { stamp: 0, running: zeros.clone(), saved: zeros.clone(), saver: zeros.clone(), input: zeros };
        }
        self.stamp += 1;
    }
}

/// Which regions a scan may look at.
pub(super) struct Bounds<'a> {
    /// Allowed ends for this start, ascending.
    pub ends: &'a [u32],
    /// No region whose peak is above this is of interest.
    pub limit: u64,
    /// Up to this end a region may stay within the limit by regions of its own; its local peak is then no bound.
    pub nested_until: u32,
    /// Bytes that cross the start and that earlier steps may hold already.
    pub crossing: u64,
    /// What a selective region keeps.
    pub keep: Option<&'a Keep>,
}

/// Scans all regions that start at `a`. Time O(kernels up to the last end that stays within the limit).
pub(super) fn scan(profile: &Profile<'_, '_>, a: u32, bounds: &Bounds<'_>, marks: &mut Marks) -> Locals {
    marks.start(profile.running_until.len());
    let mut s = Scanner { p: profile, a, m: marks, keep: bounds.keep, now: State::default(), out: Locals::default() };
    let mut ends = bounds.ends.iter().copied().peekable();
    for j in a..profile.operators.len() as u32 - 1 {
        // A kept result that is changed in place cannot be handed over.
        if ends.peek().is_none() || bounds.keep.is_some_and(|k| k.mutates[j as usize]) {
            break;
        }
        s.inputs(j);
        s.recompute(j);
        s.backward(j);
        // Both grow with the end of the region, whatever earlier steps hold.
        let is_too_large = s.now.interior > bounds.limit && j + 1 >= bounds.nested_until;
        if is_too_large || s.now.forward.saturating_sub(bounds.crossing) > bounds.limit {
            break;
        }
        if ends.next_if_eq(&(j + 1)).is_some() {
            s.region(j + 1);
        }
    }
    s.out.after_inputs = s.now.after_inputs;
    s.out
}

/// Where a scan stands.
#[derive(Default)]
struct State {
    /// Running maximum of live bytes in the forward pass.
    forward: u64,
    /// Bytes of inputs that only the region still holds in the forward pass.
    held_inputs: u64,
    /// Recomputed bytes alive, held by the running code or saved.
    live: u64,
    /// Bytes that a selective region keeps: made so far, made before the last save so far, and no longer held by the
    /// running code in the forward pass.
    kept: u64,
    kept_at_stop: u64,
    kept_alone: u64,
    /// Running maximum over all kernels so far of what is alive, less what was kept by then.
    recomputed: i64,
    /// Peak of the recomputation, if the region ends behind this operator, less what it keeps; `None` before the first
    /// saving operator.
    recompute: Option<i64>,
    /// Recomputed bytes saved by the operators so far.
    saved: u64,
    /// Peak of the nodes of all operators below the last saving one.
    interior: u64,
    /// Running maximum over single operators with what they saved.
    floor: u64,
    /// What becomes interior once a further saving operator follows.
    pending: u64,
    /// Peak of the nodes of the last saving operator.
    top: u64,
    /// Peak of the nodes of the operators behind it, which run before the recomputation.
    tail: u64,
    /// Peak of the nodes that run after the region has let go of its inputs.
    after_inputs: u64,
    /// Has an operator of the region saved anything?
    seen_saver: bool,
    time: u64,
    time_at_stop: u64,
}

struct Scanner<'a, 'p, 'g> {
    p: &'a Profile<'p, 'g>,
    a: u32,
    m: &'a mut Marks,
    keep: Option<&'a Keep>,
    now: State,
    out: Locals,
}

impl Scanner<'_, '_, '_> {
    /// Records the region that ends here.
    fn region(&mut self, end: u32) {
        let now = &self.now;
        let Some(recompute) = now.recompute else { return };
        // Before the recomputation all that is kept is alive, afterwards what lies behind its end.
        let recompute = recompute.saturating_add_unsigned(now.kept).max(0).unsigned_abs();
        let nodes = now.interior.max(now.top) + (now.kept - now.kept_at_stop);
        self.out.regions.push(Local {
            end,
            forward: now.forward,
            backward: recompute.max(nodes).max(now.tail + now.kept),
            floor: now.floor,
            inputs: self.out.inputs.len() as u32,
            time: now.time_at_stop,
            kept: now.kept,
            kept_until: self.out.kept.len() as u32,
        });
    }

    /// Forward pass: the region holds what it has read, also after its last reader.
    fn inputs(&mut self, j: u32) {
        let p = self.p;
        let op = &p.operators[j as usize];
        for &s in &op.reads {
            let is_input = p.program.graph.producer(s).is_some_and(|made| made < self.a);
            let at = s as usize;
            if is_input && !p.program.is_cached_cast[at] && !p.always[at] && self.m.input[at] != self.m.stamp {
                self.m.input[at] = self.m.stamp;
                self.out.inputs.push(s);
            }
        }
    }

    /// Runs the operator's kernels as a recomputation from `a` does.
    fn recompute(&mut self, j: u32) {
        let program = self.p.program;
        let op = &self.p.operators[j as usize];
        let step = &program.operators[j as usize];
        let saves = &program.saves[step.saves.range()];
        let mut partial = self.now.recomputed;
        let mut kept_at_stop = self.now.kept;
        for &s in program.storages(step.casts) {
            if self.m.running[s as usize] != self.m.stamp {
                self.run(s);
                partial = partial.max(self.alive());
            }
        }
        let mut all = partial;
        let mut due = 0;
        for (k, kernel) in program.kernels[step.kernels.range()].iter().enumerate() {
            due = self.save(saves, due, k as u32, j);
            for &s in program.storages(kernel.allocs) {
                self.run(s);
            }
            let running = op.moments[k].running;
            self.now.forward = self.now.forward.max(running + self.now.held_inputs + self.now.kept_alone);
            all = all.max(self.alive());
            if step.last_save.is_some_and(|last| (k as u32) < last) {
                partial = partial.max(self.alive());
                kept_at_stop = self.now.kept;
            }
            for &s in program.storages(kernel.frees) {
                self.let_go(s);
            }
        }
        self.save(saves, due, u32::MAX, j);
        for &s in program.storages(step.returns) {
            if program.graph.producer(s).is_some_and(|made| made >= self.a) {
                self.let_go(s);
            }
        }
        for &s in &op.reads {
            if self.m.input[s as usize] == self.m.stamp && self.p.running_until[s as usize] == j {
                self.now.held_inputs += program.graph.size(s);
            }
        }
        let (saved, saved_to_stop) = self.keep.map_or((0, 0), |k| k.saved[j as usize]);
        if op.is_saver {
            let found = op.nodes.iter().find(|n| n.needs).map_or(0, |n| n.at_start);
            self.now.recompute = Some(partial.saturating_add_unsigned(found));
            self.now.time_at_stop = self.now.time + op.time_to_last_save - saved_to_stop;
            self.now.kept_at_stop = kept_at_stop;
        }
        self.now.recomputed = all;
        self.now.time += op.time - saved;
    }

    /// Recomputed bytes alive, less what is kept so far: what is kept is alive whether it has been handed over or not.
    fn alive(&self) -> i64 {
        self.now.live.cast_signed() - self.now.kept.cast_signed()
    }

    fn is_kept(&self, s: u32) -> bool {
        self.keep.is_some_and(|k| k.is_kept[s as usize])
    }

    /// Saves what is due after `k` kernels of operator `j`.
    fn save(&mut self, saves: &[(u32, u32)], mut due: usize, k: u32, j: u32) -> usize {
        while due < saves.len() && saves[due].1 <= k {
            let s = saves[due].0;
            if self.is_own(s) && self.m.saved[s as usize] != self.m.stamp {
                self.m.saved[s as usize] = self.m.stamp;
                self.m.saver[s as usize] = j;
                let size = self.p.program.graph.size(s);
                self.now.saved += size;
                // The running code may have let go of a result before it is saved; it is alive all the same.
                if self.m.running[s as usize] != self.m.stamp {
                    self.now.live += size;
                }
            }
            due += 1;
        }
        due
    }

    /// Does a recomputation from `a` make its own instance of the storage?
    fn is_own(&self, s: u32) -> bool {
        let program = self.p.program;
        program.is_cached_cast[s as usize] || program.graph.producer(s).is_some_and(|made| made >= self.a)
    }

    fn run(&mut self, s: u32) {
        self.m.running[s as usize] = self.m.stamp;
        let size = self.p.program.graph.size(s);
        self.now.live += size;
        if self.is_kept(s) {
            self.now.kept += size;
            self.out.kept.push(s);
        }
    }

    fn let_go(&mut self, s: u32) {
        if self.m.running[s as usize] == self.m.stamp {
            self.m.running[s as usize] = 0;
            if self.is_kept(s) {
                self.now.kept_alone += self.p.program.graph.size(s);
            }
            if self.m.saved[s as usize] != self.m.stamp {
                self.now.live -= self.p.program.graph.size(s);
            }
        }
    }

    /// Peaks of the operator's nodes, after [`Self::recompute`] has marked what it saves.
    fn backward(&mut self, j: u32) {
        let op = &self.p.operators[j as usize];
        if !op.is_saver {
            let base = op.nodes.iter().map(|n| n.formula.max(n.reduction).max(n.after)).max().unwrap_or(0);
            if self.now.recompute.is_some() {
                self.now.tail = self.now.tail.max(base);
                self.now.pending = self.now.pending.max(base + self.now.saved);
            } else {
                self.now.after_inputs = self.now.after_inputs.max(base);
            }
            return;
        }
        let is_lowest = !std::mem::replace(&mut self.now.seen_saver, true);
        self.now.interior = self.now.interior.max(self.now.pending);
        let last_need = op.nodes.iter().rposition(|n| n.needs).unwrap_or(0);
        let (mut top, mut inside, mut tail) = (0, 0, 0);
        let mut is_recomputed = false;
        let mut held = self.now.saved;
        let mut own = op.saves.iter().filter(|&&s| self.is_own(s)).map(|&s| self.p.program.graph.size(s)).sum::<u64>();
        for (i, node) in op.nodes.iter().enumerate() {
            is_recomputed |= node.needs;
            if i <= last_need {
                self.now.floor = self.now.floor.max(node.formula + own);
            }
            let goes = node.frees.iter().filter(|&&s| op.saves.contains(&s) && self.is_own(s));
            own = own.saturating_sub(goes.map(|&s| self.p.program.graph.size(s)).sum());
            let before = held;
            held -= self.freed(node, j);
            let mut with_inputs = (node.formula + before).max(node.reduction + held);
            let mut without = node.formula.max(node.reduction);
            if is_lowest && i > last_need {
                self.now.after_inputs = self.now.after_inputs.max(with_inputs);
                (with_inputs, without) = (0, 0);
            }
            if is_lowest && i >= last_need {
                self.now.after_inputs = self.now.after_inputs.max(node.after + held);
            } else {
                with_inputs = with_inputs.max(node.after + held);
                without = without.max(node.after);
            }
            inside = inside.max(with_inputs);
            if is_recomputed {
                top = top.max(with_inputs);
            } else {
                tail = tail.max(without);
            }
        }
        self.now.top = top;
        self.now.tail = tail;
        self.now.pending = inside;
    }

    /// Recomputed bytes that a node of operator `j` releases: what no operator of the region below `j` saved too.
    fn freed(&self, node: &NodeBase, j: u32) -> u64 {
        let is_last = |s: &&u32| {
            let at = **s as usize;
            self.m.saved[at] == self.m.stamp && self.m.saver[at] == j
        };
        node.frees.iter().filter(is_last).map(|&s| self.p.program.graph.size(s)).sum()
    }
}
