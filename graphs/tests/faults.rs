//! Every kind of fault is found, with its place, and all of them at once.

use remat_graphs::read::{self, Document};
use remat_graphs::{Chain, LoadError};
use serde_json::{Value, json};

/// A valid step: `x -> a (saved) -> view -> loss`, with a parameter.
fn valid() -> Value {
    json!({
        "format": "trace/1", "name": "small", "block": 512,
        "storages": [
            {"bytes": 1000, "kind": "input"},
            {"bytes": 100, "kind": "param"},
            {"bytes": 600, "kind": "activation"},
            {"bytes": 4, "kind": "activation"},
            {"bytes": 100, "kind": "param_grad", "of": 1},
            {"bytes": 4, "kind": "gradient", "dies": 1}],
        "operators": [
            {"name": "a", "op": "mm.default", "kernels": [{"op": "mm.default", "reads": [0, 1], "writes": [2]}],
             "saves": [[0, 0], [2, 1]]},
            {"name": "v", "op": "view.default", "kernels": [{"op": "view.default", "reads": [2], "writes": []}], "saves": []},
            {"name": "loss", "op": "loss", "kernels": [{"op": "sum.default", "reads": [2], "writes": [3]}], "saves": []}],
        "backward": [
            {"of": null, "op": "ones_like.default", "reads": [], "writes": [5]},
            {"of": 0, "op": "mm.default", "reads": [0, 2, 5], "writes": [4]}]
    })
}

/// Faults of the valid step after an edit, as `path: message` lines.
fn faults(edit: impl FnOnce(&mut Value)) -> String {
    let mut document = valid();
    edit(&mut document);
    match read::parse(document.to_string().as_bytes(), "t") {
        Err(LoadError::Invalid { faults, .. }) => faults.to_string(),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("no fault found"),
    }
}

#[test]
fn the_step_itself_is_valid() {
    assert!(matches!(read::parse(valid().to_string().as_bytes(), "t"), Ok(Document::Graph(_))));
}

#[test]
fn unknown_fields_are_ignored() {
    let mut document = valid();
    document["note"] = json!({"deep": [1, {"er": null}]});
    document["operators"][0]["stream"] = json!(7);
    assert!(read::parse(document.to_string().as_bytes(), "t").is_ok());
}

#[test]
fn indices_out_of_range() {
    assert_eq!(
        faults(|d| d["operators"][0]["kernels"][0]["reads"][1] = json!(99)),
        "operators[0].kernels[0].reads[1]: storage 99 is out of range: there are 6 storages"
    );
    assert_eq!(
        faults(|d| d["operators"][1]["kernels"][0]["mutates"] = json!([4_294_967_295u32])),
        "operators[1].kernels[0].mutates[0]: storage 4294967295 is out of range: there are 6 storages"
    );
    assert_eq!(
        faults(|d| d["operators"][1]["saves"] = json!([[6, 0]])),
        "operators[1].saves[0]: storage 6 is out of range: there are 6 storages"
    );
    assert_eq!(
        faults(|d| d["backward"][1]["writes"] = json!([4, 7])),
        "backward[1].writes[1]: storage 7 is out of range: there are 6 storages"
    );
    assert_eq!(
        faults(|d| d["backward"][0]["of"] = json!(3)),
        "backward[0].of: operator 3 is out of range: there are 3 operators"
    );
    assert_eq!(
        faults(|d| d["storages"][5]["dies"] = json!(2)),
        "storages[5].dies: 2 is out of range: there are 2 backward kernels"
    );
    assert_eq!(faults(|d| d["outputs"] = json!([8])), "outputs[0]: storage 8 is out of range: there are 6 storages");
}

#[test]
fn written_twice() {
    assert_eq!(
        faults(|d| d["operators"][1]["kernels"][0]["writes"] = json!([2])),
        "operators[1].kernels[0].writes[0]: storage 2 is written twice"
    );
    assert_eq!(
        faults(|d| d["backward"][1]["writes"] = json!([4, 4])),
        "backward[1].writes[1]: storage 4 is written twice"
    );
}

#[test]
fn written_by_the_wrong_pass_or_never() {
    assert_eq!(
        faults(|d| d["operators"][1]["kernels"][0]["writes"] = json!([1])),
        "operators[1].kernels[0].writes[0]: storage 1 is of kind param, which the forward pass cannot allocate"
    );
    assert_eq!(
        faults(|d| {
            d["storages"].as_array_mut().expect("a list").push(json!({"bytes": 1, "kind": "activation"}));
            d["backward"][1]["writes"] = json!([4, 6]);
        }),
        "storages[6]: is an activation that no operator writes\n\
         backward[1].writes[1]: storage 6 is of kind activation, which the backward pass cannot allocate"
    );
    assert_eq!(
        faults(|d| d["backward"][1]["writes"] = json!([])),
        "storages[4]: is a param_grad that no backward kernel writes"
    );
}

#[test]
fn read_before_it_is_written() {
    assert_eq!(
        faults(|d| d["operators"][0]["kernels"][0]["reads"] = json!([0, 1, 3])),
        "operators[0].kernels[0].reads[2]: storage 3 is read before any kernel has written it\n\
         operators[0].kernels[0]: a cycle: 2 kernels need each other's results: operators[0].kernels[0], \
         operators[2].kernels[0]"
    );
    assert_eq!(
        faults(|d| d["operators"][0]["kernels"][0]["reads"] = json!([2])),
        "operators[0].kernels[0].reads[0]: storage 2 is read before any kernel has written it\n\
         operators[0].kernels[0]: a cycle: the kernel reads what it writes itself"
    );
    // Merely out of order: the view comes first.
    assert_eq!(
        faults(|d| d["operators"].as_array_mut().expect("a list").swap(0, 1)),
        "operators[0].kernels[0].reads[0]: storage 2 is read before any kernel has written it\n\
         backward[1].reads[1]: storage 2 was not saved by operator 0 (v), whose gradient this kernel computes"
    );
}

