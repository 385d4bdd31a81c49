//! What well-formed commands answer.

use snapbox::str;

use crate::{CHAIN, Folder, STEP, json, remat, stdout};

#[test]
fn a_plan_is_plan_1_with_every_field() {
    let plan = json("plan resnet18-b64 --algorithm linear");
    assert_eq!(plan["format"], "plan/1");
    assert_eq!(plan["graph"], "resnet18-b64");
    assert_eq!(plan["algorithm"], "linear");
    assert_eq!(plan["objective"], "min-peak");
    assert!(plan["budget"].is_null());
    for field in ["static", "peak", "peak_forward", "peak_backward", "after_forward"] {
        assert!(plan["predicted"][field].is_u64() && plan["without"][field].is_u64(), "{field}");
    }
    for field in ["operators", "flops", "bytes"] {
        assert!(plan["recompute"][field].is_u64(), "{field}");
    }
    assert!(plan["recompute"]["time"].is_f64() && plan["recompute"]["overhead"].is_f64());
    assert!(plan["stats"]["states"].is_u64() && plan["stats"]["seconds"].is_f64());
    // What PyTorch reached for this step without checkpointing.
    assert_eq!(plan["without"]["peak"], 1_484_145_152);
}

#[test]
fn every_algorithm_makes_plans_that_the_checker_confirms() {
    for graph in ["resnet18-b64", "unet-b8", "t5-small-b8-s256"] {
        for algorithm in ["auto", "none", "every", "sqrt", "uniform-3", "chen", "cubic", "linear", "linear-x"] {
            let made = remat(&format!("plan {graph} --algorithm {algorithm}")).assert().success().stderr_eq("");
            remat(&format!("check {graph} -")).stdin(stdout(&made)).assert().success().stderr_eq("");
        }
    }
}

#[test]
fn the_same_input_gives_the_same_plan() {
    let plan = || {
        let mut plan = json("plan gpt2-b8-s512");
        plan["stats"]["seconds"] = 0.into();
        plan
    };
    assert_eq!(plan(), plan());
}

#[test]
fn a_stopped_search_names_its_bound_and_gap() {
    let plan = json("plan resnet50-b32 --budget 60% --max-labels 20");
    assert_eq!(plan["status"], "feasible");
    let bound = plan["lower_bound"].as_u64().unwrap() as f64;
    let time = plan["recompute"]["time"].as_f64().unwrap() * 1e9;
    assert!(bound > 0.0 && (plan["gap"].as_f64().unwrap() - (1.0 - bound / time)).abs() < 1e-6, "{plan}");

    let plan = json("plan resnet50-b32 --nesting 2 --time-limit 0.5");
    let (bound, peak) = (plan["lower_bound"].as_u64().unwrap(), plan["predicted"]["peak"].as_u64().unwrap());
    assert!((plan["gap"].as_f64().unwrap() - (1.0 - bound as f64 / peak as f64)).abs() < 1e-6, "{plan}");

    let plan = json("plan resnet50-b32 --budget 60%");
    assert!(plan["status"] == "optimal" && plan["gap"].is_null(), "{plan}");
    for limit in ["abc", "1e400", "nan"] {
        let refused = remat(&format!("plan resnet50-b32 --time-limit {limit}")).assert().code(2);
        assert!(
            String::from_utf8_lossy(&refused.get_output().stderr).contains("expected seconds, for example 30 or 0.5")
        );
    }
}

#[test]
fn a_plan_for_people() {
    remat("plan resnet18-b64 --algorithm linear --format table").assert().success().stderr_eq("").stdout_eq(str![[
        r#"
graph       resnet18-b64
algorithm   linear
status      feasible
peak        909.95 MiB (954155520 B) instead of 1.38 GiB (64.3%)
  forward   516.27 MiB (541351424 B) instead of 1.37 GiB (36.9%)
  backward  909.95 MiB (954155520 B) instead of 1.38 GiB (64.3%)
recomputed  86 operators, 232.1 GFLOP, 42.2% of the step's time

 no plan                     ▼ 1.38 GiB, backward of conv2d_19 in layer4.1.conv2
1.38 GiB ┤    ▁▁▃▄▅▆▇▇██████████████████▇▇▇▇▇▇▆▆▅▅▄▃▃▃▃▂▁
         │  ▄▆█████████████████████████████████████████████▅▄▂▂ ▂
         │▃████████████████████████████████████████████████████▇█▅
         │████████████████████████████████████████████████████████
         │████████████████████████████████████████████████████████
     0 B └───────────────┴────────────────────────────────────────
    plan                                909.95 MiB, backward of relu_ in relu ▼
1.38 GiB ┤               ┊
         │               ┊                                                    ▂
         │               ┊               ▁▁▁▁▁ ▁▁▁▁▁▁▁▂▃▂▂  ▃▃▃▃▂▁▁▃▅▃▃▁▂▃▂▂ ▅█▅
         │▆▄▆▆▆▇▇▇▇▇▇▇▇▇▇▇▇▇▇███████████████████████████████████████████████▇███
         │██████████████████████████████████████████████████████████████████████
     0 B └───────────────┴──══───═══─────══───═══────═══───═══────══───═══───══─
          forward        backward, 243 + 86 kernels
          ═ recomputation

region   operators   first        last
──────────────────────────────────────────────
0..4             4   conv2d       relu_
4..5             1   max_pool2d   max_pool2d
5..14            9   conv2d_1     relu__2
14..23           9   conv2d_3     relu__4
23..35          12   conv2d_5     relu__6
35..44           9   conv2d_8     relu__8
44..56          12   conv2d_10    relu__10
56..65           9   conv2d_13    relu__12
65..77          12   conv2d_15    relu__14
77..86           9   conv2d_18    relu__16

"#
    ]]);
}

