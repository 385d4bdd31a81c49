//! The questions of the planner, with regions within regions.
//!
//! The plan with one level less comes first, in the end the flat one, which is exact and quick; its peak bounds the search.
//! Of both, the better plan by the predictor's word is the answer. It is not proven; the lower bound that comes with it is: it holds for
//! plans of any depth, because a region is taken to need no more than each of its operators does alone.

use std::sync::Arc;
use std::time::Instant;

use crate::plan::{Segment, Stats, Status};

use super::active::Active;
use super::answer::{Known, answer, is_over};
use super::bound;
use super::least::Rest;
use super::nested::{Nested, Question};
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
        let best = self.deepest_least_peak(options, started)?;
        let (states, floor) = self.optimizer(options);
        let limit = self.as_free(self.pass_peak(&best), options);
        let relaxed = if is_over(options, started) { None } else { self.relaxed(limit, options) };
        let least = relaxed.map(|relaxed| relaxed.rest.least.min(limit));
        let least = least.or_else(|| self.profile.is_exact.then(|| bound::least_peak(&self.profile)));
        Ok(unproven(best, least.map(|least| (least + states).max(floor)), started))
    }

    /// The same without a bound. Where time runs out it is a plan of fewer levels.
    fn deepest_least_peak(&self, options: &Options<'_>, started: Instant) -> Result<Outcome, Error> {
        // A plan of fewer levels is one of more: what is found is never worse for another level.
        let fewer = fewer_levels(options, started);
        let mut best = match fewer.nesting {
            0 | 1 => self.least_peak(&fewer)?,
            _ => self.deepest_least_peak(&fewer, Instant::now())?,
        };
        let limit = self.as_free(self.pass_peak(&best), options);
        let rank = |o: &Outcome| (o.peak, o.time_ns);
        let mut work = best.stats;
        for _ in 0..ROUNDS {
            let Some(nested) = self.insides(limit, &best.segments, options, started) else { break };
            let least = self.prepare_with(limit, options, Some(&nested)).rest.least.min(limit);
            let least = self.as_free(least, options);
            let prepared = self.prepare_with(least, options, Some(&nested));
            let answer = answer(&prepared, least, Known::NOTHING, options, started);
            work = work.and(&prepared.stats(answer.work));
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
        best.stats = work;
        Ok(best)
    }

    /// Least recomputation that was found within a budget in bytes.
    pub(super) fn nested_least_time(&self, budget: u64, options: &Options<'_>) -> Result<Outcome, Error> {
        let started = Instant::now();
        let best = self.deepest_least_time(budget, options, started)?;
        if best.time_ns == 0 {
            return Ok(best);
        }
        let limit = self.limit(budget, options)?;
        let relaxed = if is_over(options, started) { None } else { self.relaxed(limit, options) };
        let least = relaxed.map(|relaxed| {
            let active = Active::new(&relaxed.network, &relaxed.rest, limit, u64::MAX, None);
            active.time_to_go(0, 0, 0)
        });
        let cheap = || self.profile.is_exact.then(|| bound::least_time(&self.profile, self.keeps(options), limit));
        let least = least.or_else(cheap).map(|least| least.min(best.time_ns));
        Ok(unproven(best, least, started))
    }

    /// The same without a bound.
    fn deepest_least_time(&self, budget: u64, options: &Options<'_>, started: Instant) -> Result<Outcome, Error> {
        let fewer = fewer_levels(options, started);
        let fewer = match fewer.nesting {
            0 | 1 => self.least_time(budget, &fewer),
            _ => self.deepest_least_time(budget, &fewer, Instant::now()),
        };
        if fewer.as_ref().is_ok_and(|fewer| fewer.time_ns == 0) {
            return fewer;
        }
        let limit = self.limit(budget, options)?;
        let mut best = fewer.ok();
        let mut work = best.as_ref().map_or(Stats::default(), |best| best.stats);
        for _ in 0..ROUNDS {
            let known = best.as_ref().map_or(u64::MAX, |best| best.time_ns);
            let near = best.as_ref().map_or(&[][..], |best| &best.segments);
            let found = self.deeper((budget, limit), known, near, options, started, &mut work);
            let Some(found) = found.filter(|found| found.time_ns < known) else { break };
            best = Some(found);
        }
        let mut best = match best {
            Some(best) => best,
            None => self.deepest_least_peak(options, started).inspect(|best| work = work.and(&best.stats))?,
        };
        if best.peak > budget {
            return Err(Error::BudgetTooSmall { budget, minimum: best.peak, is_proven: false });
        }
        best.stats = work;
        Ok(best)
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
        let started = Instant::now();
        let best = self.nested_least_peak(options)?;
        let flat = self.least_peak(&Options { nesting: 1, ..options.clone() })?;
        let prepared = match self.insides(self.pass_peak(&flat), &best.segments, options, started) {
            Some(nested) => self.prepare_with(plain, options, Some(&nested)),
            None => self.prepare(plain, options),
        };
        Ok((prepared, Some(best)))
    }

    /// A nested plan within the budget that takes less time than `known`.
    fn deeper(
        &self,
        (budget, mut limit): (u64, u64),
        known: u64,
        near: &[Segment],
        options: &Options<'_>,
        started: Instant,
        work: &mut Stats,
    ) -> Option<Outcome> {
        let nested = self.insides(limit, near, options, started)?;
        for _ in 0..TRIES {
            let prepared = self.prepare_with(limit, options, Some(&nested));
            let answer = answer(&prepared, limit, Known { time: known, ..Known::NOTHING }, options, started);
            *work = work.and(&prepared.stats(answer.work));
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
    /// `None` if time runs out.
    fn insides(&self, limit: u64, near: &[Segment], options: &Options<'_>, started: Instant) -> Option<Arc<Nested>> {
        let stop = || is_over(options, started);
        let question = Question { profile: &self.profile, slots: &self.slots, allowed: self.allowed(options), limit };
        Nested::build(&question, options.nesting, near, &stop).map(Arc::new)
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
fn unproven(plan: Outcome, bound: Option<u64>, started: Instant) -> Outcome {
    let stats = Stats { seconds: started.elapsed().as_secs_f64(), ..plan.stats };
    Outcome { status: Status::Feasible, lower_bound: bound, stats, ..plan }
}

/// The question with a level less, in the time that is left.
fn fewer_levels<'a>(options: &Options<'a>, started: Instant) -> Options<'a> {
    let time_limit = options.time_limit.map(|limit| limit.saturating_sub(started.elapsed()));
    Options { nesting: options.nesting - 1, time_limit, ..options.clone() }
}
