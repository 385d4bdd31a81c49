//! The least traced peak of a chain in linear time.
//!
//! # Recurrence
//! With both ends checkpointed, the least peak from layer `i` on is (see [`objective::traced`] for `U`, tapes `d` and
//! outputs `c`)
//!
//! ```text
//! M(n-1) = c_{n-1};   M(i) = c_i + min_{i<j<=n-1} max( M(j), U(i,j) );   least peak = M(0)
//! ```
//!
//! # Why the best j costs O(1), amortised
//! `U` grows with `j` and as `i` falls. Scan `i` downwards.
//!
//! 1. Candidate `j` is useless if some `j' < j` has `M(j') <= M(j)`: its `U` is no larger either. So the useful
//!    candidates, by rising `j`, have strictly falling `M`. Adding `i + 1` drops those that it outdoes, next to it.
//! 2. Along the candidates `M` falls and `U(i, .)` grows. The last but one, `p`, is no worse than the last one, `q`,
//!    exactly when `U(i,q) >= M(p)`. As `U(i,q)` only grows while `i` falls, this never turns back: drop `q` for good.
//! 3. When nothing is dropped any more, `max(M(q), U(i,q)) < M(p)`, and all other candidates have an `M` of at
//!    least `M(p)`: the last candidate is the best.
//!
//! Only `U(i, last)` is ever needed. Both of its ends move downwards only, so prefix sums and one sliding maximum give
//! it in O(1) amortised. Each layer enters either queue once and leaves it at most once: at most [`STEPS_PER_LAYER`]
//! elementary steps per layer, for any sizes. `X` of [`objective::stepwise`] is monotone in the same way.
//!
//! [`objective::traced`]: super::objective::traced
//! [`objective::stepwise`]: super::objective::stepwise

use super::window::Window;
use super::{ChainError, ChainSolution, Layers};
use crate::plan::Stats;

/// Upper bound on the elementary steps per layer: two pushes, two removals, and one cost of a run for the layer itself
/// and one for the candidate that it may remove.
pub const STEPS_PER_LAYER: u64 = 6;

/// The checkpoints with the least [traced](super::objective::traced) peak.
///
/// Of equally good places for the next checkpoint the nearest is taken, so that less is recomputed at a time.
///
/// # Arguments
/// * `layers`: a slice of sizes in bytes, in order of execution, or [`Layers`] with tapes and outputs.
///
/// # Returns
/// The checkpoints, always with the first and the last layer; the least peak in bytes; in the stats, `states` counts
/// layers with a label and `evaluations` elementary steps (queue operations and costs of runs), at most
/// [`STEPS_PER_LAYER`] for each.
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
///
/// # Complexity
/// Time O(n), in the strict sense; auxiliary memory at most 28 n bytes; n is the number of layers.
///
/// # Example
/// ```
/// use remat_algorithms::chain::linear;
/// let plan = linear(&[4, 4, 4, 4, 4, 4, 4, 4, 4])?;
/// assert_eq!(plan.checkpoints, [0, 2, 5, 7, 8]);
/// assert_eq!(plan.peak, 24);
/// # Ok::<(), remat_algorithms::chain::ChainError>(())
/// ```
///
/// # Reference
/// Objective and recurrence: Hong, Tsai, Wang, Liu, Wu, arXiv 2502.12499 (JPDC 2025).
pub fn linear<'a>(layers: impl Into<Layers<'a>>) -> Result<ChainSolution, ChainError> {
    solve::<Traced>(&layers.into())
}

/// The checkpoints with the least [stepwise](super::objective::stepwise) peak.
///
/// The same scheme as [`linear`] for the tighter cost of a run, with the same arguments, results, errors and
/// complexity.
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
pub fn linear_stepwise<'a>(layers: impl Into<Layers<'a>>) -> Result<ChainSolution, ChainError> {
    solve::<Stepwise>(&layers.into())
}

/// Cost of a run between checkpoints `i < j`, as a maximum of `key(k)` over `i < k <= j` and prefix sums
/// `through[k] = d_0 + .. + d_k`.
trait RunCost {
    fn key(output: &[u64], through: &[u64], k: usize) -> u64;
    fn cost(through: &[u64], i: usize, j: usize, largest_key: u64) -> u64;
}

/// `U(i,j) = (d_{i+1} + .. + d_j) + max c_{k-1}`.
struct Traced;

impl RunCost for Traced {
    fn key(output: &[u64], _: &[u64], k: usize) -> u64 {
        output[k - 1]
    }

    fn cost(through: &[u64], i: usize, j: usize, largest_key: u64) -> u64 {
        through[j] - through[i] + largest_key
    }
}

/// `X(i,j) = max ( d_{i+1} + .. + d_k + c_{k-1} )`.
struct Stepwise;

impl RunCost for Stepwise {
    fn key(output: &[u64], through: &[u64], k: usize) -> u64 {
        through[k] + output[k - 1]
    }

    fn cost(through: &[u64], i: usize, _: usize, largest_key: u64) -> u64 {
        largest_key - through[i]
    }
}

fn solve<C: RunCost>(layers: &Layers<'_>) -> Result<ChainSolution, ChainError> {
    layers.check()?;
    let output = layers.output();
    let n = layers.len();
    let last = n - 1;
    let mut sum = 0;
    let through: Vec<u64> = layers
        .tape()
        .iter()
        .map(|&d| {
            sum += d;
            sum
        })
        .collect();
    let key = |k: u32| C::key(output, &through, k as usize);

    let mut least = vec![0u64; n];
    let mut next = vec![0u32; n];
    // Both queues hold layers in falling order: the oldest entry is the last candidate, the rightmost maximum.
    let mut candidates = Window::with_capacity(n);
    let mut maxima = Window::with_capacity(n);
    let mut steps = 0u64;
    least[last] = output[last];
    for i in (0..last).rev() {
        let near = i as u32 + 1;
        let m = least[i + 1];
        steps += 2 + candidates.push(near, |j| least[j as usize] >= m);
        let new = key(near);
        steps += maxima.push(near, |k| key(k) <= new);
        loop {
            let j = candidates.oldest().unwrap_or(near);
            while maxima.oldest().is_some_and(|k| k > j) {
                maxima.pop_oldest();
                steps += 1;
            }
            let cost = C::cost(&through, i, j as usize, maxima.oldest().map_or(new, key));
            steps += 1;
            match candidates.entries().get(1) {
                Some(&before) if cost >= least[before as usize] => {
                    candidates.pop_oldest();
                    steps += 1;
                }
                _ => {
                    least[i] = output[i] + least[j as usize].max(cost);
                    next[i] = j;
                    break;
                }
            }
        }
    }

    let mut checkpoints = vec![0];
    let mut at = 0;
    while at < last {
        at = next[at] as usize;
        checkpoints.push(at as u32);
    }
    let stats = Stats { states: n as u64, evaluations: steps, seconds: 0.0 };
    Ok(ChainSolution { checkpoints, peak: least[0], stats })
}
