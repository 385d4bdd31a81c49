//! Greedy division by a size threshold.

use crate::chain::objective::conservative;
use crate::chain::{ChainError, ChainSolution, Layers};
use crate::plan::Stats;

/// Thresholds tried between the two neighbours of the best power of two, and again around Chen et al.'s estimate.
pub const GRID: u64 = 32;

/// The greedy division of Chen et al. with the best threshold that a search finds.
///
/// For a threshold `b`, walk the layers and add up their tapes; where the sum exceeds `b`, checkpoint the layer and
/// start anew ([`divide`]). The search tries `b = 0` and all powers of two up to the sum of all sizes, then [`GRID`]
/// thresholds evenly between the neighbours of the best of them, then [`GRID`] around `sqrt(x y)` as the paper does,
/// from `sqrt(x y / 2)` to `sqrt(2 x y)`, where `x` is what the best so far keeps and `y` its largest region.
///
/// # Arguments
/// * `layers`: a slice of sizes in bytes, in order of execution, or [`Layers`] with tapes and outputs.
///
/// # Returns
/// The division with the least conservative peak, of equals the one with the smallest threshold; that peak in bytes;
/// both counters of the stats are the number of thresholds tried.
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
///
/// # Complexity
/// Time O(n (log D + GRID)), memory O(n), for n layers of D bytes together.
///
/// # Reference
/// Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174, algorithm 3; [`divide`] is
/// also what the authors' planner does (github.com/dmlc/mxnet-memonger, `make_mirror_plan`), whose search starts at 0 as well
/// and goes on to `sqrt(x y / 2)`. Unlike there, the last region counts although no checkpoint ends it, and a region's peak
/// does not count its own checkpoint again.
pub fn chen<'a>(layers: impl Into<Layers<'a>>) -> Result<ChainSolution, ChainError> {
    let layers = layers.into();
    let total = layers.check()?;
    let mut search = Search { layers, best: (u64::MAX, 0), tried: 0 };
    search.try_threshold(0);
    let mut power = 1;
    while power <= total {
        search.try_threshold(power);
        power *= 2;
    }
    let b = search.best.1;
    search.try_grid(b / 2, b.saturating_mul(2));
    let checkpoints = divide(layers.tape(), search.best.1);
    let kept: u64 = checkpoints.iter().map(|&c| layers.output()[c as usize]).sum();
    let square = u128::from(kept) * u128::from(search.best.0 - kept);
    search.try_grid((square / 2).isqrt() as u64, (square * 2).isqrt() as u64);

    let (peak, threshold) = search.best;
    let stats = Stats { states: search.tried, evaluations: search.tried, seconds: 0.0 };
    Ok(ChainSolution { checkpoints: divide(layers.tape(), threshold), peak, stats })
}

/// Algorithm 3 for one threshold: a layer is a checkpoint where the tapes since the last one, its own included, exceed
/// `threshold` bytes. Time O(n) for n layers.
pub fn divide(tape: &[u64], threshold: u64) -> Vec<u32> {
    let mut checkpoints = Vec::new();
    let mut run = 0u64;
    for (i, &d) in tape.iter().enumerate() {
        run = run.saturating_add(d);
        if run > threshold {
            checkpoints.push(i as u32);
            run = 0;
        }
    }
    checkpoints
}

struct Search<'a> {
    layers: Layers<'a>,
    /// Least peak so far and its threshold.
    best: (u64, u64),
    tried: u64,
}

impl Search<'_> {
    fn try_threshold(&mut self, threshold: u64) {
        self.tried += 1;
        let peak = conservative(self.layers, &divide(self.layers.tape(), threshold));
        self.best = self.best.min((peak, threshold));
    }

    fn try_grid(&mut self, from: u64, to: u64) {
        let mut last = None;
        for step in 0..=GRID {
            let threshold = from + (u128::from(to.saturating_sub(from)) * u128::from(step) / u128::from(GRID)) as u64;
            if last != Some(threshold) {
                self.try_threshold(threshold);
            }
            last = Some(threshold);
        }
    }
}
