//! The checker and the predictor share no code, so where they agree on random plans both are likely right.

use proptest::prelude::*;
use remat_algorithms::checker::check;
use remat_algorithms::plan::{Regions, Segment};
use remat_algorithms::predict::{Predictor, Scratch};
use remat_graphs::{Graph, zoo};

/// Small and large, with and without in-place operators, autocast and frozen parameters.
const MODELS: [&str; 6] = [
    "resnet18-b64",
    "resnet50-b64-amp",
    "mobilenet_v3_large-b64",
    "llama-lora-b4-s1024-bf16",
    "t5-small-b8-s256",
    "whisper-dialect-lora-b8",
];

/// Up to three levels of regions between safe cuts, drawn from a list of numbers that is used up.
fn regions(graph: &Graph, (start, end): (u32, u32), depth: u32, draw: &mut impl FnMut(usize) -> usize) -> Vec<Segment> {
    let cuts: Vec<u32> = graph.safe_cuts().filter(|c| (start..=end).contains(c)).collect();
    if depth == 0 || cuts.len() < 2 {
        return Vec::new();
    }
    let mut at: Vec<u32> = (0..2 + draw(5)).map(|_| cuts[draw(cuts.len())]).collect();
    at.sort_unstable();
    at.dedup();
    let mut found = Vec::new();
    for pair in at.windows(2) {
        if draw(4) > 0 {
            let inner = regions(graph, (pair[0], pair[1]), depth - 1, draw);
            found.push(Segment { inner, ..Segment::new(pair[0], pair[1]) });
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn predictor_and_checker_agree(model in 0..MODELS.len(), numbers in prop::collection::vec(any::<u32>(), 200)) {
        let graph = zoo::load(MODELS[model]).unwrap();
        let mut numbers = numbers.into_iter();
        let segments =
            regions(&graph, (0, graph.loss()), 3, &mut |n| numbers.next().map_or(0, |d| d as usize % n));
        let predictor = Predictor::new(&graph);
        let resolved = Regions::resolve(&graph, &segments).unwrap();
        let claimed = predictor.peaks(&resolved, None, &mut Scratch::default());
        let found = check(&graph, &segments).unwrap();
        prop_assert_eq!(claimed.static_bytes, found.static_bytes);
        prop_assert_eq!(
            [claimed.peak_forward, claimed.peak_backward, claimed.after_forward, claimed.after_backward],
            [found.peak_forward, found.peak_backward, found.after_forward, found.after_backward],
            "{} {:?}", MODELS[model], segments
        );
    }
}
