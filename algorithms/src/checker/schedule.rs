//! Lays a step out as one line of ticks: forward pass, backward pass, and recomputations where they are triggered.

use super::facts::{Facts, Release};
use super::tree::Tree;

/// A moment. A kernel runs at its tick; starts and returns have ticks of their own, at which nothing is allocated.
pub(super) type Tick = usize;

/// Marks what never happens.
pub(super) const NEVER: Tick = Tick::MAX;

/// The forward pass, or one recomputation of a region.
#[derive(Debug)]
pub(super) struct Activity {
    /// Region that is recomputed; none for the forward pass.
    pub(super) scope: Option<usize>,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) ends: Tick,
    /// Tick at which each operator is called, [`NEVER`] if it is not.
    pub(super) called: Vec<Tick>,
    /// Operator that is interrupted after so many kernels: the early stop.
    pub(super) halt: Option<(u32, u32)>,
    /// Regions that run inside as checkpoints of their own, ascending, with the ticks of entry and return.
    pub(super) frames: Vec<(usize, Tick, Tick)>,
}

impl Activity {
    /// Kernels of an operator that are reached.
    pub(super) fn reached(&self, facts: &Facts<'_>, operator: u32) -> u32 {
        match (self.called_at(operator), self.halt) {
            (NEVER, _) => 0,
            (_, Some((o, k))) if o == operator => k,
            _ => facts.kernels(operator),
        }
    }

    pub(super) fn called_at(&self, operator: u32) -> Tick {
        self.called[(operator - self.start) as usize]
    }

    /// Tick of a kernel; the end of the activity if it is not reached.
    pub(super) fn kernel_at(&self, facts: &Facts<'_>, (operator, kernel): (u32, u32)) -> Tick {
        if kernel < self.reached(facts, operator) { self.called_at(operator) + 1 + kernel as usize } else { self.ends }
    }

    /// Tick at which an operator returns; the end of the activity if it does not.
    pub(super) fn returns_at(&self, facts: &Facts<'_>, operator: u32) -> Tick {
        let interrupted = self.halt.is_some_and(|(o, _)| o == operator);
        match self.called_at(operator) {
            called if called != NEVER && !interrupted => called + 1 + facts.kernels(operator) as usize,
            _ => self.ends,
        }
    }

    /// Entry and return of an inner region, if it is entered.
    pub(super) fn frame(&self, scope: usize) -> Option<(Tick, Tick)> {
        self.frames.binary_search_by_key(&scope, |f| f.0).ok().map(|i| (self.frames[i].1, self.frames[i].2))
    }
}

/// Where the recomputation of a region stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    /// Inside an operator, after so many kernels.
    Operator(u32, u32),
    /// Where an inner region, starting here, has saved its inputs.
    Entry(u32),
}

impl Stop {
    fn operator(self) -> u32 {
        match self {
            Self::Operator(o, _) | Self::Entry(o) => o,
        }
    }
}

/// Moments of an autograd node.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeTicks {
    start: Tick,
    /// Its formula is done: what it unpacked goes.
    formula: Tick,
    /// Its gradients are reduced: what it saved goes.
    reduced: Tick,
}

/// The whole step on one line.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The forward pass, then recomputations in order of execution.
    pub(super) activities: Vec<Activity>,
    /// Recomputation of each region.
    pub(super) recomputed: Vec<Option<usize>>,
    /// Tick of each backward kernel.
    pub(super) backward: Vec<Tick>,
    /// Moments of each node.
    pub(super) nodes: Vec<NodeTicks>,
    /// The tick between forward and backward pass.
    pub(super) turn: Tick,
    /// The last tick.
    pub(super) end: Tick,
}

impl Schedule {
    /// Time and memory O(depth x kernels).
    pub(super) fn new(facts: &Facts<'_>, tree: &Tree) -> Self {
        let mut line = Self {
            activities: Vec::new(),
            recomputed: vec![None; tree.scopes.len()],
            backward: Vec::with_capacity(facts.trace.backward.len()),
            nodes: Vec::with_capacity(facts.nodes.len()),
            turn: 0,
            end: 0,
        };
        let mut now = 0;
        line.play(facts, tree, None, None, &mut now);
        line.turn = now;
        for node in &facts.nodes {
            now += 1;
            let start = now;
            if let Some(scope) = node.of.filter(|_| node.unpacks).and_then(|of| tree.innermost[of as usize]) {
                line.trigger(facts, tree, scope, &mut now);
            }
            let mut run = |kernels: std::ops::Range<usize>| {
                for _ in kernels {
                    now += 1;
                    line.backward.push(now);
                }
                now += 1;
                now
            };
            let formula = run(node.start..node.formula);
            let reduced = run(node.formula..node.reduced);
            run(node.reduced..node.end);
            line.nodes.push(NodeTicks { start, formula, reduced });
        }
        line.end = now + 1;
        line
    }

