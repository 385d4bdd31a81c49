//! Regions of equal numbers of layers.

use std::num::NonZeroU32;

use crate::chain::objective::conservative;
use crate::chain::{ChainError, ChainSolution, Layers};
use crate::plan::Stats;

/// `k` regions of as equal numbers of layers as possible, sizes ignored.
///
/// The first and the last layer are kept: they are the network's input and output. The `n - 2` layers between them are
/// divided; region `r` of `k` ends at layer `(n - 2) r / k`, rounded down, and the ends of all but the last region are
/// checkpoints.
///
/// # Arguments
/// * `layers`: a slice of sizes in bytes, in order of execution, or [`Layers`] with tapes and outputs.
/// * `k`: number of regions; with more regions than layers each layer is one.
///
/// # Returns
/// At most `k + 1` checkpoints, the first and last layer among them, and their conservative peak in bytes.
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
///
/// # Complexity
/// Time O(n), memory O(k) for n layers.
///
/// # Example
/// ```
/// use remat_algorithms::baselines::uniform;
/// let plan = uniform(&[1; 12], std::num::NonZeroU32::new(3).unwrap())?;
/// assert_eq!(plan.checkpoints, [0, 3, 6, 11]);
/// # Ok::<(), remat_algorithms::chain::ChainError>(())
/// ```
pub fn uniform<'a>(layers: impl Into<Layers<'a>>, k: NonZeroU32) -> Result<ChainSolution, ChainError> {
    let layers = layers.into();
    layers.check()?;
    let last = layers.len() as u32 - 1;
    let inside = u64::from(last.saturating_sub(1));
    let k = u64::from(k.get()).min(inside.max(1));
    let mut checkpoints: Vec<u32> = (0..k).map(|r| (inside * r / k) as u32).chain([last]).collect();
    checkpoints.dedup();
    let peak = conservative(layers, &checkpoints);
    Ok(ChainSolution { checkpoints, peak, stats: Stats { states: 1, evaluations: 1, seconds: 0.0 } })
}

/// About sqrt(n) regions of about sqrt(n) layers each: [`uniform`] with k = floor(sqrt(n)).
///
/// # Arguments
/// * `layers`: a slice of sizes in bytes, in order of execution, or [`Layers`] with tapes and outputs.
///
/// # Returns
/// As [`uniform`].
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
///
/// # Complexity
/// Time O(n), memory O(sqrt(n)) for n layers.
///
/// # Reference
/// Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174, section 4.2.
pub fn sqrt<'a>(layers: impl Into<Layers<'a>>) -> Result<ChainSolution, ChainError> {
    let layers = layers.into();
    let regions = NonZeroU32::new(layers.len().isqrt() as u32).unwrap_or(NonZeroU32::MIN);
    uniform(layers, regions)
}
