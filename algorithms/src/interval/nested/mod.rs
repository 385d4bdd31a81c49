//! Regions within regions: what a region needs if its own backward pass is planned again.
//!
//! A flat region `[a, b)` has one local peak and one time. If the recomputation of the region checkpoints regions of its
//! own, the peak can be lower and the time is longer; what the region takes in and holds in the forward pass stays the
//! same. So a nested region is just another step between the same two states of the outer network, and planning with
//! `n` levels is planning with `n - 1` levels inside of every region, then once outside.
//!
//! The bounds used here are upper bounds where an exact one would depend on more than a state knows (an inner region
//! is taken to hold its inputs until its backward pass is over, an outer region, too), and of many plans for the inside
//! of a region only a few are kept. So plans with nested regions are valid, and predicted exactly by the predictor,
//! but their optimality is not proven.
//!
//! Source: nesting is Griewank & Walther's and Beaumont et al.'s (2019) idea for chains, carried over to regions of
//! a graph under the rules of `torch.utils.checkpoint`.

mod network;
mod runs;
mod tails;

use rayon::prelude::*;

use crate::plan::Segment;

use super::allowed::Allowed;
use super::network::{Inside, Limits, scan_all};
use super::profile::Profile;
use super::slots::Slots;
use network::{Kind, Network, Source};

/// Most plans kept for the inside of one region.
const KEPT: usize = 4;
/// Most cuts at which a nested region or one around it may start or end; of more, the thinnest of equal stretches.
const CUTS: usize = 128;
/// Cuts on either side of one that a known plan uses that are tried, too.
const NEARBY: usize = 3;
/// Most steps of one network of recomputations.
const STEPS: usize = 3_000_000;

/// How the inside of a region is planned: flat, or the n-th alternative of its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant(u8);

impl Variant {
    pub(super) const FLAT: Self = Self(0);
}

/// A plan for the inside of a region.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alternative {
    /// Largest live bytes of the region's backward pass, its inputs not counted.
    pub backward: u64,
    /// Bytes that a run of the region takes beyond one in which everything runs plainly: whoever calls a region within it
    /// holds the inputs of that until it returns.
    pub calls: u64,
    /// Nanoseconds of recomputation.
    pub time: u64,
    /// Level whose network made it.
    level: u8,
}

/// One end of regions from the same start, or one start of regions to the same end, with plans for the inside.
type Planned = (u32, Vec<Alternative>);

/// Plans for the insides of regions.
#[derive(Debug, Default)]
pub(super) struct Alternatives {
    /// Per start: ends, ascending, with the plans for the region between.
    by_start: Vec<Vec<Planned>>,
}

impl Alternatives {
    /// Plans for the region `[a, b)`.
    pub(super) fn of(&self, a: u32, b: u32) -> impl Iterator<Item = (Variant, &Alternative)> {
        let ends = &self.by_start[a as usize];
        let found = ends.binary_search_by_key(&b, |e| e.0).ok();
        let list = found.map_or(&[][..], |i| &ends[i].1);
        list.iter().enumerate().map(|(i, alternative)| (Variant(i as u8 + 1), alternative))
    }

    /// Last end of a region from `a` that has a plan for its inside.
    pub(super) fn last_end(&self, a: u32) -> u32 {
        self.by_start.get(a as usize).and_then(|ends| ends.last()).map_or(0, |e| e.0)
    }

    fn get(&self, a: u32, b: u32, variant: Variant) -> Option<Alternative> {
        self.of(a, b).find(|(v, _)| *v == variant).map(|(_, alternative)| *alternative)
    }
}

/// Plans for the insides of all regions, level by level.
#[derive(Debug)]
pub(super) struct Nested {
    networks: Vec<Network>,
    lists: Vec<Alternatives>,
    limit: u64,
    /// May regions start and end wherever they are allowed to?
    pub is_whole: bool,
    /// Labels of all searches.
    pub labels: u64,
}

/// What is planned: regions that are allowed, for plans whose peak is at most `limit`.
pub(super) struct Question<'a, 'p, 'g> {
    pub profile: &'a Profile<'p, 'g>,
    pub slots: &'a Slots,
    pub allowed: &'a Allowed,
    pub limit: u64,
}

