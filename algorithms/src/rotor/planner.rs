//! Rotor on training graphs and plain chains.

use std::time::Duration;

use remat_graphs::{Chain, ChainOfGraph};

use super::{Error, Outcome, Solver, Stage, Stages, Step, of_graph, schedule};
use crate::cost::Costs;
use crate::plan::assemble::rerun;
use crate::plan::{DEPTH_LIMIT, Regions, Segment, Stats};
use crate::predict::{Optimizer, Predictor, Scratch};

/// Each budget of the chain that is tried is this many per cent of the one before.
const STEP_PERCENT: u64 = 115;
/// Budgets tried between two neighbours on that grid.
const BISECTIONS: u32 = 8;
/// Expansions for each budget; where the search stops unproven, its plan counts all the same.
const EXPANSIONS: u64 = 20_000;
/// Expansions for a plain chain, a few seconds.
const CHAIN_EXPANSIONS: u64 = 1_000_000;

/// Plans training graphs by the schedules of their chains.
///
/// A chain is a guide to a graph: it knows nothing of parameters, of skips over its cuts, of when exactly PyTorch releases
/// what. So a budget of the graph is not a budget of the chain. Schedules for many budgets of the chain are predicted, on
/// a grid from the least to what keeps everything, and the prediction decides.
pub struct GraphPlanner<'p, 'g> {
    predictor: &'p Predictor<'g>,
    costs: &'p Costs,
    chain: ChainOfGraph,
    stages: Stages,
}

/// The plan of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphOutcome {
    /// Regions to recompute.
    pub segments: Vec<Segment>,
    /// Predicted peak in bytes.
    pub peak: u64,
    /// Recomputation in nanoseconds, as PyTorch does it.
    pub time: u64,
    /// Budget of the chain that gave the plan, in bytes.
    pub chain_budget: u64,
    /// Work over all budgets.
    pub stats: Stats,
}

impl<'p, 'g> GraphPlanner<'p, 'g> {
    /// Reduces the graph to a chain.
    ///
    /// # Errors
    /// [`Error`], if the chain is too long or too large.
    pub fn new(predictor: &'p Predictor<'g>, costs: &'p Costs) -> Result<Self, Error> {
        let chain = ChainOfGraph::of(predictor.graph());
        let stages = of_graph::stages(predictor.graph(), &chain, costs)?;
        Ok(Self { predictor, costs, chain, stages })
    }

    /// The least predicted peak among the schedules, and of those the least recomputation.
    ///
    /// # Complexity
    /// That of the chain for some thirty budgets, and O(kernels run) for the prediction of each.
    pub fn least_peak(&self, optimizer: Option<Optimizer>) -> GraphOutcome {
        let mut search = Search::new(self, optimizer);
        search.grid();
        search.finish(|p| (p.peak, p.time))
    }

    /// The least recomputation among schedules whose predicted peak is within the budget.
    ///
    /// # Errors
    /// [`Error::Budget`] with the least predicted peak found, if none is.
    ///
    /// # Complexity
    /// As [`Self::least_peak`].
    pub fn least_time(&self, budget: u64, optimizer: Option<Optimizer>) -> Result<GraphOutcome, Error> {
        let mut search = Search::new(self, optimizer);
        search.grid();
        let fits = |p: &GraphOutcome| p.peak <= budget;
        let Some(at) = search.found.iter().rposition(fits) else {
            let least = search.found.iter().map(|p| p.peak).min().unwrap_or(u64::MAX);
            return Err(Error::Budget { budget, least });
        };
        // More of the chain's budget means less recomputation: look further up, between this and the next that failed.
        let mut low = search.found[at].chain_budget;
        let mut high = search.found.get(at + 1).map_or(low, |p| p.chain_budget);
        for _ in 0..BISECTIONS {
            let middle = u64::midpoint(low, high);
            if middle == low {
                break;
            }
            match search.attempt(middle) {
                Some(p) if fits(&p) => {
                    low = middle;
                    search.found.push(p);
                }
                _ => high = middle,
            }
        }
        search.found.retain(fits);
        Ok(search.finish(|p| (p.time, p.peak)))
    }
}

struct Search<'a, 'p, 'g> {
    planner: &'a GraphPlanner<'p, 'g>,
    optimizer: Option<Optimizer>,
    solver: Solver<'a>,
    scratch: Scratch,
    /// By rising budget of the chain, as far as the grid goes.
    found: Vec<GraphOutcome>,
    stats: Stats,
}

