//! Models that return their loss: the loss is an output of the model and stays with the caller.
#![expect(clippy::unwrap_used, reason = "tests")]

use remat_algorithms::checker::check;
use remat_algorithms::predict::{Predictor, Scratch};
use remat_algorithms::{Regions, Segment};
use remat_graphs::{Graph, StorageKind, Trace, synthetic};

/// The same step, with the loss computed by the model's last operator and returned.
fn inside(mut trace: Trace) -> Trace {
    let roots = trace.backward.iter().filter(|k| k.of.is_none()).flat_map(|k| k.reads.clone());
    let mut roots: Vec<u32> = roots.filter(|&s| trace.storages[s as usize].kind == StorageKind::Activation).collect();
    roots.append(&mut trace.outputs);
    synthetic::variations::loss_inside(&mut trace, roots);
    trace
}

#[test]
fn the_loss_is_released_once_and_checker_and_predictor_agree() {
    let mut with_regions = 0;
    // Autocast caches casts until its context ends, which such a step does not say.
    for seed in (0..90).filter(|&seed| synthetic::tiny(seed).autocast.is_none()) {
        let graph = Graph::new(inside(synthetic::tiny(seed))).unwrap();
        assert!(!graph.trace().outputs.is_empty(), "seed {seed}");
        let predictor = Predictor::new(&graph);
        let cuts: Vec<u32> = graph.safe_cuts().collect();
        let whole = cuts.first().zip(cuts.iter().rev().nth(1)).filter(|(a, b)| a < b);
        let plans = [Vec::new(), whole.map(|(&a, &b)| vec![Segment::new(a, b)]).unwrap_or_default()];
        for segments in plans {
            let regions = Regions::resolve(&graph, &segments).unwrap();
            let peaks = predictor.peaks(&regions, None, &mut Scratch::default());
            let verified = check(&graph, &segments).unwrap();
            assert_eq!((verified.peak, verified.peak_forward), (peaks.peak, peaks.peak_forward), "seed {seed}");
            with_regions += segments.len();
        }
    }
    assert!(with_regions > 20);
}
