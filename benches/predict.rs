//! Prediction on zoo steps: peaks under no plan and under a plan of the sqrt rule, the timeline of the latter and its
//! columns for a drawing.
//!
//! Time grows with the kernels run: those of the step and those that run again. Throughput is in kernels of the step.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use remat::algorithms::predict::{Predictor, Scratch, Timeline};
use remat::algorithms::{Algorithm, Problem, Request};
use remat::algorithms::{Regions, algorithm::Decision};
use remat::graphs::zoo;

fn predict(c: &mut Criterion) {
    let mut group = c.benchmark_group("predict");
    for name in ["alexnet-b128", "resnet50-b32", "densenet121-b32", "llama-1b-b2-s1024-bf16"] {
        let graph = zoo::load(name).expect("a zoo entry");
        let kernels = graph.operators().iter().map(|o| o.kernels.len()).sum::<usize>() + graph.backward().len();
        group.throughput(Throughput::Elements(kernels as u64));
        let predictor = Predictor::new(&graph);
        let planned = Algorithm::Sqrt.planner().plan(&Request::min_peak(Problem::Graph(&graph))).expect("a plan");
        let Decision::Segments(segments) = planned.decision else { continue };
        let regions = Regions::resolve(&graph, &segments).expect("valid regions");
        let mut scratch = Scratch::default();
        group.bench_with_input(BenchmarkId::new("none", name), &Regions::default(), |b, r| {
            b.iter(|| predictor.peaks(r, None, &mut scratch));
        });
        group.bench_with_input(BenchmarkId::new("sqrt", name), &regions, |b, r| {
            b.iter(|| predictor.peaks(r, None, &mut scratch));
        });
        group.bench_with_input(BenchmarkId::new("timeline", name), &regions, |b, r| {
            b.iter(|| Timeline::new(&predictor, r, None, &mut scratch));
        });
        let timeline = Timeline::new(&predictor, &regions, None, &mut scratch);
        group.bench_with_input(BenchmarkId::new("columns", name), &timeline, |b, t| {
            b.iter(|| t.columns(0..t.entries.len(), 80, |_| 1));
        });
        group.bench_with_input(BenchmarkId::new("compile", name), &graph, |b, g| b.iter(|| Predictor::new(g)));
    }
    group.finish();
}

criterion_group!(benches, predict);
criterion_main!(benches);
