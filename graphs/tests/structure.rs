//! DAG, liveness, cuts, modules and drawings agree with the trace they are read off.

use std::collections::BTreeSet;

use petgraph::visit::EdgeRef;
use remat_graphs::cuts::Crossings;
use remat_graphs::dag::{Relation, Vertex};
use remat_graphs::dot::{Drawing, dot};
use remat_graphs::{Dag, Graph, Liveness, ModuleCall, ModuleTree, StorageKind, synthetic, zoo};

fn graphs() -> Vec<Graph> {
    let mut graphs: Vec<Graph> = zoo::names().map(|name| zoo::load(name).expect("a zoo entry")).collect();
    graphs.extend((0..200).map(|seed| Graph::new(synthetic::tiny(seed)).expect("valid")));
    graphs.extend((0..4).map(|seed| Graph::new(synthetic::layered(seed, 150, 6)).expect("valid")));
    graphs
}

#[test]
fn edges_lead_forward_and_carry_what_crosses() {
    for graph in graphs() {
        let dag = Dag::of(&graph);
        assert_eq!(dag.graph.node_count(), graph.operators().len() + graph.nodes().len());
        assert!(dag.graph.edge_references().all(|e| e.source() < e.target()), "{}", graph.name());
        assert_eq!(dag.graph[dag.operator(graph.loss())], Vertex::Loss(graph.loss()));
        if !graph.trace().outputs.is_empty() {
            continue;
        }
        let crossings = Crossings::of(&graph);
        let mut by_cut: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); graph.loss() as usize + 1];
        for edge in dag.graph.edge_references().filter(|e| e.weight().relation == Relation::Data) {
            let (source, target) = (edge.source().index() as u32, edge.target().index() as u32);
            if target <= graph.loss() {
                let made_inside = edge.weight().storages.iter().filter(|&&s| graph.kind(s) == StorageKind::Activation);
                for &s in made_inside {
                    for k in source + 1..=target {
                        by_cut[k as usize].insert(s);
                    }
                }
            }
        }
        for (k, storages) in by_cut.iter().enumerate() {
            let crossing: BTreeSet<u32> = crossings.at(k as u32).iter().copied().collect();
            assert_eq!(storages, &crossing, "{} at cut {k}", graph.name());
        }
    }
}

#[test]
fn saved_edges_are_what_nodes_need() {
    for graph in graphs() {
        let dag = Dag::of(&graph);
        for (i, node) in graph.nodes().iter().enumerate() {
            let saved: Vec<_> = dag
                .graph
                .edges_directed(dag.node(i as u32), petgraph::Direction::Incoming)
                .filter(|e| e.weight().relation == Relation::Saved)
                .collect();
            match (node.of, &saved[..]) {
                (Some(of), [edge]) => {
                    assert_eq!(edge.source(), dag.operator(of));
                    assert_eq!(edge.weight().storages, node.needs);
                }
                (_, []) => assert!(node.needs.is_empty()),
                _ => panic!("{}: node {i} has {} saved edges", graph.name(), saved.len()),
            }
        }
    }
}

#[test]
fn what_changes_in_place_waits_for_earlier_readers() {
    // x -> a; b = read(a); relu_(a); the reader must come first.
    let mut r = synthetic::Recorder::new("order", 1);
    let (x, targets) = (r.input("x", 8), r.input("t", 8));
    let a = r.linear(x, 8, 0, 8);
    let b = r.resample(a, 8);
    let a = r.relu_in_place(a);
    let sum = r.add(a, b);
    let graph = Graph::new(r.finish(sum, targets)).expect("valid");
    let dag = Dag::of(&graph);
    let order: Vec<(usize, usize)> = dag
        .graph
        .edge_references()
        .filter(|e| e.weight().relation == Relation::Order)
        .map(|e| (e.source().index(), e.target().index()))
        .collect();
    assert_eq!(order, [(1, 2)]);
}

