//! Baselines keep to their definitions and never beat what is proven optimal.

mod chains;

use std::num::NonZeroU32;

use chains::{assert_layers, cases, chains, long_chain};
use proptest::prelude::*;
use remat_algorithms::baselines::chen::divide;
use remat_algorithms::baselines::{chen, every, none, sqrt, uniform};
use remat_algorithms::chain::objective::conservative;
use remat_algorithms::chain::{ChainError, Layers, cubic};

proptest! {
    #![proptest_config(cases(300))]
    #[test]
    fn peaks_are_conservative_and_no_better_than_optimal(sizes in chains(1..=40), k in 1u32..50) {
        let optimum = cubic(&sizes).unwrap().peak;
        let k = NonZeroU32::new(k).unwrap();
        for plan in [none(&sizes), every(&sizes), sqrt(&sizes), uniform(&sizes, k), chen(&sizes)] {
            let plan = plan.unwrap();
            assert_layers(&sizes, &plan.checkpoints);
            prop_assert_eq!(conservative(&sizes, &plan.checkpoints), plan.peak);
            prop_assert!(plan.peak >= optimum);
        }
    }

    #[test]
    fn chen_is_a_greedy_division_close_to_the_best(sizes in chains(1..=40)) {
        // A division changes only where the threshold passes a sum of consecutive layers: try them all.
        let mut thresholds = vec![0];
        for i in 0..sizes.len() {
            thresholds.extend(sizes[i..].iter().scan(0, |sum, d| { *sum += d; Some(*sum) }));
        }
        let greedy: Vec<_> = thresholds.iter().map(|&b| divide(&sizes, b)).collect();
        let best = greedy.iter().map(|c| conservative(&sizes, c)).min().unwrap();
        let plan = chen(&sizes).unwrap();
        prop_assert!(greedy.contains(&plan.checkpoints));
        prop_assert!(best <= plan.peak && plan.peak <= none(&sizes).unwrap().peak);
    }

    #[test]
    fn division_follows_the_threshold(sizes in chains(1..=40), threshold in 0u64..200) {
        let checkpoints = divide(&sizes, threshold);
        let mut start = 0;
        for &c in &checkpoints {
            let c = c as usize;
            let before: u64 = sizes[start..c].iter().sum();
            prop_assert!(before <= threshold && before + sizes[c] > threshold);
            start = c + 1;
        }
        prop_assert!(sizes[start..].iter().sum::<u64>() <= threshold);
    }

    #[test]
    fn uniform_regions_differ_by_one_layer(n in 3usize..200, k in 1u32..60) {
        let plan = uniform(&vec![1; n], NonZeroU32::new(k).unwrap()).unwrap();
        let layers = &plan.checkpoints;
        prop_assert_eq!((layers[0], layers[layers.len() - 1]), (0, n as u32 - 1));
        prop_assert_eq!(layers.len() - 1, (k as usize).min(n - 2));
        // The last region ends before the output.
        let ends: Vec<u32> = layers[..layers.len() - 1].iter().copied().chain([n as u32 - 2]).collect();
        let lengths: Vec<u32> = ends.windows(2).map(|w| w[1] - w[0]).collect();
        prop_assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1);
    }
}

#[test]
fn blocks_are_charged_their_outputs() {
    let (tape, output) = ([10; 8], [1; 8]);
    let layers = Layers::new(&tape, &output).unwrap();
    assert_eq!(none(layers).unwrap().peak, 80);
    assert_eq!(every(layers).unwrap().peak, 8 + 9);
    assert_eq!(chen(layers).unwrap().peak, 8 + 9);
    assert_eq!(cubic(layers).unwrap().peak, 8 + 9);
    assert_eq!(Layers::new(&tape, &output[1..]), Err(ChainError::Lengths { tape: 8, output: 7 }));
    assert_eq!(Layers::new(&[3, 3], &[3, 4]), Err(ChainError::Output { layer: 1 }));
}

#[test]
fn known_values() {
    // 102 equal layers: ten regions of ten, two ends and nine more checkpoints of nine kept, nine or ten recomputed.
    let plan = sqrt(&[1; 102]).unwrap();
    assert_eq!(plan.checkpoints.len(), 11);
    assert_eq!(plan.peak, 11 + 10);
    assert_eq!(none(&[1, 2, 3]).unwrap().peak, 6);
    assert_eq!(every(&[1, 2, 3]).unwrap().checkpoints, [0, 1, 2]);
    // Chen's division of equal layers is the best there is.
    assert_eq!(chen(&[1; 99]).unwrap().peak, cubic(&[1; 99]).unwrap().peak);
}

#[test]
fn edges() {
    let k = NonZeroU32::MAX;
    for n in 1..6 {
        let plan = uniform(&vec![3; n], k).unwrap();
        assert!(plan.checkpoints.len() <= n);
        assert_layers(&vec![3; n], &plan.checkpoints);
        assert_eq!(sqrt(&vec![0; n]).unwrap().peak, 0);
        assert_eq!(chen(&vec![0; n]).unwrap().peak, 0);
    }
    assert_eq!(chen(&[1 << 62]).unwrap().peak, 1 << 62);
    for plan in [none(&[]), every(&[]), sqrt(&[]), uniform(&[], k), chen(&[])] {
        assert_eq!(plan, Err(ChainError::Empty));
    }
}

#[test]
fn chen_takes_a_bounded_number_of_passes() {
    let plan = chen(&long_chain(100_000, 1 << 40, 2)).unwrap();
    assert!(plan.stats.evaluations <= 64 + 2 * (remat_algorithms::baselines::chen::GRID + 1));
}