impl Nested {
    /// Plans the insides of all allowed regions with `levels - 1` levels; `None` if `stop` says so. Time
    /// O(levels × ends × steps × labels per state), memory O(steps).
    pub(super) fn build(
        question: &Question<'_, '_, '_>,
        levels: u32,
        known: &[Segment],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Self> {
        let mut focus = Vec::new();
        cuts_of(known, false, &mut focus);
        focus.sort_unstable();
        focus.dedup();
        let limit = question.limit;
        let mut nested = Self { networks: Vec::new(), lists: Vec::new(), limit, is_whole: true, labels: 0 };
        for _ in 1..levels {
            nested.add_level(question, &focus, stop);
            if stop() {
                return None;
            }
        }
        Some(nested)
    }

    /// The plans of the deepest level.
    pub(super) fn alternatives(&self) -> Option<&Alternatives> {
        self.lists.last()
    }

    fn add_level(&mut self, question: &Question<'_, '_, '_>, focus: &[u32], stop: &(dyn Fn() -> bool + Sync)) {
        let &Question { profile, slots, allowed, .. } = question;
        let level = self.networks.len() as u8;
        let mut cuts = CUTS;
        loop {
            let outer = Outer::choose(profile, slots, allowed, cuts, focus);
            let inside = Allowed { ends: outer.all_ends(allowed.ends.len()) };
            let deeper = self.lists.last().map_or(Inside::Flat, Inside::Planned);
            let limits = Limits { peak: self.limit, worth: None };
            let regions = super::network::Source {
                profile,
                slots,
                allowed: &inside,
                keeps: &[],
                inside: deeper,
                limits,
                free_from: None,
            };
            let locals = scan_all(&regions, None);
            let source = Source {
                profile,
                slots,
                locals: &locals,
                inner: self.lists.last(),
                starts: &outer.starts,
                outer: &inside,
                limit: self.limit,
                most: STEPS,
            };
            if let Some(network) = Network::build(&source) {
                self.is_whole &= outer.is_whole;
                let (list, labels) = alternatives(&source, &network, &outer, level, stop);
                self.networks.push(network);
                self.lists.push(list);
                self.labels += labels;
                return;
            }
            cuts /= 2;
        }
    }

    /// Regions within the region `[a, b)` that a variant checkpoints.
    pub(super) fn inside(&self, profile: &Profile<'_, '_>, a: u32, b: u32, variant: Variant) -> Vec<Segment> {
        self.lists.last().map_or_else(Vec::new, |list| self.expand(profile, list, a, b, variant))
    }

    fn expand(&self, profile: &Profile<'_, '_>, list: &Alternatives, a: u32, b: u32, variant: Variant) -> Vec<Segment> {
        let Some(chosen) = list.get(a, b, variant) else { return Vec::new() };
        let network = &self.networks[chosen.level as usize];
        let mut scratch = tails::Scratch::default();
        tails::search(profile, network, b, a, self.limit, &mut scratch);
        let way = network.start[a as usize].and_then(|start| {
            tails::ways(&scratch, start).find(|w| (w.rest, w.time) == (chosen.backward, chosen.time))
        });
        let Some(way) = way else { return Vec::new() };
        let mut segments = Vec::new();
        for i in tails::steps(&scratch, way) {
            let step = &network.steps[i as usize];
            if let Kind::Region(variant) = step.kind {
                let (start, end) = (network.cuts[step.from as usize], network.cuts[step.to as usize]);
                let mut segment = Segment::new(start, end);
                if let Some(list) = (chosen.level as usize).checked_sub(1).map(|l| &self.lists[l]) {
                    segment.inner = self.expand(profile, list, start, end, variant);
                }
                segments.push(segment);
            }
        }
        segments
    }
}

/// Regions that may hold others.
struct Outer {
    starts: Vec<u32>,
    /// Per start, in the order of `starts`: ends.
    ends: Vec<Vec<u32>>,
    is_whole: bool,
}

impl Outer {
    /// All allowed regions, or those between the thinnest cuts of equal stretches and cuts close to those in `focus`.
    fn choose(profile: &Profile<'_, '_>, slots: &Slots, allowed: &Allowed, most: usize, focus: &[u32]) -> Self {
        let graph = profile.program.graph;
        let n = allowed.ends.len();
        let mut is_cut = vec![false; n + 1];
        for (a, ends) in allowed.ends.iter().enumerate() {
            is_cut[a] |= !ends.is_empty();
            for &b in ends {
                is_cut[b as usize] = true;
            }
        }
        let cuts: Vec<u32> = (0..=n as u32).filter(|&k| is_cut[k as usize]).collect();
        let bytes = |k: u32| slots.crossing(k).iter().map(|&s| graph.size(s)).sum::<u64>();
        let mut is_thin = vec![false; n + 1];
        // Half of the cuts for the whole graph, half for those that are close to the focus.
        let nearby = NEARBY.min((most / 2 / focus.len().max(1)).saturating_sub(1) / 2);
        let focus = if nearby == 0 { &[] } else { focus };
        let parts = cuts.len().min(if focus.is_empty() { most } else { most / 2 });
        for i in 0..parts {
            let stretch = &cuts[i * cuts.len() / parts..(i + 1) * cuts.len() / parts];
            if let Some(&k) = stretch.iter().min_by_key(|&&k| (bytes(k), k)) {
                is_thin[k as usize] = true;
            }
        }
        for at in focus.iter().filter_map(|k| cuts.binary_search(k).ok()) {
            let near = at.saturating_sub(nearby)..(at + nearby + 1).min(cuts.len());
            cuts[near].iter().for_each(|&k| is_thin[k as usize] = true);
        }
        let mut starts = Vec::new();
        let mut all = Vec::new();
        for (a, ends) in allowed.ends.iter().enumerate().filter(|(a, _)| is_thin[*a]) {
            let ends: Vec<u32> = ends.iter().copied().filter(|&b| is_thin[b as usize]).collect();
            if !ends.is_empty() {
                starts.push(a as u32);
                all.push(ends);
            }
        }
        let is_whole = cuts.iter().all(|&k| is_thin[k as usize]);
        Self { starts, ends: all, is_whole }
    }

