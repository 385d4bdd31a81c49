//! One trait for all planners, one enum that names them, one table that describes them.
//!
//! To add an algorithm: implement [`Planner`] in `planners.rs`, add a variant to [`Algorithm`] here and a row to [`TABLE`] in
//! `table.rs`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use remat_graphs::{Chain, Graph};

use crate::chain::ChainError;
use crate::interval;
use crate::plan::{Objective, Segment, Stats, Status};
use crate::rotor;
use planners::{ChainPlanner, IntervalPlanner, KusumotoPlanner, RotorPlanner};

mod planners;
mod table;

pub use table::{AlgorithmInfo, TABLE};

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
