//! Synthetic steps are valid, deterministic and as rich as promised.

use std::collections::BTreeSet;

use remat_graphs::synthetic::{self, Choices, Features, Transformer};
use remat_graphs::{ChainOfGraph, Graph, StorageKind, Trace};

fn check(trace: Trace) -> Graph {
    let name = trace.name.clone();
    // Validation knows nothing of lifetimes that are merely too short; a gradient must live while it is read.
    for (b, kernel) in trace.backward.iter().enumerate() {
        for &s in kernel.reads.iter().chain(&kernel.writes) {
            let storage = &trace.storages[s as usize];
            if storage.kind == StorageKind::Gradient {
                assert!(storage.dies.is_some_and(|d| d as usize >= b), "{name}: storage {s} dies before backward[{b}]");
            }
        }
    }
    let graph = Graph::new(trace).unwrap_or_else(|e| panic!("{name}: {e}"));
    let text = serde_json::to_vec(graph.trace()).expect("JSON");
    assert_eq!(&serde_json::from_slice::<Trace>(&text).expect("the same trace"), graph.trace(), "{name}");
    graph
}

#[test]
fn networks_are_valid_at_all_sizes() {
    for seed in 0..6 {
        for size in [0, 1, 2, 7, 40] {
            check(synthetic::chain(seed, size));
            check(synthetic::residual(seed, size));
            check(synthetic::unet(seed, size.min(12)));
            check(synthetic::transformer(seed, size));
            check(synthetic::layered(seed, size, 5));
        }
    }
}

#[test]
fn every_tiny_graph_is_valid_and_small() {
    let mut sizes = BTreeSet::new();
    for seed in 0..3000 {
        let graph = check(synthetic::tiny(seed));
        sizes.insert(graph.operators().len());
        assert!(!graph.backward().is_empty());
    }
    assert_eq!(sizes, (5..=13).collect());
}

#[test]
fn bytes_of_a_fuzzer_make_valid_graphs() {
    let mut bytes = vec![0u8; 400];
    for round in 0..200u32 {
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = b.wrapping_mul(31).wrapping_add((round as u8).wrapping_mul(i as u8 | 1)).wrapping_add(round as u8);
        }
        check(synthetic::random::tiny_from(&mut Choices::from_bytes(&bytes[..(round as usize * 2)])));
    }
    check(synthetic::random::tiny_from(&mut Choices::from_bytes(&[0; 100])));
    check(synthetic::random::tiny_from(&mut Choices::from_bytes(&[255; 300])));
}

#[test]
fn the_same_seed_makes_the_same_graph() {
    for seed in [0, 1, 99] {
        assert_eq!(synthetic::tiny(seed), synthetic::tiny(seed));
        assert_eq!(synthetic::layered(seed, 300, 9), synthetic::layered(seed, 300, 9));
    }
    // A fingerprint of one graph pins the sequence of choices across platforms and versions.
    let trace = synthetic::tiny(7);
    let ops: Vec<&str> = trace.operators.iter().map(|o| o.name.as_str()).collect();
    let names = ["linear", "dropout", "dropout_1", "relu", "relu_1", "dropout_2", "linear_1", "cross_entropy", "loss"];
    assert_eq!(ops, names);
    assert_eq!(trace.backward.len(), 14);
}

