//! Timelines: kinds add up to live bytes at every moment, and the largest is the predicted peak.

use remat_algorithms::plan::Regions;
use remat_algorithms::predict::{Kind, Optimizer, Phase, Predictor, Scratch, Timeline};
use remat_graphs::{Graph, StorageKind, zoo};

mod regions;

fn bytes(graph: &Graph, kind: StorageKind) -> u64 {
    (0..graph.sizes().len() as u32).filter(|&s| graph.kind(s) == kind).map(|s| graph.size(s)).sum()
}

#[test]
fn kinds_add_up_and_the_largest_entry_is_the_predicted_peak() {
    for graph in zoo::names().map(|n| zoo::load(n).unwrap()) {
        let predictor = Predictor::new(&graph);
        let mut scratch = Scratch::default();
        let forward_kernels: usize = graph.operators().iter().map(|o| o.kernels.len()).sum();
        for (kind, segments) in regions::all(&graph) {
            let regions = Regions::resolve(&graph, &segments).unwrap();
            for optimizer in [None, Some(Optimizer::Sgd), Some(Optimizer::Adam), Some(Optimizer::AdamwForeach)] {
                let place = format!("{} {kind} {optimizer:?}", graph.name());
                let peaks = predictor.peaks(&regions, optimizer, &mut scratch);
                let timeline = Timeline::new(&predictor, &regions, optimizer, &mut scratch);
                assert_eq!(timeline, Timeline::new(&predictor, &regions, optimizer, &mut scratch), "{place}");
                for (i, e) in timeline.entries.iter().enumerate() {
                    assert_eq!(e.by_kind.sum(), e.live, "{place} entry {i}");
                    assert_eq!(e.by_kind.parameters, bytes(&graph, StorageKind::Param), "{place} entry {i}");
                    let outside = e.live - e.by_kind.inputs - e.by_kind.of(Kind::Gradients);
                    assert!(outside >= peaks.static_bytes, "{place} entry {i}");
                    let is_forward = e.when.phase == Phase::Forward;
                    assert!(!is_forward || e.by_kind.recomputed + e.by_kind.gradients == 0, "{place} entry {i}");
                }
                assert_eq!(timeline.peak().unwrap().live, peaks.peak, "{place}");
                let of = |phases: &[Phase]| {
                    let of_phases = timeline.entries.iter().filter(|e| phases.contains(&e.when.phase));
                    of_phases.map(|e| e.live).max()
                };
                assert_eq!(of(&[Phase::Forward]), Some(peaks.peak_forward), "{place}");
                assert_eq!(of(&[Phase::Recompute, Phase::Backward]), Some(peaks.peak_backward), "{place}");
                assert_eq!(of(&[Phase::Optimizer]), peaks.peak_optimizer.filter(|&p| p > 0), "{place}");

                let count = |phase| timeline.entries.iter().filter(|e| e.when.phase == phase).count();
                assert_eq!(count(Phase::Forward), forward_kernels, "{place}");
                assert_eq!(count(Phase::Backward), graph.backward().len(), "{place}");
                assert_eq!(count(Phase::Recompute) > 0, kind != "none", "{place}");
                let last = timeline.entries.last().unwrap();
                assert_eq!(last.by_kind.gradients, bytes(&graph, StorageKind::ParamGrad), "{place}");
                assert_eq!(last.by_kind.optimizer_states, optimizer.map_or(0, |o| o.state_bytes(&graph)), "{place}");
            }
        }
    }
}

#[test]
fn checkpointing_moves_bytes_from_saved_to_recomputed() {
    let graph = zoo::load("bert-base-b16-s256").unwrap();
    let predictor = Predictor::new(&graph);
    let mut scratch = Scratch::default();
    let mut saved = |segments| {
        let regions = Regions::resolve(&graph, segments).unwrap();
        let entries = Timeline::new(&predictor, &regions, None, &mut scratch).entries;
        let largest =
            |of: fn(&remat_algorithms::predict::ByKind) -> u64| entries.iter().map(|e| of(&e.by_kind)).max().unwrap();
        (largest(|k| k.saved), largest(|k| k.recomputed))
    };
    let plain = saved(&[]);
    let checkpointed = saved(&regions::uniform(&graph, 6));
    assert_eq!(plain.1, 0);
    assert!(3 * checkpointed.0 < plain.0 && checkpointed.1 > 0, "{plain:?} {checkpointed:?}");
    assert!(checkpointed.0 + checkpointed.1 < plain.0, "{plain:?} {checkpointed:?}");
}

#[test]
fn entries_are_flat_in_json() {
    let graph = zoo::load("resnet18-b64").unwrap();
    let timeline =
        Timeline::new(&Predictor::new(&graph), &Regions::default(), Some(Optimizer::Adam), &mut Scratch::default());
    let value = serde_json::to_value(&timeline).unwrap();
    let first = value["entries"][0].as_object().unwrap();
    let keys = [
        "buffers",
        "gradients",
        "inputs",
        "kernel",
        "live",
        "operator",
        "optimizer_states",
        "parameters",
        "phase",
        "recomputed",
        "saved",
        "temporaries",
    ];
    assert_eq!(first.keys().collect::<Vec<_>>(), keys);
    assert_eq!(first["phase"], "forward");
    assert_eq!(value["entries"].as_array().unwrap().last().unwrap()["phase"], "optimizer");
    assert_eq!(serde_json::from_value::<Timeline>(value).unwrap(), timeline);
}
