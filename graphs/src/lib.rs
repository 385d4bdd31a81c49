//! What remat plans: training graphs, their formats and loaders, chains, costs and the built-in zoo.
//!
//! This crate knows nothing of planning. [`Graph`] is the checked form of a recorded training step ([`trace`]); a
//! [`Chain`] is a plain list of layers. [`load`] reads either from a path, from standard input or from the zoo.

pub mod chain;
pub mod cuts;
mod graph;
mod nodes;
pub mod read;
pub mod trace;

pub use chain::{Chain, Layer};
pub use graph::Graph;
pub use nodes::Node;
pub use read::{Document, LoadError, Source};
pub use trace::{BackwardKernel, Kernel, ModuleCall, Operator, Storage, StorageKind, Trace};
