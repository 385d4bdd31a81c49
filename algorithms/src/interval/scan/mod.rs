//! Local peaks of all regions that start at one cut, in one scan.
//!
//! For a fixed start `a` everything that a region `[a, b)` needs is a running maximum as `b` grows: its recomputation
//! runs the same kernels whatever `b` is, it only stops at the last saving operator before `b`; and while the backward
//! pass stands at operator `k`, the recomputed tensors still alive are those saved by operators `a ..= k`.
//!
//! What makes a region recompute is its last operator with a node that needs a saved tensor (*needy* below). Operators
//! behind it may save as well, what none of their nodes reads: the recomputation still runs up to their last save, but
//! the backward pass has moved below them, so nothing of theirs is held. A region that saves something, but nothing that
//! a node needs, is not recomputed at all. Its inputs a region holds until its lowest operator that saves anything has
//! let go of it, recomputed or not.

mod backward;
mod recompute;

use super::keep::Keep;
use super::network::Limits;
use super::profile::Profile;

/// What a region `[a, b)` needs, apart from what earlier steps hold and from its inputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    /// End of the region.
    pub end: u32,
    /// Largest live bytes in the forward pass: running code and region inputs, nothing else held.
    pub forward: u64,
    /// Largest live bytes of its backward pass while its inputs are held, inputs not counted.
    pub backward: u64,
    /// Largest live bytes after its last saved tensor has been released, when the region has let go of its inputs.
    pub after_inputs: u64,
    /// What no plan for the inside of the region can avoid of it: single operators with what they saved.
    pub floor: u64,
    /// Nanoseconds of it that no such plan avoids: up to the last operator that needs something. What operators behind that save
    /// without a need runs again with them, unless a region of its own keeps it apart.
    pub floor_time: u64,
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
    tentative: Vec<u32>,
}

impl Marks {
    fn start(&mut self, storages: usize) {
        if self.running.len() != storages {
            let zeros = vec![0; storages];
            *self = Self {
                stamp: 0,
                running: zeros.clone(),
                saved: zeros.clone(),
                saver: zeros.clone(),
                input: zeros.clone(),
                tentative: zeros,
            };
        }
        self.stamp += 1;
    }
}

/// Which regions a scan may look at.
pub(super) struct Bounds<'a> {
    /// Allowed ends for this start, ascending.
    pub ends: &'a [u32],
    /// No region is of interest that no plan within these limits has.
    pub limits: &'a Limits<'a>,
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
    let (now, out) = (State::default(), Locals::default());
    let mut s = Scanner { p: profile, a, m: marks, keep: bounds.keep, tentative: Vec::new(), now, out };
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
        let limit = bounds.limits.peak;
        let is_too_large = s.now.interior > limit && j + 1 > bounds.nested_until;
        if is_too_large || s.now.forward.saturating_sub(bounds.crossing) > limit {
            break;
        }
        if bounds.limits.worth.is_some_and(|worth| !worth.any(a, j + 1)) {
            break;
        }
        if ends.next_if_eq(&(j + 1)).is_some() {
            s.region(j + 1);
        }
    }
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
    /// Of these, what only operators behind the last needy one have saved: not held unless a needy one follows.
    tentative: u64,
    /// Bytes that a selective region keeps: made so far, made before the last save so far, and no longer held by the
    /// running code in the forward pass.
    kept: u64,
    kept_at_stop: u64,
    kept_alone: u64,
    /// Running maximum over all kernels so far of what is alive, less what was kept by then: if a needy operator
    /// follows, and if the last one is the region's last.
    recomputed: i64,
    recomputed_if_last: i64,
    /// Peak of the recomputation, if the region ends behind this operator, less what it keeps; `None` before the first
    /// needy operator.
    recompute: Option<i64>,
    /// What the recomputation finds alive.
    found: u64,
    /// Recomputed bytes saved by the operators so far.
    saved: u64,
    /// Peak of the nodes of all operators below the last needy one.
    interior: u64,
    /// Running maximum over single operators with what they saved.
    floor: u64,
    /// What becomes interior once a further needy operator follows.
    pending: u64,
    /// Peak of the nodes of the last needy operator.
    top: u64,
    /// Peak of the nodes of the operators behind it, which run before the recomputation, or without any.
    tail: u64,
    /// Peak of the nodes that run after the region has let go of its inputs.
    after_inputs: u64,
    /// Has an operator of the region saved anything?
    seen_saver: bool,
    time: u64,
    time_at_stop: u64,
    floor_time: u64,
}

struct Scanner<'a, 'p, 'g> {
    p: &'a Profile<'p, 'g>,
    a: u32,
    m: &'a mut Marks,
    keep: Option<&'a Keep>,
    /// Storages that only operators behind the last needy one have saved.
    tentative: Vec<u32>,
    now: State,
    out: Locals,
}

impl Scanner<'_, '_, '_> {
    /// Records the region that ends here.
    fn region(&mut self, end: u32) {
        let now = &self.now;
        // Without a saving operator a region is no better than running plainly.
        if !now.seen_saver {
            return;
        }
        let (backward, time) = if let Some(recompute) = now.recompute {
            // Before the recomputation all that is kept is alive, afterwards what lies behind its end.
            let recompute = recompute.saturating_add_unsigned(now.kept).max(0).unsigned_abs();
            let nodes = now.interior.max(now.top) + (now.kept - now.kept_at_stop);
            (recompute.max(nodes).max(now.tail + now.kept), now.time_at_stop)
        } else {
            (now.tail + now.kept, 0)
        };
        self.out.regions.push(Local {
            end,
            forward: now.forward,
            backward,
            after_inputs: now.after_inputs,
            floor: now.floor,
            floor_time: now.floor_time,
            inputs: self.out.inputs.len() as u32,
            time,
            kept: now.kept,
            kept_until: self.out.kept.len() as u32,
        });
    }

    /// Forward pass: the region holds what it has read, also after its last reader.
    fn inputs(&mut self, j: u32) {
        let p = self.p;
        let handed = if j == self.a { p.program.handed_to(j) } else { None };
        for &s in p.operators[j as usize].reads.iter().chain(&handed) {
            let is_input = p.program.graph.producer(s).is_some_and(|made| made < self.a);
            let at = s as usize;
            if is_input && !p.program.is_cached_cast[at] && !p.always[at] && self.m.input[at] != self.m.stamp {
                self.m.input[at] = self.m.stamp;
                self.out.inputs.push(s);
            }
        }
    }
}
