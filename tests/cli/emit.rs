//! `remat plan --emit torch`: plans as Python files.

use remat::graphs::zoo;
use remat::{EmitError, Options, Plan, Segment};
use snapbox::{assert_data_eq, str};

use crate::{CHAIN, Folder, remat, stdout};

/// What of the file is the plan's own, and the code that all files share.
fn parts(file: &str) -> (&str, &str) {
    file.split_once("\n\n\nclass ApplyError").expect("the shared code follows")
}

#[test]
fn a_plan_as_a_file_for_pytorch() {
    let done = remat("plan resnet18-b64 --budget 80% --emit torch").assert().success().stderr_eq("");
    let file = stdout(&done);
    let (own, shared) = parts(&file);
    assert_data_eq!(
        own,
        str![[r#"
"""Activation checkpointing for resnet18-b64: 1 region to recompute.

Predicted peak: 1.10 GiB (1175862784 bytes) instead of 1.38 GiB (79.2%).
Recomputation takes 8.4% of the time of forward and backward pass.
Planned by remat 0.1.0 (interval), and proven: no plan of its kind recomputes less within the budget.

Save this file as ``checkpointing.py``, say. It needs PyTorch 2.4 or newer, and not remat:

    import checkpointing

    checkpointing.apply(model)   # once, before DistributedDataParallel; then train as before
    checkpointing.remove(model)  # and the model runs as it did

Parameters, state-dict keys, hooks and ``train()``/``eval()`` stay as they are. The peak is that of the step that was
recorded, with its shapes; it counts tensors, not the workspaces of kernels and the fragmentation of the allocator.
"""

from __future__ import annotations

import dis
import random
import sys
import threading
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterator, NamedTuple, Sequence

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torch.utils.checkpoint import checkpoint

PEAK = 1175862784
"""The predicted peak of the step in bytes."""

PLAN: list[dict[str, Any]] = [
    {"modules": ["bn1", "relu", "maxpool"]},
]
"""The regions to recompute: modules, or siblings that are called one after the other."""


def apply(model: nn.Module) -> nn.Module:
    """Let the model recompute by the plan; returns the same model."""
    return wrap(model, PLAN, runs=Run)


def remove(model: nn.Module) -> nn.Module:
    """Undo ``apply``."""
    return unwrap(model)
"#]]
    );
    let [regions, runs, keeping] = [
        include_str!("../../src/emit/parts/regions.py"),
        include_str!("../../src/emit/parts/runs.py"),
        include_str!("../../src/emit/parts/keeping.py"),
    ]
    .map(|part| part.rsplit_once("\nfrom ").and_then(|p| p.1.split_once("\n\n")).expect("imports, then code").1.trim());
    assert!(shared.ends_with(&format!("{regions}\n\n\n{runs}\n")) && !file.contains("from ."));
    // What a plan does not need is left out.
    assert!(!file.contains(keeping.lines().next().expect("code")));
    // Same plan, same file, wherever it goes.
    let folder = Folder::new();
    let told = folder.remat("plan resnet18-b64 --budget 80% --emit torch -o checkpointing.py").assert().success();
    assert_eq!((stdout(&told).as_str(), folder.read("checkpointing.py")), ("", file));
}

#[test]
fn the_plan_beside_its_code() {
    let folder = Folder::new();
    let told = folder.remat("plan resnet18-b64 --emit torch -o checkpointing.py --format json").assert().success();
    let plan: serde_json::Value = serde_json::from_str(&stdout(&told)).expect("the plan");
    assert_eq!(plan["granularity"], "module");
    assert_eq!(plan["segments"][0]["modules"][0], "conv1");
    assert!(folder.read("checkpointing.py").contains(&format!("PEAK = {}\n", plan["predicted"]["peak"])));
}

#[test]
fn two_documents_on_one_stream() {
    remat("plan resnet18-b64 --emit torch --format json").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: --emit and --format would both write to standard output
hint: name a file for the code with --output

"#]]);
}

#[test]
fn regions_that_cut_within_modules() {
    let folder = Folder::new().with("checkpointing.py", "kept");
    folder
        .remat("plan resnet18-b64 --granularity operator --emit torch -o checkpointing.py")
        .assert()
        .code(2)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: resnet18-b64: segments[0]: region 0..7 (conv2d to add__1) is neither one whole module nor a run of whole sibling modules
hint: plan whole modules: --granularity module, and no --algorithm

"#]]);
    assert_eq!(folder.read("checkpointing.py"), "kept");
    remat("plan resnet18-b64 --algorithm uniform-7 --emit torch").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: resnet18-b64: segments[0]: region 2..5 (batch_norm to max_pool2d) is neither one whole module nor a run of whole sibling modules
hint: plan whole modules: --granularity module, and no --algorithm

"#]]);
}

#[test]
fn a_chain_has_no_model() {
    let folder = Folder::new().with("g.json", CHAIN);
    folder.remat("plan g.json --emit torch").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: g.json is a chain; code is for the model of a training graph
hint: leave --emit out

"#]]);
}

#[test]
fn a_budget_that_is_too_small_writes_no_code() {
    remat("plan resnet18-b64 --emit torch --budget 1MiB").assert().code(1).stdout_eq("");
}

/// A plan of these segments for `resnet18-b64`.
fn code(segments: Option<Vec<Segment>>) -> Result<String, EmitError> {
    let graph = zoo::load("resnet18-b64").expect("a zoo entry");
    let plan = remat::plan(&graph, &Options::default()).expect("a plan");
    remat::emit::torch(&graph, &Plan { segments, ..plan })
}

#[test]
fn nested_and_selective_regions() {
    let graph = zoo::load("resnet18-b64").expect("a zoo entry");
    let range = |modules: &[&str]| {
        let regions = remat::graphs::ModuleRegions::of(&graph);
        let all = regions.ranges().filter_map(|(a, b)| regions.get(a, b));
        let region = all.into_iter().find(|r| r.modules == modules).expect("a region");
        Segment::new(region.start, region.end)
    };
    let save = vec!["convolution.default".to_owned()];
    let segments = vec![
        Segment { inner: vec![range(&["layer1.0"]), range(&["layer1.1"])], ..range(&["layer1"]) },
        Segment { save, ..range(&["layer2"]) },
        range(&["layer3", "layer4"]),
    ];
    let file = code(Some(segments)).expect("code");
    let (_, plan) = parts(&file).0.split_once("PLAN").expect("the plan");
    assert_data_eq!(
        plan.split_once("\n\n\n").expect("its end").0,
        str![[r#"
: list[dict[str, Any]] = [
    {
        "modules": ["layer1"],
        "inner": [
            {"modules": ["layer1.0"]},
            {"modules": ["layer1.1"]},
        ],
    },
    {
        "modules": ["layer2"],
        "save": ["convolution.default"],
    },
    {"modules": ["layer3", "layer4"]},
]
"""The regions to recompute: modules, or siblings that are called one after the other."""
"#]]
    );
}

#[test]
fn plans_without_regions_and_without_segments() {
    assert!(code(Some(Vec::new())).expect("code").contains("PLAN: list[dict[str, Any]] = []\n"));
    assert_eq!(code(None), Err(EmitError::NoSegments));
    let beyond = code(Some(vec![Segment::new(0, 100_000)]));
    assert!(matches!(beyond, Err(EmitError::Plan(_))), "{beyond:?}");
}

#[test]
fn names_cannot_break_out_of_the_file() {
    let graph = zoo::load("resnet18-b64").expect("a zoo entry");
    let mut trace = graph.trace().clone();
    trace.name = "\"\"\"\nimport os\n\\".into();
    for operator in &mut trace.operators {
        operator.module = operator.module.replace("layer", "\"\"\"]\n\\ \u{202e}x");
    }
    let graph = remat::Graph::new(trace).expect("valid");
    let mut options = Options::default();
    options.regions.granularity = remat::Granularity::Module;
    let plan = remat::plan(&graph, &options).expect("a plan");
    let file = remat::emit::torch(&graph, &plan).expect("code");
    let (own, _) = parts(&file);
    assert!(own.is_ascii() && !own.contains("\nimport os\n"));
    assert!(own.contains(r#""\"\"\"]\u000a\\ \u202ex"#), "{own}");
}
