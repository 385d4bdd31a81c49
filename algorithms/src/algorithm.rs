//! One trait for all planners, one enum that names them, one table that describes them.
//!
//! To add an algorithm: implement [`Planner`], add a variant to [`Algorithm`] and a row to [`TABLE`].

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Instant;

use remat_graphs::cost::DEFAULT_DEVICE;
use remat_graphs::{Chain, ChainOfGraph, CostModel, Graph};

use crate::baselines;
use crate::chain::{self, ChainError, ChainSolution, Layers};
use crate::cost::Costs;
use crate::interval;
use crate::kusumoto::{self, Centric};
use crate::plan::{Objective, Segment, Stats, Status};
use crate::predict::Predictor;
use crate::rotor;

/// What is to be planned.
#[derive(Debug, Clone, Copy)]
pub enum Problem<'a> {
    /// A plain chain of layers.
    Chain(&'a Chain),
    /// A training graph.
    Graph(&'a Graph),
}

/// A problem, and what is wanted of its solution.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is to be planned.
    pub problem: Problem<'a>,
    /// What to minimise.
    pub objective: Objective,
    /// Bound on the peak in bytes. Algorithms that cannot use one plan as if there were none; whether a plan keeps to
    /// it is seen from its predicted peak.
    pub budget: Option<u64>,
}

impl<'a> Request<'a> {
    /// Asks for the least peak, without a budget.
    pub fn min_peak(problem: Problem<'a>) -> Self {
        Self { problem, objective: Objective::MinPeak, budget: None }
    }
}

/// What a planner decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Layers of a plain chain to keep, ascending.
    Checkpoints(Vec<u32>),
    /// Regions of a graph to recompute, in order of operators.
    Segments(Vec<Segment>),
}

