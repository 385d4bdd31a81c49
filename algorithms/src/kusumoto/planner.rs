//! Plans of training graphs by lower sets.

use remat_graphs::Graph;

use super::program::{Centric, Program, Strategy};
use super::sets::Dag;
use crate::cost::Costs;
use crate::plan::assemble::rerun;
use crate::plan::{Regions, Segment, Stats};
use crate::predict::{Optimizer, Predictor, Scratch};

/// Each budget of the model that is tried is this many per cent of the one before.
const STEP_PERCENT: u64 = 125;

/// Plans training graphs by strategies of their lower sets.
///
/// The model's memory is not the graph's. So strategies for many budgets of the model are mapped to regions and predicted,
/// on a grid from the least to all values twice, and the prediction decides.
pub struct GraphPlanner<'p, 'g> {
    predictor: &'p Predictor<'g>,
    costs: &'p Costs,
    program: Program,
    centric: Centric,
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
    /// Budget of the model that gave the plan, in bytes.
    pub model_budget: u64,
    /// `states` are lower sets, `evaluations` strategies predicted.
    pub stats: Stats,
}

impl<'p, 'g> GraphPlanner<'p, 'g> {
    /// Enumerates lower sets. Time and memory as [`Program::new`].
    pub fn new(predictor: &'p Predictor<'g>, costs: &'p Costs, centric: Centric) -> Self {
        let program = Program::new(&Dag::of(predictor.graph(), costs));
        Self { predictor, costs, program, centric }
    }

    /// The least predicted peak among the strategies, and of those the least recomputation.
    pub fn least_peak(&self, optimizer: Option<Optimizer>) -> GraphOutcome {
        let found = self.grid(optimizer);
        found.into_iter().min_by_key(|p| (p.peak, p.time)).unwrap_or_else(|| self.plain(optimizer))
    }

    /// The least recomputation among the strategies whose predicted peak is within the budget; nothing if there is none.
    pub fn least_time(&self, budget: u64, optimizer: Option<Optimizer>) -> Option<GraphOutcome> {
        let mut found = self.grid(optimizer);
        found.push(self.plain(optimizer));
        found.into_iter().filter(|p| p.peak <= budget).min_by_key(|p| (p.time, p.peak))
    }

    /// Plans for a grid of budgets.
    fn grid(&self, optimizer: Option<Optimizer>) -> Vec<GraphOutcome> {
        let mut scratch = Scratch::default();
        let full = self.program.full_budget();
        let mut budget = self.program.least_budget();
        let mut found = Vec::new();
        loop {
            if let Some(strategy) = self.program.solve(budget, self.centric) {
                let segments = segments(self.predictor.graph(), &strategy);
                found.extend(self.predicted(segments, budget, optimizer, &mut scratch));
            }
            if budget >= full {
                break;
            }
            budget = (budget.max(1).saturating_mul(STEP_PERCENT) / 100).clamp(budget + 1, full);
        }
        let stats = Stats { states: self.program.sets() as u64, evaluations: found.len() as u64, ..Stats::default() };
        for plan in &mut found {
            plan.stats = stats;
        }
        found
    }

    fn plain(&self, optimizer: Option<Optimizer>) -> GraphOutcome {
        let nothing =
            GraphOutcome { segments: Vec::new(), peak: u64::MAX, time: 0, model_budget: 0, stats: Stats::default() };
        self.predicted(Vec::new(), 0, optimizer, &mut Scratch::default()).unwrap_or(nothing)
    }

    fn predicted(
        &self,
        segments: Vec<Segment>,
        model_budget: u64,
        optimizer: Option<Optimizer>,
        scratch: &mut Scratch,
    ) -> Option<GraphOutcome> {
        let regions = Regions::resolve(self.predictor.graph(), &segments).ok()?;
        let (replayed, again) = rerun(self.predictor, self.costs, &regions, scratch);
        let peak = self.predictor.with_optimizer(&replayed, optimizer).peak;
        Some(GraphOutcome { segments, peak, time: again.ns, model_budget, stats: Stats::default() })
    }
}

/// The regions of a strategy: each set is rounded up to a safe cut, and what follows the last but one runs plainly.
fn segments(graph: &Graph, strategy: &Strategy) -> Vec<Segment> {
    let safe: Vec<u32> = graph.safe_cuts().filter(|&k| k <= graph.loss()).collect();
    let sets = strategy.ends.len().saturating_sub(1);
    let mut start = 0;
    let mut segments = Vec::new();
    for &last in &strategy.ends[..sets] {
        let Some(&end) = safe.get(safe.partition_point(|&k| k <= last)) else { break };
        if end > start {
            segments.push(Segment::new(start, end));
            start = end;
        }
    }
    segments
}
