//! Chains to plan.

/// `n` sizes up to 1 GiB, the same on every run.
pub(crate) fn random(n: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 34
        })
        .collect()
}
