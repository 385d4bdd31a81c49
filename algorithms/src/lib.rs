//! Rematerialization planners, the peak predictor they share, and an independent checker.
//!
//! Nothing here reads or writes files: graphs come from `remat-graphs`, plans go out as values.

pub mod algorithm;
pub mod baselines;
pub mod chain;
pub mod checker;
pub mod cost;
pub mod interval;
pub mod kusumoto;
pub mod plan;
pub mod predict;
pub mod rotor;

pub use algorithm::{Algorithm, Planner, PlanningError, Problem, Request, Solution};
pub use plan::{Plan, PlanError, Regions, Segment};
