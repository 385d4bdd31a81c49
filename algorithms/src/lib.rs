//! Rematerialization planners, the peak predictor they share, and an independent checker.
//!
//! Nothing here reads or writes files: graphs come from `remat-graphs`, plans go out as values.

pub mod plan;
pub mod predict;

pub use plan::{Plan, PlanError, Regions, Segment};
