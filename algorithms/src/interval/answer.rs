//! Least time over a network: beams first, then the search that proves.

use std::sync::Arc;
use std::time::Instant;

use super::active::{Active, Price};
use super::labels::{self, Effort, Path};
use super::least::Rest;
use super::long::{self, Worth};
use super::network::{Limits, Network, Source};
use super::planner::{Options, Planner};
use super::prepare::{Prepared, shorter};

/// Labels kept per state in the first, quick search.
const WIDTH: usize = 4;

/// Labels kept per state in the second search.
const WIDE: usize = 48;

/// Labels kept in all in a first full search, which most questions do not need more than.
const QUICK: u64 = 500_000;

/// Labels kept in all unless the caller says otherwise; 32 bytes each.
const MAX_LABELS: u64 = 12_000_000;

/// Most operators of a region in the network that is searched first.
pub(super) const SHORT: u32 = 48;

/// What a search came to.
pub(super) struct Answer {
    /// Bound on the peak of the passes that was given.
    pub limit: u64,
    /// Price of a byte under which the bound was best, and the best price of all bytes held.
    pub price: Option<Price>,
    pub held_price: Option<u64>,
    /// The best path, if one takes less than the time that was known.
    pub path: Option<Path>,
    /// Does no other path take less?
    pub is_proven: bool,
    /// No path of the network takes less.
    pub lower_bound: u64,
    pub work: Work,
}

/// Labels kept, and labels looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Work {
    pub labels: u64,
    pub candidates: u64,
}

/// What is known before a search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Time of a known plan, or `u64::MAX`.
    pub time: u64,
    /// Price of bytes that answered a similar question.
    pub price: Option<Price>,
    /// Is a good path enough?
    pub only_beams: bool,
}

impl Known {
    pub(super) const NOTHING: Self = Self { time: u64::MAX, price: None, only_beams: false };
}

impl Planner<'_, '_> {
    /// Least time over all plans within `limit`.
    ///
    /// A large network is not built at once: a plan of short regions bounds the time, and with it the long regions that
    /// a better plan can have (`long`).
    pub(super) fn within(&self, limit: u64, options: &Options<'_>, started: Instant) -> (Prepared, Answer) {
        let is_large = self.profile.is_exact && self.profile.operators.len() as u32 > 4 * self.short;
        is_large.then(|| self.short_first(limit, options, started)).flatten().unwrap_or_else(|| {
            let prepared = self.prepare(limit, options);
            let answer = answer(&prepared, limit, Known::NOTHING, options, started);
            (prepared, answer)
        })
    }

    /// `None` if short regions are not enough.
    fn short_first(&self, limit: u64, options: &Options<'_>, started: Instant) -> Option<(Prepared, Answer)> {
        let limits = Limits { peak: limit, worth: None };
        let mut allowed = self.allowed(options).clone();
        let mut longest = self.short;
        let (mut short, relaxed) = loop {
            allowed.retain(|a, b| b - a <= longest);
            let source = Source { allowed: &allowed, ..self.source(limits, options) };
            let found = Network::build(&source).and_then(|network| {
                let rest = Arc::new(Rest::of(&network));
                let is_enough = rest.least <= limit;
                let relaxed = Source { free_from: Some(longest + 1), ..source };
                let relaxed = is_enough.then(|| Network::build(&relaxed)).transpose()?;
                Ok((Prepared { network, rest, nested: None, is_complete: false }, relaxed))
            });
            match found {
                Ok((short, relaxed)) => break (short, relaxed?),
                Err(_) if longest < 8 => return None,
                Err(reached) => longest = shorter(longest, reached, &source),
            }
        };
        let beams = Known { only_beams: true, ..Known::NOTHING };
        let mut first = answer(&short, limit, beams, options, started);
        let time = first.path.as_ref()?.time;
        let price = first.held_price.filter(|_| !is_over(options, started));
        let Some(price) = price else { return Some((short, first)) };
        let costs = long::Costs::of(&relaxed, &self.profile, self.keeps(options), longest, price);
        drop(relaxed);
        first.lower_bound = costs.least().min(time);
        short.is_complete = true;
        first.is_proven = first.lower_bound == time;
        if first.is_proven || is_over(options, started) {
            return Some((short, first));
        }
        let all = self.prepare_worthy(limit, &Worth { costs: &costs, below: time }, options);
        let mut found = answer(&all, limit, Known { time, price: first.price, only_beams: false }, options, started);
        found.work = found.work.and(first.work);
        // What the network may lack is covered by the other bound.
        let bound = if all.is_complete { found.lower_bound } else { 0 };
        let best = found.path.as_ref().map_or(time, |path| path.time);
        found.lower_bound = bound.max(first.lower_bound).min(best);
        found.is_proven = found.is_proven && all.is_complete || found.lower_bound == best;
        if found.path.is_some() {
            return Some((Prepared { is_complete: true, ..all }, found));
        }
        Some((short, Answer { path: first.path, ..found }))
    }
}

