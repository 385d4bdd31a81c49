//! Checkpointing of a chain of layers, solved exactly.
//!
//! A chain is a list of sizes `d_0 .. d_{n-1}` in bytes: what each layer leaves behind for the backward pass. A set `C`
//! of layers is checkpointed, which keeps their results from the forward pass on; the runs of layers between them are
//! recomputed one after the other, last run first, when the backward pass reaches them. Which `C` needs the least
//! memory depends on what one assumes to be alive at the same time, and three answers are offered:
//!
//! | objective                    | assumes                                                        | solved by                   |
//! |------------------------------|----------------------------------------------------------------|-----------------------------|
//! | [`objective::conservative`]  | all checkpoints, and the largest run as a whole                | [`cubic()`], O(n^3)         |
//! | [`objective::traced`]        | checkpoints up to the current run, the run, a bound on its gradients | [`linear()`], O(n)    |
//! | [`objective::stepwise`]      | the same, with the gradients of each single step               | [`linear_stepwise()`], O(n) |
//!
//! The first two objectives and the recurrences behind them are those of Hong, Tsai, Wang, Liu and Wu, "GPU Memory Usage
//! Optimization for Backward Propagation in Deep Network Training", JPDC 2025, arXiv 2502.12499. Skipping ranges of the
//! bound in the cubic program, and the strictly linear solution of the traced recurrence, are explained where they are
//! implemented.

pub mod cubic;
pub mod linear;
pub mod objective;
pub mod segments;
mod window;

pub use cubic::cubic;
pub use linear::{linear, linear_stepwise};
pub use segments::segments;

use crate::plan::Stats;

/// Largest sum of all sizes that is planned, in bytes. Objectives are at most twice the sum, so they fit into 64 bits.
pub const SIZE_LIMIT: u64 = 1 << 62;

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

/// Why a list of sizes is not a chain that can be planned.
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
}

/// Checks that a chain can be planned and returns the sum of its sizes. Time O(n) for n layers.
///
/// # Errors
/// [`ChainError`], if there is no layer, too many of them, or if their sum passes [`SIZE_LIMIT`].
pub fn check(sizes: &[u64]) -> Result<u64, ChainError> {
    if sizes.is_empty() {
        return Err(ChainError::Empty);
    }
    // Two indices are spare for sentinels.
    if sizes.len() > u32::MAX as usize - 2 {
        return Err(ChainError::TooLong(sizes.len()));
    }
    let mut total = 0u64;
    for (layer, &d) in sizes.iter().enumerate() {
        total = total.checked_add(d).filter(|&t| t <= SIZE_LIMIT).ok_or(ChainError::TooLarge { layer })?;
    }
    Ok(total)
}
