//! The frontier between peak and recomputation.

use std::time::Instant;

use rayon::prelude::*;

use crate::plan::Status;

use super::answer::{Known, answer};
use super::planner::{Error, Options, Outcome, Planner};
use super::prepare::Prepared;

/// Budgets that one thread answers in a row, and runs between two reports of progress.
const RUN: usize = 12;
const ROUND: usize = 4;

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
    /// Optimal if every point is.
    pub status: Status,
}

impl Planner<'_, '_> {
    /// All plans worth having, from no recomputation to the least peak.
    ///
    /// With [`Resolution::Step`], for every budget on a grid from the least peak upwards there is a point within that
    /// budget that takes the least time; with [`Resolution::Exact`] for every budget. `progress` is told how much of
    /// the range of budgets is done, in bytes.
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
        let least = prepared.rest.least;
        let range = plain - least;
        let mut points = match resolution {
            Resolution::Step(step) if range / step.max(1) < GRID => {
                self.grid(&prepared, plain, step.max(1), options, started, progress)
            }
            _ => self.every(&prepared, plain, options, started, progress),
        };
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
        let status =
            if points.iter().all(|p| p.status == Status::Optimal) { Status::Optimal } else { Status::Feasible };
        Ok(Frontier { points, status })
    }

    /// Budgets upwards from the least peak, in runs of neighbours: within a run each answer is a plan for the next budget
    /// too, which bounds its search. The runs are the same on any number of threads.
    fn grid(
        &self,
        prepared: &Prepared,
        plain: u64,
        step: u64,
        options: &Options<'_>,
        started: Instant,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Vec<Outcome> {
        let least = prepared.rest.least;
        let range = plain - least;
        let limits: Vec<u64> = (0..=range.div_ceil(step)).map(|i| least + (i * step).min(range)).collect();
        let mut points = Vec::new();
        for (i, round) in limits.chunks(RUN * ROUND).enumerate() {
            progress((i * RUN * ROUND) as u64 * step, range);
            let found: Vec<Vec<Outcome>> =
                round.par_chunks(RUN).map(|run| self.run(prepared, run, options, started)).collect();
            points.extend(found.into_iter().flatten());
        }
        points
    }

    fn run(&self, prepared: &Prepared, limits: &[u64], options: &Options<'_>, started: Instant) -> Vec<Outcome> {
        let mut points: Vec<Outcome> = Vec::new();
        let mut price = None;
        for &limit in limits {
            let time = points.last().map_or(u64::MAX, |p| p.time_ns);
            if time == 0 {
                break;
            }
            let known = Known { time, price, ..Known::NOTHING };
            let answer = answer(prepared, limit, known, options, started);
            if answer.path.is_some() {
                price = answer.price.or(price);
                points.push(self.outcome(prepared, answer, options, None, started));
            }
        }
        points
    }

    /// Budgets downwards, each just below the peak of the plan before.
    fn every(
        &self,
        prepared: &Prepared,
        plain: u64,
        options: &Options<'_>,
        started: Instant,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Vec<Outcome> {
        let least = prepared.rest.least;
        let mut points: Vec<Outcome> = Vec::new();
        let mut limit = plain;
        while limit >= least {
            progress(plain - limit, plain - least);
            let answer = answer(prepared, limit, Known::NOTHING, options, started);
            let Some(path) = &answer.path else { break };
            // By the network's bounds, not the predictor's word: that can be above the limit where regions nest.
            let peak = prepared.network.peak(&path.steps);
            points.push(self.outcome(prepared, answer, options, None, started));
            let Some(next) = peak.checked_sub(1) else { break };
            limit = next;
        }
        points
    }
}
