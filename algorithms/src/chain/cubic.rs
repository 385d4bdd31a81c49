//! The least conservative peak of a chain.
//!
//! # One bound at a time
//! Fix a bound `B` on what every run recomputes. The least that must then be kept is a shortest path over layers
//! `1 ..= n` (0 is a source and `n + 1` a sink, both of size 0), with tapes `d` and outputs `c`:
//!
//! ```text
//! w(i,j) = d_{i+1} + .. + d_{j-1} + d_j - c_j            what the run between checkpoints i < j recomputes
//! g(0) = 0;   g(j) = c_j + min { g(i) : i < j, w(i,j) <= B };   h(B) = g(n+1)
//! ```
//!
//! On a plain chain, `c = d` and `w` is the sum of the layers strictly between. As `c <= d`, `w` grows with `j` and as
//! `i` falls. As `j` rises, the admissible `i` form a window whose two ends only move up: a sliding minimum gives
//! `h(B)` in O(n). The least peak is `min_B h(B) + B`, and only values of `w` matter as `B`. There are O(n^2) of them:
//! O(n^3).
//!
//! # Exact skipping
//! `h` falls as `B` grows. So for any `B` in an open interval `(lo, hi)`, `h(B) + B >= h(hi) + B`: only bounds below
//! `best - h(hi)` can improve on the best peak so far, and an interval without any is skipped as a whole. Also, the
//! path found for `B` has a widest run `w <= B`, and `h` is constant on `[w, B]`. The search keeps the intervals that
//! can still hold something better, takes those with the smallest bounds first, evaluates each at a value of `w` near
//! the middle of what is left of it, and splits it there:
//!
//! ```text
//! lo            w ===== B              best - h(hi)        hi
//! (-- left part --)     (-- right part --)   (-- skipped --)
//! ```
//!
//! No value is evaluated twice, and each is found in O(n) by walking two indices over the prefix sums; so the worst
//! case stays O(n^3), and the table of all values is never made. Of the 4.5 million values of 3000 random layers, about
//! a hundred are evaluated.
//!
//! # Parallel, with one result
//! Intervals are evaluated in rounds of up to [`ROUND`], in parallel if the chain is long. What a round knows, and the
//! order in which its results are merged, do not depend on the number of threads; nor do the result and the counters.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use super::window::Window;
use super::{ChainError, ChainSolution, Layers};
use crate::plan::Stats;

/// Intervals evaluated per round. Fixed, so that the search is the same on any machine.
pub const ROUND: usize = 32;

/// Layers from which on it pays to wake other threads: an evaluation then takes longer than that does.
const PARALLEL: usize = 1024;

/// The checkpoints with the least [conservative](super::objective::conservative) peak.
///
/// Of the bounds that reach the least peak among those evaluated, the smallest is taken; of equally cheap paths, the
/// one whose last run is shortest at every step.
///
/// # Arguments
/// * `layers`: a slice of sizes in bytes, in order of execution, or [`Layers`] with tapes and outputs.
///
/// # Returns
/// The checkpoints, any set of layers; the least peak in bytes; in the stats, `evaluations` counts the bounds `B` that
/// were evaluated and `states` the labels `g(j)` that were set. All of it is independent of the number of threads.
///
/// # Errors
/// [`ChainError`], if the chain is empty, too long or too large.
///
/// # Complexity
/// Time O(n e), memory O(n t + e), where n is the number of layers, t of threads, and e of the bounds evaluated: at
/// most (n+1) (n+2) / 2, that is O(n^3), and in practice a small part of it.
///
/// # Example
/// ```
/// use remat_algorithms::chain::cubic;
/// let plan = cubic(&[3, 1, 3, 3, 1, 3])?;
/// assert_eq!(plan.checkpoints, [1, 3, 4]);
/// assert_eq!(plan.peak, 5 + 3);
/// # Ok::<(), remat_algorithms::chain::ChainError>(())
/// ```
///
/// # Reference
/// Objective and program: Hong, Tsai, Wang, Liu, Wu, arXiv 2502.12499 (JPDC 2025).
pub fn cubic<'a>(layers: impl Into<Layers<'a>>) -> Result<ChainSolution, ChainError> {
    solve(layers.into())
}

