//! The exact planner: least peak and a budget of half of what can be saved, on zoo steps and synthetic transformers.
//!
//! Least peak: time and memory grow with the steps of the network, at most pairs of cuts times the sets of storages that
//! earlier steps may hold; in practice with the regions whose local peak fits. A budget adds a label search, whose labels
//! depend on how many different trade-offs there are.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use remat::algorithms::Regions;
use remat::algorithms::cost::Costs;
use remat::algorithms::interval::{Options, Planner};
use remat::algorithms::predict::{Predictor, Scratch};
use remat::graphs::{CostModel, Graph, synthetic::Transformer, zoo};

fn interval(c: &mut Criterion) {
    let model = CostModel::device("h100").expect("a built-in device");
    let mut group = c.benchmark_group("interval");
    group.sample_size(10);
    let names = ["resnet50-b32", "unet-b8", "gpt2-b8-s512", "densenet121-b32", "llama-1b-b2-s1024-bf16"];
    let real = names.map(|name| (name.to_owned(), zoo::load(name).expect("a zoo entry")));
    let synthetic = [250, 500, 1000, 2000].map(|operators| {
        let trace = Transformer::with_operators(operators).trace();
        (format!("transformer-{operators}"), Graph::new(trace).expect("valid"))
    });
    for (name, graph) in real.into_iter().chain(synthetic) {
        group.throughput(Throughput::Elements(graph.operators().len() as u64));
        let predictor = Predictor::new(&graph);
        let costs = Costs::new(&graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k));
        let planner = Planner::new(&predictor, &costs);
        let options = Options::default();
        let least = planner.least_peak(&options).expect("a plan").peak;
        let without = predictor.peaks(&Regions::default(), None, &mut Scratch::default()).peak;
        let budget = u64::midpoint(least, without);
        group.bench_with_input(BenchmarkId::new("least-peak", &name), &planner, |b, p| {
            b.iter(|| p.least_peak(&options).expect("a plan"));
        });
        group.bench_with_input(BenchmarkId::new("budget", &name), &planner, |b, p| {
            b.iter(|| p.least_time(budget, &options).expect("a plan"));
        });
    }
    group.finish();
}

criterion_group!(benches, interval);
criterion_main!(benches);
