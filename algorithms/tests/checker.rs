//! The checker against real steps: every plan of the corpus, measured in PyTorch.

use remat_algorithms::Segment;
use remat_algorithms::checker::{Verified, check};
use remat_graphs::zoo;
use serde::Deserialize;

#[derive(Deserialize)]
struct Measured {
    model: String,
    measured: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    plan: String,
    #[serde(default)]
    segments: Vec<Segment>,
    #[serde(default)]
    optimizer: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(rename = "static", default)]
    static_bytes: u64,
    #[serde(default)]
    peak: u64,
    #[serde(default)]
    peak_forward: u64,
    #[serde(default)]
    peak_backward: u64,
    #[serde(default)]
    after_forward: u64,
    #[serde(default)]
    after_backward: u64,
    #[serde(default)]
    flops_backward: u64,
}

#[test]
fn explore() {
    let Ok(files) = std::env::var("FILES") else { return };
    for file in files.split(' ') {
        let text = std::fs::read_to_string(file).unwrap();
        let m: Measured = serde_json::from_str(&text).unwrap();
        let graph = zoo::load(&m.model).unwrap();
        let plain: u64 = graph.trace().backward.iter().map(|k| k.flops).sum();
        let (mut n, mut exact) = (0, 0);
        for (i, e) in m.measured.iter().enumerate().filter(|(_, e)| e.optimizer.is_none()) {
            n += 1;
            let v = match check(&graph, &e.segments) {
                Ok(v) => v,
                Err(err) => {
                    println!("{} #{i} {}: refused {err}; measured error {:?}", m.model, e.plan, e.error);
                    continue;
                }
            };
            if let Some(err) = &e.error {
                println!("{} #{i} {}: PyTorch fails {err}", m.model, e.plan);
                continue;
            }
            let d = |a: u64, b: u64| a as i64 - b as i64;
            let diff = [
                d(v.static_bytes, e.static_bytes),
                d(v.peak, e.peak),
                d(v.peak_forward, e.peak_forward),
                d(v.peak_backward, e.peak_backward),
                d(v.after_forward, e.after_forward),
                d(v.after_backward, e.after_backward),
                d(v.flops_recomputed + plain, e.flops_backward),
            ];
            if diff.iter().any(|&d| d != 0) {
                println!("{} #{i} {}: {diff:?} of {}", m.model, e.plan, e.peak);
            } else {
                exact += 1;
            }
        }
        println!("{}: {exact} of {n} exact", m.model);
    }
    let _: Option<Verified> = None;
}