#[test]
fn held_bytes_are_saved_or_still_to_be_read() {
    for graph in graphs() {
        let liveness = Liveness::of(&graph);
        for k in (0..=graph.loss() + 1).step_by(graph.operators().len() / 11 + 1) {
            let is_held = |s: u32| {
                let made = graph.producer(s).is_some_and(|p| p < k);
                let read = graph.last_reader(s).is_some_and(|r| r >= k);
                let saved = graph.operators().iter().any(|o| o.saves.iter().any(|x| x.0 == s));
                made && (read || saved)
            };
            let naive: u64 = (0..graph.storages().len() as u32).filter(|&s| is_held(s)).map(|s| graph.size(s)).sum();
            assert_eq!(liveness.held(k), naive, "{} at cut {k}", graph.name());
        }
        for s in 0..graph.storages().len() as u32 {
            let last = graph.nodes().iter().rposition(|n| n.frees.contains(&s)).map(|i| i as u32);
            match liveness.lifetime(s) {
                Some(l) => assert_eq!((l.freed, Some(l.made)), (last, graph.producer(s))),
                None => assert_ne!(graph.kind(s), StorageKind::Activation),
            }
        }
    }
}

#[test]
fn calls_nest_and_hold_their_operators() {
    for graph in graphs() {
        let tree = ModuleTree::of(&graph);
        let calls = tree.calls();
        assert_eq!((calls[0].start, calls[0].end), (0, graph.loss() + 1));
        for (i, call) in calls.iter().enumerate() {
            assert!(call.start < call.end, "{}", graph.name());
            let mut at = call.start;
            for &inner in &call.inner {
                let inner = &calls[inner as usize];
                assert!(at <= inner.start && inner.end <= call.end, "{}", graph.name());
                assert_eq!((inner.parent, inner.depth), (Some(i as u32), call.depth + 1));
                at = inner.end;
            }
            if graph.trace().modules.is_none() {
                let path = tree.path(&graph, i as u32);
                let inside = |o: u32| graph.operators()[o as usize].module.starts_with(path);
                assert!((call.start..call.end).all(inside), "{}: {path}", graph.name());
            }
        }
        assert!(tree.boundaries(&graph, 3).iter().all(|&k| graph.is_safe_cut(k)));
    }
}

#[test]
fn recorded_calls_make_the_tree_they_were_read_off() {
    for name in ["resnet18-b64", "gpt2-b8-s512", "t5-small-b8-s256"] {
        let graph = zoo::load(name).expect("a zoo entry");
        let tree = ModuleTree::of(&graph);
        let mut trace = graph.trace().clone();
        let calls = tree.calls().iter().enumerate().rev();
        trace.modules =
            Some(calls.map(|(i, c)| ModuleCall::new(tree.path(&graph, i as u32), c.start, c.end)).collect());
        let recorded = Graph::new(trace).expect("valid");
        let again = ModuleTree::of(&recorded);
        assert_eq!(again.calls().len(), tree.calls().len());
        for (i, (a, b)) in tree.calls().iter().zip(again.calls()).enumerate() {
            assert_eq!((a.start, a.end, a.depth, a.parent), (b.start, b.end, b.depth, b.parent), "{name}");
            assert_eq!(tree.path(&graph, i as u32), again.path(&recorded, i as u32), "{name}");
        }
    }
}