fn solve(layers: Layers<'_>) -> Result<ChainSolution, ChainError> {
    let total = layers.check()?;
    let problem = Bounded::new(layers);
    let mut scratch = problem.scratch();
    // The least bound under which there is a path keeps every layer's output.
    let all_kept = problem.shortest(problem.least_bound(), &mut scratch);
    let mut evaluations = 1;
    // Keeping nothing is the other end: bound `total`, h = 0.
    let mut best = Best { peak: total, bound: total };
    best.offer(&all_kept);
    let mut open = BinaryHeap::new();
    push(&mut open, &best, Interval { lo: all_kept.bound, hi: total, kept_at_hi: 0 });
    let mut round = Vec::with_capacity(ROUND);
    while !open.is_empty() {
        round.clear();
        while round.len() < ROUND
            && let Some(Reverse((lower, lo, hi, kept_at_hi))) = open.pop()
        {
            if lower >= best.peak {
                open.clear();
                break;
            }
            round.push(Interval { lo, hi: hi.min(best.peak - kept_at_hi), kept_at_hi });
        }
        let results: Vec<Option<Path>> = if layers.len() < PARALLEL {
            round.iter().map(|it| problem.evaluate(it, &mut scratch)).collect()
        } else {
            round.par_iter().map_init(|| problem.scratch(), |scratch, it| problem.evaluate(it, scratch)).collect()
        };
        for (it, path) in round.iter().zip(&results) {
            let Some(path) = path else { continue };
            evaluations += 1;
            best.offer(path);
            push(&mut open, &best, Interval { lo: it.lo, hi: path.widest, kept_at_hi: path.kept });
            push(&mut open, &best, Interval { lo: path.bound, ..*it });
        }
    }

    problem.shortest(best.bound, &mut scratch);
    let stats = Stats { states: evaluations * (layers.len() as u64 + 1), evaluations, seconds: 0.0 };
    Ok(ChainSolution { checkpoints: problem.checkpoints(&scratch), peak: best.peak, stats })
}

/// Bounds strictly between `lo` and `hi` that are still to be looked at.
#[derive(Debug, Clone, Copy)]
struct Interval {
    lo: u64,
    hi: u64,
    /// A lower bound of `h` in the interval: its value at `hi` or above.
    kept_at_hi: u64,
}

/// Open intervals, by least peak they might hold, then by position: a total order.
type Open = BinaryHeap<Reverse<(u64, u64, u64, u64)>>;

fn push(open: &mut Open, best: &Best, it: Interval) {
    let lower = it.kept_at_hi + it.lo + 1;
    if it.lo + 1 < it.hi && lower < best.peak {
        open.push(Reverse((lower, it.lo, it.hi, it.kept_at_hi)));
    }
}

/// The best bound so far.
struct Best {
    peak: u64,
    bound: u64,
}

impl Best {
    fn offer(&mut self, path: &Path) {
        let peak = path.kept + path.widest;
        if (peak, path.widest) < (self.peak, self.bound) {
            *self = Self { peak, bound: path.widest };
        }
    }
}

/// What the shortest path for one bound costs.
struct Path {
    bound: u64,
    /// `h(bound)`.
    kept: u64,
    /// Largest sum of a run that the path leaves out, at most the bound.
    widest: u64,
}

/// The problem with a bound on runs. Layers count from 1 here.
struct Bounded<'a> {
    layers: Layers<'a>,
    /// `prefix[i] = d_1 + .. + d_i`.
    prefix: Vec<u64>,
}