#[test]
fn the_plan_of_a_chain() {
    let folder = Folder::new().with("g.json", CHAIN);
    folder.remat("plan g.json").assert().success().stderr_eq("").stdout_eq(str![[r#"
{
  "format": "plan/1",
  "graph": "four",
  "algorithm": "linear",
  "objective": "min-peak",
  "budget": null,
  "status": "optimal",
  "checkpoints": [
    0,
    1,
    2,
    3
  ],
  "predicted": {
    "static": 0,
    "peak": 9000,
    "peak_forward": 0,
    "peak_backward": 0,
    "after_forward": 0,
    "after_backward": 0
  },
  "without": {
    "static": 0,
    "peak": 7000,
    "peak_forward": 0,
    "peak_backward": 0,
    "after_forward": 0,
    "after_backward": 0
  },
  "stats": {
    "states": 4,
    "evaluations": 15,
    "seconds": [..]
  }
}

"#]]);
    folder.remat("plan g.json --format table").assert().success().stderr_eq("").stdout_eq(str![[r#"
graph        four
algorithm    linear
status       optimal
peak         8.79 KiB (9000 B)
checkpoints  4: 0, 1, 2, 3

"#]]);
}

#[test]
fn chain_plans_are_confirmed_and_predicted() {
    for algorithm in ["auto", "none", "every", "sqrt", "uniform-2", "chen", "cubic", "linear", "linear-x"] {
        let folder = Folder::new().with("g.json", CHAIN);
        folder.remat(&format!("plan g.json -o plan.json --algorithm {algorithm}")).assert().success().stderr_eq("");
        folder.remat("check g.json plan.json").assert().success().stderr_eq("");
        let predicted = stdout(&folder.remat("predict g.json --plan plan.json --format json").assert().success());
        let predicted: serde_json::Value = serde_json::from_str(&predicted).expect("JSON");
        let plan: serde_json::Value = serde_json::from_str(&folder.read("plan.json")).expect("JSON");
        assert_eq!(predicted["peak"], plan["predicted"]["peak"], "{algorithm}");
    }
}

#[test]
fn a_chain_has_no_optimizer() {
    let folder = Folder::new().with("g.json", CHAIN);
    folder.remat("predict g.json --optimizer adam").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: g.json is a chain; it has no parameters to optimize
hint: leave --optimizer out

"#]]);
    folder.remat("plan g.json --optimizer adam").assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: g.json is a chain; a chain has no parameters to optimize
hint: leave --optimizer out

"#]]);
}

#[test]
fn a_checked_plan() {
    let made = stdout(&remat("plan resnet18-b64 --algorithm linear").assert().success());
    remat("check resnet18-b64 -").stdin(made.clone()).assert().success().stderr_eq("").stdout_eq(str![[r#"
standard input is a valid plan for resnet18-b64
peak        909.95 MiB (954155520 B)
  forward   516.27 MiB (541351424 B)
  backward  909.95 MiB (954155520 B)
static      44.64 MiB (46812160 B)
recomputed  86 operators in 10 regions, 232.1 GFLOP

"#]]);
    remat("check resnet18-b64 - --format json").stdin(made).assert().success().stderr_eq("").stdout_eq(str![[r#"
{
  "valid": true,
  "graph": "resnet18-b64",
  "replayed": {
    "static": 46812160,
    "peak": 954155520,
    "peak_forward": 541351424,
    "peak_backward": 954155520,
    "after_forward": 528890368,
    "after_backward": 132108800,
    "regions": 10,
    "operators": 86,
    "flops": 232135852032,
    "bytes": 4630468160,
    "time": 0.001828785
  }
}

"#]]);
}

#[test]
fn graphs_come_from_standard_input_plain_or_compressed() {
    let plain = remat("inspect -").stdin(STEP).assert().success().stderr_eq("").stdout_eq(str![[r#"
name           tiny
recorded from  PyTorch 2 on cuda
operators      2 (0 random), 2 kernels
backward       2 nodes, 2 kernels
safe cuts      2 of 2
chain layers   3
work           11 FLOP forward, 11 FLOP backward
time           6.0 us forward, 6.0 us backward (rates of h100)
peak           9.00 KiB (9216 B) without checkpointing
after forward  6.00 KiB

storages     count       size
───────────────────────────────
param            1   2.00 KiB
input            1   1.00 KiB
activation       2   3.50 KiB
gradient         1   3.00 KiB
param_grad       1   2.00 KiB

module   operators   activations      work     time
─────────────────────────────────────────────────────
fc            0..1      3.00 KiB   10 FLOP   3.0 us

"#]]);
    let compressed = remat("inspect -").stdin(crate::gzip(STEP.as_bytes())).assert().success().stderr_eq("");
    assert_eq!(stdout(&plain), stdout(&compressed));
}

#[test]
fn a_file_called_like_a_built_in_step_is_reached_by_its_path() {
    let folder = Folder::new().with("unet-b8", CHAIN);
    folder.remat("inspect ./unet-b8").assert().success().stderr_eq("").stdout_eq(str![[r#"
name           four
layers         4
all layers     6.84 KiB
largest layer  2.93 KiB

"#]]);
}

#[test]
fn the_zoo() {
    remat("zoo").assert().success().stderr_eq("").stdout_eq(str![[r#"
name                      operators      static        peak  about
────────────────────────────────────────────────────────────────────────────────────────────────────
alexnet-b128                     23  233.08 MiB  925.18 MiB  AlexNet (Krizhevsky 2014) at 224x224
bert-base-b16-s256              324  417.77 MiB    5.45 GiB  BERT base with its masked language model head
densenet121-b32                 553   30.86 MiB    3.93 GiB  DenseNet-121 (Huang et al. 2017) at 224x224
googlenet-b64                   255   25.40 MiB    2.92 GiB  GoogLeNet (Szegedy et al. 2015) at 224x224, without auxiliary heads
gpt2-b8-s512                    534  474.70 MiB    6.90 GiB  GPT-2 with 12 layers of width 768
gpt2-b8-s512-amp                534  474.70 MiB    6.09 GiB  GPT-2 with 12 layers of width 768 under bfloat16 autocast
llama-1b-b2-s1024-bf16         1067    2.30 GiB    8.84 GiB  Llama with 16 layers of width 2048, about 1.2 billion parameters, in bfloat16
llama-lora-b4-s1024-bf16        911    1.25 GiB    6.06 GiB  Llama with 12 frozen layers of width 2048 and rank-16 LoRA on queries and values, in bfloat16
llava-b4-s256-bf16              717  434.11 MiB    1.46 GiB  frozen CLIP vision tower, trained projector and Llama with 8 layers of width 1024, in bfloat16
mobilenet_v3_large-b64          234   21.09 MiB    2.68 GiB  MobileNetV3 Large (Howard et al. 2019) at 224x224
resnet101-b32                   450  170.40 MiB    3.98 GiB  ResNet-101 (He et al. 2016) at 224x224
resnet18-b64                     90   44.64 MiB    1.38 GiB  ResNet-18 (He et al. 2016) at 224x224
resnet32-cifar-b512             144    1.85 MiB    1.18 GiB  ResNet-32 for CIFAR-10 (He et al. 2016) at 32x32, without in-place operators
resnet50-b32                    229   97.73 MiB    2.69 GiB  ResNet-50 (He et al. 2016) at 224x224
resnet50-b64-amp                229   97.73 MiB    2.81 GiB  ResNet-50 (He et al. 2016) at 224x224 under bfloat16 autocast
t5-small-b8-s256                771  230.81 MiB    2.36 GiB  T5 small, encoder and decoder
unet-b8                          86  118.48 MiB    2.93 GiB  U-Net (Ronneberger et al. 2015) of depth 4 and base width 64 at 256x256
vgg16-b32                        41  527.79 MiB    3.20 GiB  VGG-16 (Simonyan and Zisserman 2015) at 224x224
vgg19_bn-b32                     79  548.14 MiB    5.12 GiB  VGG-19 with batch normalisation at 224x224
vit_b_16-b32                    431  330.23 MiB    4.13 GiB  Vision Transformer B/16 (Dosovitskiy et al. 2021) at 224x224
whisper-dialect-lora-b8         229   79.31 MiB    1.79 GiB  frozen Whisper encoder of 6 layers with LoRA and a trained classification head

"#]]);
    assert_eq!(json("zoo --format json").as_array().map(Vec::len), Some(21));
}

#[test]
fn completions_and_manual_pages_name_all_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stdout(&remat(&format!("completions {shell}")).assert().success().stderr_eq(""));
        assert!(
            ["compare", "inspect", "--optimizer"].iter().all(|word| script.contains(word.trim_start_matches('-'))),
            "{shell}"
        );
    }
    let page = stdout(&remat("man").assert().success().stderr_eq(""));
    assert!(page.contains(".TH remat 1") && page.contains("compare"));
    let page = stdout(&remat("man plan").assert().success().stderr_eq(""));
    assert!(page.contains("remat\\-plan") && page.contains("\\-\\-algorithm"));
}
