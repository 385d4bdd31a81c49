//! What remat plans: training graphs, their formats and loaders, chains, costs and the built-in zoo.
//!
//! This crate knows nothing of planning. [`Graph`] is the checked form of a recorded training step ([`trace`]); a
//! [`Chain`] is a plain list of layers. [`read::load`] reads either from a path, from standard input or from the zoo.

mod calls;
pub mod chain;
pub mod cost;
pub mod cuts;
pub mod dag;
pub mod dot;
mod graph;
mod liveness;
pub mod modules;
mod nodes;
pub mod read;
mod reduce;
pub mod synthetic;
pub mod trace;
pub mod zoo;

pub use calls::{ModuleRegion, ModuleRegions};
pub use chain::{Chain, Layer};
pub use cost::{CostModel, Device};
pub use dag::Dag;
pub use graph::Graph;
pub use liveness::{Lifetime, Liveness};
pub use modules::ModuleTree;
pub use nodes::Node;
pub use read::{Document, LoadError, Source};
pub use reduce::ChainOfGraph;
pub use trace::{BackwardKernel, Kernel, ModuleCall, Operator, Returned, Storage, StorageKind, Trace};
