//! Ways to go back from one end: what all regions that end at a cut can be planned to need.
//!
//! For a fixed end the bytes that the recomputation finds are known, and every bound has the form `w + need` with `w`
//! what the steps before hold. So labels (rest, time) are passed backwards from the end: `rest` is the least bound on
//! what remains, beyond what is held on arrival. Labels that another beats in both parts go, and of the others only some
//! are kept, so the plans found are valid but not proven to be the best.

use super::super::profile::Profile;
use super::network::{Kind, Network};

/// Labels kept per state.
const WIDTH: usize = 16;

/// No label follows.
const LAST: u32 = u32::MAX;

/// A way from a state to the end.
#[derive(Debug, Clone, Copy)]
struct Label {
    rest: u64,
    time: u64,
    /// Label that follows, and the step that leads to it.
    next: u32,
    step: u32,
}

/// A way from the start of a region to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// Largest live bytes, beyond what is held when the region starts.
    pub rest: u64,
    /// Nanoseconds.
    pub time: u64,
    label: u32,
}

/// Memory of searches over one network.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    waiting: Vec<Vec<Label>>,
    labels: Vec<Label>,
    /// Labels of each state, as a range of `labels`.
    spans: Vec<(u32, u32)>,
}

/// The end of a region, as its recomputation sees it.
#[derive(Debug, Clone, Copy)]
struct End {
    /// Last operator before the end that saves something.
    saver: u32,
    /// Live bytes when the recomputation starts: gradients, and all that never changes.
    found: u64,
    /// Largest live bytes of the nodes that run before the recomputation.
    tail: u64,
}

impl End {
    fn of(profile: &Profile<'_, '_>, end: u32) -> Option<Self> {
        let saver = (0..end).rev().find(|&o| profile.operators[o as usize].is_saver)?;
        // What makes the region recompute; without it the region is not recomputed.
        let trigger = (0..end).rev().find(|&o| profile.operators[o as usize].is_needy)?;
        let found = profile.operators[trigger as usize].nodes.iter().find(|n| n.needs).map_or(0, |n| n.at_start);
        let behind = &profile.operators[trigger as usize + 1..end as usize];
        let tail = behind.iter().flat_map(|o| &o.nodes).map(super::super::profile::NodeBase::largest).max();
        Some(Self { saver, found, tail: tail.unwrap_or(0) })
    }
}

/// Searches all ways that end at cut `end` and need at most `limit` bytes; the scratch then answers [`ways`]. Returns
/// the number of labels. Time O(steps × labels per state).
pub(super) fn search(
    profile: &Profile<'_, '_>,
    network: &Network,
    end: u32,
    first: u32,
    limit: u64,
    s: &mut Scratch,
) -> u64 {
    s.waiting.resize(network.cuts.len(), Vec::new());
    s.spans.clear();
    s.spans.resize(network.cuts.len(), (0, 0));
    s.labels.clear();
    let Some(of) = End::of(profile, end) else { return 0 };
    s.labels.push(Label { rest: of.tail, time: 0, next: LAST, step: LAST });
    let (low, behind) = (network.at_cut[first as usize], network.at_cut[end as usize + 1]);
    for v in (low..behind).rev() {
        let is_last = network.cuts[v as usize] > of.saver;
        let span = if is_last { (0, 1) } else { settle(s, v) };
        s.spans[v as usize] = span;
        if span.0 == span.1 {
            continue;
        }
        for (i, step) in network.steps_into(v).iter().enumerate() {
            if is_last && (step.kind == Kind::Quiet || network.cuts[step.from as usize] > of.saver) {
                continue;
            }
            let (forward, again) =
                if is_last { (step.forward_at_stop, step.time_at_stop) } else { (step.forward, step.time) };
            let need = step.backward.max(forward + of.found);
            // No region starts before `first`; labels put there would wait for the next search.
            if need > limit || step.from < low {
                continue;
            }
            for at in span.0..span.1 {
                let label = s.labels[at as usize];
                let rest = need.max(step.held + label.rest);
                if rest <= limit {
                    let index = network.index_into(v) + i as u32;
                    let next = Label { rest, time: label.time + again, next: at, step: index };
                    s.waiting[step.from as usize].push(next);
                }
            }
        }
    }
    s.labels.len() as u64
}

/// Keeps the labels of a state that no other beats, at most [`WIDTH`] of them.
fn settle(s: &mut Scratch, v: u32) -> (u32, u32) {
    let waiting = &mut s.waiting[v as usize];
    if waiting.is_empty() {
        return (0, 0);
    }
    waiting.sort_by_key(|l| (l.rest, l.time));
    let mut least = u64::MAX;
    waiting.retain(|l| {
        let keep = l.time < least;
        least = least.min(l.time);
        keep
    });
    let from = s.labels.len() as u32;
    s.labels.extend(spread(waiting.len(), WIDTH).map(|i| waiting[i]));
    waiting.clear();
    (from, s.labels.len() as u32)
}

/// At most `width` of `n` indices, evenly spread, the first and the last among them.
pub(super) fn spread(n: usize, width: usize) -> impl Iterator<Item = usize> {
    let count = n.min(width);
    (0..count).map(move |i| if count < n { i * (n - 1) / (count - 1) } else { i })
}

/// Ways of the last search from a state.
pub(super) fn ways(s: &Scratch, state: u32) -> impl Iterator<Item = Way> {
    let (from, to) = s.spans[state as usize];
    (from..to).map(|i| {
        let label = &s.labels[i as usize];
        Way { rest: label.rest, time: label.time, label: i }
    })
}

/// Steps of a way, in order of operators.
pub(super) fn steps(s: &Scratch, way: Way) -> Vec<u32> {
    let mut steps = Vec::new();
    let mut at = way.label;
    while s.labels[at as usize].next != LAST {
        steps.push(s.labels[at as usize].step);
        at = s.labels[at as usize].next;
    }
    steps
}
