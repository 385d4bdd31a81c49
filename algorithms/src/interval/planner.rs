//! The three questions, answered over one network.

use std::time::{Duration, Instant};

use crate::cost::Costs;
use crate::plan::assemble::rerun;
use crate::plan::{Regions, Segment, Stats, Status};
use crate::predict::{Optimizer, Predictor, Scratch};

use super::allowed::Allowed;
use super::answer::{Answer, SHORT};
use super::bound;
use super::keep::{self, Keep};
use super::labels::Path;
use super::network::StepKind;
use super::prepare::Prepared;
use super::profile::Profile;
use super::slots::Slots;

/// What a caller may ask for.
#[derive(Debug, Clone, Default)]
pub struct Options<'a> {
    /// Where regions may lie; every pair of safe cuts by default.
    pub allowed: Option<&'a Allowed>,
    /// Optimizer whose states and temporaries count towards peaks and budgets.
    pub optimizer: Option<Optimizer>,
    /// May regions keep the results of chosen kernels?
    pub selective: bool,
    /// Most levels of regions within regions; up to 1 for flat plans.
    pub nesting: u32,
    /// Most labels kept in all; when it is reached the plan is feasible only.
    pub max_labels: Option<u64>,
    /// Time after which a search stops; the plan is feasible only.
    pub time_limit: Option<Duration>,
}

/// A plan and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Regions to recompute.
    pub segments: Vec<Segment>,
    /// Predicted peak in bytes, optimizer included.
    pub peak: u64,
    /// Nanoseconds of recomputation.
    pub time_ns: u64,
    /// Is the plan proven optimal among interval plans?
    pub status: Status,
    /// Where it is not: a proven lower bound of what was asked for, in bytes (least peak) or nanoseconds (least time).
    pub lower_bound: Option<u64>,
    /// Work done.
    pub stats: Stats,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No interval plan stays within the budget.
    #[error("the budget of {budget} bytes is below the least possible peak of {minimum} bytes")]
    BudgetTooSmall {
        /// The budget in bytes.
        budget: u64,
        /// Least peak of all plans of the class, in bytes.
        minimum: u64,
        /// Is the minimum proven?
        is_proven: bool,
    },
}

/// Plans one graph.
#[derive(Debug)]
pub struct Planner<'p, 'g> {
    pub(super) predictor: &'p Predictor<'g>,
    pub(super) profile: Profile<'p, 'g>,
    pub(super) slots: Slots,
    pub(super) keeps: Vec<Keep>,
    every: Allowed,
    costs: Costs,
    /// Most operators of a region in the networks that come first.
    pub(super) short: u32,
}

impl<'p, 'g> Planner<'p, 'g> {
    /// Prepares a graph. Time and memory O(size of the graph + crossings of all cuts).
    pub fn new(predictor: &'p Predictor<'g>, costs: &Costs) -> Self {
        let graph = predictor.graph();
        let profile = Profile::new(predictor.program(), costs);
        let slots = Slots::new(&profile);
        Self {
            predictor,
            slots,
            profile,
            keeps: keep::levels(graph, costs),
            every: Allowed::operators(graph),
            costs: costs.clone(),
            short: SHORT,
        }
    }

    /// The sets of kernel names that selective regions may keep.
    pub fn kept_names(&self) -> impl Iterator<Item = &[String]> {
        self.keeps.iter().map(|k| &k.names[..])
    }

    /// Least peak, and among the plans that reach it least recomputation.
    ///
    /// Time O(steps) for the peak, with at most (cuts² × sets of held storages) steps; the second question is a label
    /// search as in [`Self::least_time`].
    ///
    /// # Errors
    /// None at present; the result is fallible for callers that treat all questions alike.
    pub fn least_peak(&self, options: &Options<'_>) -> Result<Outcome, Error> {
        if options.nesting > 1 {
            return self.nested_least_peak(options);
        }
        let started = Instant::now();
        // A plan that some simple rule finds bounds the peak and keeps the network small.
        let mut limit = self.known_peak(options);
        if options.selective {
            let flat = Options { selective: false, ..options.clone() };
            limit = limit.min(self.prepare(limit, &flat).rest.least);
        }
        let (least, is_complete) = if self.profile.is_exact && limit <= bound::least_peak(&self.profile) {
            (limit, true) // a simple plan needs no more than single operators do
        } else {
            let wide = self.prepare(limit, options);
            (wide.rest.least, wide.is_complete)
        };
        let (mut prepared, answer) = self.within(self.as_free(least, options), options, started);
        prepared.is_complete &= is_complete;
        Ok(self.outcome(&prepared, answer, options, Some(least), started))
    }