    /// Tick at which autograd lets go of a saved tensor: outside regions (`unpacked` false) the node holds the tensor
    /// itself; in a region it holds a token for it, and the tensor only from unpacking to the end of its formula.
    pub(super) fn released(&self, release: Release, unpacked: bool) -> Tick {
        match release {
            Release::Done(node) if unpacked => self.nodes[node].formula,
            Release::Done(node) => self.nodes[node].reduced,
            Release::Passed(node) => self.nodes[node].start,
            Release::End => self.end,
        }
    }

    /// Recomputes a region unless that has been done; first the regions around it that must hand over its inputs.
    fn trigger(&mut self, facts: &Facts<'_>, tree: &Tree, scope: usize, now: &mut Tick) {
        let mut due = Vec::new();
        let mut at = Some(scope);
        while let Some(s) = at.filter(|&s| self.recomputed[s].is_none()) {
            due.push(s);
            at = tree.scopes[s].parent.filter(|_| !tree.scopes[s].inputs.is_empty());
        }
        for s in due.into_iter().rev() {
            if let Some(stop) = last_save(facts, tree, s) {
                self.recomputed[s] = Some(self.activities.len());
                self.play(facts, tree, Some(s), Some(stop), now);
            }
        }
    }

    fn play(&mut self, facts: &Facts<'_>, tree: &Tree, scope: Option<usize>, stop: Option<Stop>, now: &mut Tick) {
        let (start, end) = scope.map_or((0, facts.loss() + 1), |s| (tree.scopes[s].start, tree.scopes[s].end));
        *now += 1;
        let mut activity = Activity {
            scope,
            start,
            end,
            ends: NEVER,
            called: vec![NEVER; (end - start) as usize],
            halt: None,
            frames: Vec::new(),
        };
        // Inner regions that are open, innermost last.
        let mut open: Vec<usize> = Vec::new();
        for o in start..end {
            if stop.is_some_and(|s| s.operator() < o) {
                break;
            }
            close(tree, &mut activity, &mut open, o, now);
            while let Some(child) = tree.child_at(open.last().copied().or(scope), o) {
                *now += 1;
                activity.frames.push((child, *now, NEVER));
                open.push(child);
                if stop == Some(Stop::Entry(o)) {
                    break;
                }
            }
            if stop == Some(Stop::Entry(o)) {
                break;
            }
            *now += 1;
            activity.called[(o - start) as usize] = *now;
            match stop {
                Some(Stop::Operator(halted, k)) if halted == o => {
                    activity.halt = Some((o, k));
                    *now += k as usize;
                }
                _ => *now += facts.kernels(o) as usize + 1,
            }
        }
        close(tree, &mut activity, &mut open, end, now);
        *now += 1;
        activity.ends = *now;
        activity.frames.sort_unstable();
        for frame in activity.frames.iter_mut().filter(|f| f.2 == NEVER) {
            frame.2 = *now;
        }
        self.activities.push(activity);
    }
}

/// Returns from the inner regions that end at or before an operator.
fn close(tree: &Tree, activity: &mut Activity, open: &mut Vec<usize>, at: u32, now: &mut Tick) {
    while let Some(scope) = open.pop_if(|s| tree.scopes[*s].end <= at) {
        *now += 1;
        if let Some(frame) = activity.frames.iter_mut().rev().find(|f| f.0 == scope) {
            frame.2 = *now;
        }
    }
}

/// The last thing that the region itself saves: for one of its own operators, or as the input of a region inside.
fn last_save(facts: &Facts<'_>, tree: &Tree, scope: usize) -> Option<Stop> {
    let region = &tree.scopes[scope];
    let entry = region.children.iter().rev().find(|&&c| !tree.scopes[c].inputs.is_empty());
    let entry = entry.map(|&c| tree.scopes[c].start);
    let mut own = (region.start..region.end).rev().filter(|&o| tree.innermost[o as usize] == Some(scope));
    let own = own.find_map(|o| Some((o, facts.trace.operators[o as usize].saves.iter().map(|s| s.1).max()?)));
    match (own, entry) {
        (Some((o, k)), entry) if entry.is_none_or(|e| e < o) => Some(Stop::Operator(o, k)),
        (_, entry) => entry.map(Stop::Entry),
    }
}
