//! Least recomputation within a bound: labels (time, held) over the active steps.
//!
//! A label of a state is the time and the held bytes of one way to reach it. Of two labels of the same state the one
//! that is no worse in both can do whatever the other can: its later steps need and hold the same bytes and take the
//! same time. So only labels that no other dominates are kept. Where autocast caches casts, what is held without casts
//! is a third part of the label, at the states from which it matters.

use std::collections::BTreeMap;

use super::active::{Active, ActiveStep, Test};
use super::differences::Differences;
use super::network::Network;

/// One way to reach a state.
#[derive(Debug, Clone, Copy)]
struct Label {
    time: u64,
    held: u64,
    /// Bytes held without casts; 0 where there are none.
    forward: u64,
    /// Label it continues, as an index into all labels.
    parent: u32,
    /// Step of the network that leads here.
    step: u32,
}

/// A way from the start to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub time: u64,
    /// Steps of the network, in order.
    pub steps: Vec<u32>,
}

impl Path {
    pub(super) fn new(network: &Network, steps: Vec<u32>) -> Self {
        Self { time: steps.iter().map(|&i| network.steps[i as usize].time).sum(), steps }
    }
}

/// What a search found.
#[derive(Debug)]
pub(super) struct Found {
    /// The best path; `None` if none is below the bound on time.
    pub path: Option<Path>,
    /// Were labels dropped that might have led to something better?
    pub is_complete: bool,
    /// Labels kept.
    pub labels: u64,
    /// Labels looked at.
    pub candidates: u64,
}

/// How far a search goes.
pub(super) struct Effort<'a> {
    /// Only paths that take less time than this are of interest.
    pub below: u64,
    /// Most labels kept per state.
    pub width: usize,
    /// Most labels kept in all.
    pub total: u64,
    /// Asked now and then: should the search stop?
    pub stop: &'a dyn Fn() -> bool,
}

/// Searches all paths over the active steps. Time O(steps × labels per state), memory O(labels).
pub(super) fn search(network: &Network, active: &Active, effort: &Effort<'_>) -> Found {
    let n = network.len();
    let mut all: Vec<Label> = vec![Label { time: 0, held: 0, forward: 0, parent: 0, step: 0 }];
    let mut spans: Vec<(u32, u32)> = vec![(0, 0); n];
    spans[0] = (0, 1);
    let mut found = Found { path: None, is_complete: true, labels: 0, candidates: 0 };
    let mut candidates: Vec<Label> = Vec::new();
    let mut tests = Vec::new();
    let mut kept: Vec<Vec<Label>> = Vec::new();
    let mut merged = Vec::new();
    let mut v = 1;
    for states in network.cuts[1..].chunk_by(|a, b| a == b) {
        let group = v..v + states.len();
        kept.resize_with(kept.len().max(group.len()), Vec::new);
        for v in group.clone() {
            candidates.clear();
            active.tests(v, effort.below, &mut tests);
            for step in active.steps_into(v) {
                extend(active, step, &all, spans[step.from as usize], (effort.below, &tests), &mut candidates);
            }
            found.candidates += candidates.len() as u64;
            let kept = &mut kept[v - group.start];
            kept.clear();
            if active.forward.as_ref().is_some_and(|f| f.matters[v]) {
                keep_undominated_in_both(&mut candidates, kept);
            } else {
                keep_undominated(&mut candidates, kept);
            }
        }
        let kept = &mut kept[..group.len()];
        if active.forward.as_ref().is_none_or(|f| !f.matters[group.clone()].contains(&true)) {
            keep_undominated_by_others(&network.differences, group.start, kept, &mut merged);
        }
        for (v, kept) in group.zip(kept) {
            let from = all.len();
            if kept.len() > effort.width {
                found.is_complete = false;
                thin(active, v, kept, effort.width);
            }
            all.append(kept);
            spans[v] = (from as u32, all.len() as u32);
        }
        if all.len() as u64 > effort.total || (effort.stop)() {
            found.is_complete = false;
            found.labels = all.len() as u64;
            return found;
        }
        v += states.len();
    }
    found.labels = all.len() as u64;
    let last = spans[n - 1];
    found.path = (last.0 < last.1).then(|| trace_back(&all, last.0));
    found
}

