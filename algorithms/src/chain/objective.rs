//! What a checkpoint set costs, written straight from the definitions.
//!
//! Nothing here is clever: these functions are the yardstick that planners are held against. They take layers with
//! tapes `d` and outputs `c` (or a slice of sizes, where both are the same) and the checkpointed layers in ascending
//! order, and return bytes. They are total: layers outside the chain are left out, sums saturate.

use super::Layers;

/// All checkpoints are alive at all times, and one whole run of layers with them:
///
/// ```text
/// peak(C) = sum_{i in C} c_i + max over maximal runs s of layers not in C of ( sum_{j in s} d_j + d_e - c_e )
/// ```
///
/// where `e` is the checkpoint that ends the run, if any: its inside is recomputed with the run, its output is kept. A
/// run may be empty. `C` may be any set of layers, also the empty one. For a plain chain the last term is 0.
///
/// # Complexity
/// Time O(n), memory O(1) for n layers.
///
/// # Example
/// ```
/// use remat_algorithms::chain::objective::conservative;
/// // Kept: 1 + 1. Recomputed: 2 + 3, then 4.
/// assert_eq!(conservative(&[1, 2, 3, 1, 4], &[0, 3]), 2 + 5);
/// ```
pub fn conservative<'a>(layers: impl Into<Layers<'a>>, checkpoints: &[u32]) -> u64 {
    let layers = layers.into();
    let mut kept = checkpoints.iter().copied().peekable();
    let (mut sum, mut run, mut widest) = (0u64, 0u64, 0u64);
    for (i, (&d, &c)) in layers.tape().iter().zip(layers.output()).enumerate() {
        if kept.next_if(|&k| k as usize == i).is_some() {
            sum = sum.saturating_add(c);
            widest = widest.max(run.saturating_add(d - c));
            run = 0;
        } else {
            run = run.saturating_add(d);
            widest = widest.max(run);
        }
    }
    sum.saturating_add(widest)
}

/// Checkpoints behind the current run are gone, and one pair of gradients is alive: at most twice the largest output.
///
/// ```text
/// U(i,j)  = sum_{k=i+1}^{j-1} d_k + max_{i<=k<=j-1} c_k + d_j
/// peak(C) = max( sum_C c, max over consecutive c_t, c_{t+1} of sum_{s<=t} c_{c_s} + U(c_t, c_{t+1}) )
/// ```
///
/// The first and the last layer count as checkpoints whether or not they are given.
///
/// # Complexity
/// Time O(n), memory O(|C|) for n layers.
///
/// # Example
/// ```
/// use remat_algorithms::chain::objective::traced;
/// // Layer 0 is kept; 2 and 3 are recomputed; a gradient pair of layer 3 (at most 3 more) and the result 1.
/// assert_eq!(traced(&[1, 2, 3, 1], &[0, 3]), 1 + (2 + 3) + 3 + 1);
/// ```
pub fn traced<'a>(layers: impl Into<Layers<'a>>, checkpoints: &[u32]) -> u64 {
    with_run_cost(&layers.into(), checkpoints, traced_run)
}

/// As [`traced`], but every step of a run's backward pass for itself: while layer `k` is differentiated, the run up to
/// `k - 1` is alive, with layer `k` and the gradient of `k - 1`.
///
/// ```text
/// X(i,j) = max_{i<k<=j} ( sum_{l=i+1}^{k-1} d_l + d_k + c_{k-1} )   <= U(i,j)
/// ```
///
/// # Complexity
/// Time O(n), memory O(|C|) for n layers.
pub fn stepwise<'a>(layers: impl Into<Layers<'a>>, checkpoints: &[u32]) -> u64 {
    with_run_cost(&layers.into(), checkpoints, stepwise_run)
}

/// `U(i,j)`, the cost of the run between checkpoints `i < j` in [`traced`]. Time O(j - i); 0 if `i < j < n` fails.
pub fn traced_run(layers: &Layers<'_>, i: usize, j: usize) -> u64 {
    if i >= j || j >= layers.len() {
        return 0;
    }
    let inside = sum(&layers.tape()[i + 1..j]);
    let largest = layers.output()[i..j].iter().copied().max().unwrap_or(0);
    inside.saturating_add(largest).saturating_add(layers.tape()[j])
}

/// `X(i,j)`, the cost of the run between checkpoints `i < j` in [`stepwise`]. Time O(j - i); 0 if `i < j < n` fails.
pub fn stepwise_run(layers: &Layers<'_>, i: usize, j: usize) -> u64 {
    if i >= j || j >= layers.len() {
        return 0;
    }
    let (mut alive, mut worst) = (0u64, 0u64);
    for k in i + 1..=j {
        alive = alive.saturating_add(layers.tape()[k]);
        worst = worst.max(alive.saturating_add(layers.output()[k - 1]));
    }
    worst
}

fn with_run_cost(layers: &Layers<'_>, checkpoints: &[u32], cost: impl Fn(&Layers<'_>, usize, usize) -> u64) -> u64 {
    let Some(last) = layers.len().checked_sub(1) else { return 0 };
    let inner = checkpoints.iter().map(|&c| c as usize).filter(|&c| 0 < c && c < last);
    let mut kept: Vec<usize> = std::iter::once(0).chain(inner).chain([last]).collect();
    kept.dedup();
    let (mut behind, mut worst) = (0u64, 0u64);
    for pair in kept.windows(2) {
        behind = behind.saturating_add(layers.output()[pair[0]]);
        worst = worst.max(behind.saturating_add(cost(layers, pair[0], pair[1])));
    }
    worst.max(behind.saturating_add(layers.output()[last]))
}

fn sum(sizes: &[u64]) -> u64 {
    sizes.iter().fold(0, |a, &b| a.saturating_add(b))
}
