//! How the cubic planner grows with the chain, in layers per second.
//!
//! The worst case is O(n^3). Measured time grows as n e, where e is the number of bounds evaluated: most ranges of
//! bounds are skipped, and e grows slower than n on random sizes; of 4.5 million sums at 3000 layers well under one in a
//! thousand is evaluated. Equal sizes are the easy case: few sums are distinct.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use remat_algorithms::chain::cubic;

mod sizes;

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("cubic");
    group.sample_size(10);
    for n in [100, 300, 1000, 3000] {
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