#[test]
fn tiny_graphs_cover_the_odd_features() {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for seed in 0..300 {
        let graph = Graph::new(synthetic::tiny(seed)).expect("valid");
        let trace = graph.trace();
        let mut see = |what, found: bool| {
            if found {
                seen.insert(what);
            }
        };
        see("unsafe cut", (0..=graph.loss()).any(|k| !graph.is_safe_cut(k)));
        see("no kernels", trace.operators.iter().any(|o| o.kernels.is_empty()));
        see("many kernels", trace.operators.iter().any(|o| o.kernels.len() > 2));
        see("saves nothing", trace.operators.iter().any(|o| o.saves.is_empty()));
        see("random", trace.operators.iter().any(|o| o.random));
        see("random, unsaved", trace.operators.iter().any(|o| o.random && o.saves.is_empty()));
        let mut savers = vec![0; trace.storages.len()];
        for o in &trace.operators {
            let saved: BTreeSet<u32> = o.saves.iter().map(|s| s.0).collect();
            for &s in &saved {
                savers[s as usize] += 1;
            }
        }
        see(
            "saved twice",
            savers.iter().zip(&trace.storages).any(|(&n, s)| n > 1 && s.kind == StorageKind::Activation),
        );
        see(
            "last save is an input",
            trace.operators.iter().any(|o| {
                !o.saves.is_empty() && !o.kernels.is_empty() && o.saves.iter().all(|s| (s.1 as usize) < o.kernels.len())
            }),
        );
        let with_backward: BTreeSet<Option<u32>> = trace.backward.iter().map(|b| b.of).collect();
        see(
            "saves without backward",
            trace
                .operators
                .iter()
                .enumerate()
                .any(|(o, op)| !op.saves.is_empty() && !with_backward.contains(&Some(o as u32))),
        );
        see(
            "frozen",
            trace
                .storages
                .iter()
                .enumerate()
                .any(|(i, s)| s.kind == StorageKind::Param && !graph.is_trainable(i as u32)),
        );
        see("empty", trace.storages.iter().any(|s| s.bytes == 0));
        see("autocast", trace.autocast.is_some());
        see("modules", trace.modules.is_some());
        see("outputs", !trace.outputs.is_empty());
        see("times", trace.backward.iter().any(|k| k.ns.is_some()));
        let mut nodes = graph.nodes().windows(2).filter(|pair| pair[0].of.is_some() && pair[0].of == pair[1].of);
        see("recomputed between nodes", nodes.any(|pair| pair[0].needs.is_empty() && !pair[1].needs.is_empty()));
        see("summed gradients", trace.backward.iter().any(|k| k.op == "add.Tensor"));
        see(
            "unread",
            (0..trace.storages.len() as u32).any(|s| graph.producer(s).is_some() && graph.last_reader(s).is_none()),
        );
        see("block of one", trace.block == 1);
    }
    let all: BTreeSet<&str> = [
        "autocast",
        "block of one",
        "empty",
        "frozen",
        "last save is an input",
        "many kernels",
        "modules",
        "no kernels",
        "outputs",
        "random",
        "random, unsaved",
        "recomputed between nodes",
        "saved twice",
        "saves nothing",
        "saves without backward",
        "summed gradients",
        "times",
        "unread",
        "unsafe cut",
    ]
    .into();
    assert_eq!(seen, all);
}

#[test]
fn a_transformer_has_the_operators_asked_for() {
    let graph = check(Transformer::with_operators(10_000).trace());
    assert!((9_800..=10_000).contains(&graph.operators().len()), "{}", graph.operators().len());
    let reduced = ChainOfGraph::of(&graph);
    // Two residual additions per block at the least.
    assert!(reduced.cuts.len() > 2 * 10_000 / 22, "{}", reduced.cuts.len());
    let lora = check(Transformer { lora: true, layers: 4, ..Transformer::default() }.trace());
    let trainable = (0..lora.storages().len() as u32).filter(|&s| lora.is_trainable(s)).count();
    assert_eq!(trainable, 4 * 2 * 2 + 1);
    let tied = check(Transformer { tied: true, autocast: true, layers: 2, ..Transformer::default() }.trace());
    let parameters = tied.storages().iter().filter(|s| s.kind == StorageKind::Param).count();
    let gradients = tied.storages().iter().filter(|s| s.kind == StorageKind::ParamGrad).count();
    assert_eq!(parameters, gradients);
}

#[test]
fn features_are_obeyed() {
    let plain = Features { operators: 200, in_place: 0, dropout: 0, frozen: 0, odd: 0, ..Features::default() };
    let graph = check(synthetic::random(&mut Choices::seeded(3), &plain));
    assert_eq!(graph.operators().len(), 200);
    assert!(graph.operators().iter().all(|o| !o.random));
    assert_eq!(graph.safe_cuts().count(), 200);
}
