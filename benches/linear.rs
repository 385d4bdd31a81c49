//! How the linear planner grows with the chain, in layers per second.
//!
//! Time and memory are O(n) for both objectives: the throughput stays flat until the 28 bytes per layer no longer fit
//! into the caches, and again from there on.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use remat_algorithms::chain::{linear, linear_stepwise};

mod sizes;

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("linear");
    group.sample_size(10);
    for n in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
        group.throughput(Throughput::Elements(n as u64));
        let random = sizes::random(n);
        group.bench_with_input(BenchmarkId::new("traced", n), &random, |b, s| b.iter(|| linear(black_box(s))));
        let id = BenchmarkId::new("stepwise", n);
        group.bench_with_input(id, &random, |b, s| b.iter(|| linear_stepwise(black_box(s))));
    }
    group.finish();
}

criterion_group!(linear_benches, benches);
criterion_main!(linear_benches);
