//! What is wanted of a plan, and why there may be none.

use remat_algorithms::predict::Optimizer;
use remat_algorithms::{Algorithm, PlanError, PlanningError};
use remat_graphs::CostModel;
use remat_graphs::cost::DEFAULT_DEVICE;

/// What is wanted of a plan. The default is the best plan by peak, without an optimizer, with times of the default
/// device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Who plans; `None` for whoever finds the least predicted peak.
    pub algorithm: Option<Algorithm>,
    /// Optimizer whose states and temporaries count towards peaks.
    pub optimizer: Option<Optimizer>,
    /// Times of kernels.
    pub costs: CostModel,
}

impl Default for Options {
    fn default() -> Self {
        // The default device is in the built-in table; a test of the table checks it.
        let costs = CostModel::device(DEFAULT_DEVICE).expect("the default device is built in");
        Self { algorithm: None, optimizer: None, costs }
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The algorithm cannot plan this.
    #[error(transparent)]
    Planning(#[from] PlanningError),
    /// Regions do not fit the graph.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No algorithm planned; there is none to choose from.
    #[error("no algorithm found a plan")]
    Nothing,
}
