//! The chain of a graph, on a hand-made step with a view, a skip, a mask and a frozen stem.

use remat_graphs::{ChainOfGraph, CostModel, Graph, StorageKind, Trace};

/// `input -> a -> b (in place) -> c -> view -> d (reads c twice, and the mask) -> loss`.
fn graph() -> Graph {
    let text = r#"{
      "format": "trace/1", "name": "hand", "block": 512,
      "storages": [
        {"bytes": 1000, "kind": "input", "name": "x"},
        {"bytes": 100, "kind": "param", "name": "w"},
        {"bytes": 600, "kind": "activation"},
        {"bytes": 700, "kind": "activation"},
        {"bytes": 10, "kind": "activation"},
        {"bytes": 1200, "kind": "activation"},
        {"bytes": 4, "kind": "activation"},
        {"bytes": 100, "kind": "param_grad", "of": 1},
        {"bytes": 4, "kind": "gradient", "dies": 1},
        {"bytes": 99, "kind": "activation"}],
      "operators": [
        {"name": "mask", "op": "arange.default", "module": "", "kernels": [{"op": "arange.default", "reads": [], "writes": [4]}], "saves": []},
        {"name": "a", "op": "mm.default", "module": "stem.a", "kernels": [{"op": "mm.default", "reads": [0, 1], "writes": [2]}], "saves": [[0, 0]]},
        {"name": "b", "op": "relu_.default", "module": "stem.b", "kernels": [{"op": "relu_.default", "reads": [2], "writes": [], "mutates": [2]}], "saves": [[2, 1]]},
        {"name": "c", "op": "exp.default", "module": "body", "kernels": [{"op": "exp.default", "reads": [2], "writes": [3]}, {"op": "exp.default", "reads": [2], "writes": [9]}], "saves": [[3, 1]]},
        {"name": "v", "op": "view.default", "module": "", "kernels": [{"op": "view.default", "reads": [3], "writes": []}], "saves": []},
        {"name": "d", "op": "mul.Tensor", "module": "head", "kernels": [{"op": "mul.Tensor", "reads": [3, 4], "writes": [5]}], "saves": []},
        {"name": "loss", "op": "loss", "module": "", "kernels": [{"op": "sum.default", "reads": [5], "writes": [6]}], "saves": []}],
      "backward": [
        {"of": null, "op": "ones_like.default", "reads": [], "writes": [8]},
        {"of": 1, "op": "mm.default", "reads": [0, 8], "writes": [7]}]
    }"#;
    let trace: Trace = serde_json::from_str(text).expect("well-formed");
    Graph::new(trace).expect("valid")
}

#[test]
fn layers_end_where_one_storage_crosses() {
    let graph = graph();
    let chain = ChainOfGraph::of(&graph);
    // Cut 1 is crossed by the mask alone; cut 2 is unsafe (b changes a's result); cuts 4 and 5 carry the same storage.
    assert_eq!(chain.cuts, [0, 1, 3, 5, 6, 7]);
    assert!(chain.cuts[..5].iter().all(|&k| graph.is_safe_cut(k)));
    let names: Vec<&str> = chain.chain.layers.iter().filter_map(|l| l.name.as_deref()).collect();
    assert_eq!(names, ["input", "mask", "stem", "body..v", "head", "loss"]);
}

#[test]
fn bytes_count_each_saved_or_crossing_activation_once() {
    let graph = graph();
    let chain = ChainOfGraph::of(&graph);
    // Storage 9 is neither saved nor read; the loss value is neither, too.
    assert_eq!(chain.chain.sizes(), [1024, 512, 1024, 1024, 1536, 0]);
    assert_eq!(chain.handed_on, [1024, 512, 1024, 1024, 1536, 0]);
    chain.chain.validate().expect("a valid chain");
}

#[test]
fn checkpoints_become_regions_before_the_loss() {
    let chain = ChainOfGraph::of(&graph());
    assert_eq!(chain.regions(&[]), [(0, 6)]);
    assert_eq!(chain.regions(&[2]), [(0, 3), (3, 6)]);
    assert_eq!(chain.regions(&[0, 2, 4, 5, 99]), [(0, 3), (3, 6)]);
    assert_eq!(chain.regions(&[1, 2, 3, 4]), [(0, 1), (1, 3), (3, 5), (5, 6)]);
}

#[test]
fn times_of_layers_add_up_to_the_forward_pass() {
    let graph = remat_graphs::zoo::load("vgg16-b32").expect("a zoo entry");
    let model = CostModel::device("a100").expect("a known device");
    let chain = ChainOfGraph::of(&graph).timed(&graph, &model);
    chain.chain.validate().expect("valid times");
    let total: f64 = chain.chain.layers.iter().filter_map(|l| l.time).sum();
    assert!((total * 1e9 - model.forward_ns(&graph) as f64).abs() < 1.0);
}

#[test]
fn a_lone_loss_is_two_layers() {
    let text = r#"{"format": "trace/1", "name": "loss only", "block": 1, "storages": [], "backward": [],
      "operators": [{"name": "loss", "op": "loss", "kernels": [], "saves": []}]}"#;
    let trace: Trace = serde_json::from_str(text).expect("well-formed");
    let graph = Graph::new(trace).expect("valid");
    let chain = ChainOfGraph::of(&graph);
    assert_eq!(chain.cuts, [0, 1]);
    assert_eq!(chain.chain.sizes(), [0, 0]);
    assert_eq!(chain.regions(&[]), []);
    assert_eq!(graph.storages().iter().filter(|s| s.kind == StorageKind::Input).count(), 0);
}