#[test]
fn cycles_of_the_backward_pass() {
    let message = faults(|d| {
        d["storages"].as_array_mut().expect("a list").push(json!({"bytes": 4, "kind": "gradient", "dies": 1}));
        d["backward"][0]["reads"] = json!([6]);
        d["backward"][1]["writes"] = json!([4, 6]);
    });
    assert_eq!(
        message,
        "backward[0].reads[0]: storage 6 is read before any kernel has written it\n\
         backward[0]: a cycle: 2 kernels need each other's results: backward[0], backward[1]"
    );
}

#[test]
fn saves_out_of_order() {
    assert_eq!(
        faults(|d| d["operators"][0]["saves"] = json!([[2, 0], [0, 0], [2, 5]])),
        "operators[0].saves[0]: storage 2 is saved after 0 kernels, before any kernel has written it\n\
         operators[0].saves[2]: is saved after 5 kernels, but the operator has 1"
    );
}

#[test]
fn backward_reads_what_was_not_saved() {
    assert_eq!(
        faults(|d| d["operators"][0]["saves"] = json!([])),
        "backward[1].reads[1]: storage 2 was not saved by operator 0 (a), whose gradient this kernel computes"
    );
}

#[test]
fn lifetimes_that_cannot_be() {
    assert_eq!(
        faults(|d| d["storages"][5]["dies"] = json!(0)),
        "backward[1].reads[2]: storage 5 died after backward kernel 0"
    );
    assert_eq!(
        faults(|d| d["storages"][2]["dies"] = json!(1)),
        "storages[2].dies: only a gradient dies in the backward pass, this is of kind activation"
    );
}

#[test]
fn parameters_of_gradients() {
    assert_eq!(
        faults(|d| d["storages"][4] = json!({"bytes": 1, "kind": "param_grad"})),
        "storages[4].of: a param_grad must name its parameter"
    );
    assert_eq!(faults(|d| d["storages"][4]["of"] = json!(0)), "storages[4].of: 0 is not a parameter's storage");
}

#[test]
fn sizes_that_overflow() {
    assert_eq!(
        faults(|d| d["storages"][2]["bytes"] = json!(u64::MAX)),
        "storages[2].bytes: sizes overflow: all storages together exceed 2^56 bytes"
    );
    assert_eq!(
        faults(|d| d["backward"][1]["bytes"] = json!(u64::MAX)),
        "backward[1]: FLOPs, traffic or times overflow: their sum exceeds 2^62 FLOPs, 2^56 bytes or 2^56 ns"
    );
    assert_eq!(
        faults(|d| d["operators"][2]["kernels"][0]["ns"] = json!(u64::MAX)),
        "operators[2].kernels[0]: FLOPs, traffic or times overflow: their sum exceeds 2^62 FLOPs, 2^56 bytes or 2^56 ns"
    );
    assert_eq!(faults(|d| d["block"] = json!(0)), "block: must be between 1 and 2^32 bytes, found 0");
}

#[test]
fn modules_that_do_not_nest() {
    let message = faults(|d| {
        d["modules"] = json!([
            {"path": "a", "start": 0, "end": 2}, {"path": "b", "start": 1, "end": 3},
            {"path": "c", "start": 2, "end": 1}, {"path": "d", "start": 0, "end": 4},
            {"path": "", "start": 1, "end": 1}]);
    });
    assert_eq!(
        message,
        "modules[2]: range 2..1 does not lie within 3 operators\n\
         modules[3]: range 0..4 does not lie within 3 operators\n\
         modules[1]: range 1..3 overlaps modules[0] (0..2)"
    );
}

#[test]
fn a_step_without_operators() {
    let message = faults(|d| d["operators"] = json!([]));
    assert!(message.starts_with("operators: is empty; the last operator must be the loss\n"), "{message}");
    assert!(message.contains("backward[1].of: operator 0 is out of range: there are 0 operators"), "{message}");
}

#[test]
fn all_faults_at_once_within_bounds() {
    let message = faults(|d| {
        d["block"] = json!(0);
        d["storages"][4]["of"] = json!(77);
        d["operators"][0]["kernels"][0]["reads"] = json!((1000..2000).collect::<Vec<u32>>());
        d["backward"][1]["reads"] = json!([55]);
    });
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 65);
    assert!(lines[0].starts_with("block: "));
    assert!(lines[1].starts_with("storages[4].of: "));
    assert!(lines[2].starts_with("operators[0].kernels[0].reads[0]: "));
    assert_eq!(lines[64], "and 939 more faults");
}

#[test]
fn faults_of_a_chain() {
    let text = r#"{"format": "chain/1", "layers": [{"bytes": 4611686018427387904, "time": -1}, {"bytes": 1}]}"#;
    let error = read::parse(text.as_bytes(), "c").expect_err("invalid").to_string();
    assert_eq!(
        error,
        "c is not valid:\n\
         layers[0].time: must be between 0 and 1e9 seconds, found -1\n\
         layers[1].bytes: sizes overflow: all layers together exceed 2^62 bytes"
    );
    let empty = Chain::from_sizes("none", []);
    assert_eq!(empty.validate().expect_err("invalid").to_string(), "layers: is empty; a chain has at least one layer");
    assert!(Chain::from_sizes("zeros", [0, 0]).validate().is_ok());
}