/// A planner's answer. What it takes in memory on a graph is for the predictor to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Who planned.
    pub algorithm: Algorithm,
    /// The plan.
    pub decision: Decision,
    /// Value of the algorithm's own objective in bytes. For a chain planner on a graph it is that of the reduced chain,
    /// which knows nothing of parameters, gradients and temporaries: no prediction of the graph's peak.
    pub value: u64,
    /// Whether the plan is proven optimal for the problem as it was given. A chain planner proves nothing about graphs.
    pub status: Status,
    /// Work done, with wall-clock seconds.
    pub stats: Stats,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanningError {
    /// The chain, or the chain of the graph, cannot be planned.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No plan stays within the budget.
    #[error(transparent)]
    Budget(#[from] interval::Error),
    /// The chain of stages cannot be planned, or not within the budget.
    #[error(transparent)]
    Rotor(#[from] rotor::Error),
    /// The algorithm plans operators, not layers.
    #[error("algorithm {algorithm} plans training graphs; a chain has no operators to plan")]
    NeedsGraph {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// The algorithm minimises something else.
    #[error("algorithm {algorithm} minimises the peak; it cannot minimise time")]
    Objective {
        /// The algorithm.
        algorithm: Algorithm,
    },
}

/// Turns a problem into a solution.
pub trait Planner: Send + Sync {
    /// Plans.
    ///
    /// The same request gives the same solution, apart from `stats.seconds`, on any number of threads.
    ///
    /// # Errors
    /// [`PlanningError`].
    fn plan(&self, request: &Request<'_>) -> Result<Solution, PlanningError>;
}

/// A planning algorithm. Its name, as in [`Display`](fmt::Display) and [`FromStr`], is what command lines and plan
/// documents use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// No checkpointing.
    None,
    /// Every layer its own region.
    Every,
    /// About sqrt(n) equal regions.
    Sqrt,
    /// A given number of equal regions.
    Uniform(NonZeroU32),
    /// Greedy by a size threshold.
    Chen,
    /// Least conservative peak of a chain.
    Cubic,
    /// Least traced peak of a chain.
    Linear,
    /// Least stepwise peak of a chain.
    LinearX,
    /// Least recomputation over sequences of lower sets of a graph.
    KusumotoTime,
    /// Most recomputation over sequences of lower sets of a graph, so that least is kept.
    KusumotoMemory,
    /// Least recomputation over all persistent, that is nested, schedules of a chain.
    Rotor,
    /// Exact over all interval plans of a graph.
    Interval,
}

/// What is known about an algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmInfo {
    /// Name on the command line; `K` stands for a positive number.
    pub name: &'static str,
    /// What it optimises.
    pub objective: &'static str,
    /// What it proves.
    pub exactness: &'static str,
    /// Time for n layers (after O(graph) for the reduction of a graph).
    pub complexity: &'static str,
    /// Where it comes from.
    pub source: &'static str,
}

const CHEN: &str = "Chen, Xu, Zhang, Guestrin 2016, arXiv 1604.06174";
const KUSUMOTO: &str = "Kusumoto, Inoue, Watanabe, Akiba, Koyama, NeurIPS 2019, arXiv 1905.11722";
const HONG: &str = "Hong, Tsai, Wang, Liu, Wu, JPDC 2025, arXiv 2502.12499";

/// All algorithms, from the simplest to the most exact.
pub const TABLE: [AlgorithmInfo; 12] = [
    AlgorithmInfo {
        name: "none",
        objective: "nothing: keeps everything, recomputes nothing",
        exactness: "baseline",
        complexity: "O(n)",
        source: "-",
    },
    AlgorithmInfo {
        name: "every",
        objective: "nothing: recomputes every layer on its own",
        exactness: "baseline",
        complexity: "O(n)",
        source: "-",
    },
    AlgorithmInfo {
        name: "sqrt",
        objective: "nothing: about sqrt(n) regions of equally many layers",
        exactness: "baseline",
        complexity: "O(n)",
        source: CHEN,
    },
    AlgorithmInfo {
        name: "uniform-K",
        objective: "nothing: K regions of equally many layers",
        exactness: "baseline",
        complexity: "O(n)",
        source: "-",
    },
    AlgorithmInfo {
        name: "chen",
        objective: "conservative peak of a chain: all checkpoints and the largest region",
        exactness: "heuristic: greedy by a threshold, best of about 130",
        complexity: "O(n log bytes)",
        source: CHEN,
    },
    AlgorithmInfo {
        name: "cubic",
        objective: "conservative peak of a chain: all checkpoints and the largest region",
        exactness: "optimal on chains",
        complexity: "O(n^3) at worst; parallel, skips what cannot win",
        source: HONG,
    },
    AlgorithmInfo {
        name: "linear",
        objective: "traced peak of a chain: checkpoints up to the current region, the region, a gradient pair",
        exactness: "optimal on chains",
        complexity: "O(n)",
        source: HONG,
    },
    AlgorithmInfo {
        name: "linear-x",
        objective: "traced peak of a chain, exact for each step of a region's backward pass",
        exactness: "optimal on chains",
        complexity: "O(n)",
        source: HONG,
    },
    AlgorithmInfo {
        name: "kusumoto-time",
        objective: "least recomputation over sequences of lower sets, within a model of memory",
        exactness: "optimal for its model over its family of lower sets; predicted budgets decide",
        complexity: "O(S^2 labels) for S lower sets, at most operators + 2 where they are many",
        source: KUSUMOTO,
    },
    AlgorithmInfo {
        name: "kusumoto-memory",
        objective: "most recomputation over sequences of lower sets, within a model of memory",
        exactness: "optimal for its model over its family of lower sets; predicted budgets decide",
        complexity: "O(S^2 labels) for S lower sets, at most operators + 2 where they are many",
        source: KUSUMOTO,
    },
    AlgorithmInfo {
        name: "rotor",
        objective: "least recomputation of a chain within a memory budget, by nested regions",
        exactness: "optimal on chains over all persistent schedules, exact to the byte",
        complexity: "O(n^3) tables; search by bounds; chains of up to 1000 layers",
        source: "Beaumont, Eyraud-Dubois, Hermann, Joly, Shilova 2019, Inria RR-9302, arXiv 1911.13214",
    },
    AlgorithmInfo {
        name: "interval",
        objective: "peak of the graph as the allocator sees it; least recomputation, within a budget too",
        exactness: "optimal over all sets of regions between safe cuts",
        complexity: "least peak O(n^2 sets held); budgets by label search",
        source: "remat; the argument is in the module's documentation",
    },
];

/// A name that is no algorithm's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAlgorithmError {
    /// No algorithm is called so.
    #[error("there is no algorithm {0:?}; there are {all}", all = names())]
    Unknown(String),
    /// The number in `uniform-K` is missing or wrong.
    #[error("{0:?}: expected uniform-K with a number K from 1 to {max}, for example uniform-8", max = u32::MAX)]
    Regions(String),
}

/// All names, comma-separated.
fn names() -> String {
    TABLE.map(|row| row.name).join(", ")
}

impl Algorithm {
    /// The algorithm's row in [`TABLE`].
    pub fn info(self) -> &'static AlgorithmInfo {
        let row = match self {
            Self::None => 0,
            Self::Every => 1,
            Self::Sqrt => 2,
            Self::Uniform(_) => 3,
            Self::Chen => 4,
            Self::Cubic => 5,
            Self::Linear => 6,
            Self::LinearX => 7,
            Self::KusumotoTime => 8,
            Self::KusumotoMemory => 9,
            Self::Rotor => 10,
            Self::Interval => 11,
        };
        &TABLE[row]
    }

    /// The planner behind the name.
    pub fn planner(self) -> Box<dyn Planner> {
        match self {
            Self::KusumotoTime | Self::KusumotoMemory => Box::new(KusumotoPlanner { algorithm: self }),
            Self::Rotor => Box::new(RotorPlanner),
            Self::Interval => Box::new(IntervalPlanner),
            _ => Box::new(ChainPlanner { algorithm: self }),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform(k) => write!(f, "uniform-{k}"),
            _ => f.write_str(self.info().name),
        }
    }
}

impl FromStr for Algorithm {
    type Err = ParseAlgorithmError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let plain = [
            Self::None,
            Self::Every,
            Self::Sqrt,
            Self::Chen,
            Self::Cubic,
            Self::Linear,
            Self::LinearX,
            Self::KusumotoTime,
            Self::KusumotoMemory,
            Self::Rotor,
            Self::Interval,
        ];
        if let Some(found) = plain.into_iter().find(|a| a.info().name == name) {
            return Ok(found);
        }
        match name.strip_prefix("uniform") {
            Some("") => Err(ParseAlgorithmError::Regions(name.into())),
            Some(rest) if rest.starts_with('-') => rest[1..]
                .parse()
                .ok()
                .filter(|_| rest.as_bytes()[1].is_ascii_digit())
                .map(Self::Uniform)
                .ok_or_else(|| ParseAlgorithmError::Regions(name.into())),
            _ => Err(ParseAlgorithmError::Unknown(name.into())),
        }
    }
}

/// A planner that sees a chain: a plain one, or the chain of a graph.
struct ChainPlanner {
    algorithm: Algorithm,
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
struct IntervalPlanner;

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
struct RotorPlanner;

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
struct KusumotoPlanner {
    algorithm: Algorithm,
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
