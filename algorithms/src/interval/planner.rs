//! The three questions, answered over one network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cost::Costs;
use crate::plan::{Regions, Segment, Stats, Status};
use crate::predict::{Optimizer, Predictor, Scratch};

use super::active::Active;
use super::allowed::Allowed;
use super::bound;
use super::keep::{self, Keep};
use super::labels::{self, Effort, Path};
use super::least::Rest;
use super::nested::Nested;
use super::network::{Inside, Network, StepKind};
use super::profile::Profile;
use super::slots::Slots;

/// Labels kept per state in the first, quick search.
const WIDTH: usize = 4;

/// Labels kept per state in the second search.
const WIDE: usize = 48;

/// Labels kept in all unless the caller says otherwise; 32 bytes each.
const MAX_LABELS: u64 = 12_000_000;

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
}

/// A network built for a limit on the peak.
pub(super) struct Prepared {
    pub network: Network,
    pub rest: Rest,
    /// Plans for the insides of regions, if regions may nest.
    pub nested: Option<Arc<Nested>>,
    /// Does it hold every plan that was asked for?
    pub is_complete: bool,
}

/// One answer of the search.
pub(super) struct Answer {
    /// Bound on the peak of the passes that was given.
    pub limit: u64,
    /// Price of a byte under which the bound was best.
    pub price: Option<u64>,
    pub path: Path,
    pub is_proven: bool,
    pub lower_bound: u64,
    pub labels: u64,
    pub candidates: u64,
}

