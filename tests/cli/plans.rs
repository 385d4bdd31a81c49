//! Plans that do not fit: exit code 2 where a command cannot follow them, 1 where the checker refuses them.

use snapbox::str;

use crate::{CHAIN, Folder, remat, stdout};

/// A plan of these segments.
fn plan(segments: &str) -> Folder {
    Folder::new().with("plan.json", format!(r#"{{"format": "plan/1", "segments": [{segments}]}}"#))
}

#[test]
fn a_plan_that_is_not_there() {
    remat("predict unet-b8 --plan nothing").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no file nothing
hint: PLAN is a path, or - for standard input

"#]]);
    remat("check unet-b8 plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: cannot read plan.json: No such file or directory (os error 2)
hint: PLAN is a path, or - for standard input

"#]]);
}

#[test]
fn a_graph_in_place_of_a_plan() {
    let folder = Folder::new().with("g.json", CHAIN);
    folder.remat("predict unet-b8 --plan g.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: g.json: format: expected "plan/1", found "chain/1"

"#]]);
}

#[test]
fn a_plan_that_says_nothing() {
    let folder = Folder::new().with("plan.json", r#"{"format": "plan/1"}"#);
    folder.remat("predict unet-b8 --plan plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json is not valid:
  document: has neither segments (for a graph) nor checkpoints (for a chain)

"#]]);
}

#[test]
fn the_plan_of_a_chain_for_a_graph() {
    let folder = Folder::new().with("plan.json", r#"{"format": "plan/1", "checkpoints": [0, 2]}"#);
    folder.remat("predict unet-b8 --plan plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json: the plan has no `segments`
hint: plans of training graphs (trace/1) have segments, plans of chains (chain/1) have checkpoints

"#]]);
    folder.remat("check unet-b8 plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json: the plan has no `segments`
hint: plans of training graphs (trace/1) have segments, plans of chains (chain/1) have checkpoints

"#]]);
}

#[test]
fn the_plan_of_a_graph_for_a_chain() {
    let folder = plan("").with("g.json", CHAIN);
    folder.remat("predict g.json --plan plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json: the plan has no `checkpoints`
hint: plans of training graphs (trace/1) have segments, plans of chains (chain/1) have checkpoints

"#]]);
    folder.remat("check g.json plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json: the plan has no `checkpoints`
hint: plans of training graphs (trace/1) have segments, plans of chains (chain/1) have checkpoints

"#]]);
}

#[test]
fn a_region_beyond_the_end() {
    let folder = plan(r#"{"start": 5, "end": 100000}"#);
    folder.remat("predict resnet18-b64 --plan plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json: segments[0]: region 5..100000 must be a non-empty range within the 89 operators before the loss
hint: `remat inspect` shows the graph

"#]]);
    folder.remat("check resnet18-b64 plan.json").assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: plan.json is refused:
  segments[0]: region 5..100000 is not a non-empty range of the 89 operators before the loss

"#]]);
}

#[test]
fn a_region_that_ends_before_it_starts() {
    let folder = plan(r#"{"start": 11, "end": 5}"#);
    folder.remat("predict resnet18-b64 --plan plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json: segments[0]: region 11..5 must be a non-empty range within the 89 operators before the loss
hint: `remat inspect` shows the graph

"#]]);
    folder.remat("check resnet18-b64 plan.json").assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: plan.json is refused:
  segments[0]: region 11..5 is not a non-empty range of the 89 operators before the loss

"#]]);
}

#[test]
fn regions_that_overlap() {
    let folder = plan(r#"{"start": 0, "end": 11}, {"start": 5, "end": 23}"#);
    folder.remat("predict resnet18-b64 --plan plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json: segments[1]: region 5..23 overlaps its neighbour or leaves the region around it
hint: `remat inspect` shows the graph

"#]]);
    folder.remat("check resnet18-b64 plan.json").assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: plan.json is refused:
  segments[1]: region 5..23 overlaps region 0..11

"#]]);
}

#[test]
fn an_unsafe_cut() {
    let folder = plan(r#"{"start": 0, "end": 3}"#);
    folder.remat("predict resnet18-b64 --plan plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json: segments[0]: cut 3 is not safe: an operator at or after it changes in place what was made before it
hint: the nearest safe cuts are 2 and 4

"#]]);
    folder.remat("check resnet18-b64 plan.json").assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: plan.json is refused:
  segments[0]: cut 3 is unsafe: operator 3 changes in place storage 125, made before the cut

"#]]);
}

#[test]
fn a_refusal_as_json() {
    let folder = plan(r#"{"start": 0, "end": 3}"#);
    folder
        .remat("check resnet18-b64 plan.json --format json")
        .assert()
        .code(1)
        .stdout_eq(str![[r#"
{
  "valid": false,
  "graph": "resnet18-b64",
  "error": "segments[0]: cut 3 is unsafe: operator 3 changes in place storage 125, made before the cut"
}

"#]])
        .stderr_eq(str![[r#"
error: plan.json is refused:
  segments[0]: cut 3 is unsafe: operator 3 changes in place storage 125, made before the cut

"#]]);
}

#[test]
fn a_number_that_is_wrong_by_one() {
    let made = stdout(&remat("plan resnet18-b64 --algorithm linear").assert().success());
    let peak = serde_json::from_str::<serde_json::Value>(&made).expect("JSON")["predicted"]["peak"].to_string();
    let forged = made.replacen(&format!("\"peak\": {peak}"), "\"peak\": 1", 1);
    let folder = Folder::new().with("plan.json", forged);
    folder.remat("check resnet18-b64 plan.json").assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: plan.json is refused:
  predicted.peak: the plan says 1, the replay gives 954155520

"#]]);
}

#[test]
fn the_plan_of_another_graph() {
    let made = stdout(&remat("plan resnet18-b64 --algorithm sqrt").assert().success());
    let folder = Folder::new().with("plan.json", made);
    folder.remat("check unet-b8 plan.json").assert().code(1).stdout_eq("");
}

#[test]
fn an_index_that_is_no_index() {
    for start in ["-1", "1.5", "4294967296", "\"5\"", "null"] {
        let folder = plan(&format!(r#"{{"start": {start}, "end": 11}}"#));
        let said = folder.remat("predict resnet18-b64 --plan plan.json").assert().code(2).stdout_eq("");
        let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
        assert!(said.starts_with("error: plan.json: segments[0].start: invalid"), "{start}: {said}");
        assert!(said.contains("line 1 column"), "{start}: {said}");
    }
}

#[test]
fn regions_nested_without_end() {
    let nested =
        |depth: usize| format!("{}{}", r#"{"start": 0, "end": 11, "inner": ["#.repeat(depth), "]}".repeat(depth));
    plan(&nested(40))
        .remat("predict resnet18-b64 --plan plan.json")
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: plan.json: segments[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0].inner[0]: regions are nested more than 32 deep
hint: `remat inspect` shows the graph

"#]]);
    plan(&nested(50_000)).remat("predict resnet18-b64 --plan plan.json").assert().code(2).stdout_eq("");
}
