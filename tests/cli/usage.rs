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
Plan activation checkpointing: what to recompute, and the peak, to the byte

Usage: remat <COMMAND>

Commands:
  plan         Plan which operators of a step to recompute
  predict      Predict the peak memory of a step, to the byte
  compare      Compare what all algorithms make of one or more steps
  frontier     Show all plans worth having, from no recomputation to the least
               peak
  report       Draw a step with and without a plan: memory over time, frontier,
               modules, regions
  check        Verify a plan independently of planners and predictor
  inspect      Show what a step or a chain is made of
  zoo          List the built-in training steps
  completions  Print a completion script for a shell
  man          Print the manual page of remat, or of one of its commands
  help         Print this message or the help of the given subcommand(s)

Options:
  -h, --help     Print help
  -V, --version  Print version

GRAPH is a recorded training step (trace/1) or a list of layers (chain/1), plain
or gzip: a path, - for standard input, or the name of a built-in step. `remat
help COMMAND` has the options of a command and examples.

Exit codes: 0 done; 1 a no (the plan is refused; no plan fits the budget, which
is proven unless the message says otherwise); 2 wrong usage or bad input.

Examples:
  remat zoo                            # the built-in steps
  remat compare resnet50-b32 unet-b8   # what each algorithm makes of them
  remat plan gpt2-b8-s512 --budget 4GiB -o plan.json
  remat predict gpt2-b8-s512 --plan plan.json --optimizer adamw-foreach
  remat check gpt2-b8-s512 plan.json

"#]]);
}

#[test]
fn plan_help() {
    remat("plan --help").assert().success().stderr_eq("").stdout_eq(str![[r#"
Plan which operators of a step to recompute

Writes a plan/1 document: the regions to checkpoint, the peaks predicted with
and without them, and what is recomputed. On a terminal, the memory of the step
is drawn beside it, on standard error.

Usage: remat plan [OPTIONS] <GRAPH>

Arguments:
  <GRAPH>
          Training step or chain to plan: a path, - or a built-in step

Options:
  -a, --algorithm <NAME>
          Planning algorithm

          Possible values:
          - auto:            interval for a training step, linear for a chain
          - none:            keeps everything, recomputes nothing (baseline)
          - every:           recomputes every layer on its own (baseline)
          - sqrt:            about sqrt(n) regions of equally many layers
            (baseline)
          - uniform-K:       K regions of equally many layers (baseline)
          - chen:            conservative peak of a chain: all checkpoints and
            the largest region (heuristic: greedy by a threshold, best of about
            130)
          - cubic:           conservative peak of a chain: all checkpoints and
            the largest region (optimal on chains)
          - linear:          traced peak of a chain: checkpoints up to the
            current region, the region, a gradient pair (optimal on chains)
          - linear-x:        traced peak of a chain, exact for each step of a
            region's backward pass (optimal on chains)
          - kusumoto-time:   least recomputation over sequences of lower sets,
            within a model of memory (optimal for its model over its family of
            lower sets; predicted budgets decide)
          - kusumoto-memory: most recomputation over sequences of lower sets,
            within a model of memory (optimal for its model over its family of
            lower sets; predicted budgets decide)
          - rotor:           least recomputation of a chain within a memory
            budget, by nested regions (optimal on chains over all persistent
            schedules, exact to the byte)
          - interval:        peak of the graph as the allocator sees it; least
            recomputation, within a budget too (optimal over all sets of regions
            between safe cuts)
          
          [default: auto]

  -b, --budget <SIZE>
          Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of
          the peak without a plan): recompute as little as it allows. Without a
          bound, the plan has the least peak

      --emit <TARGET>
          Write code that applies the plan, in place of the plan: a Python file
          for PyTorch, which does not need remat

          Possible values:
          - torch: A Python file with `apply(model)` and `remove(model)`

  -o, --output <FILE>
          Write the plan to a file, whole or not at all; - is standard output

      --format <FORMAT>
          Print the plan itself (json) or a summary (table); a file named by
          --output gets the plan, or its code, in any case [default: json;
          nothing where --output names a file or --emit writes code]

          Possible values:
          - table: For people; sizes in binary units
          - json:  For programs; sizes in bytes

  -h, --help
          Print help (see a summary with '-h')

  -V, --version
          Print version

Regions (exact planner):
      --selective
          Let regions keep the results of kernels that take long per byte, such
          as matrix products: of a few sets of kernel names, each region one

      --nesting <LEVELS>
          How deep regions may lie within regions: less memory for more time;
          such plans come with a lower bound instead of a proof
          
          [default: 1]

      --granularity <WHAT>
          What a region is made of: any operators, or whole module calls and
          runs of sibling calls [default: operator; where `plan --emit` writes
          code: module]

          Possible values:
          - operator: Any operators between two safe cuts
          - module:   Whole module calls, or runs of consecutive calls of
            siblings

      --only <GLOB>
          Recompute only within modules whose path matches, such as
          'layer[34]*'; * matches dots, too; repeatable

      --never <GLOB>
          Never recompute modules whose path matches; repeatable

Search (exact planner):
      --time-limit <SECONDS>
          Stop the search for least recomputation after so long; the plan is
          then feasible, with a lower bound, and a frontier has fewer points

      --max-labels <N>
          Stop it at so many labels, 32 bytes each; the plan is then feasible,
          with a lower bound [default: 12000000]

Assumptions:
      --optimizer <NAME>
          Optimizer whose states and temporaries count towards the peak
          
          [possible values: sgd, sgd-momentum, adam, adam-foreach, adam-fused,
          adamw, adamw-foreach, adamw-fused]

      --device <NAME|FILE>
          Device whose peak rates give a time to kernels that the trace has none
          for: h200, h100, h100-pcie, a100, a100-40gb, l4, rtx4090, rtx3090,
          v100, t4, or a JSON file of your own such as {"name": "mine",
          "bandwidth_gb_s": 900, "launch_ns": 4000, "gflops": {"float32": 15000,
          "bfloat16": 120000}}
          
          [default: h100]

Examples:
  remat plan resnet50-b32 -o plan.json   # the least peak
  remat plan resnet50-b32 --budget 60%   # the least recomputation within it
  remat plan gpt2-b8-s512 --budget 4GiB --optimizer adamw-foreach
  remat plan unet-b8 --granularity module --never 'head*' --format table
  remat plan step.trace.json.gz --budget 8GiB --emit torch -o checkpointing.py
  zcat step.trace.json.gz | remat plan - | remat check step.trace.json.gz -

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
error: invalid value 'best' for '--algorithm <NAME>'
  [possible values: none, every, sqrt, uniform-K, chen, cubic, linear, linear-x, kusumoto-time, kusumoto-memory, rotor, interval, auto]

For more information, try '--help'.

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
hint: commands are plan, predict, compare, frontier, report, check, inspect, zoo, completions, man

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
