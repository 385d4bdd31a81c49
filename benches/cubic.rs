//! How the cubic planner grows with the chain, in layers per second.
//!
//! The worst case is O(n^3). Measured time grows as n e, where e is the number of bounds evaluated, and nearly all
//! ranges of bounds are skipped: on random sizes e is about 60 for 100 layers, 90 for 3000 (of 4.5 million sums) and
//! 250 for 30,000, so that time grows little faster than n. Equal sizes are the easy case: few sums are distinct.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use remat_algorithms::chain::cubic;

mod sizes;

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("cubic");
    group.sample_size(10);
    for n in [100, 300, 1000, 3000, 30_000] {
        group.throughput(Throughput::Elements(n as u64));
        let random = sizes::random(n);
        group.bench_with_input(BenchmarkId::new("random", n), &random, |b, s| b.iter(|| cubic(black_box(s))));
        let equal = vec![1 << 20; n];
        group.bench_with_input(BenchmarkId::new("equal", n), &equal, |b, s| b.iter(|| cubic(black_box(s))));
    }
    group.finish();
}

criterion_group!(cubic_benches, benches);
criterion_main!(cubic_benches);