    /// Least recomputation within a budget in bytes.
    ///
    /// Time O(steps × labels per state), memory O(labels); on real networks a few thousand to a million labels.
    ///
    /// # Errors
    /// [`Error::BudgetTooSmall`] with the least peak.
    pub fn least_time(&self, budget: u64, options: &Options<'_>) -> Result<Outcome, Error> {
        if options.nesting > 1 {
            return self.nested_least_time(budget, options);
        }
        let started = Instant::now();
        let limit = self.limit(budget, options)?;
        let (prepared, answer) = self.within(limit, options, started);
        if answer.path.is_none() {
            return Err(self.too_small(budget, options));
        }
        let outcome = self.outcome(&prepared, answer, options, None, started);
        if outcome.peak > budget {
            return Err(Error::BudgetTooSmall { budget, minimum: outcome.peak, is_proven: false });
        }
        Ok(outcome)
    }

    /// The bound on forward and backward pass that a budget leaves.
    pub(super) fn limit(&self, budget: u64, options: &Options<'_>) -> Result<u64, Error> {
        let (states, floor) = self.optimizer(options);
        if budget < floor {
            return Err(self.too_small(budget, options));
        }
        Ok(budget.saturating_sub(states))
    }

    /// A limit on the passes, raised to what the optimizer's own step leaves them: below it nothing is gained.
    pub(super) fn as_free(&self, limit: u64, options: &Options<'_>) -> u64 {
        let (states, floor) = self.optimizer(options);
        limit.max(floor.saturating_sub(states))
    }

    /// States of the optimizer, and the peak of its own step, in bytes.
    pub(super) fn optimizer(&self, options: &Options<'_>) -> (u64, u64) {
        let none = self.predictor.peaks(&Regions::default(), options.optimizer, &mut Scratch::default());
        (none.static_bytes - self.predictor.graph().static_bytes(), none.peak_optimizer.unwrap_or(0))
    }

    fn too_small(&self, budget: u64, options: &Options<'_>) -> Error {
        let (states, floor) = self.optimizer(options);
        let prepared = self.prepare(self.known_peak(options), options);
        let least = (prepared.rest.least + states).max(floor);
        // Where the decomposition is not exact, the predictor's word counts.
        let found = if self.profile.is_exact { None } else { self.least_peak(options).ok() };
        Error::BudgetTooSmall {
            budget,
            minimum: found.map_or(least, |found| found.peak),
            is_proven: self.profile.is_exact && prepared.is_complete,
        }
    }

    pub(super) fn allowed<'a>(&'a self, options: &Options<'a>) -> &'a Allowed {
        options.allowed.unwrap_or(&self.every)
    }

    pub(super) fn keeps(&self, options: &Options<'_>) -> &[Keep] {
        if options.selective { &self.keeps } else { &[] }
    }

    /// Peak of the step without checkpointing, forward and backward pass only.
    pub(super) fn plain_peak(&self) -> u64 {
        self.predictor.peaks(&Regions::default(), None, &mut Scratch::default()).peak
    }

    /// Peak of forward and backward pass under a plan.
    pub(super) fn pass_peak(&self, outcome: &Outcome) -> u64 {
        let regions = Regions::resolve(self.predictor.graph(), &outcome.segments).unwrap_or_default();
        self.predictor.peaks(&regions, None, &mut Scratch::default()).peak
    }

