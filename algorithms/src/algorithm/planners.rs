//! The planners behind the names.

use std::time::Instant;

use remat_graphs::cost::DEFAULT_DEVICE;
use remat_graphs::{ChainOfGraph, CostModel, Graph};

use super::{Algorithm, Decision, Planner, PlanningError, Problem, Request, Solution};
use crate::baselines;
use crate::chain::{self, ChainSolution, Layers};
use crate::cost::Costs;
use crate::interval;
use crate::kusumoto::{self, Centric};
use crate::plan::{Objective, Stats, Status};
use crate::predict::Predictor;
use crate::rotor;

/// A planner that sees a chain: a plain one, or the chain of a graph.
pub(super) struct ChainPlanner {
    pub(super) algorithm: Algorithm,
}

impl ChainPlanner {
    fn solve(&self, layers: Layers<'_>) -> Result<ChainSolution, PlanningError> {
        let solution = match self.algorithm {
            Algorithm::None => baselines::none(layers),
            Algorithm::Every => baselines::every(layers),
            Algorithm::Sqrt => baselines::sqrt(layers),
            Algorithm::Uniform(k) => baselines::uniform(layers, k),
            Algorithm::Chen => baselines::chen(layers),
            Algorithm::Cubic => chain::cubic(layers),
            Algorithm::Linear => chain::linear(layers),
            Algorithm::LinearX => chain::linear_stepwise(layers),
            Algorithm::KusumotoTime | Algorithm::KusumotoMemory | Algorithm::Rotor | Algorithm::Interval => {
                return Err(PlanningError::NeedsGraph { algorithm: self.algorithm });
            }
        };
        Ok(solution?)
    }

    fn is_exact(&self) -> bool {
        matches!(self.algorithm, Algorithm::Cubic | Algorithm::Linear | Algorithm::LinearX)
    }
}

impl Planner for ChainPlanner {
    fn plan(&self, request: &Request<'_>) -> Result<Solution, PlanningError> {
        let started = Instant::now();
        let algorithm = self.algorithm;
        if request.objective != Objective::MinPeak {
            return Err(PlanningError::Objective { algorithm });
        }
        let (solved, decision, status) = match request.problem {
            Problem::Chain(chain) => {
                let mut solved = self.solve((&chain.sizes()).into())?;
                let status = if self.is_exact() { Status::Optimal } else { Status::Feasible };
                let checkpoints = std::mem::take(&mut solved.checkpoints);
                (solved, Decision::Checkpoints(checkpoints), status)
            }
            Problem::Graph(graph) => {
                let reduced = ChainOfGraph::of(graph);
                let tape = reduced.chain.sizes();
                let solved = self.solve(Layers::new(&tape, &reduced.handed_on)?)?;
                let segments = match algorithm {
                    Algorithm::None => Vec::new(),
                    _ => chain::segments(graph, &reduced, &solved.checkpoints),
                };
                (solved, Decision::Segments(segments), Status::Feasible)
            }
        };
        let stats = Stats { seconds: started.elapsed().as_secs_f64(), ..solved.stats };
        Ok(Solution { algorithm, decision, value: solved.peak, status, stats })
    }
}

/// The exact planner, with kernel times of the default device where the trace has none.
/// [`interval::Planner`] takes other times and more options.
pub(super) struct IntervalPlanner;

impl Planner for IntervalPlanner {
    fn plan(&self, request: &Request<'_>) -> Result<Solution, PlanningError> {
        let algorithm = Algorithm::Interval;
        let Problem::Graph(graph) = request.problem else { return Err(PlanningError::NeedsGraph { algorithm }) };
        let costs = default_costs(graph);
        let predictor = Predictor::new(graph);
        let planner = interval::Planner::new(&predictor, &costs);
        let options = interval::Options::default();
        let found = match (request.objective, request.budget) {
            (Objective::MinTime, Some(budget)) => planner.least_time(budget, &options)?,
            _ => planner.least_peak(&options)?,
        };
        let decision = Decision::Segments(found.segments);
        Ok(Solution { algorithm, decision, value: found.peak, status: found.status, stats: found.stats })
    }
}

/// Rotor. On a chain, within a budget if one is given; on a graph with kernel times of the default device
/// ([`rotor::GraphPlanner`] takes other times).
pub(super) struct RotorPlanner;

impl Planner for RotorPlanner {
    fn plan(&self, request: &Request<'_>) -> Result<Solution, PlanningError> {
        let started = Instant::now();
        let algorithm = Algorithm::Rotor;
        let budget = match (request.objective, request.budget) {
            (Objective::MinPeak, _) => None,
            (Objective::MinTime, Some(budget)) => Some(budget),
            (Objective::MinTime, None) => return Err(PlanningError::Objective { algorithm }),
        };
        let (decision, value, status, stats) = match request.problem {
            Problem::Chain(chain) => {
                let (checkpoints, found) = rotor::plan_chain(chain, budget)?;
                (Decision::Checkpoints(checkpoints), found.peak, found.status, found.stats)
            }
            Problem::Graph(graph) => {
                let (predictor, costs) = (Predictor::new(graph), default_costs(graph));
                let planner = rotor::GraphPlanner::new(&predictor, &costs)?;
                let found = match budget {
                    Some(budget) => planner.least_time(budget, None)?,
                    None => planner.least_peak(None),
                };
                (Decision::Segments(found.segments), found.peak, Status::Feasible, found.stats)
            }
        };
        let stats = Stats { seconds: started.elapsed().as_secs_f64(), ..stats };
        Ok(Solution { algorithm, decision, value, status, stats })
    }
}

/// Lower sets, with kernel times of the default device ([`kusumoto::GraphPlanner`] takes other times).
pub(super) struct KusumotoPlanner {
    pub(super) algorithm: Algorithm,
}

impl Planner for KusumotoPlanner {
    fn plan(&self, request: &Request<'_>) -> Result<Solution, PlanningError> {
        let started = Instant::now();
        let algorithm = self.algorithm;
        let Problem::Graph(graph) = request.problem else { return Err(PlanningError::NeedsGraph { algorithm }) };
        if request.objective != Objective::MinPeak {
            return Err(PlanningError::Objective { algorithm });
        }
        let centric = if algorithm == Algorithm::KusumotoTime { Centric::Time } else { Centric::Memory };
        let (predictor, costs) = (Predictor::new(graph), default_costs(graph));
        let found = kusumoto::GraphPlanner::new(&predictor, &costs, centric).least_peak(None);
        let stats = Stats { seconds: started.elapsed().as_secs_f64(), ..found.stats };
        let decision = Decision::Segments(found.segments);
        Ok(Solution { algorithm, decision, value: found.peak, status: Status::Feasible, stats })
    }
}

/// Times of the default device where the trace has none.
fn default_costs(graph: &Graph) -> Costs {
    match CostModel::device(DEFAULT_DEVICE) {
        Ok(model) => Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k)),
        Err(_) => Costs::new(graph, |k| k.flops.max(k.bytes), |k| k.flops.max(k.bytes)),
    }
}
