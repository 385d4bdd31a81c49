//! Checkpointing of a chain of layers, solved exactly.
//!
//! A chain is a list of sizes `d_0 .. d_{n-1}` in bytes: what each layer leaves behind for the backward pass. A set `C`
//! of layers is checkpointed, which keeps their results from the forward pass on; the runs of layers between them are
//! recomputed one after the other, last run first, when the backward pass reaches them. Which `C` needs the least
//! memory depends on what one assumes to be alive at the same time, and three answers are offered:
//!
//! | objective                   | assumes alive together                                           | solved by                   |
//! |-----------------------------|------------------------------------------------------------------|-----------------------------|
//! | [`objective::conservative`] | all checkpoints, and the largest run                             | [`cubic()`], O(n^3)         |
//! | [`objective::traced`]       | checkpoints up to the current run, the run, a bound on gradients | [`linear()`], O(n)          |
//! | [`objective::stepwise`]     | the same, with the gradients of each single step                 | [`linear_stepwise()`], O(n) |
//!
//! The first two objectives and the recurrences behind them are those of Hong, Tsai, Wang, Liu and Wu, "GPU Memory
//! Usage Optimization for Backward Propagation in Deep Network Training", JPDC 2025, arXiv 2502.12499. Skipping ranges
//! of the bound in the cubic program, and the strictly linear solution of the traced recurrence, are explained where
//! they are implemented.
//!
//! # Blocks as layers
//! A layer cut out of a real network leaves behind more than its result, and a checkpoint keeps only the result. All
//! planners therefore take [`Layers`] with two sizes: the tape `d_i` and the output `c_i <= d_i`. A checkpoint costs
//! `c_i`, and a run that ends in checkpoint `j` recomputes the inside of `j` too. With `c = d` (a slice of sizes) the
//! formulas are those of the paper, letter by letter; everything that makes the planners fast holds for both.

pub mod cubic;
mod layers;
pub mod linear;
pub mod objective;
pub mod segments;
mod window;

pub use cubic::cubic;
pub use layers::{Layers, SIZE_LIMIT};
pub use linear::{linear, linear_stepwise};
pub use segments::segments;

use crate::plan::Stats;

/// Which layers of a chain to keep, and what that costs.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainSolution {
    /// The checkpointed layers, ascending.
    pub checkpoints: Vec<u32>,
    /// Value of the planner's objective for these checkpoints, in bytes.
    pub peak: u64,
    /// Work done; `seconds` is 0, time is for the caller to take.
    pub stats: Stats,
}

/// Why there is no chain that can be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// There are no layers.
    #[error("the chain is empty; it needs at least one layer")]
    Empty,
    /// Layers cannot be indexed with 32 bits.
    #[error("the chain has {0} layers, more than can be indexed")]
    TooLong(usize),
    /// Sums of sizes could overflow.
    #[error("all layers up to layer {layer} together exceed 2^62 bytes")]
    TooLarge {
        /// First layer at which the sum passes [`SIZE_LIMIT`].
        layer: usize,
    },
    /// Tapes and outputs are not those of the same layers.
    #[error("there are {tape} tapes but {output} outputs")]
    Lengths {
        /// Number of tapes.
        tape: usize,
        /// Number of outputs.
        output: usize,
    },
    /// A tape contains its output, so it cannot be smaller.
    #[error("the output of layer {layer} is larger than its tape")]
    Output {
        /// The layer.
        layer: usize,
    },
}