    /// Least predicted peak of some simple plans that are allowed.
    fn known_peak(&self, options: &Options<'_>) -> u64 {
        let allowed = self.allowed(options);
        let mut scratch = Scratch::default();
        let mut least = self.plain_peak();
        if !self.profile.is_exact {
            return least;
        }
        for parts in [2u32, 4, 8, 12, 16, 24, 32, 48] {
            let segments = allowed.uniform(parts);
            if let Ok(regions) = Regions::resolve(self.predictor.graph(), &segments) {
                least = least.min(self.predictor.peaks(&regions, None, &mut scratch).peak);
            }
        }
        least
    }

    /// Regions of a path, and those of them that recompute something.
    fn segments(&self, prepared: &Prepared, path: &Path) -> (Vec<Segment>, Vec<Segment>) {
        let network = &prepared.network;
        let (mut segments, mut busy) = (Vec::new(), Vec::new());
        let mut at = 0;
        for &i in &path.steps {
            let step = &network.steps[i as usize];
            let mut segment = Segment::new(network.cuts[at], network.cuts[step.to as usize]);
            if let StepKind::Selective(k) = step.kind {
                segment.save.clone_from(&self.keeps[k as usize].names);
            }
            if let (StepKind::Nested(variant), Some(nested)) = (step.kind, &prepared.nested) {
                segment.inner = nested.inside(&self.profile, segment.start, segment.end, variant);
            }
            if step.kind != StepKind::Plain {
                if step.time > 0 {
                    busy.push(segment.clone());
                }
                segments.push(segment);
            }
            at = step.to as usize;
        }
        (segments, busy)
    }

    /// Predicts a plan and says what is proven of it. `least` is the least peak if that was the question.
    pub(super) fn outcome(
        &self,
        prepared: &Prepared,
        answer: Answer,
        options: &Options<'_>,
        least: Option<u64>,
        started: Instant,
    ) -> Outcome {
        let path = answer.path.unwrap_or(Path { time: 0, steps: Vec::new() });
        let evaluated = |segments: Vec<Segment>| {
            let regions = Regions::resolve(self.predictor.graph(), &segments).unwrap_or_default();
            let peaks = self.predictor.peaks(&regions, options.optimizer, &mut Scratch::default());
            (segments, regions, peaks)
        };
        let (all, busy) = self.segments(prepared, &path);
        let is_busy = all.len() == busy.len();
        let mut best = evaluated(all);
        if !is_busy {
            // A region that recomputes nothing may let go of a tensor early; mostly it only clutters the plan.
            let busy = evaluated(busy);
            if busy.2.peak <= best.2.peak {
                best = busy;
            }
        }
        let (segments, regions, peaks) = best;
        // Steps of nested regions bound what they take; the clock has the word.
        let time_ns = match &prepared.nested {
            Some(_) => rerun(self.predictor, &self.costs, &regions, &mut Scratch::default()).1.ns,
            None => path.time,
        };
        debug_assert!(
            prepared.nested.is_none()
                || !self.profile.is_exact
                || self.profile.has_casts
                || prepared.network.peak(&path.steps) + self.optimizer(options).0 >= peaks.peak
                || peaks.peak_optimizer == Some(peaks.peak),
            "a nested plan needs more than its steps say"
        );
        let is_exact = prepared.is_complete && prepared.nested.is_none() && self.profile.is_exact;
        let is_optimal = answer.is_proven && is_exact;
        let unproven = match least {
            Some(least) if is_exact => Some(least + self.optimizer(options).0),
            None if is_exact => Some(answer.lower_bound),
            _ if !self.profile.is_exact => None,
            // Not all plans were looked at.
            Some(_) => Some(bound::least_peak(&self.profile) + self.optimizer(options).0),
            None => {
                let keeps = self.keeps(options);
                Some(bound::least_time(&self.profile, keeps, answer.limit).min(path.time))
            }
        };
        debug_assert!(
            !is_exact
                || least.is_none_or(
                    |least| (least + self.optimizer(options).0).max(self.optimizer(options).1) == peaks.peak
                ),
            "the decomposition and the predictor disagree"
        );
        Outcome {
            segments,
            peak: peaks.peak,
            time_ns,
            status: if is_optimal { Status::Optimal } else { Status::Feasible },
            lower_bound: unproven.filter(|_| !is_optimal),
            stats: Stats { seconds: started.elapsed().as_secs_f64(), ..prepared.stats(answer.work) },
        }
    }
}
