//! The persistent objective of a checkpoint set on a plain chain.

/// Most layers for which the objective is evaluated: it takes time O(n^3) and memory O(n^2).
pub const PERSISTENT_LIMIT: usize = 500;

/// Value of the objective in bytes; see [`super::ChainObjective::Persistent`]. Both ends of the chain are checkpoints, in
/// ascending order with all others.
pub(super) fn value(sizes: &[u64], checkpoints: &[u32]) -> u64 {
    let mut alive = sizes.first().copied().unwrap_or(0);
    let mut worst = alive;
    for pair in checkpoints.windows(2) {
        let (i, j) = (pair[0] as usize, pair[1] as usize);
        let need = if j == i + 1 {
            backward(sizes, j)
        } else {
            // The first run keeps the last layer only, the second is a frame of its own.
            (i + 1..=j).map(|k| sizes[k] + before(sizes, i + 1, k)).fold(frame(sizes, i + 1, j), u64::max)
        };
        worst = worst.max(alive.saturating_add(need));
        alive = alive.saturating_add(sizes[j]);
    }
    // The loss hands the gradient of the last layer down.
    worst.max(alive.saturating_add(sizes.last().copied().unwrap_or(0)))
}

/// Size of the input of layer `k`, unless the input is that of the frame's first layer `s`.
fn before(sizes: &[u64], s: usize, k: usize) -> u64 {
    if k > s { sizes[k - 1] } else { 0 }
}

/// The backward pass of a layer: its result, its gradient, and that of its input.
fn backward(sizes: &[u64], k: usize) -> u64 {
    sizes[k] + sizes[k] + sizes[k - 1]
}

/// Least memory in which layers `first ..= last` can run forward and backward, from the input of `first` and the gradient
/// of `last`; the input does not count, the gradient does.
fn frame(sizes: &[u64], first: usize, last: usize) -> u64 {
    let n = last - first + 1;
    // `least[a][b]` for layers `first + a ..= first + b`.
    let mut least = vec![vec![0u64; n]; n];
    for length in 0..n {
        for a in 0..n - length {
            let (b, s) = (a + length, first + a);
            let gradient = sizes[first + b];
            let keep = backward(sizes, s).max(gradient + sizes[s]);
            least[a][b] = if length == 0 { keep } else { keep.max(sizes[s] + least[a + 1][b]) };
            let mut run = 0;
            for c in a + 1..=b {
                let k = first + c;
                run = run.max(gradient + before(sizes, s, k - 1) + sizes[k - 1]);
                let jump = run.max(sizes[k - 1] + least[c][b]).max(least[a][c - 1]);
                least[a][b] = least[a][b].min(jump);
            }
        }
    }
    least[0][n - 1]
}
