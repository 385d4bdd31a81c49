//! Frames that are alike: the same stages one after the other have the same recomputation, wherever they stand.

use super::stages::Stages;

/// The class of each frame `(s, t)` at `[s][t]`, and how many classes there are.
///
/// Two frames are of one class if their stages are equal, and the gradients that they hand down. Time and memory O(n^2).
pub(super) fn classes(stages: &Stages) -> (Vec<u32>, usize) {
    let n = stages.count();
    let width = n + 1;
    // At `[p][s]`, for p < s: length of the longest run of equal stages that starts at both.
    let mut runs = vec![0usize; width * width];
    for s in (1..=n).rev() {
        for p in 1..s {
            let after = if s == n { 0 } else { runs[(p + 1) * width + s + 1] };
            runs[p * width + s] = if stages.get(p) == stages.get(s) { 1 + after } else { 0 };
        }
    }
    let (mut class, mut count) = (vec![0; width * width], 0);
    for s in 1..=n {
        let mut t = s;
        for p in 1..s {
            // What hangs over from the stage before: the gradient that the frame leaves.
            if stages.get(p - 1).gradient == stages.get(s - 1).gradient {
                while t < s + runs[p * width + s] {
                    class[s * width + t] = class[p * width + p + t - s];
                    t += 1;
                }
            }
        }
        for t in t..=n {
            class[s * width + t] = count;
            count += 1;
        }
    }
    (class, count as usize)
}
