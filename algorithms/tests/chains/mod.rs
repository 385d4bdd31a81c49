//! Random chains and brute force, shared by the tests of chain planners.
#![allow(dead_code, reason = "each test file uses its own part")]

use proptest::prelude::*;
use remat_algorithms::chain::Layers;

/// `cases` random cases per property; failures are reported, not written to files.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Chains of `layers` layers: sizes drawn from a small range (repeats, zeros), a large one, or mixed.
pub(crate) fn chains(layers: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<u64>> {
    let size = prop_oneof![3 => 0u64..4, 3 => 0u64..30, 2 => 0u64..1_000_000, 1 => Just(0), 1 => 1u64 << 40..1 << 41];
    let few = prop::collection::vec(0u64..3, layers.clone());
    let small = prop::collection::vec(0u64..50, layers.clone());
    let mixed = prop::collection::vec(size, layers);
    prop_oneof![few, small, mixed]
}

/// Tapes, and outputs that are a random part of them: nothing, all, or something between.
pub(crate) fn blocks(layers: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    chains(layers).prop_flat_map(|tape| {
        let parts = prop::collection::vec(0u64..=8, tape.len());
        (Just(tape), parts).prop_map(|(tape, parts)| {
            let output =
                tape.iter().zip(parts).map(|(d, part)| (u128::from(*d) * u128::from(part) / 8) as u64).collect();
            (tape, output)
        })
    })
}

/// Least value of an objective over all subsets of layers.
pub(crate) fn brute_force<'a>(layers: impl Into<Layers<'a>>, objective: impl Fn(Layers<'a>, &[u32]) -> u64) -> u64 {
    let all = layers.into();
    let n = all.len() as u32;
    (0u32..1 << n)
        .map(|set| {
            let layers: Vec<u32> = (0..n).filter(|i| set >> i & 1 == 1).collect();
            objective(all, &layers)
        })
        .min()
        .unwrap()
}

/// A long chain with a fixed seed: sizes below `limit`, every tenth or so zero, with stretches of repeats.
pub(crate) fn long_chain(layers: usize, limit: u64, seed: u64) -> Vec<u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut sizes: Vec<u64> = Vec::with_capacity(layers);
    for _ in 0..layers {
        let last = sizes.last().copied().unwrap_or(0);
        let size = match draw() % 10 {
            0 => 0,
            1 | 2 => last,
            _ => draw() % limit,
        };
        sizes.push(size);
    }
    sizes
}

/// Layers are ascending and lie in the chain.
pub(crate) fn assert_layers(sizes: &[u64], checkpoints: &[u32]) {
    assert!(checkpoints.windows(2).all(|w| w[0] < w[1]), "not ascending: {checkpoints:?}");
    assert!(checkpoints.iter().all(|&c| (c as usize) < sizes.len()), "outside the chain: {checkpoints:?}");
}