pub(super) fn is_over(options: &Options<'_>, started: Instant) -> bool {
    options.time_limit.is_some_and(|limit| started.elapsed() > limit)
}

impl Work {
    fn and(self, other: Self) -> Self {
        Self { labels: self.labels + other.labels, candidates: self.candidates + other.candidates }
    }
}

/// Least time within `limit`, below what is known.
pub(super) fn answer(prepared: &Prepared, limit: u64, known: Known, options: &Options<'_>, started: Instant) -> Answer {
    let Prepared { network, rest, .. } = prepared;
    let below = known.time;
    if rest.least > limit {
        let work = Work::default();
        return Answer { limit, price: None, held_price: None, path: None, is_proven: true, lower_bound: below, work };
    }
    let mut active = Active::new(network, rest, limit, below, known.price);
    let stop = || is_over(options, started);
    let lower = active.time_to_go(0, 0, 0);
    let quick = Effort { below, width: WIDTH, total: u64::MAX, stop: &|| false };
    let first = labels::search(network, &active, &quick);
    let mut path = first.path;
    if path.is_none() && !first.is_complete {
        path = rest.path(network, limit).map(|steps| Path::new(network, steps)).filter(|p| p.time < below);
    }
    let mut work = Work { labels: first.labels, candidates: first.candidates };
    let mut is_proven = first.is_complete;
    // The better the best plan so far, the fewer labels the full search has to keep.
    let total = options.max_labels.unwrap_or(MAX_LABELS);
    let (wide, full) = ((WIDE, total), (usize::MAX, total));
    let efforts = if known.only_beams {
        vec![wide]
    } else if total > QUICK && options.time_limit.is_none() {
        vec![(usize::MAX, QUICK), wide, full]
    } else {
        vec![wide, full] // a good plan first, before the limit is reached
    };
    for (width, total) in efforts {
        let best = path.as_ref().map_or(below, |p| p.time);
        is_proven |= best <= lower;
        if is_proven {
            break;
        }
        active.reduce(best);
        let found = labels::search(network, &active, &Effort { below: best, width, total, stop: &stop });
        work = work.and(Work { labels: found.labels, candidates: found.candidates });
        is_proven = found.is_complete;
        path = found.path.or(path);
    }
    let best = path.as_ref().map_or(below, |p| p.time);
    is_proven |= best <= lower;
    let lower_bound = if is_proven { best } else { lower.min(best) };
    Answer { limit, price: active.best_price(), held_price: active.held_price, path, is_proven, lower_bound, work }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use remat_graphs::{Graph, synthetic};

    use crate::cost::Costs;
    use crate::interval::{Options, Planner, Resolution};
    use crate::predict::Predictor;

    #[test]
    fn short_regions_first_changes_no_answer() {
        let (mut proven, mut bounded, mut without) = (0, 0, 0);
        for seed in 0..400 {
            let graph = Graph::new(synthetic::tiny(seed)).expect("valid");
            let predictor = Predictor::new(&graph);
            let costs = Costs::new(&graph, |k| k.bytes, |k| k.bytes);
            let mut planner = Planner::new(&predictor, &costs);
            planner.short = 2;
            if !planner.profile.is_exact {
                continue;
            }
            for selective in [false, true] {
                let options = Options { selective, ..Options::default() };
                let frontier = planner.frontier(Resolution::Exact, &options, &mut |_, _| {}).expect("plans");
                for point in &frontier.points {
                    let Some((_, found)) = planner.short_first(point.peak, &options, Instant::now()) else {
                        without += 1;
                        continue;
                    };
                    let time = found.path.expect("a path").time;
                    assert_eq!((time, found.is_proven), (point.time_ns, true), "{} {point:?}", graph.name());
                    proven += 1;
                    let beams = Options { max_labels: Some(0), ..options.clone() };
                    if let Some((_, found)) = planner.short_first(point.peak, &beams, Instant::now()) {
                        assert!(found.lower_bound <= point.time_ns, "{} {point:?}", graph.name());
                        bounded += u32::from(found.lower_bound > 0);
                    }
                }
            }
        }
        assert!(proven > 1000 && bounded > 500 && without > 100, "{proven} {bounded} {without}");
    }
}