impl<'a, 'p, 'g> Search<'a, 'p, 'g> {
    fn new(planner: &'a GraphPlanner<'p, 'g>, optimizer: Option<Optimizer>) -> Self {
        let mut solver = Solver::new(&planner.stages);
        solver.limit_expansions(EXPANSIONS);
        Self { planner, optimizer, solver, scratch: Scratch::default(), found: Vec::new(), stats: Stats::default() }
    }

    fn grid(&mut self) {
        let full = self.solver.full_budget();
        let mut budget = self.solver.least_budget();
        loop {
            if let Some(plan) = self.attempt(budget) {
                self.found.push(plan);
            }
            if budget >= full {
                break;
            }
            budget = (budget.max(1).saturating_mul(STEP_PERCENT) / 100).clamp(budget + 1, full);
        }
    }

    /// The plan for a budget of the chain; nothing if there is no schedule, or if it nests too deeply.
    fn attempt(&mut self, chain_budget: u64) -> Option<GraphOutcome> {
        let outcome = self.solver.solve(chain_budget)?;
        self.stats.states += outcome.stats.states;
        self.stats.evaluations += outcome.stats.evaluations;
        if schedule::depth(&outcome.steps) > DEPTH_LIMIT {
            return None;
        }
        let segments = of_graph::segments(&self.planner.chain, &outcome.steps);
        let predictor = self.planner.predictor;
        let regions = Regions::resolve(predictor.graph(), &segments).ok()?;
        let (replayed, again) = rerun(predictor, self.planner.costs, &regions, &mut self.scratch);
        let peak = predictor.with_optimizer(&replayed, self.optimizer).peak;
        Some(GraphOutcome { segments, peak, time: again.ns, chain_budget, stats: Stats::default() })
    }

    fn finish<K: Ord>(self, key: impl Fn(&GraphOutcome) -> K) -> GraphOutcome {
        let stats = self.stats;
        // The full budget needs no region at all, so something was found.
        let best = self.found.into_iter().min_by_key(key);
        let nothing = GraphOutcome { segments: Vec::new(), peak: u64::MAX, time: 0, chain_budget: 0, stats };
        best.map_or(nothing, |best| GraphOutcome { stats, ..best })
    }
}

/// A plain chain: every layer but the input is a stage with tape, output and gradient of the layer's size; a loss without
/// size or time follows. Layers take their `time`, or one nanosecond each where none has one.
///
/// # Errors
/// [`Error`], if the chain is empty, too long or too large.
pub fn stages_of(chain: &Chain) -> Result<Stages, Error> {
    let Some((input, layers)) = chain.layers.split_first() else { return Err(Error::Empty) };
    let is_timed = layers.iter().any(|l| l.time.is_some());
    let whole = |time: f64| Duration::try_from_secs_f64(time).map_or(0, |d| d.as_nanos() as u64);
    let ns = |time: Option<f64>| if is_timed { time.map_or(0, whole) } else { 1 };
    let stage = |bytes| Stage { output: bytes, tape: bytes, gradient: bytes, ..Stage::default() };
    let mut stages: Vec<Stage> = layers.iter().map(|l| Stage { forward: ns(l.time), ..stage(l.bytes) }).collect();
    stages.push(Stage::default());
    Stages::new(input.bytes, input.bytes, &stages)
}

/// The least recomputation of a plain chain over all persistent schedules within a budget, or, without a budget, over
/// those with the least peak.
///
/// # Returns
/// The layers whose results the first forward pass keeps, ascending (between two of them that are not neighbours lies a
/// region, which ends with the second one), and the schedule with its peak in bytes.
///
/// # Errors
/// [`Error`], if the chain is empty, too long or too large, or no schedule keeps to the budget.
pub fn plan_chain(chain: &Chain, budget: Option<u64>) -> Result<(Vec<u32>, Outcome), Error> {
    let stages = stages_of(chain)?;
    let mut solver = Solver::new(&stages);
    solver.limit_expansions(CHAIN_EXPANSIONS);
    let least = solver.least_budget();
    let budget = budget.unwrap_or(least);
    let Some(outcome) = solver.solve(budget) else { return Err(Error::Budget { budget, least }) };
    let loss = stages.count() as u32;
    let kept = outcome.steps.iter().map(|step| match step {
        Step::Keep(stage) => *stage,
        Step::Region { end, .. } => *end,
    });
    let checkpoints = std::iter::once(0).chain(kept.filter(|&layer| layer < loss)).collect();
    Ok((checkpoints, outcome))
}