impl<'p, 'g> Planner<'p, 'g> {
    /// Prepares a graph. Time and memory O(size of the graph + crossings of all cuts).
    pub fn new(predictor: &'p Predictor<'g>, costs: &Costs) -> Self {
        let graph = predictor.graph();
        let profile = Profile::new(predictor.program(), costs);
        let slots = Slots::new(&profile);
        Self { predictor, slots, profile, keeps: keep::levels(graph, costs), every: Allowed::operators(graph) }
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
        let mut prepared = self.prepare(limit, options);
        let least = prepared.rest.least;
        if least < limit {
            limit = least;
            prepared = self.prepare(limit, options);
        }
        let answer = Self::answer(&prepared, limit, u64::MAX, options, started);
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
        let prepared = self.prepare(limit, options);
        if prepared.rest.least > limit {
            return Err(self.too_small(budget, options));
        }
        let answer = Self::answer(&prepared, limit, u64::MAX, options, started);
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

    /// Builds the network; one that grows too large is built again with fewer candidate sets, in the end with short
    /// regions only.
    pub(super) fn prepare(&self, limit: u64, options: &Options<'_>) -> Prepared {
        self.prepare_with(limit, options, None)
    }

    /// The same with plans for the insides of regions.
    pub(super) fn prepare_with(&self, limit: u64, options: &Options<'_>, nested: Option<&Arc<Nested>>) -> Prepared {
        let inside = nested.and_then(|n| n.alternatives()).map_or(Inside::Flat, Inside::Planned);
        let mut keeps = if options.selective { &self.keeps[..] } else { &[] };
        let mut allowed = std::borrow::Cow::Borrowed(self.allowed(options));
        let mut longest = self.profile.operators.len() as u32;
        let mut is_complete = true;
        loop {
            if let Some(network) = Network::build(&self.profile, &self.slots, &allowed, keeps, inside, limit) {
                let rest = Rest::of(&network);
                return Prepared { network, rest, nested: nested.cloned(), is_complete };
            }
            is_complete = false;
            if keeps.is_empty() {
                longest /= 2;
                allowed.to_mut().retain(|a, b| b - a <= longest);
            } else {
                keeps = &keeps[..keeps.len() / 2];
            }
        }
    }

    /// Least time within `limit`, below `known` if a plan that takes `known` is known already.
    pub(super) fn answer(
        prepared: &Prepared,
        limit: u64,
        known: u64,
        options: &Options<'_>,
        started: Instant,
    ) -> Option<Answer> {
        Self::answer_near(prepared, limit, (known, None), options, started)
    }

    /// The same with the price of bytes that answered a similar question.
    pub(super) fn answer_near(
        prepared: &Prepared,
        limit: u64,
        (known, price): (u64, Option<u64>),
        options: &Options<'_>,
        started: Instant,
    ) -> Option<Answer> {
        let Prepared { network, rest, .. } = prepared;
        let mut active = Active::new(network, rest, limit, known, price);
        let stop = || options.time_limit.is_some_and(|limit| started.elapsed() > limit);
        let lower = active.time_to_go(0, 0);
        let quick = Effort { below: known, width: WIDTH, total: u64::MAX, stop: &|| false };
        let first = labels::search(network, &active, &quick);
        let mut path = first.path;
        if path.is_none() && !first.is_complete {
            path = rest.path(network, limit).map(|steps| Path::new(network, steps)).filter(|p| p.time < known);
        }
        let mut counted = (first.labels, first.candidates);
        let mut is_proven = first.is_complete;
        // The better the best plan so far, the fewer labels the full search has to keep.
        for width in [WIDE, usize::MAX] {
            let best = path.as_ref().map_or(known, |p| p.time);
            is_proven |= best <= lower;
            if is_proven {
                break;
            }
            active.reduce(best);
            let total = options.max_labels.unwrap_or(MAX_LABELS);
            let found = labels::search(network, &active, &Effort { below: best, width, total, stop: &stop });
            counted = (counted.0 + found.labels, counted.1 + found.candidates);
            is_proven = found.is_complete;
            path = found.path.or(path);
        }
        let path = path?;
        let lower_bound = if is_proven { path.time } else { lower };
        let price = active.best_price();
        Some(Answer { limit, price, path, is_proven, lower_bound, labels: counted.0, candidates: counted.1 })
    }

    fn segments(&self, prepared: &Prepared, path: &Path) -> Vec<Segment> {
        let network = &prepared.network;
        let mut segments = Vec::new();
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
                segments.push(segment);
            }
            at = step.to as usize;
        }
        segments
    }

    /// Predicts a plan and says what is proven of it. `least` is the least peak if that was the question.
    pub(super) fn outcome(
        &self,
        prepared: &Prepared,
        answer: Option<Answer>,
        options: &Options<'_>,
        least: Option<u64>,
        started: Instant,
    ) -> Outcome {
        let none = Answer {
            limit: u64::MAX,
            price: None,
            path: Path { time: 0, steps: Vec::new() },
            is_proven: false,
            lower_bound: 0,
            labels: 0,
            candidates: 0,
        };
        let answer = answer.unwrap_or(none);
        let segments = self.segments(prepared, &answer.path);
        let regions = Regions::resolve(self.predictor.graph(), &segments).unwrap_or_default();
        let peaks = self.predictor.peaks(&regions, options.optimizer, &mut Scratch::default());
        let is_exact = prepared.is_complete && prepared.nested.is_none() && self.profile.is_exact;
        let is_optimal = answer.is_proven && is_exact;
        let unproven = match least {
            Some(least) if is_exact => Some(least + self.optimizer(options).0),
            None if is_exact => Some(answer.lower_bound),
            _ if !self.profile.is_exact => None,
            // Not all plans were looked at.
            Some(_) => Some(bound::least_peak(&self.profile) + self.optimizer(options).0),
            None => {
                let keeps = if options.selective { &self.keeps[..] } else { &[] };
                Some(bound::least_time(&self.profile, keeps, answer.limit))
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
            time_ns: answer.path.time,
            status: if is_optimal { Status::Optimal } else { Status::Feasible },
            lower_bound: unproven.filter(|_| !is_optimal),
            stats: Stats {
                states: prepared.network.len() as u64
                    + answer.labels
                    + prepared.nested.as_ref().map_or(0, |nested| nested.labels),
                evaluations: prepared.network.regions + prepared.network.steps.len() as u64 + answer.candidates,
                seconds: started.elapsed().as_secs_f64(),
            },
        }
    }
}
