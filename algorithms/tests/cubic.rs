//! The cubic planner against all subsets, and against the dynamic program without skipping.

mod common;

use std::collections::BTreeSet;

use common::{assert_layers, brute_force, cases, chains, long_chain};
use proptest::prelude::*;
use remat_algorithms::chain::objective::conservative;
use remat_algorithms::chain::{ChainError, ChainSolution, cubic};

/// Distinct sums of consecutive layers, with 0 for the empty run.
fn sums(sizes: &[u64]) -> BTreeSet<u64> {
    let mut sums = BTreeSet::from([0]);
    for i in 0..sizes.len() {
        let mut sum = 0;
        for &d in &sizes[i..] {
            sum += d;
            sums.insert(sum);
        }
    }
    sums
}

/// The recurrence as it stands, every bound, no window.
fn program(sizes: &[u64]) -> u64 {
    let n = sizes.len();
    let mut best = u64::MAX;
    for bound in sums(sizes) {
        let mut g = vec![0; n + 2];
        for j in 1..n + 2 {
            let (mut run, mut least) = (0, g[j - 1]);
            for i in (0..j - 1).rev() {
                run += sizes[i];
                if run > bound {
                    break;
                }
                least = least.min(g[i]);
            }
            g[j] = least + sizes.get(j - 1).unwrap_or(&0);
        }
        best = best.min(g[n + 1] + bound);
    }
    best
}

fn plan(sizes: &[u64]) -> ChainSolution {
    let plan = cubic(sizes).unwrap();
    assert_layers(sizes, &plan.checkpoints);
    assert_eq!(conservative(sizes, &plan.checkpoints), plan.peak, "{sizes:?} {:?}", plan.checkpoints);
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
        prop_assert_eq!(plan.peak, program(&sizes));
        // Each bound at most once, so the worst case stays cubic.
        prop_assert!(plan.stats.evaluations <= sums(&sizes).len() as u64);
        prop_assert_eq!(plan.stats.states, plan.stats.evaluations * (sizes.len() as u64 + 1));
    }
}

#[test]
fn equals_the_program_on_long_chains() {
    for (layers, limit) in [(200, 5), (200, 1 << 40), (260, 1000)] {
        let sizes = long_chain(layers, limit, layers as u64);
        assert_eq!(plan(&sizes).peak, program(&sizes));
    }
}

#[test]
fn does_not_depend_on_the_number_of_threads() {
    for sizes in [long_chain(700, 1 << 33, 5), long_chain(400, 4, 6), vec![7; 500]] {
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
    // 4.5 million sums; each evaluation costs O(n).
    assert!(plan.stats.evaluations < 6000, "{}", plan.stats.evaluations);
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
