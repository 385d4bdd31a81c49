//! Slips that are easy to make: each is said, and what to do instead.

use snapbox::str;

use crate::{CHAIN, Folder, remat};

#[test]
fn what_only_the_exact_planner_heeds_is_not_left_out_in_silence() {
    remat("plan unet-b8 -a linear --only dec*").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: --only is for the interval planner; linear does not heed it
hint: leave --only out, or plan a training step by interval

"#]]);
    for flag in ["--selective", "--granularity module", "--never x", "--time-limit 1", "--max-labels 1"] {
        remat(&format!("plan unet-b8 -a sqrt {flag}")).assert().code(2).stdout_eq("");
    }
    let folder = Folder::new().with("g.json", CHAIN);
    folder.remat("plan g.json --selective").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: --selective is for the interval planner; g.json is a chain
hint: leave --selective out, or plan a training step by interval

"#]]);
}

#[test]
fn an_empty_name_is_refused() {
    remat("plan").arg("").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: GRAPH is empty
hint: name a path, or - for standard input

"#]]);
    remat("check unet-b8").arg("").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: PLAN is empty
hint: name a path, or - for standard input

"#]]);
}

#[cfg(unix)]
#[test]
fn names_need_not_be_unicode() {
    use std::os::unix::ffi::OsStrExt as _;
    let name = std::ffi::OsStr::from_bytes(b"x\xff.json");
    let folder = Folder::new();
    folder.remat("plan unet-b8 -o").arg(name).assert().success().stdout_eq("").stderr_eq("");
    folder.remat("check unet-b8").arg(name).assert().success().stderr_eq("");
    folder.remat("predict unet-b8 --plan").arg(name).assert().success().stderr_eq("");
    folder.remat("inspect").arg(std::ffi::OsStr::from_bytes(b"y\xff")).assert().code(2).stderr_eq(str![[r#"
error: there is no file and no built-in step named y�
hint: `remat zoo` lists the built-in steps; a path has a folder or an extension

"#]]);
    folder.remat("plan unet-b8 --device").arg(std::ffi::OsStr::from_bytes(b"y\xff")).assert().code(2).stderr_eq(str![
        [r#"
error: there is no file y�

"#]
    ]);
    remat("plan unet-b8 -a").arg(name).assert().code(2).stdout_eq("");
}

#[test]
fn a_wrong_graph_is_said_before_the_others_are_planned() {
    remat("compare densenet121-b32 densenet").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no file and no built-in step named densenet
hint: the zoo has densenet121-b32

"#]]);
}

#[test]
fn a_plan_of_another_graph_is_called_so() {
    let folder = Folder::new();
    folder.remat("plan unet-b8 -o plan.json").assert().success();
    folder.remat("predict resnet18-b64 --plan plan.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: plan.json is a plan for unet-b8, not resnet18-b64
hint: give the graph that the plan was made of, or make a plan of this one with `remat plan`

"#]]);
    folder.remat("check resnet18-b64 plan.json").assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: plan.json is refused:
  graph: the plan is for unet-b8, not resnet18-b64
hint: give the graph that the plan was made of, or make a plan of this one with `remat plan`

"#]]);
}

#[test]
fn an_optimizer_of_the_plan_is_not_forgotten() {
    let folder = Folder::new();
    folder.remat("plan alexnet-b128 --optimizer adam -o plan.json").assert().success();
    folder.remat("predict alexnet-b128 --plan plan.json").assert().success().stderr_eq(str![[r#"
plan.json counts an optimizer; --optimizer NAME counts it here, too

"#]]);
    folder.remat("predict alexnet-b128 --plan plan.json --optimizer adam").assert().success().stderr_eq("");
    folder.remat("check alexnet-b128 plan.json").assert().success().stderr_eq("").stdout_eq(str![[r#"
plan.json is a valid plan for alexnet-b128
peak        823.17 MiB (863156736 B)
  forward   545.78 MiB (572291072 B)
  backward  823.17 MiB (863156736 B)
static      233.08 MiB (244404224 B)
recomputed  3 operators in 1 region, 18.0 GFLOP
optimizer   466.17 MiB (488816640 B) more in the plan's own numbers

"#]]);
}

#[test]
fn a_budget_without_its_unit_is_guessed_at() {
    remat("plan unet-b8 --budget 50 --format table").assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: unet-b8: no plan within 50 B: the least possible peak is 1.11 GiB (1194042880 bytes)
hint: a number without a unit is in bytes; 8GiB or 80% is more likely meant

"#]]);
    remat("plan unet-b8 --budget 1GiB --format table").assert().code(1).stdout_eq("").stderr_eq(str![[r#"
error: unet-b8: no plan within 1.00 GiB (1073741824 bytes): the least possible peak is 1.11 GiB (1194042880 bytes)
hint: raise --budget, or allow more with --nesting 2 or --selective

"#]]);
    remat("plan unet-b8 --budget x").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: --budget x: expected a size such as 8GiB, 8GB or 8589934592 (bytes), or a share such as 80%

"#]]);
}

#[test]
fn documents_are_objects() {
    remat("plan -").stdin("").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: standard input: document: there is nothing in it (line 1 column 1)

"#]]);
    remat("plan -").stdin("[1, 2]").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: standard input: document: expected a JSON object: the first character must be { (line 1 column 1)

"#]]);
    remat("check unet-b8 -").stdin(" \n").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: standard input: document: there is nothing in it (line 1 column 1)

"#]]);
}
