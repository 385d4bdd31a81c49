//! The two extremes: no regions at all, and a region per layer.

use crate::chain::{ChainError, ChainSolution, check};
use crate::plan::Stats;

/// No checkpointing: the result of every layer is kept and nothing is recomputed.
///
/// # Arguments
/// * `sizes`: bytes that each layer leaves behind.
///
/// # Returns
/// All layers, and the sum of their sizes as peak.
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
///
/// # Complexity
/// Time and memory O(n) for n layers.
pub fn none(sizes: &[u64]) -> Result<ChainSolution, ChainError> {
    let peak = check(sizes)?;
    let stats = Stats { states: 1, evaluations: 1, seconds: 0.0 };
    Ok(ChainSolution { checkpoints: (0..sizes.len() as u32).collect(), peak, stats })
}

/// Every layer its own region: all layers are checkpoints.
///
/// On a plain chain, where a layer is nothing but its result, that is the same as [`none`]. On a graph it is not: what
/// lies inside a layer is recomputed, and only what crosses its end is kept.
///
/// # Arguments
/// * `sizes`: bytes that each layer leaves behind.
///
/// # Returns
/// All layers, and the sum of their sizes as peak.
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
///
/// # Complexity
/// Time and memory O(n) for n layers.
pub fn every(sizes: &[u64]) -> Result<ChainSolution, ChainError> {
    none(sizes)
}