    /// The same, by start.
    fn all_ends(&self, n: usize) -> Vec<Vec<u32>> {
        let mut all = vec![Vec::new(); n];
        for (&a, ends) in self.starts.iter().zip(&self.ends) {
            all[a as usize].clone_from(ends);
        }
        all
    }

    /// Pairs by end: `(end, starts)`, ascending.
    fn by_end(&self) -> Vec<(u32, Vec<u32>)> {
        let mut pairs: Vec<(u32, u32)> =
            self.starts.iter().zip(&self.ends).flat_map(|(&a, ends)| ends.iter().map(move |&b| (b, a))).collect();
        pairs.sort_unstable();
        let mut by_end: Vec<(u32, Vec<u32>)> = Vec::new();
        for (b, a) in pairs {
            match by_end.last_mut().filter(|e| e.0 == b) {
                Some(end) => end.1.push(a),
                None => by_end.push((b, vec![a])),
            }
        }
        by_end
    }
}

/// Cuts at which nested regions and those around them start and end.
fn cuts_of(segments: &[Segment], is_nested: bool, cuts: &mut Vec<u32>) {
    for segment in segments {
        if is_nested || !segment.inner.is_empty() {
            cuts.extend([segment.start, segment.end]);
        }
        cuts_of(&segment.inner, true, cuts);
    }
}

/// Plans for the insides of the outer regions, and the number of labels that were needed.
fn alternatives(
    source: &Source<'_, '_, '_>,
    network: &Network,
    outer: &Outer,
    level: u8,
    stop: &(dyn Fn() -> bool + Sync),
) -> (Alternatives, u64) {
    let Source { profile, locals, limit, .. } = *source;
    let flat = |a: u32, b: u32| {
        let regions = &locals[a as usize].regions;
        regions.binary_search_by_key(&b, |r| r.end).map_or(u64::MAX, |i| regions[i].backward)
    };
    let found: Vec<(Vec<Planned>, u64)> = outer
        .by_end()
        .par_iter()
        .map_init(tails::Scratch::default, |scratch, (end, starts)| {
            if stop() {
                return (Vec::new(), 0); // nobody will use what there is
            }
            let labels = tails::search(profile, network, *end, starts[0], limit, scratch);
            let mut all = Vec::new();
            for &a in starts {
                let Some(start) = network.start[a as usize] else { continue };
                let ways: Vec<tails::Way> = tails::ways(scratch, start).filter(|w| w.rest < flat(a, *end)).collect();
                let list: Vec<Alternative> = tails::spread(ways.len(), KEPT)
                    .map(|i| {
                        let calls = calls(source, network, (a, *end), &tails::steps(scratch, ways[i]));
                        Alternative { backward: ways[i].rest, calls, time: ways[i].time, level }
                    })
                    .collect();
                if !list.is_empty() {
                    all.push((a, list));
                }
            }
            (all, labels)
        })
        .collect();
    let mut by_start = vec![Vec::new(); profile.operators.len() + 1];
    let mut labels = 0;
    for ((end, _), (all, n)) in outer.by_end().into_iter().zip(found) {
        labels += n;
        for (a, list) in all {
            by_start[a as usize].push((end, list));
        }
    }
    (Alternatives { by_start }, labels)
}

/// What a run of a region takes beyond a plain one, if these steps lie within it.
fn calls(source: &Source<'_, '_, '_>, network: &Network, (a, b): (u32, u32), steps: &[u32]) -> u64 {
    let within = |&i: &u32| {
        let step = &network.steps[i as usize];
        let Kind::Region(variant) = step.kind else { return 0 };
        let (start, end) = (network.cuts[step.from as usize], network.cuts[step.to as usize]);
        let deeper = source.inner.and_then(|list| list.get(start, end, variant));
        network.made(a, start) + network.run(start, end) + deeper.map_or(0, |deeper| deeper.calls)
    };
    steps.iter().map(within).max().unwrap_or(0).saturating_sub(network.run(a, b))
}
