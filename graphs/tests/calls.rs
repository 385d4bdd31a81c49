//! Which module calls can be one region.
#![expect(clippy::unwrap_used, reason = "tests")]

use remat_graphs::{Graph, Kernel, ModuleCall, ModuleRegions, Operator, Returned, Storage, StorageKind, Trace, zoo};

/// A chain of operators in the given modules: operator i reads what operator i - 1 wrote, and `extra` names more reads
/// `(operator, storage)`. Storage 0 is the input, operator i writes storage i + 1; the last operator is the loss.
fn chain(modules: &[&str], extra: &[(usize, u32)]) -> Trace {
    let storage = |kind| Storage { bytes: 512, kind, name: None, of: None, dies: None };
    let kernel = |i: usize| {
        let more = extra.iter().filter(|e| e.0 == i).map(|e| e.1);
        Kernel {
            op: "mul.Tensor".into(),
            reads: [i as u32].into_iter().chain(more).collect(),
            writes: vec![i as u32 + 1],
            mutates: Vec::new(),
            flops: 1,
            bytes: 1,
            dtype: None,
            ns: None,
        }
    };
    let operator = |(i, module): (usize, &&str)| Operator {
        name: format!("mul_{i}"),
        op: "mul".into(),
        module: (*module).into(),
        random: false,
        kernels: vec![kernel(i)],
        saves: vec![(i as u32, 0)],
    };
    let kinds = (0..=modules.len()).map(|i| if i == 0 { StorageKind::Input } else { StorageKind::Activation });
    Trace {
        format: "trace/1".into(),
        name: "chain".into(),
        device: "cpu".into(),
        autocast: None,
        torch: "2".into(),
        block: 512,
        storages: kinds.map(storage).collect(),
        operators: modules.iter().enumerate().map(operator).collect(),
        backward: Vec::new(),
        modules: None,
        outputs: Vec::new(),
    }
}

fn found(trace: Trace) -> Vec<String> {
    let graph = Graph::new(trace).unwrap();
    let regions = ModuleRegions::of(&graph);
    regions.ranges().map(|(a, b)| regions.get(a, b).unwrap().modules.join("+")).collect()
}

#[test]
fn siblings_in_a_row_are_one_region() {
    assert_eq!(found(chain(&["a", "b", "c", ""], &[])), ["a", "a+b", "a+b+c", "b", "b+c", "c"]);
}

#[test]
fn an_operator_between_siblings_parts_them() {
    assert_eq!(found(chain(&["a", "", "b", ""], &[])), ["a", "b"]);
}

#[test]
fn modules_of_different_parents_are_no_run() {
    assert_eq!(found(chain(&["x.a", "y.b", ""], &[])), ["x", "x+y", "y"]);
    assert_eq!(found(chain(&["", "x.a", "x.b", "c", ""], &[])), ["x.a", "x", "x+c", "x.b", "c"]);
}

#[test]
fn a_module_that_is_called_twice_is_in_no_region() {
    assert_eq!(found(chain(&["a", "act", "b", "act", ""], &[])), ["a", "b"]);
}

#[test]
fn what_is_read_behind_a_run_must_be_returned_by_its_last_call() {
    // The result of a (storage 1) is also read by operator 2: within a+b+c, behind a+b.
    assert_eq!(found(chain(&["a", "b", "c", ""], &[(2, 1)])), ["a", "a+b+c", "b", "b+c", "c"]);
    assert_eq!(found(chain(&["a", "b", "c", ""], &[(3, 1)])), ["a", "b", "b+c", "c"]);
}

#[test]
fn the_loss_is_in_no_region() {
    assert_eq!(found(chain(&["a", "head", "head"], &[])), ["a"]);
}

#[test]
fn recorded_calls_say_what_they_return() {
    let tuple: Returned = serde_json::from_str(r#"["tensor", null]"#).unwrap();
    let one: Returned = serde_json::from_str(r#""tensor""#).unwrap();
    let call = |path: &str, i: u32, result: Option<&Returned>| ModuleCall {
        returns: Some(vec![i + 1]),
        result: result.cloned(),
        ..ModuleCall::new(path, i, i + 1)
    };
    let mut trace = chain(&["a", "b", "c", ""], &[]);
    trace.modules = Some(vec![call("a", 0, Some(&tuple)), call("b", 1, Some(&one)), call("c", 2, None)]);
    let graph = Graph::new(trace.clone()).unwrap();
    assert_eq!(ModuleRegions::of(&graph).get(0, 3).unwrap().results, [Some(&tuple), Some(&one)]);
    // Nobody can stand in for what b returns.
    trace.modules.as_mut().unwrap()[1].result = None;
    assert_eq!(found(trace.clone()), ["a", "a+b", "b", "c"]);
    trace.modules.as_mut().unwrap()[0].stateful = true;
    assert_eq!(found(trace), ["b", "c"]);
}

#[test]
fn variables_of_the_code_do_not_part_siblings() {
    let mut trace = chain(&["a", "", "b", ""], &[]);
    // Operator 1 only holds what a returned.
    trace.operators[1].op = "hold".into();
    trace.operators[1].saves.clear();
    trace.operators[1].kernels[0].writes.clear();
    // Then nobody makes storage 2.
    trace.storages[2].kind = StorageKind::Constant;
    trace.operators[2].kernels[0].reads = vec![1];
    trace.operators[2].saves = vec![(1, 0)];
    let call = |path: &str, i: u32| ModuleCall::new(path, i, i + 1);
    trace.modules = Some(vec![call("a", 0), call("b", 2)]);
    assert_eq!(found(trace), ["a", "a+b", "b"]);
}

#[test]
fn regions_of_the_zoo_are_safe_and_found_again() {
    for name in ["resnet18-b64", "gpt2-b8-s512", "t5-small-b8-s256"] {
        let graph = zoo::load(name).unwrap();
        let regions = ModuleRegions::of(&graph);
        assert!(regions.ranges().count() > 20, "{name}");
        for (start, end) in regions.ranges() {
            assert!(graph.is_safe_cut(start) && graph.is_safe_cut(end) && start < end && end <= graph.loss(), "{name}");
            let region = regions.get(start, end).unwrap();
            assert!(!region.modules.is_empty() && region.results.is_empty(), "{name}: {region:?}");
        }
    }
    let graph = zoo::load("resnet18-b64").unwrap();
    let regions = ModuleRegions::of(&graph);
    // Both activations of a block are one module.
    assert!(regions.ranges().all(|(a, b)| !regions.get(a, b).unwrap().modules.contains(&"layer1.0.relu")));
}
