//! The two extremes: no regions at all, and a region per layer.

use crate::chain::objective::conservative;
use crate::chain::{ChainError, ChainSolution, Layers};
use crate::plan::Stats;

/// No checkpointing: the result of every layer is kept and nothing is recomputed.
///
/// # Arguments
/// * `layers`: a slice of sizes in bytes, in order of execution, or [`Layers`] with tapes and outputs.
///
/// # Returns
/// All layers, and the sum of their tapes as peak.
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
///
/// # Complexity
/// Time and memory O(n) for n layers.
pub fn none<'a>(layers: impl Into<Layers<'a>>) -> Result<ChainSolution, ChainError> {
    let layers = layers.into();
    let peak = layers.check()?;
    let stats = Stats { states: 1, evaluations: 1, seconds: 0.0 };
    Ok(ChainSolution { checkpoints: (0..layers.len() as u32).collect(), peak, stats })
}

/// Every layer its own region: all layers are checkpoints.
///
/// On a plain chain, where a layer's tape is its output, that is the same as [`none`]. Where tapes are larger it is
/// not: what lies inside a layer is recomputed, and only its output is kept.
///
/// # Arguments
/// * `layers`: a slice of sizes in bytes, in order of execution, or [`Layers`] with tapes and outputs.
///
/// # Returns
/// All layers, and their conservative peak in bytes.
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
///
/// # Complexity
/// Time and memory O(n) for n layers.
pub fn every<'a>(layers: impl Into<Layers<'a>>) -> Result<ChainSolution, ChainError> {
    let layers = layers.into();
    layers.check()?;
    let checkpoints: Vec<u32> = (0..layers.len() as u32).collect();
    let peak = conservative(layers, &checkpoints);
    Ok(ChainSolution { checkpoints, peak, stats: Stats { states: 1, evaluations: 1, seconds: 0.0 } })
}
