//! The exact planner: least peak, a budget of half of what can be saved, the frontier and nested plans, on the largest steps
//! of the zoo and on synthetic transformers of up to 10,000 operators.
//!
//! Each case first prints its counters: states (with labels) and evaluations (local peaks, steps, candidate labels). How they grow
//! with the number n of operators of a transformer:
//!
//! - least peak: regions that fit the least peak, so O(n × regions per start), and states per cut stay the same;
//! - budget: O(n), because only those long regions are looked at that a better plan can have; then the label search, whose
//!   labels depend on how many different trade-offs there are, up to a limit of 12 million: from some 5000 operators on plans
//!   at half the savings come with a gap;
//! - frontier: one label search for each 0.5 % of the plain peak, over one network of all regions.
//!
//! `cargo bench --bench interval -- frontier` runs one kind, `-- transformer-10000` one step.
#![allow(missing_docs, clippy::print_stderr)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use remat::algorithms::Regions;
use remat::algorithms::cost::Costs;
use remat::algorithms::interval::{Options, Outcome, Planner, Resolution};
use remat::algorithms::predict::{Predictor, Scratch};
use remat::graphs::{CostModel, Graph, synthetic::Transformer, zoo};

/// A step with what planning it needs.
fn with_planner(name: &str, graph: &Graph, run: impl FnOnce(&str, &Planner<'_, '_>, u64)) {
    let model = CostModel::device("h100").expect("a built-in device");
    let predictor = Predictor::new(graph);
    let costs = Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k));
    let without = predictor.peaks(&Regions::default(), None, &mut Scratch::default()).peak;
    run(name, &Planner::new(&predictor, &costs), without);
}

fn print_counters(kind: &str, name: &str, outcome: &Outcome) {
    let Outcome { stats, status, .. } = outcome;
    eprintln!("{kind} {name}: {} states, {} evaluations, {status:?}", stats.states, stats.evaluations);
}

fn plans(c: &mut Criterion) {
    let mut group = c.benchmark_group("interval");
    group.sample_size(10);
    let names = ["resnet50-b32", "unet-b8", "gpt2-b8-s512", "densenet121-b32", "llama-1b-b2-s1024-bf16"];
    let real = names.map(|name| (name.to_owned(), zoo::load(name).expect("a zoo entry")));
    let synthetic = [250, 500, 1000, 2000, 10_000].map(|operators| {
        let trace = Transformer::with_operators(operators).trace();
        (format!("transformer-{operators}"), Graph::new(trace).expect("valid"))
    });
    for (name, graph) in real.into_iter().chain(synthetic) {
        group.throughput(Throughput::Elements(graph.operators().len() as u64));
        with_planner(&name, &graph, |name, planner, without| {
            let options = Options::default();
            let least = planner.least_peak(&options).expect("a plan");
            let budget = u64::midpoint(least.peak, without);
            print_counters("least-peak", name, &least);
            print_counters("budget", name, &planner.least_time(budget, &options).expect("a plan"));
            group.bench_with_input(BenchmarkId::new("least-peak", name), planner, |b, p| {
                b.iter(|| p.least_peak(&options).expect("a plan"));
            });
            group.bench_with_input(BenchmarkId::new("budget", name), planner, |b, p| {
                b.iter(|| p.least_time(budget, &options).expect("a plan"));
            });
        });
    }
    group.finish();
}

fn frontiers(c: &mut Criterion) {
    let mut group = c.benchmark_group("interval");
    group.sample_size(10);
    for name in ["unet-b8", "resnet50-b32", "gpt2-b8-s512", "llama-1b-b2-s1024-bf16", "densenet121-b32"] {
        with_planner(name, &zoo::load(name).expect("a zoo entry"), |name, planner, without| {
            let resolution = Resolution::Step(without / 200);
            let find = || planner.frontier(resolution, &Options::default(), &mut |_, _| {}).expect("plans");
            let points = find().points;
            let evaluations: u64 = points.iter().map(|p| p.stats.evaluations).sum();
            eprintln!("frontier {name}: {} points, {evaluations} evaluations", points.len());
            group.bench_function(BenchmarkId::new("frontier", name), |b| b.iter(find));
        });
    }
    group.finish();
}

fn nested(c: &mut Criterion) {
    let mut group = c.benchmark_group("interval");
    group.sample_size(10);
    for name in ["unet-b8", "resnet50-b32", "gpt2-b8-s512"] {
        with_planner(name, &zoo::load(name).expect("a zoo entry"), |name, planner, _| {
            let options = Options { nesting: 2, ..Options::default() };
            print_counters("nested", name, &planner.least_peak(&options).expect("a plan"));
            group.bench_function(BenchmarkId::new("nested", name), |b| {
                b.iter(|| planner.least_peak(&options).expect("a plan"));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, plans, frontiers, nested);
criterion_main!(benches);
