//! The frontier between peak and recomputation.

use std::time::Instant;

use rayon::prelude::*;

use crate::plan::Status;

use super::active::Price;
use super::answer::{Known, answer, is_over};
use super::planner::{Error, Options, Outcome, Planner};
use super::prepare::Prepared;

/// Budgets that one thread answers in a row, and runs between two reports of progress.
const RUN: usize = 12;
const ROUND: usize = 4;

/// Gaps of a coarse grid between which all points are looked for.
const GAPS: u64 = 200;

/// Most budgets of a grid; a finer one is answered by all points.
const GRID: u64 = 20_000;

/// Which points of the frontier are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Budgets this many bytes apart.
    Step(u64),
    /// Every point.
    Exact,
}

/// Plans of which none is beaten in both peak and recomputation.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontier {
    /// Peak falls, recomputation grows.
    pub points: Vec<Outcome>,
    /// Optimal if every point is and none is missing, as where time runs out.
    pub status: Status,
}

impl Planner<'_, '_> {
    /// All plans worth having, from no recomputation to the least peak.
    ///
    /// With [`Resolution::Step`], for every budget on a grid from the least peak upwards there is a point within that
    /// budget that takes the least time; with [`Resolution::Exact`] for every budget. `progress` is told how much of
    /// the range of budgets is done, in bytes.
    ///
    /// Where time runs out, points get fewer and are not proven.
    ///
    /// Time: one label search per budget or point, over a network that is built once.
    ///
    /// # Errors
    /// As [`Planner::least_time`].
    pub fn frontier(
        &self,
        resolution: Resolution,
        options: &Options<'_>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Frontier, Error> {
        let started = Instant::now();
        let plain = self.plain_peak();
        let (prepared, nested) = self.prepare_for_all(plain, options)?;
        let least = self.as_free(prepared.rest.least, options).min(plain);
        let range = plain - least;
        let question = Question { prepared: &prepared, least, plain, options, started };
        let found = match resolution {
            Resolution::Step(step) if range / step.max(1) < GRID => self.grid(&question, step.max(1), progress),
            _ => self.every(&question, progress),
        };
        let mut points: Vec<Outcome> = found.into_iter().map(|found| found.outcome).collect();
        if let Some(nested) = nested {
            // A plan of fewer levels is one of more.
            let fewer = Options { nesting: options.nesting - 1, ..options.clone() };
            points.extend(self.frontier(resolution, &fewer, &mut |_, _| {})?.points);
            points.push(nested);
            for point in points.iter_mut().filter(|point| point.time_ns > 0) {
                point.status = Status::Feasible;
            }
        }
        progress(range, range);
        // Peaks are the predictor's: sort and drop what another point beats.
        points.sort_by_key(|p| (p.time_ns, p.peak));
        let mut best = u64::MAX;
        points.retain(|p| {
            let keep = p.peak < best;
            best = best.min(p.peak);
            keep
        });
        let is_proven = points.iter().all(|p| p.status == Status::Optimal) && !question.is_over();
        let status = if is_proven { Status::Optimal } else { Status::Feasible };
        Ok(Frontier { points, status })
    }

    /// Budgets upwards from the least peak, in runs of neighbours: within a run each answer is a plan for the next budget
    /// too, which bounds its search. The runs are the same on any number of threads. Peaks ascend.
    fn grid(&self, question: &Question<'_>, step: u64, progress: &mut dyn FnMut(u64, u64)) -> Vec<Found> {
        let least = question.least;
        let range = question.plain - least;
        let limits: Vec<u64> = (0..=range.div_ceil(step)).map(|i| least + (i * step).min(range)).collect();
        let mut points = Vec::new();
        for (i, round) in limits.chunks(RUN * ROUND).enumerate() {
            progress((i * RUN * ROUND) as u64 * step, range);
            let found: Vec<Vec<Found>> = round.par_chunks(RUN).map(|run| self.run(question, run)).collect();
            points.extend(found.into_iter().flatten());
        }
        points
    }

    fn run(&self, question: &Question<'_>, limits: &[u64]) -> Vec<Found> {
        let mut points: Vec<Found> = Vec::new();
        let mut price = None;
        let mut near: Option<Prepared> = None;
        for &limit in limits {
            let time = points.last().map_or(u64::MAX, |p| p.outcome.time_ns);
            if time == 0 || question.is_over() && !points.is_empty() {
                break; // of what time does not allow, one point in a run
            }
            if near.is_none() && !points.is_empty() {
                // Of the rest of the run, only steps of plans below the first one's time are of interest.
                near = limits.last().map(|&last| question.prepared.below(last, time, price));
            }
            let prepared = near.as_ref().unwrap_or(question.prepared);
            points.extend(self.point(question, prepared, limit, time, &mut price));
        }
        points
    }

    /// Every point: first those on a coarse grid, then in each gap all between its ends, downwards, each just below the
    /// peak of the one before.
    fn every(&self, question: &Question<'_>, progress: &mut dyn FnMut(u64, u64)) -> Vec<Found> {
        let least = question.least;
        let range = question.plain - least;
        let mut points = self.grid(question, (range / GAPS).max(1), &mut |_, _| {});
        let mut corners: Vec<(u64, u64)> = Vec::new();
        for point in &points {
            if corners.last().is_none_or(|&(_, time)| point.outcome.time_ns < time) {
                corners.push((point.peak, point.outcome.time_ns));
            }
        }
        let gaps: Vec<(u64, u64)> = corners.windows(2).map(|pair| (pair[1].0, pair[0].1)).collect();
        for gaps in gaps.chunks(RUN * ROUND) {
            progress(gaps[0].0 - least, range);
            let found: Vec<Vec<Found>> = gaps.par_iter().map(|&(peak, time)| self.gap(question, peak, time)).collect();
            points.extend(found.into_iter().flatten());
        }
        points
    }

    /// All points below a peak that take less than a time.
    fn gap(&self, question: &Question<'_>, mut peak: u64, time: u64) -> Vec<Found> {
        let mut points = Vec::new();
        let mut price = None;
        let mut near: Option<Prepared> = None;
        while let Some(limit) = peak.checked_sub(1).filter(|_| !question.is_over()) {
            let prepared = near.get_or_insert_with(|| question.prepared.below(limit, time, None));
            let Some(point) = self.point(question, prepared, limit, time, &mut price) else { break };
            peak = point.peak;
            points.push(point);
        }
        points
    }

    /// The plan of least time within a limit, if one takes less than `time`.
    fn point(
        &self,
        question: &Question<'_>,
        prepared: &Prepared,
        limit: u64,
        time: u64,
        price: &mut Option<Price>,
    ) -> Option<Found> {
        let known = Known { time, price: *price, ..Known::NOTHING };
        let answer = answer(prepared, limit, known, question.options, question.started);
        // By the network's bounds, not the predictor's word: that can be above the limit where regions nest.
        let peak = prepared.network.peak(&answer.path.as_ref()?.steps);
        *price = answer.price.or(*price);
        Some(Found { peak, outcome: self.outcome(prepared, answer, question.options, None, question.started) })
    }
}

/// What all budgets of a frontier share.
struct Question<'a> {
    prepared: &'a Prepared,
    /// Limits on the passes of interest: the least, and what they need without regions.
    least: u64,
    plain: u64,
    options: &'a Options<'a>,
    started: Instant,
}

impl Question<'_> {
    fn is_over(&self) -> bool {
        is_over(self.options, self.started)
    }
}

/// A point, and its peak by the network.
struct Found {
    peak: u64,
    outcome: Outcome,
}