/// Continues all labels of a state by one step.
fn extend(
    active: &Active,
    step: &ActiveStep,
    all: &[Label],
    span: (u32, u32),
    (below, tests): (u64, &[Test]),
    out: &mut Vec<Label>,
) {
    let labels = &all[span.0 as usize..span.1 as usize];
    let casts = active.forward.as_ref().map(|f| f.casts[step.step as usize]);
    let forward = active.forward.as_ref().filter(|f| f.matters[step.from as usize]);
    // Along the labels of a state time grows and, but for casts, held bytes shrink.
    let skipped = if forward.is_some() { 0 } else { labels.partition_point(|l| l.held > step.cap) };
    for (i, label) in labels.iter().enumerate().skip(skipped) {
        let time = label.time + step.time;
        if time >= below {
            break;
        }
        let held = label.held + step.held;
        let bare = casts.map_or(0, |casts| label.forward + step.held - casts);
        if let Some(f) = forward
            && (label.held > step.cap || f.cap[step.step as usize].is_none_or(|cap| label.forward > cap))
        {
            continue;
        }
        if tests.iter().all(|t| t.passes(time, held, bare)) {
            out.push(Label { time, held, forward: bare, parent: span.0 + i as u32, step: step.step });
        }
    }
}

/// Appends the labels that no other dominates, by ascending time. Ties keep the label that was found first.
fn keep_undominated(candidates: &mut [Label], all: &mut Vec<Label>) {
    candidates.sort_unstable_by_key(|l| (u128::from(l.time) << 64 | u128::from(l.held), l.parent, l.step));
    let mut least = u64::MAX;
    for label in candidates {
        if label.held < least {
            least = label.held;
            all.push(*label);
        }
    }
}

/// As [`keep_undominated`] where the bytes held without casts matter too.
fn keep_undominated_in_both(candidates: &mut [Label], all: &mut Vec<Label>) {
    candidates.sort_by_key(|l| (l.time, l.held, l.forward));
    // Held bytes, and the least bytes held without casts of the labels that hold no more; the latter descend.
    let mut stairs: BTreeMap<u64, u64> = BTreeMap::new();
    for label in candidates {
        if stairs.range(..=label.held).next_back().is_some_and(|(_, &forward)| forward <= label.forward) {
            continue;
        }
        while let Some((&held, _)) = stairs.range(label.held..).next().filter(|(_, f)| **f >= label.forward) {
            stairs.remove(&held);
        }
        stairs.insert(label.held, label.forward);
        all.push(*label);
    }
}

/// Drops labels that labels of other states of the same cut dominate: see [`Differences`].
fn keep_undominated_by_others(
    differences: &Differences,
    first: usize,
    kept: &mut [Vec<Label>],
    merged: &mut Vec<(Label, u32)>,
) {
    if kept.iter().filter(|labels| !labels.is_empty()).count() < 2 || differences.beyond(first).is_none() {
        return;
    }
    merged.clear();
    for (state, labels) in kept.iter_mut().enumerate() {
        merged.extend(labels.drain(..).map(|label| (label, state as u32)));
    }
    merged.sort_unstable_by_key(|(l, state)| (u128::from(l.time) << 64 | u128::from(l.held), *state));
    // Per state, the least bytes with which a label of any state seen so far dominates.
    let mut least = vec![u64::MAX; kept.len()];
    for &(label, state) in &*merged {
        if label.held < least[state as usize] {
            kept[state as usize].push(label);
            let beyond = differences.beyond(first + state as usize).unwrap_or_default();
            for (least, more) in least.iter_mut().zip(beyond) {
                *least = (*least).min(label.held + more);
            }
        }
    }
}

/// Keeps the `width` labels that promise the least time, and the smallest, from which the end can always be reached.
fn thin(active: &Active, v: usize, labels: &mut Vec<Label>, width: usize) {
    let smallest = (0..labels.len()).min_by_key(|&i| (labels[i].held, labels[i].forward));
    let smallest = smallest.map(|i| labels.remove(i));
    let mut promise: Vec<(u64, usize)> = labels
        .iter()
        .enumerate()
        .map(|(i, l)| (l.time.saturating_add(active.time_to_go(v, l.held, l.forward)), i))
        .collect();
    promise.sort_unstable();
    promise.truncate(width.saturating_sub(1));
    promise.sort_unstable_by_key(|p| p.1);
    *labels = promise.into_iter().map(|(_, i)| labels[i]).chain(smallest).collect();
}

fn trace_back(all: &[Label], mut at: u32) -> Path {
    let time = all[at as usize].time;
    let mut steps = Vec::new();
    while at != 0 {
        let label = &all[at as usize];
        steps.push(label.step);
        at = label.parent;
    }
    steps.reverse();
    Path { time, steps }
}
