//! Checkpoint sets that optimise nothing, or nothing exactly: what planners are compared with.
//!
//! All of them take the sizes of a chain and report the [conservative](crate::chain::objective::conservative) peak, the
//! cost that Chen et al. estimate with. They are defined by layers; how layers become operator ranges of a graph is
//! described in [`chain::segments`](mod@crate::chain::segments).

pub mod chen;
mod extremes;
mod uniform;

pub use chen::chen;
pub use extremes::{every, none};
pub use uniform::{sqrt, uniform};
