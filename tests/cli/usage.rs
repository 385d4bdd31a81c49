//! Wrong arguments: exit code 2, what is wrong, and what to do.

use snapbox::str;

use crate::{Folder, remat};

#[test]
fn no_command_shows_help_as_an_error() {
    remat("").assert().code(2).stdout_eq("");
}

#[test]
fn help_is_data() {
    remat("--help").assert().success().stderr_eq("").stdout_eq(str![[r#"
Plans activation checkpointing: which parts of a training step to recompute, with the peak predicted
to the byte

Usage: remat <COMMAND>

Commands:
  plan         Plan which operators of a step to recompute
  predict      Predict the peak memory of a step, to the byte
  compare      Compare what all algorithms make of one or more steps
  frontier     Show every plan worth having between no recomputation and the least peak
  check        Verify a plan independently of planners and predictor
  inspect      Show what a step or a chain is made of
  zoo          List the built-in training steps
  completions  Print a completion script for a shell
  man          Print the manual page of remat, or of one of its commands
  help         Print this message or the help of the given subcommand(s)

Options:
  -h, --help     Print help
  -V, --version  Print version

GRAPH is a trace/1 or chain/1 document, plain or gzip: a path, - for standard input, or the name of
a built-in step (see `remat zoo`).

Exit codes: 0 done; 1 a proven no (a plan that is refused, a budget below the least peak); 2 wrong
usage or bad input.

Examples:
  remat compare resnet50-b32 unet-b8
  remat plan gpt2-b8-s512 --budget 4GiB -o plan.json
  remat predict gpt2-b8-s512 --plan plan.json --optimizer adamw-foreach
  remat check gpt2-b8-s512 plan.json

"#]]);
}

#[test]
fn plan_help() {
    remat("plan --help").assert().success().stderr_eq("").stdout_eq(str![[r#"
Plan which operators of a step to recompute

Writes a plan/1 document: the regions to checkpoint, the peaks predicted with and without them, and
what is recomputed.

Usage: remat plan [OPTIONS] <GRAPH>

Arguments:
  <GRAPH>
          Training step or chain to plan: a path, - or a built-in step

Options:
  -a, --algorithm <NAME>
          Planning algorithm: none, every, sqrt, uniform-K, chen, cubic, linear, linear-x, interval,
          or auto
          
          auto is interval for a training graph, linear for a chain.
          
          [default: auto]

  -b, --budget <SIZE>
          Bound on the peak: bytes, 8GiB, 8GB, or 80% of the peak without checkpointing; then the
          plan recomputes as little as the bound allows. Without it, the plan has the least peak

      --selective
          Let regions keep the results of kernels that take long per byte, such as matrix products

      --granularity <GRANULARITY>
          What a region is made of: any operators, or whole module calls and runs of sibling calls

          Possible values:
          - operator: Any operators between two safe cuts
          - module:   Whole module calls, or runs of consecutive calls of siblings
          
          [default: operator]

      --only <GLOB>
          Only recompute within modules whose path matches; * matches dots, too; may be given
          several times

      --never <GLOB>
          Never recompute modules whose path matches; may be given several times

      --time-limit <SECONDS>
          Seconds after which the search for least recomputation stops; the plan is then feasible,
          with a lower bound

      --max-labels <N>
          Most labels that this search keeps, 24 bytes each; beyond, the plan is feasible, with a
          lower bound

      --optimizer <NAME>
          Optimizer whose states and temporaries count towards peaks
          
          [possible values: sgd, sgd-momentum, adam, adam-foreach, adam-fused, adamw, adamw-foreach,
          adamw-fused]

      --device <NAME|FILE>
          Device whose peak rates give kernels their time where the trace has none: a name such as
          h200, h100, a100 or rtx4090, or a JSON file
          
          [default: h100]

  -o, --output <FILE>
          File for the plan, written whole or not at all; - is standard output

      --format <FORMAT>
          Form of what is printed: the plan itself (json) or a summary (table). A file named by
          --output always gets the plan [default: json, or nothing where --output names a file]

          Possible values:
          - table: For people; sizes in binary units
          - json:  For programs; sizes in bytes

  -h, --help
          Print help (see a summary with '-h')

  -V, --version
          Print version

Examples:
  remat plan resnet50-b32
  remat plan gpt2-b8-s512 --algorithm linear --format table
  remat plan my-step.trace.json.gz -o plan.json
  zcat my-step.trace.json.gz | remat plan - | remat check my-step.trace.json.gz -

"#]]);
}

#[test]
fn version() {
    remat("--version").assert().success().stderr_eq("").stdout_eq(str![[r#"
remat 0.1.0

"#]]);
}

#[test]
fn an_unknown_command_is_refused() {
    remat("plam unet-b8").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: unrecognized subcommand 'plam'

  tip: a similar subcommand exists: 'plan'

Usage: remat <COMMAND>

For more information, try '--help'.

"#]]);
}

#[test]
fn a_graph_is_required() {
    remat("plan").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: the following required arguments were not provided:
  <GRAPH>

Usage: remat plan <GRAPH>

For more information, try '--help'.

"#]]);
}

#[test]
fn an_unknown_algorithm_is_refused_with_all_names() {
    remat("plan unet-b8 --algorithm best").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: --algorithm: there is no algorithm "best"; there are none, every, sqrt, uniform-K, chen, cubic, linear, linear-x, interval, auto

"#]]);
}

#[test]
fn uniform_needs_a_number() {
    for name in ["uniform", "uniform-", "uniform-0", "uniform--1", "uniform-x", "uniform-4294967296"] {
        let said = remat("plan unet-b8 --algorithm").arg(name).assert().code(2).stdout_eq("");
        let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
        assert!(said.contains("expected uniform-K with a number K from 1 to 4294967295"), "{name}: {said}");
    }
}

#[test]
fn an_unknown_optimizer_is_refused_with_all_names() {
    remat("predict unet-b8 --optimizer lion").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: invalid value 'lion' for '--optimizer <NAME>'
  [possible values: sgd, sgd-momentum, adam, adam-foreach, adam-fused, adamw, adamw-foreach, adamw-fused]

For more information, try '--help'.

"#]]);
}

#[test]
fn an_unknown_device_is_refused_with_all_names() {
    remat("plan unet-b8 --device tpu").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no device named tpu
hint: known devices are h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090, v100, t4
hint: or name a JSON file that describes one

"#]]);
}

#[test]
fn an_impossible_device_is_refused_with_all_faults() {
    let device = r#"{"name": "x", "bandwidth_gb_s": 0, "launch_ns": 2000000000, "gflops": {"bfloat16": 0}}"#;
    let folder = Folder::new().with("mine.json", device);
    folder.remat("plan unet-b8 --device mine.json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: mine.json is not valid:
  bandwidth_gb_s: must be at least 1
  launch_ns: must be at most 10^9, found 2000000000
  gflops: must have a rate for float32, which serves all types that are not listed
  gflops: the rate of bfloat16 must be at least 1

"#]]);
}

#[test]
fn a_format_that_is_not_there_is_refused() {
    remat("plan unet-b8 --format yaml").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: invalid value 'yaml' for '--format <FORMAT>'
  [possible values: table, json]

For more information, try '--help'.

"#]]);
}

#[test]
fn standard_input_is_read_once() {
    remat("check - -").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: standard input (-) is named twice
hint: write one of the documents to a file

"#]]);
    remat("predict - --plan -").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: standard input (-) is named twice
hint: write one of the documents to a file

"#]]);
    remat("compare - unet-b8 -").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: standard input (-) is named twice
hint: write one of the documents to a file

"#]]);
}

#[test]
fn only_drawings_have_a_backward_pass_to_draw() {
    remat("inspect unet-b8 --backward").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: --backward is for drawings
hint: add --format dot

"#]]);
}

#[test]
fn manual_pages_are_for_commands() {
    remat("man plam").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no command "plam"
hint: commands are plan, predict, compare, frontier, check, inspect, zoo, completions, man, help

"#]]);
}

#[test]
fn colour_is_for_terminals() {
    let said = remat("plan nothing").env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR").assert().code(2);
    assert!(said.get_output().stderr.contains(&0x1b));
    let said = remat("plan nothing").env("NO_COLOR", "1").assert().code(2);
    assert!(!said.get_output().stderr.contains(&0x1b));
    let said = remat("plan nothing").assert().code(2);
    assert!(!said.get_output().stderr.contains(&0x1b));
}
