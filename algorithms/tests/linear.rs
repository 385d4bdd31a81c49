//! The linear planner against all subsets, and against its recurrence in quadratic time.

mod chains;

use chains::{assert_layers, blocks, brute_force, cases, chains, long_chain};
use proptest::prelude::*;
use remat_algorithms::chain::linear::STEPS_PER_LAYER;
use remat_algorithms::chain::objective::{conservative, stepwise, stepwise_run, traced, traced_run};
use remat_algorithms::chain::{ChainError, ChainSolution, Layers, linear, linear_stepwise};

/// `M(0)` as the recurrence stands.
fn recurrence<'a>(layers: impl Into<Layers<'a>>, run: impl Fn(&Layers<'_>, usize, usize) -> u64) -> u64 {
    let layers = layers.into();
    let n = layers.len();
    let mut m = vec![0; n];
    m[n - 1] = layers.output()[n - 1];
    for i in (0..n - 1).rev() {
        m[i] = layers.output()[i] + (i + 1..n).map(|j| m[j].max(run(&layers, i, j))).min().unwrap();
    }
    m[0]
}

type Objective = fn(Layers<'_>, &[u32]) -> u64;

fn check(layers: Layers<'_>, plan: &ChainSolution, objective: Objective) -> u64 {
    let n = layers.len() as u64;
    assert_layers(layers.tape(), &plan.checkpoints);
    assert_eq!(plan.checkpoints.first(), Some(&0));
    assert_eq!(plan.checkpoints.last(), Some(&(n as u32 - 1)));
    assert_eq!(objective(layers, &plan.checkpoints), plan.peak, "{layers:?} {:?}", plan.checkpoints);
    assert!(plan.stats.evaluations <= STEPS_PER_LAYER * n, "{} steps", plan.stats.evaluations);
    assert_eq!(plan.stats.states, n);
    plan.peak
}

fn least_traced<'a>(layers: impl Into<Layers<'a>>) -> u64 {
    let layers = layers.into();
    check(layers, &linear(layers).unwrap(), |l, c| traced(l, c))
}

fn least_stepwise<'a>(layers: impl Into<Layers<'a>>) -> u64 {
    let layers = layers.into();
    check(layers, &linear_stepwise(layers).unwrap(), |l, c| stepwise(l, c))
}

proptest! {
    #![proptest_config(cases(4000))]
    #[test]
    fn equals_brute_force(sizes in chains(1..=9)) {
        prop_assert_eq!(least_traced(&sizes), brute_force(&sizes, traced));
        prop_assert_eq!(least_stepwise(&sizes), brute_force(&sizes, stepwise));
    }
}

proptest! {
    #![proptest_config(cases(300))]
    #[test]
    fn equals_brute_force_up_to_12(sizes in chains(10..=12)) {
        prop_assert_eq!(least_traced(&sizes), brute_force(&sizes, traced));
        prop_assert_eq!(least_stepwise(&sizes), brute_force(&sizes, stepwise));
    }

    #[test]
    fn equals_the_quadratic_recurrence(sizes in chains(13..=100)) {
        prop_assert_eq!(least_traced(&sizes), recurrence(&sizes, traced_run));
        prop_assert_eq!(least_stepwise(&sizes), recurrence(&sizes, stepwise_run));
    }

    #[test]
    fn objectives_are_ordered(sizes in chains(2..=30), picks in prop::collection::vec(any::<bool>(), 30)) {
        let n = sizes.len();
        let inside = (1..n - 1).filter(|&i| picks[i]);
        let layers: Vec<u32> = std::iter::once(0).chain(inside).chain([n - 1]).map(|i| i as u32).collect();
        // The step-exact peak is bounded by the traced one; both count at least what is kept.
        prop_assert!(stepwise(&sizes, &layers) <= traced(&sizes, &layers));
        let kept: u64 = layers.iter().map(|&i| sizes[i as usize]).sum();
        prop_assert!(stepwise(&sizes, &layers) >= kept && conservative(&sizes, &layers) >= kept);
        // Both ends count as checkpoints anyway.
        prop_assert_eq!(traced(&sizes, &layers), traced(&sizes, &layers[1..layers.len() - 1]));
    }

    #[test]
    fn runs_grow_to_both_sides(sizes in chains(3..=20)) {
        for run in [traced_run, stepwise_run] {
            for j in 2..sizes.len() {
                for i in 1..j {
                    prop_assert!(run(&(&sizes).into(), i - 1, j) >= run(&(&sizes).into(), i, j));
                    prop_assert!(run(&(&sizes).into(), i, j) >= run(&(&sizes).into(), i, j - 1));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(2000))]
    #[test]
    fn blocks_equal_brute_force((tape, output) in blocks(1..=9)) {
        let layers = Layers::new(&tape, &output).unwrap();
        prop_assert_eq!(least_traced(layers), brute_force(layers, traced));
        prop_assert_eq!(least_stepwise(layers), brute_force(layers, stepwise));
    }

    #[test]
    fn blocks_equal_the_quadratic_recurrence((tape, output) in blocks(10..=80)) {
        let layers = Layers::new(&tape, &output).unwrap();
        prop_assert_eq!(least_traced(layers), recurrence(layers, traced_run));
        prop_assert_eq!(least_stepwise(layers), recurrence(layers, stepwise_run));
    }
}

#[test]
fn equals_the_recurrence_on_long_chains() {
    for (layers, limit) in [(400, 4), (400, 1 << 50), (500, 100)] {
        let sizes = long_chain(layers, limit, layers as u64);
        assert_eq!(least_traced(&sizes), recurrence(&sizes, traced_run));
        assert_eq!(least_stepwise(&sizes), recurrence(&sizes, stepwise_run));
    }
}

#[test]
fn steps_are_linear_whatever_the_shape() {
    let n = 100_000u64;
    let shapes: [Vec<u64>; 7] = [
        vec![0; n as usize],
        vec![9; n as usize],
        (0..n).collect(),
        (0..n).rev().collect(),
        (0..n).map(|i| if i % 2 == 0 { 0 } else { 1 << 40 }).collect(),
        (0..n).map(|i| 1u64 << (i % 40)).collect(),
        long_chain(n as usize, 1 << 40, 3),
    ];
    for sizes in &shapes {
        least_traced(sizes);
        least_stepwise(sizes);
    }
}

#[test]
fn plans_ten_million_layers() {
    let sizes = long_chain(10_000_000, 1 << 20, 1);
    assert!(least_stepwise(&sizes) <= least_traced(&sizes));
}

#[test]
fn edges() {
    type Plan = fn(&[u64]) -> Result<ChainSolution, ChainError>;
    let planners: [Plan; 2] = [|s| linear(s), |s| linear_stepwise(s)];
    for planner in planners {
        assert_eq!(planner(&[]), Err(ChainError::Empty));
        assert_eq!(planner(&[1 << 62, 1]), Err(ChainError::TooLarge { layer: 1 }));
        assert_eq!(planner(&[7]).unwrap().checkpoints, [0]);
        assert_eq!(planner(&[7]).unwrap().peak, 7);
        assert_eq!(planner(&[2, 3]).unwrap().checkpoints, [0, 1]);
        assert_eq!(planner(&[2, 3]).unwrap().peak, 2 + 3 + 2);
        assert_eq!(planner(&[0; 50]).unwrap().peak, 0);
        // The largest chain that is accepted does not overflow.
        assert_eq!(planner(&[1 << 61, 1 << 61]).unwrap().peak, 3 << 61);
    }
}
