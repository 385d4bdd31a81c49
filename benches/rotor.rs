//! How rotor grows with the chain, and with the budget.
//!
//! `residual` are three groups of equal blocks, as the chain of a residual network; `random` chains have sizes and times that
//! all differ. Budgets are multiples of the least one, in per cent. Tables take O(n^3) with a small constant; the search
//! grows about as n^3 on blocks and n^4 on random sizes, and is hardest at about twice the least budget, where segments are
//! recomputed twice. Times of one run are in
//! `BENCHMARKS.md`. The paper's program over 500 slots of memory takes 13 s for 200 stages and 64 s for 339 (in C).
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use remat_algorithms::cost::Costs;
use remat_algorithms::predict::Predictor;
use remat_algorithms::rotor::{GraphPlanner, Solver, Stage, Stages};
use remat_graphs::{CostModel, zoo};

mod sizes;
mod stages;

use stages::residual;

fn random(count: usize) -> Stages {
    let draws = sizes::random(3 * count);
    let mut all: Vec<Stage> = draws
        .chunks(3)
        .take(count - 1)
        .map(|d| Stage { forward: d[0] >> 13, output: d[1], tape: d[1] + 2 * d[2], gradient: d[1], ..Stage::default() })
        .collect();
    all.push(Stage::default());
    Stages::new(1 << 20, 0, &all).expect("a valid chain")
}

fn rotor(c: &mut Criterion) {
    let mut group = c.benchmark_group("rotor");
    group.sample_size(10);
    for count in [50, 100, 200, 339] {
        group.throughput(Throughput::Elements(count as u64));
        let mut chains = vec![("residual", residual(count).expect("a valid chain"))];
        if count <= 200 {
            chains.push(("random", random(count)));
        }
        for (name, stages) in chains {
            let least = Solver::new(&stages).least_budget();
            for percent in [130, 200, 400, 1000] {
                let id = BenchmarkId::new(format!("{name}-{percent}%"), count);
                group.bench_with_input(id, &stages, |b, stages| {
                    b.iter(|| Solver::new(black_box(stages)).solve(least / 100 * percent));
                });
            }
        }
    }
    let model = CostModel::device("h100").expect("a built-in device");
    for name in ["resnet101-b32", "densenet121-b32", "llama-1b-b2-s1024-bf16"] {
        let graph = zoo::load(name).expect("a zoo entry");
        let predictor = Predictor::new(&graph);
        let costs = Costs::new(&graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k));
        group.bench_function(BenchmarkId::new("least-peak", name), |b| {
            b.iter(|| GraphPlanner::new(&predictor, &costs).map(|p| p.least_peak(None).peak));
        });
    }
    group.finish();
}

criterion_group!(benches, rotor);
criterion_main!(benches);
