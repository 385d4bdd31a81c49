//! Plans activation checkpointing: which parts of a training step to recompute, so that its peak memory falls.
//!
//! A training step recorded from a real network is a [`Graph`]; a plain list of layers is a [`Chain`]. Planners turn
//! them into a [`Plan`], the predictor says to the byte what a plan takes, and the checker verifies it independently.
//!
//! ```
//! use remat::{Options, graphs::zoo};
//!
//! let graph = zoo::load("unet-b8")?;
//! let plan = remat::plan(&graph, &Options::default())?;
//! let (with, without) = (plan.predicted.unwrap(), plan.without.unwrap());
//! assert!(with.peak < without.peak);
//!
//! // An independent replay confirms every number.
//! let verified = remat::check(&graph, &plan)?;
//! assert_eq!(verified.peak, with.peak);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The parts are crates of their own: [`graphs`] reads and describes what is planned, [`algorithms`] holds planners,
//! predictor and checker. This crate puts them together; its binary of the same name is the command line.

pub mod bytes;
mod chains;
pub mod emit;
mod modules;
mod options;
mod step;

pub use remat_algorithms as algorithms;
pub use remat_graphs as graphs;

pub use chains::{chain_candidates, chain_objective, plan_chain};
pub use emit::EmitError;
pub use options::{Error, Granularity, MOST_NESTING, Options, RegionRules};
pub use remat_algorithms::checker::{check_chain_plan as check_chain, check_plan as check};
pub use remat_algorithms::interval::Resolution;
pub use remat_algorithms::plan::Peaks;
pub use remat_algorithms::predict::Optimizer;
pub use remat_algorithms::{Algorithm, Plan, Planner, Segment};
pub use remat_graphs::{Chain, Graph};
pub use step::Step;

/// Plans a training step.
///
/// # Arguments
/// * `graph`: the step.
/// * `options`: which algorithm, which optimizer, and what kernels cost.
///
/// # Returns
/// The plan, with its peaks predicted.
///
/// # Errors
/// [`Error`], if the algorithm cannot plan the graph.
///
/// # Complexity
/// That of the algorithm, and O(size of the graph) for the prediction.
pub fn plan(graph: &Graph, options: &Options) -> Result<Plan, Error> {
    Step::new(graph, options).plan(options.algorithm)
}

/// Predicts the memory of a step in bytes, under regions to recompute (none for a step without checkpointing).
///
/// # Errors
/// [`Error::Plan`], if the regions do not fit the graph.
///
/// # Complexity
/// Time O(kernels run), memory O(storages × depth of nesting).
pub fn predict(graph: &Graph, segments: &[Segment], optimizer: Option<Optimizer>) -> Result<Peaks, Error> {
    let regions = algorithms::Regions::resolve(graph, segments)?;
    let mut scratch = algorithms::predict::Scratch::default();
    Ok(algorithms::predict::Predictor::new(graph).peaks(&regions, optimizer, &mut scratch))
}
