//! The questions of the planner, with regions within regions.
//!
//! The plan with one level less comes first, in the end the flat one, which is exact and quick; its peak bounds the search.
//! Of both, the better plan by the predictor's word is the answer. It is not proven; the lower bound that comes with it is: it holds for
//! plans of any depth, because a region is taken to need no more than each of its operators does alone.

use std::sync::Arc;
use std::time::Instant;

use crate::plan::{Segment, Status};

use super::active::Active;
use super::answer::{Known, answer};
use super::least::Rest;
use super::nested::Nested;
use super::network::{Inside, Limits, Network, Source};
use super::planner::{Error, Options, Outcome, Planner};
use super::prepare::Prepared;

/// Rounds of refinement: in each, regions may start and end close to where those of the best plan do.
const ROUNDS: usize = 3;

/// Tries at a plan that the predictor, too, finds within the budget.
const TRIES: usize = 4;

impl Planner<'_, '_> {
    /// Least peak that was found, and among the plans that reach it the least recomputation.
    pub(super) fn nested_least_peak(&self, options: &Options<'_>) -> Result<Outcome, Error> {
        let started = Instant::now();
        // A plan of fewer levels is one of more: what is found is never worse for another level.
        let fewer = self.least_peak(&Options { nesting: options.nesting - 1, ..options.clone() })?;
        let limit = self.as_free(self.pass_peak(&fewer), options);
        let rank = |o: &Outcome| (o.peak, o.time_ns);
        let mut best = fewer;
        for _ in 0..ROUNDS {
            let nested = self.insides(limit, &best.segments, options);
            let least = self.prepare_with(limit, options, Some(&nested)).rest.least.min(limit);
            let least = self.as_free(least, options);
            let prepared = self.prepare_with(least, options, Some(&nested));
            let answer = answer(&prepared, least, Known::NOTHING, options, started);
            if answer.path.is_none() {
                break;
            }
            let found = self.outcome(&prepared, answer, options, None, started);
            if rank(&found) >= rank(&best) {
                break;
            }
            best = found;
            if nested.is_whole {
                break;
            }
        }
        let (states, floor) = self.optimizer(options);
        let bound = self.relaxed(limit, options).map(|relaxed| (relaxed.rest.least.min(limit) + states).max(floor));
        Ok(unproven(best, bound))
    }

    /// Least recomputation that was found within a budget in bytes.
    pub(super) fn nested_least_time(&self, budget: u64, options: &Options<'_>) -> Result<Outcome, Error> {
        let started = Instant::now();
        let fewer = self.least_time(budget, &Options { nesting: options.nesting - 1, ..options.clone() });
        if fewer.as_ref().is_ok_and(|fewer| fewer.time_ns == 0) {
            return fewer;
        }
        let limit = self.limit(budget, options)?;
        let mut best = fewer.ok();
        for _ in 0..ROUNDS {
            let known = best.as_ref().map_or(u64::MAX, |best| best.time_ns);
            let near = best.as_ref().map_or(&[][..], |best| &best.segments);
            let found = self.deeper(budget, limit, known, near, options, started);
            let Some(found) = found.filter(|found| found.time_ns < known) else { break };
            best = Some(found);
        }
        let best = if let Some(best) = best { best } else { self.nested_least_peak(options)? };
        if best.peak > budget {
            return Err(Error::BudgetTooSmall { budget, minimum: best.peak, is_proven: false });
        }
        let bound = self.relaxed(limit, options).map(|relaxed| {
            let active = Active::new(&relaxed.network, &relaxed.rest, limit, u64::MAX, None);
            active.time_to_go(0, 0).min(best.time_ns)
        });
        Ok(unproven(best, bound))
    }

    /// A network of plans with peaks up to `plain`. Insides of regions are planned for peaks up to the least flat one: above
    /// it, nesting gains little. With it the nested plan of least peak, if regions may nest.
    pub(super) fn prepare_for_all(
        &self,
        plain: u64,
        options: &Options<'_>,
    ) -> Result<(Prepared, Option<Outcome>), Error> {
        if options.nesting < 2 {
            return Ok((self.prepare(plain, options), None));
        }
        let best = self.nested_least_peak(options)?;
        let flat = self.least_peak(&Options { nesting: 1, ..options.clone() })?;
        let nested = self.insides(self.pass_peak(&flat), &best.segments, options);
        Ok((self.prepare_with(plain, options, Some(&nested)), Some(best)))
    }

    /// A nested plan within the budget that takes less time than `known`.
    fn deeper(
        &self,
        budget: u64,
        mut limit: u64,
        known: u64,
        near: &[Segment],
        options: &Options<'_>,
        started: Instant,
    ) -> Option<Outcome> {
        let nested = self.insides(limit, near, options);
        for _ in 0..TRIES {
            let prepared = self.prepare_with(limit, options, Some(&nested));
            let answer = answer(&prepared, limit, Known { time: known, ..Known::NOTHING }, options, started);
            answer.path.as_ref()?;
            let found = self.outcome(&prepared, answer, options, None, started);
            if found.peak <= budget {
                return Some(found);
            }
            // The bounds of inner regions are not exact: ask for what was missed.
            limit = limit.checked_sub(found.peak - budget)?;
        }
        None
    }

    /// Plans for the insides of regions, for plans with peaks up to `limit`; cuts close to those of `near` are tried, too.
    pub(super) fn insides(&self, limit: u64, near: &[Segment], options: &Options<'_>) -> Arc<Nested> {
        Arc::new(Nested::build(&self.profile, &self.slots, self.allowed(options), options.nesting, limit, near))
    }

    /// The network in which regions need no more than no plan for their inside can avoid; `None` if it is too large, or
    /// the decomposition is not exact.
    fn relaxed(&self, limit: u64, options: &Options<'_>) -> Option<Prepared> {
        let limits = Limits { peak: limit, worth: None };
        let source = Source { inside: Inside::Anything, ..self.source(limits, options) };
        let network = Network::build(&source).ok().filter(|_| self.profile.is_exact)?;
        let rest = Arc::new(Rest::of(&network));
        Some(Prepared { network, rest, nested: None, is_complete: false })
    }
}

/// A plan that no proof covers, with a lower bound that holds.
fn unproven(plan: Outcome, bound: Option<u64>) -> Outcome {
    Outcome { status: Status::Feasible, lower_bound: bound, ..plan }
}
