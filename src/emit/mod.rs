//! Training code that applies a plan, for who trains without remat at hand.

mod python;
mod torch;

pub use torch::torch;

use remat_algorithms::PlanError;
use remat_algorithms::plan::modules::NotModules;

/// Why a plan cannot be written as code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The plan is one of a chain.
    #[error("the plan has no `segments`: only plans of training steps can be applied to a model")]
    NoSegments,
    /// Regions do not fit the graph.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A region cuts within modules, so that no module can be wrapped for it.
    #[error(transparent)]
    NotModules(#[from] NotModules),
}
