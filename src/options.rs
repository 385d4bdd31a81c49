//! What is wanted of a plan, and why there may be none.

use std::time::Duration;

use remat_algorithms::interval;
pub use remat_algorithms::plan::Granularity;
use remat_algorithms::plan::modules::NotModules;
use remat_algorithms::predict::Optimizer;
use remat_algorithms::{Algorithm, PlanError, PlanningError};
use remat_graphs::CostModel;
use remat_graphs::cost::DEFAULT_DEVICE;

use crate::bytes::Budget;

/// Most levels of regions within regions that are planned: each recomputes once more.
pub const MOST_NESTING: u32 = 8;

/// What is wanted of a plan. The default is the best plan by peak, without an optimizer, with times of the default
/// device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Who plans; `None` for [`Algorithm::Interval`], or, where its plan of least peak is not proven, whichever planner of
    /// flat regions finds a lower one.
    pub algorithm: Option<Algorithm>,
    /// Optimizer whose states and temporaries count towards peaks.
    pub optimizer: Option<Optimizer>,
    /// Times of kernels.
    pub costs: CostModel,
    /// Bound on the peak; then the least recomputation within it is wanted. Only [`Algorithm::Interval`],
    /// [`Algorithm::Rotor`] and the programs over lower sets keep to it.
    pub budget: Option<Budget>,
    /// Where regions may lie.
    pub regions: RegionRules,
    /// May regions keep the results of chosen kernels?
    pub selective: bool,
    /// Most levels of regions within regions, up to [`MOST_NESTING`]; 1 for flat plans.
    pub nesting: u32,
    /// Most labels that the search for least recomputation keeps.
    pub max_labels: Option<u64>,
    /// Time after which that search stops.
    pub time_limit: Option<Duration>,
}

/// Where regions may lie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegionRules {
    /// What a region is made of.
    pub granularity: Granularity,
    /// Globs on module paths: a region lies within modules that match one of them. Empty: anywhere.
    pub only: Vec<String>,
    /// Globs on module paths: a region holds no operator of a module that matches one of them.
    pub never: Vec<String>,
    /// Operators that must not run a second time: no region holds them.
    pub once: Vec<u32>,
}

impl Default for Options {
    fn default() -> Self {
        // The default device is in the built-in table; a test of the table checks it.
        let costs = CostModel::device(DEFAULT_DEVICE).expect("the default device is built in");
        Self {
            algorithm: None,
            optimizer: None,
            costs,
            budget: None,
            regions: RegionRules::default(),
            selective: false,
            nesting: 1,
            max_labels: None,
            time_limit: None,
        }
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No plan stays within the budget.
    #[error(transparent)]
    Budget(interval::Error),
    /// A pattern on module paths cannot be read.
    #[error("pattern {pattern:?}: {message}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// A pattern matches no module.
    #[error("pattern {pattern:?} matches no module")]
    NoModule {
        /// The pattern.
        pattern: String,
    },
    /// The algorithm cannot plan this.
    #[error(transparent)]
    Planning(#[from] PlanningError),
    /// Regions do not fit the graph.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A region cuts within modules.
    #[error(transparent)]
    Modules(#[from] NotModules),
    /// No algorithm planned; there is none to choose from.
    #[error("no algorithm found a plan")]
    Nothing,
}