/// Memory of one evaluation, for reuse.
struct Scratch {
    kept: Vec<u64>,
    parent: Vec<u32>,
    window: Window,
}

impl<'a> Bounded<'a> {
    fn new(layers: Layers<'a>) -> Self {
        let mut prefix = Vec::with_capacity(layers.len() + 1);
        let mut sum = 0;
        prefix.push(0);
        prefix.extend(layers.tape().iter().map(|&d| {
            sum += d;
            sum
        }));
        Self { layers, prefix }
    }

    fn scratch(&self) -> Scratch {
        let labels = self.layers.len() + 2;
        Scratch { kept: vec![0; labels], parent: vec![0; labels], window: Window::with_capacity(labels) }
    }

    /// Evaluates an interval at a bound inside it, if there is one left.
    fn evaluate(&self, it: &Interval, scratch: &mut Scratch) -> Option<Path> {
        self.split(it).map(|bound| self.shortest(bound, scratch))
    }

    /// `c_j`; 0 for the sink.
    fn output(&self, j: usize) -> u64 {
        self.layers.output().get(j - 1).copied().unwrap_or(0)
    }

    /// `w(0,j)`, so that `w(i,j) = end(j) - prefix[i]`.
    fn end(&self, j: usize) -> u64 {
        self.prefix[j.min(self.layers.len())] - self.output(j)
    }

    /// Least bound under which all runs between neighbours are admissible.
    fn least_bound(&self) -> u64 {
        self.layers.tape().iter().zip(self.layers.output()).map(|(d, c)| d - c).max().unwrap_or(0)
    }

    /// Evaluates `h(bound)` for a bound no smaller than the least one; the path stays in `scratch.parent`.
    fn shortest(&self, bound: u64, scratch: &mut Scratch) -> Path {
        let Scratch { kept, parent, window } = scratch;
        let sink = self.layers.len() + 1;
        window.clear();
        let mut first = 0;
        for j in 1..=sink {
            let new = kept[j - 1];
            // Of equal labels the later one stays: it is admissible for longer.
            window.push(j as u32 - 1, |i| kept[i as usize] >= new);
            // `i = j - 1` is admissible, so this ends before `j`.
            let end = self.end(j);
            while end - self.prefix[first] > bound {
                first += 1;
            }
            while window.oldest().is_some_and(|i| (i as usize) < first) {
                window.pop_oldest();
            }
            let i = window.oldest().unwrap_or(j as u32 - 1);
            kept[j] = kept[i as usize] + self.output(j);
            parent[j] = i;
        }
        let mut widest = 0;
        let mut j = sink;
        while j > 0 {
            let i = parent[j] as usize;
            widest = widest.max(self.end(j) - self.prefix[i]);
            j = i;
        }
        Path { bound, kept: kept[sink], widest }
    }

    /// The layers, from 0, on the path in `scratch`.
    fn checkpoints(&self, scratch: &Scratch) -> Vec<u32> {
        let mut layers = Vec::new();
        let mut j = scratch.parent[self.layers.len() + 1];
        while j > 0 {
            layers.push(j - 1);
            j = scratch.parent[j as usize];
        }
        layers.reverse();
        layers
    }

    /// A value of `w` inside the interval, near its middle: the largest up to it, else the smallest above. O(n).
    fn split(&self, it: &Interval) -> Option<u64> {
        let middle = it.lo + (it.hi - it.lo) / 2;
        let (mut below, mut above) = (0, u64::MAX);
        let mut first = 0;
        for j in 1..=self.layers.len() + 1 {
            // The middle lies above the least bound, so this ends before `j`.
            let end = self.end(j);
            while end - self.prefix[first] > middle {
                first += 1;
            }
            below = below.max(end - self.prefix[first]);
            if first > 0 {
                above = above.min(end - self.prefix[first - 1]);
            }
        }
        let value = if below > it.lo { below } else { above };
        (it.lo < value && value < it.hi).then_some(value)
    }
}
