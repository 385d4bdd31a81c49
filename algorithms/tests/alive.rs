//! What is alive at a peak adds up to the peak, in every grouping.

use remat_algorithms::plan::Regions;
use remat_algorithms::predict::{
    AliveAtPeak, ByKind, Kind, Optimizer, PeakOf, Phase, Predictor, Scratch, Timeline, alive_at_peak,
};
use remat_graphs::{Graph, zoo};

mod regions;

fn assert_sums(graph: &Graph, alive: &AliveAtPeak, place: &str) {
    let sum = |bytes: &mut dyn Iterator<Item = u64>| bytes.sum::<u64>();
    assert_eq!(sum(&mut alive.storages.iter().map(|a| a.bytes)), alive.bytes, "{place}");
    assert_eq!(sum(&mut alive.by_module.iter().map(|m| m.bytes)), alive.bytes, "{place}");
    assert_eq!(sum(&mut alive.by_operator.iter().map(|o| o.bytes)), alive.bytes, "{place}");
    assert_eq!(alive.by_kind.sum(), alive.bytes, "{place}");
    for kind in Kind::ALL {
        let of_kind = alive.storages.iter().filter(|a| a.kind == kind);
        assert_eq!(sum(&mut of_kind.map(|a| a.bytes)), alive.by_kind.of(kind), "{place} {kind:?}");
    }
    assert!(alive.storages.is_sorted_by(|a, b| a.bytes > b.bytes
        || a.bytes == b.bytes
            && (a.storage.unwrap_or(u32::MAX), a.level, a.kind) < (b.storage.unwrap_or(u32::MAX), b.level, b.kind)));
    assert!(alive.by_module.is_sorted_by(|a, b| a.bytes > b.bytes || a.bytes == b.bytes && a.module < b.module));
    for o in alive.by_operator.iter().filter_map(|o| Some((o.operator?, &o.name))) {
        assert_eq!(o.1.as_deref(), Some(graph.operators()[o.0 as usize].name.as_str()), "{place}");
    }
}

#[test]
fn storages_modules_operators_and_kinds_add_up_to_every_peak() {
    for graph in zoo::names().map(|n| zoo::load(n).unwrap()) {
        let predictor = Predictor::new(&graph);
        let mut scratch = Scratch::default();
        for (kind, segments) in regions::all(&graph) {
            let regions = Regions::resolve(&graph, &segments).unwrap();
            for optimizer in [None, Some(Optimizer::SgdMomentum), Some(Optimizer::AdamForeach), Some(Optimizer::Adamw)]
            {
                let place = format!("{} {kind} {optimizer:?}", graph.name());
                let peaks = predictor.peaks(&regions, optimizer, &mut scratch);
                let timeline = Timeline::new(&predictor, &regions, optimizer, &mut scratch);
                let mut at = |peak| alive_at_peak(&predictor, &regions, optimizer, peak, &mut scratch);
                let expected = [
                    (PeakOf::Step, Some(peaks.peak)),
                    (PeakOf::Forward, Some(peaks.peak_forward)),
                    (PeakOf::Backward, Some(peaks.peak_backward)),
                    (PeakOf::Optimizer, peaks.peak_optimizer.filter(|&p| p > 0)),
                ];
                for (peak, bytes) in expected {
                    let alive = at(peak);
                    assert_eq!(alive.as_ref().map(|a| a.bytes), bytes, "{place} {peak:?}");
                    let Some(alive) = alive else { continue };
                    assert_sums(&graph, &alive, &format!("{place} {peak:?}"));
                    // The same moment in the timeline says the same.
                    let entry = timeline.entries.iter().find(|e| e.when == alive.when && e.live == alive.bytes);
                    assert_eq!(entry.map(|e| e.by_kind), Some(alive.by_kind), "{place} {peak:?}");
                    assert_eq!(Some(alive), at(peak), "{place} {peak:?}");
                }
            }
        }
    }
}

#[test]
fn the_step_peak_is_the_optimizer_s_where_its_temporaries_are_largest() {
    let graph = zoo::load("llama-1b-b2-s1024-bf16").unwrap();
    let predictor = Predictor::new(&graph);
    let regions = Regions::resolve(&graph, &regions::uniform(&graph, 16)).unwrap();
    let mut scratch = Scratch::default();
    let optimizer = Some(Optimizer::AdamwForeach);
    let alive = alive_at_peak(&predictor, &regions, optimizer, PeakOf::Step, &mut scratch).unwrap();
    assert_eq!(alive.when.phase, Phase::Optimizer);
    assert_eq!((alive.by_kind.saved, alive.by_kind.recomputed), (0, 0));
    let trainable = alive.by_kind.gradients;
    assert_eq!(alive.by_kind.temporaries, trainable);
    assert_eq!(alive.by_kind.optimizer_states, 2 * trainable + 512 * 146);
    assert_eq!(alive.storages[0].storage, None);
}

#[test]
fn storages_tell_what_they_are() {
    let graph = zoo::load("resnet18-b64").unwrap();
    let predictor = Predictor::new(&graph);
    let mut scratch = Scratch::default();
    let regions = Regions::resolve(&graph, &regions::uniform(&graph, 4)).unwrap();
    let alive = alive_at_peak(&predictor, &regions, Some(Optimizer::Adam), PeakOf::Backward, &mut scratch).unwrap();
    let of = |kind: Kind, name: &str| {
        let found = alive.storages.iter().filter(|a| a.kind == kind && a.name.as_deref() == Some(name));
        found.map(|a| (a.module.as_str(), a.level)).collect::<Vec<_>>()
    };
    assert_eq!(of(Kind::Parameters, "layer4.1.conv2.weight"), [("layer4.1.conv2", 0)]);
    assert_eq!(of(Kind::OptimizerStates, "layer4.1.conv2.weight"), [("layer4.1.conv2", 0)]);
    assert_eq!(of(Kind::Gradients, "layer4.1.conv2.weight"), [("layer4.1.conv2", 0)]);
    assert_eq!(of(Kind::Buffers, "bn1.running_mean"), [("bn1", 0)]);
    let recomputed: Vec<_> = alive.storages.iter().filter(|a| a.kind == Kind::Recomputed).collect();
    assert!(!recomputed.is_empty());
    for a in recomputed {
        assert!(a.level == 1 && a.operator.is_some_and(|o| o < graph.loss()) && a.name.is_none());
    }
    assert_ne!(alive.by_kind, ByKind::default());
    let value = serde_json::to_value(&alive).unwrap();
    assert_eq!(serde_json::from_value::<AliveAtPeak>(value).unwrap(), alive);
}
