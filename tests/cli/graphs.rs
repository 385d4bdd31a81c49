//! What is said about graphs: inspect, predict and compare.

use snapbox::str;

use crate::{CHAIN, Folder, STEP, json, remat, stdout};

#[test]
fn inspect_for_people() {
    remat("inspect resnet18-b64").assert().success().stderr_eq("").stdout_eq(str![[r#"
name           resnet18-b64
recorded from  PyTorch 2.15.0 on cuda
operators      90 (0 random), 92 kernels
backward       127 nodes, 243 kernels
safe cuts      56 of 90
chain layers   15
work           232.2 GFLOP forward, 449.3 GFLOP backward
time           1.8 ms forward, 2.5 ms backward (rates of h100)
peak           1.38 GiB (1484145152 B) without checkpointing
after forward  1.37 GiB

storages     count        size
────────────────────────────────
param           62   44.59 MiB
buffer          60   50.00 KiB
input            2   36.75 MiB
activation     107    1.33 GiB
gradient        62    1.82 GiB
param_grad      62   44.59 MiB

module    operators   activations         work       time
───────────────────────────────────────────────────────────
conv1          0..1    196.00 MiB   15.1 GFLOP    75.9 us
bn1            1..3    196.00 MiB       0 FLOP   128.7 us
relu           3..4           0 B       0 FLOP   125.7 us
maxpool        4..5    147.00 MiB       0 FLOP   110.4 us
layer1        5..23    392.00 MiB   59.2 GFLOP   514.3 us
layer2       23..44    245.00 MiB   52.6 GFLOP   382.9 us
layer3       44..65    122.51 MiB   52.6 GFLOP   271.3 us
layer4       65..86     61.27 MiB   52.6 GFLOP   219.6 us
avgpool      86..87    128.00 KiB       0 FLOP     5.0 us
fc           88..89    250.00 KiB   65.5 MFLOP     4.0 us

"#]]);
}

#[test]
fn inspect_for_programs() {
    let folder = Folder::new().with("g.json", STEP);
    folder.remat("inspect g.json --format json").assert().success().stderr_eq("").stdout_eq(str![[r#"
{
  "kind": "graph",
  "name": "tiny",
  "device": "cuda",
  "autocast": null,
  "torch": "2",
  "block": 512,
  "operators": 2,
  "random_operators": 0,
  "kernels": 2,
  "backward_kernels": 2,
  "nodes": 2,
  "safe_cuts": [
    0,
    1
  ],
  "layers": 3,
  "storages": [
    {
      "kind": "param",
      "count": 1,
      "bytes": 2048
    },
    {
      "kind": "buffer",
      "count": 0,
      "bytes": 0
    },
    {
      "kind": "input",
      "count": 1,
      "bytes": 1024
    },
    {
      "kind": "constant",
      "count": 0,
      "bytes": 0
    },
    {
      "kind": "activation",
      "count": 2,
      "bytes": 3584
    },
    {
      "kind": "gradient",
      "count": 1,
      "bytes": 3072
    },
    {
      "kind": "param_grad",
      "count": 1,
      "bytes": 2048
    }
  ],
  "flops": {
    "forward": 11,
    "backward": 11
  },
  "ns": {
    "forward": 6003,
    "backward": 6003
  },
  "cost_model": "h100",
  "without": {
    "static": 2048,
    "peak": 9216,
    "peak_forward": 6656,
    "peak_backward": 9216,
    "after_forward": 6144,
    "after_backward": 5120
  },
  "modules": [
    {
      "path": "fc",
      "start": 0,
      "end": 1,
      "bytes": 3072,
      "flops": 10,
      "ns": 3002
    }
  ]
}

"#]]);
}

#[test]
fn inspect_draws() {
    let folder = Folder::new().with("g.json", STEP);
    folder.remat("inspect g.json --format dot --backward").assert().success().stderr_eq("").stdout_eq(str![[r##"
digraph "tiny" {
  rankdir=TB; newrank=true; fontname="sans-serif";
  node [shape=box, style=filled, fillcolor=white, fontname="sans-serif", fontsize=10];
  edge [fontname="sans-serif", fontsize=8, color="#555555"];
  subgraph cluster_0 {
    label="fc"; style="rounded,filled"; color="#bbbbbb"; fillcolor="#f4f6fa";
    f0 [label="0 linear/nfc", fillcolor="white"];
  }
  f1 [label="1 loss", fillcolor="#f6d5d5"];
  b0 [label="MseBackward", fillcolor="#e4e4e4", color="#999999"];
  b1 [label="MmBackward", fillcolor="#e4e4e4", color="#999999"];
  f0 -> f1 [label="2 (3.0 KiB)"];
  f1 -> b0 [label="2 (3.0 KiB)", style=dashed, color="#3366aa", constraint=false];
  f0 -> b1 [label="0 (1.0 KiB)", style=dashed, color="#3366aa", constraint=false];
  b0 -> b1 [label="4 (3.0 KiB)"];
}

"##]]);
}

#[test]
fn a_chain_is_not_drawn() {
    let folder = Folder::new().with("g.json", CHAIN);
    folder.remat("inspect g.json --format dot").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: g.json is a chain; there is nothing to draw

"#]]);
}

#[test]
fn predictions_are_what_pytorch_reached() {
    // Recorded peaks of PyTorch, without checkpointing and with four uniform regions.
    let predicted = json("predict resnet18-b64 --format json");
    assert_eq!(predicted["peak"], 1_484_145_152);
    assert_eq!(predicted["peak_forward"], 1_466_876_416);
    assert_eq!(predicted["static"], 46_812_160);
    let plan = r#"{"format": "plan/1", "segments": [{"start": 0, "end": 23}, {"start": 23, "end": 44},
        {"start": 44, "end": 67}, {"start": 67, "end": 89}]}"#;
    let folder = Folder::new().with("plan.json", plan);
    let done = folder.remat("predict resnet18-b64 --plan plan.json --format json").assert().success();
    let predicted: serde_json::Value = serde_json::from_str(&stdout(&done)).expect("JSON");
    assert_eq!(predicted["peak"], 1_210_466_816);
    assert_eq!(predicted["after_forward"], 181_942_784);
}

#[test]
fn predict_for_people() {
    remat("predict resnet18-b64 --optimizer adamw-foreach").assert().success().stderr_eq("").stdout_eq(str![[r#"
                       size        bytes
──────────────────────────────────────────
peak               1.47 GiB   1577698816
  forward          1.45 GiB   1560430080
  backward         1.47 GiB   1577698816
  optimizer      259.80 MiB    272423424
static           133.86 MiB    140365824
after forward      1.45 GiB   1560174080
after backward   215.21 MiB    225662464

 no plan                          ▼ 1.47 GiB, backward of conv2d_19 in layer4.1…
1.47 GiB ┤      ▂▂▄▅▆▆▇▇▇███████████████████████▇▇▇▇▇▇▆▆▅▅▅▄▃▃▃▃▃▂▂           ┊
         │  ▂▄▆██████████████████████████████████████████████████████▇▆▄▃▃▂▂▃ ┊
         │▃▇█████████████████████████████████████████████████████████████████ ┊
         │███████████████████████████████████████████████████████████████████▃┊
         │████████████████████████████████████████████████████████████████████▇▇
     0 B └───────────────────┴────────────────────────────────────────────────┴─
          forward            backward, 243 kernels                     optimizer

module    trainable  buffers, inputs   gradients  optimizer  activations  temporaries
──────────────────────────────────────────────────────────────────────────────────────
conv1     37.00 KiB                    37.00 KiB  74.50 KiB   196.00 MiB
bn1        1.00 KiB         1.50 KiB    1.00 KiB   3.00 KiB   196.00 MiB
maxpool                                                       147.00 MiB
layer1   580.00 KiB         6.00 KiB  580.00 KiB   1.14 MiB   392.00 MiB
layer2     2.00 MiB         7.50 KiB    2.00 MiB   4.02 MiB   220.50 MiB
layer3     8.01 MiB        12.50 KiB    8.01 MiB  16.03 MiB   110.26 MiB
layer4    32.02 MiB        22.50 KiB   32.02 MiB  64.05 MiB    55.14 MiB    18.38 MiB
avgpool                                                       128.00 KiB
(model)                    36.75 MiB                          251.00 KiB        512 B
fc         1.96 MiB                     1.96 MiB   3.92 MiB
total     44.59 MiB        36.80 MiB   44.59 MiB  89.22 MiB     1.29 GiB    18.38 MiB

alive at the peak   module                 size
─────────────────────────────────────────────────
saved               conv1            196.00 MiB
saved               bn1              196.00 MiB
saved               maxpool           98.00 MiB
saved               maxpool           49.00 MiB
saved               layer1.0.conv1    49.00 MiB
saved               layer1.0.bn1      49.00 MiB
saved               layer1.0.conv2    49.00 MiB
saved               layer1.0.bn2      49.00 MiB
282 more                             769.61 MiB

"#]]);
}

#[test]
fn compare_for_people() {
    let chosen = "--algorithm none --algorithm sqrt --algorithm uniform-3 --algorithm linear";
    remat(&format!("compare resnet18-b64 unet-b8 {chosen}")).assert().success().stderr_eq("").stdout_eq(str![[r#"
resnet18-b64         peak    share   recomputed   regions   planned in
────────────────────────────────────────────────────────────────────────────
none             1.38 GiB   100.0%         0.0%         0[..]
sqrt           958.67 MiB    67.7%        42.4%         3[..]
uniform-3      958.67 MiB    67.7%        42.4%         3[..]
linear         909.95 MiB    64.3%        42.2%        10[..]

unet-b8         peak    share   recomputed   regions   planned in
───────────────────────────────────────────────────────────────────────
none        2.93 GiB   100.0%         0.0%         0[..]
sqrt        2.30 GiB    78.7%        35.3%         3[..]
uniform-3   2.30 GiB    78.7%        35.3%         3[..]
linear      1.93 GiB    65.8%        35.5%         4[..]

"#]]);
}

#[test]
fn compare_has_all_algorithms() {
    let compared = json("compare resnet18-b64 --format json");
    let names: Vec<_> = compared[0]["rows"].as_array().expect("rows").iter().map(|r| r["algorithm"].clone()).collect();
    assert_eq!(
        names,
        [
            "none",
            "every",
            "sqrt",
            "uniform-8",
            "chen",
            "cubic",
            "linear",
            "linear-x",
            "kusumoto-time",
            "kusumoto-memory",
            "rotor",
            "interval"
        ]
    );
    assert_eq!(compared[0]["rows"][0]["peak"], compared[0]["without"]);
}

#[test]
fn chains_are_compared_under_each_objective() {
    let folder = Folder::new().with("g.json", CHAIN);
    folder.remat("compare g.json").assert().success().stderr_eq("").stdout_eq(str![[r#"
four        conservative     traced   stepwise   persistent   checkpoints   planned in
──────────────────────────────────────────────────────────────────────────────────────────────────
none            6.84 KiB   8.79 KiB   8.79 KiB    10.74 KiB             4[..]
every           6.84 KiB   8.79 KiB   8.79 KiB    10.74 KiB             4[..]
sqrt            6.84 KiB   9.77 KiB   8.79 KiB    10.74 KiB             3[..]
uniform-8       6.84 KiB   9.77 KiB   8.79 KiB    10.74 KiB             3[..]
chen            5.86 KiB          -          -            -             2[..]
cubic           5.86 KiB          -          -            -             2[..]   optimal
linear          6.84 KiB   8.79 KiB   8.79 KiB    10.74 KiB             4[..]   optimal
linear-x        6.84 KiB   8.79 KiB   8.79 KiB    10.74 KiB             4[..]   optimal
rotor           6.84 KiB   8.79 KiB   8.79 KiB    10.74 KiB             4[..]   optimal

"#]]);
}

#[test]
fn a_long_chain_takes_no_long_time_anywhere() {
    let layers = vec![r#"{"bytes":4096}"#; 300_000].join(",");
    let folder = Folder::new().with("g.json", format!(r#"{{"format":"chain/1","name":"long","layers":[{layers}]}}"#));
    folder.remat("compare g.json --format json").assert().success().stderr_eq("");
    folder.remat("plan g.json -o plan.json").assert().success().stderr_eq("");
    folder.remat("check g.json plan.json").assert().success().stderr_eq("");
}
