//! Holds the predictor against peaks that PyTorch reached: every entry of every measured document.

#![allow(clippy::print_stdout)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use remat_algorithms::plan::{Regions, Segment};
use remat_algorithms::predict::{Observer, Optimizer, Predictor, Scratch, replay};
use remat_graphs::{Document, Graph};
use serde::Deserialize;

#[derive(Deserialize)]
struct Measured {
    model: String,
    measured: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    plan: String,
    segments: Vec<Segment>,
    optimizer: Option<Optimizer>,
    #[serde(rename = "static")]
    static_bytes: u64,
    peak: u64,
    peak_forward: u64,
    peak_backward: u64,
    peak_optimizer: Option<u64>,
    after_forward: u64,
    after_backward: u64,
    flops_backward: u64,
}

/// Adds up the FLOPs that run again.
struct Flops<'g>(&'g Graph, u64);

impl Observer for Flops<'_> {
    fn ran_again(&mut self, operator: u32, kernel: u32) {
        self.1 += self.0.operators()[operator as usize].kernels[kernel as usize].flops;
    }
}

fn graph(model: &str) -> Graph {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../graphs/zoo/{model}.trace.json.gz"));
    match remat_graphs::read::load_path(path) {
        Ok(Document::Graph(graph)) => *graph,
        other => panic!("{model}: {other:?}"),
    }
}

/// Relative error in millionths.
fn error(predicted: u64, measured: u64) -> u64 {
    (predicted.abs_diff(measured) * 1_000_000).div_ceil(measured.max(1))
}

#[test]
fn peaks_equal_those_that_pytorch_reached() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<_> = [data.clone(), data.join("random"), data.join("chosen"), data.join("neighbours")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()))
        .collect();
    files.retain(|p| p.to_string_lossy().ends_with(".measured.json"));
    files.sort();
    assert!(!files.is_empty());
    let mut table = format!(
        "{:<26}{:<12}{:>8}  largest error in ppm of: peak, forward, backward, after fwd, after bwd, recomputed flops\n",
        "model", "entries", "exact"
    );
    let mut failures = Vec::new();
    for file in files {
        let measured: Measured = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let graph = graph(&measured.model);
        let predictor = Predictor::new(&graph);
        let mut scratch = Scratch::default();
        let flops: u64 = graph.backward().iter().map(|k| k.flops).sum();
        for with_optimizer in [false, true] {
            let entries: Vec<&Entry> =
                measured.measured.iter().filter(|e| e.optimizer.is_some() == with_optimizer).collect();
            let mut worst = [0u64; 6];
            let mut exact = 0;
            for e in &entries {
                let regions = Regions::resolve(&graph, &e.segments).unwrap();
                let mut again = Flops(&graph, 0);
                let replayed = replay(predictor.program(), &regions, &mut scratch, &mut again);
                let p = predictor.with_optimizer(&replayed, e.optimizer);
                let pairs = [
                    (p.peak, e.peak),
                    (p.peak_forward, e.peak_forward),
                    (p.peak_backward, e.peak_backward),
                    (p.after_forward, e.after_forward),
                    (p.after_backward, e.after_backward),
                    (flops + again.1, e.flops_backward),
                ];
                let errors = pairs.map(|(p, m)| error(p, m));
                for (w, e) in worst.iter_mut().zip(errors) {
                    *w = e.max(*w);
                }
                exact += usize::from(errors == [0; 6]);
                assert_eq!(p.static_bytes, e.static_bytes, "{} {}", measured.model, e.plan);
                let limit = if with_optimizer { 10_000 } else { 1_000 };
                let optimizer = error(p.peak_optimizer.unwrap_or(0), e.peak_optimizer.unwrap_or(0));
                if errors[0] > limit || errors[1] > limit || optimizer > limit {
                    failures.push(format!(
                        "{} {} {:?}: {errors:?} {optimizer} {pairs:?}",
                        measured.model, e.plan, e.optimizer
                    ));
                }
            }
            let kind = if with_optimizer { "optimizer" } else { "plain" };
            let counts = format!("{} {kind}", entries.len());
            writeln!(table, "{:<26}{counts:<14}{exact:>6}  {worst:?}", measured.model).unwrap();
        }
    }
    // Past the capture of the test harness: the table is there to be read, also when all is well.
    std::io::stderr().write_all(format!("\n{table}\n").as_bytes()).unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
