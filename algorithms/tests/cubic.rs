//! The cubic planner against all subsets, and against the dynamic program without skipping.

mod chains;

use std::collections::BTreeSet;

use chains::{assert_layers, blocks, brute_force, cases, chains, long_chain};
use proptest::prelude::*;
use remat_algorithms::chain::objective::conservative;
use remat_algorithms::chain::{ChainError, ChainSolution, Layers, cubic};

/// Distinct values of what a run between two checkpoints recomputes, ends of the chain included.
fn runs(layers: &Layers<'_>) -> BTreeSet<u64> {
    let n = layers.len();
    let mut runs = BTreeSet::new();
    for i in 0..=n {
        let mut sum = 0;
        for j in i..n {
            sum += layers.tape()[j];
            runs.insert(sum - layers.output()[j]);
        }
        runs.insert(sum);
    }
    runs
}

/// The recurrence as it stands, every bound, no window.
fn program(layers: &Layers<'_>) -> u64 {
    let n = layers.len();
    let tape = |j: usize| layers.tape().get(j - 1).copied().unwrap_or(0);
    let output = |j: usize| layers.output().get(j - 1).copied().unwrap_or(0);
    let mut best = u64::MAX;
    for bound in runs(layers) {
        let mut g = vec![Some(0); n + 2];
        for j in 1..n + 2 {
            let mut run = tape(j) - output(j);
            let mut least = None;
            for i in (0..j).rev() {
                if run > bound {
                    break;
                }
                least = [least, g[i]].into_iter().flatten().min();
                run += if i > 0 { tape(i) } else { 0 };
            }
            g[j] = least.map(|g| g + output(j));
        }
        best = best.min(g[n + 1].map_or(u64::MAX, |g| g + bound));
    }
    best
}

fn plan<'a>(layers: impl Into<Layers<'a>>) -> ChainSolution {
    let layers = layers.into();
    let plan = cubic(layers).unwrap();
    assert_layers(layers.tape(), &plan.checkpoints);
    assert_eq!(conservative(layers, &plan.checkpoints), plan.peak, "{layers:?} {:?}", plan.checkpoints);
    plan
}

proptest! {
    #![proptest_config(cases(4000))]
    #[test]
    fn equals_brute_force(sizes in chains(1..=9)) {
        prop_assert_eq!(plan(&sizes).peak, brute_force(&sizes, conservative));
    }
}

proptest! {
    #![proptest_config(cases(300))]
    #[test]
    fn equals_brute_force_up_to_12(sizes in chains(10..=12)) {
        prop_assert_eq!(plan(&sizes).peak, brute_force(&sizes, conservative));
    }

    #[test]
    fn equals_the_program_without_skipping(sizes in chains(13..=48)) {
        let plan = plan(&sizes);
        prop_assert_eq!(plan.peak, program(&(&sizes).into()));
        // Each bound at most once, so the worst case stays cubic.
        prop_assert!(plan.stats.evaluations <= runs(&(&sizes).into()).len() as u64);
        prop_assert_eq!(plan.stats.states, plan.stats.evaluations * (sizes.len() as u64 + 1));
    }
}

proptest! {
    #![proptest_config(cases(2000))]
    #[test]
    fn blocks_equal_brute_force((tape, output) in blocks(1..=9)) {
        let layers = Layers::new(&tape, &output).unwrap();
        prop_assert_eq!(plan(layers).peak, brute_force(layers, conservative));
    }

    #[test]
    fn blocks_equal_the_program_without_skipping((tape, output) in blocks(10..=30)) {
        let layers = Layers::new(&tape, &output).unwrap();
        let plan = plan(layers);
        prop_assert_eq!(plan.peak, program(&layers));
        prop_assert!(plan.stats.evaluations <= runs(&layers).len() as u64);
    }
}

#[test]
fn equals_the_program_on_long_chains() {
    for (layers, limit) in [(200, 5), (200, 1 << 40), (260, 1000)] {
        let sizes = long_chain(layers, limit, layers as u64);
        assert_eq!(plan(&sizes).peak, program(&(&sizes).into()));
    }
}

#[test]
fn does_not_depend_on_the_number_of_threads() {
    for sizes in [long_chain(1500, 1 << 33, 5), long_chain(1100, 4, 6), vec![7; 1200], long_chain(60, 9, 7)] {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| plan(&sizes))
        };
        let one = on(1);
        for threads in [2, 3, 7] {
            assert_eq!(one, on(threads));
        }
    }
}

#[test]
fn skips_nearly_all_bounds() {
    let sizes = long_chain(3000, 1 << 30, 11);
    let plan = plan(&sizes);
    // Of 4.5 million sums; each evaluation costs O(n).
    assert!(plan.stats.evaluations < 500, "{}", plan.stats.evaluations);
}

#[test]
fn edges() {
    assert_eq!(cubic(&[]), Err(ChainError::Empty));
    assert_eq!(cubic(&[1 << 61, 1 << 61, 1]), Err(ChainError::TooLarge { layer: 2 }));
    assert_eq!(cubic(&[u64::MAX, u64::MAX]), Err(ChainError::TooLarge { layer: 0 }));
    assert_eq!(plan(&[0]).peak, 0);
    assert_eq!(plan(&[5]).peak, 5);
    assert_eq!(plan(&[0; 40]).peak, 0);
    assert_eq!(plan(&[1 << 61, 1 << 61]).peak, 1 << 62);
    // Equal layers: k checkpoints leave a run of ceil((n - k) / (k + 1)).
    assert_eq!(plan(&[1; 99]).peak, 18);
}