#[test]
fn a_resnet_is_made_of_its_stages() {
    let graph = zoo::load("resnet18-b64").expect("a zoo entry");
    let tree = ModuleTree::of(&graph);
    let paths: Vec<&str> = tree.at_depth(1).map(|c| tree.path(&graph, c)).collect();
    assert_eq!(paths, ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"]);
    let blocks: Vec<&str> = tree.at_depth(2).map(|c| tree.path(&graph, c)).filter(|p| p.starts_with("layer")).collect();
    assert_eq!(blocks.len(), 8);
    // Batch norm and the rectifier after it change in place: no boundary between them.
    let boundaries = tree.boundaries(&graph, 1);
    assert!(boundaries.len() >= 8, "{boundaries:?}");
}

#[test]
fn hostile_module_paths_stay_bounded() {
    let mut trace = synthetic::tiny(0);
    trace.modules = None;
    for (o, operator) in trace.operators.iter_mut().enumerate() {
        operator.module = match o % 4 {
            0 => "a.".repeat(100_000),
            1 => "..".into(),
            2 => format!("a.a.\u{e9}.{o}"),
            _ => ".".repeat(70_000),
        };
    }
    let graph = Graph::new(trace).expect("valid");
    let tree = ModuleTree::of(&graph);
    assert!(tree.calls().len() < 1000);
    assert!((0..tree.calls().len() as u32).all(|c| tree.path(&graph, c).len() <= 200_000));
}

#[test]
fn drawings_are_well_formed_and_complete() {
    for graph in graphs().iter().step_by(5) {
        for drawing in [Drawing::default(), Drawing { backward: true, depth: 2 }, Drawing { backward: false, depth: 0 }]
        {
            let text = dot(graph, drawing);
            let is_edge = |l: &&str| l.contains(" -> ");
            let edges = text.lines().filter(is_edge).count();
            let boxes = text.lines().filter(|l| l.trim_start().starts_with('f') && !is_edge(l)).count();
            assert_eq!(boxes, graph.operators().len());
            assert!(edges > 0);
            assert_eq!(text.matches('{').count(), text.matches('}').count());
            assert!(text.lines().all(|l| l.replace("\\\"", "").matches('"').count() % 2 == 0));
            assert_eq!(text, dot(graph, drawing));
        }
    }
}

#[test]
fn a_small_drawing() {
    let mut r = synthetic::Recorder::new("two \"layers\"", 512);
    let (x, targets) = (r.input("x", 512), r.input("t", 512));
    let y = r.module("body.0", |r| r.linear(x, 512, 0, 1536));
    let y = r.module("body.1", |r| r.dropout(y));
    let graph = Graph::new(r.finish(y, targets)).expect("valid");
    assert_eq!(
        dot(&graph, Drawing { backward: true, depth: 1 }),
        r##"digraph "two \"layers\"" {
  rankdir=TB; newrank=true; fontname="sans-serif";
  node [shape=box, style=filled, fillcolor=white, fontname="sans-serif", fontsize=10];
  edge [fontname="sans-serif", fontsize=8, color="#555555"];
  subgraph cluster_0 {
    label="body"; style="rounded,filled"; color="#bbbbbb"; fillcolor="#f4f6fa";
    f0 [label="0 linear\nbody.0", fillcolor="white"];
    f1 [label="1 dropout\nbody.1", fillcolor="#fdf0c8"];
  }
  f2 [label="2 loss", fillcolor="#f6d5d5"];
  b0 [label="ones_like.default", fillcolor="#e4e4e4", color="#999999"];
  b1 [label="NllLossBackward0", fillcolor="#e4e4e4", color="#999999"];
  b2 [label="LogSoftmaxBackward0", fillcolor="#e4e4e4", color="#999999"];
  b3 [label="NativeDropoutBackward0", fillcolor="#e4e4e4", color="#999999"];
  b4 [label="AddmmBackward0", fillcolor="#e4e4e4", color="#999999"];
  b5 [label="AccumulateGrad", fillcolor="#e4e4e4", color="#999999"];
  f0 -> f1 [label="3 (1.5 KiB)"];
  f1 -> f2 [label="4 (1.5 KiB)"];
  f2 -> b0 [label="7 (512 B)"];
  f2 -> b1 [label="1, 6, 8 (2.5 KiB)", style=dashed, color="#3366aa", constraint=false];
  b0 -> b1 [label="9 (512 B)"];
  f2 -> b2 [label="6 (1.5 KiB)", style=dashed, color="#3366aa", constraint=false];
  b1 -> b2 [label="10 (1.5 KiB)"];
  f1 -> b3 [label="5 (512 B)", style=dashed, color="#3366aa", constraint=false];
  b2 -> b3 [label="11 (1.5 KiB)"];
  f0 -> b4 [label="0 (512 B)", style=dashed, color="#3366aa", constraint=false];
  b3 -> b4 [label="12 (1.5 KiB)"];
  b4 -> b5 [label="13 (512 B)"];
}
"##
    );
}

#[test]
fn whole_calls_within_a_range() {
    let graph = zoo::load("resnet18-b64").unwrap();
    let tree = ModuleTree::of(&graph);
    let paths = |start, end| tree.within(start, end).into_iter().map(|c| tree.path(&graph, c)).collect::<Vec<_>>();
    let calls: Vec<_> = tree.at_depth(1).collect();
    assert_eq!(paths(0, graph.loss() + 1), calls.iter().map(|&c| tree.path(&graph, c)).collect::<Vec<_>>());
    // A call as a whole, then all of it but its first operator.
    let layer = tree.calls().iter().find(|c| c.end - c.start > 10 && c.depth == 1).unwrap();
    assert_eq!(paths(layer.start, layer.end).len(), 1);
    let inner = paths(layer.start + 1, layer.end);
    assert!(inner.len() > 1 && inner.iter().all(|p| p.contains('.')), "{inner:?}");
    assert_eq!(paths(layer.start, layer.start), [""; 0]);
}
