//! How fast traces load: parsing, checking and grouping, in bytes of JSON per second.
//!
//! All three are linear in the document, so throughput is about the same for small and large traces.

use std::hint::black_box;
use std::io::{self, Read};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::read::GzDecoder;
use remat_graphs::synthetic::Transformer;
use remat_graphs::{ChainOfGraph, Dag, Graph, read, zoo};

fn text(entry: &zoo::Entry) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    GzDecoder::new(entry.compressed).read_to_end(&mut text)?;
    Ok(text)
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    for entry in zoo::entries() {
        let Ok(text) = text(entry) else { continue };
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("parse", entry.name), &text, |b, text| {
            b.iter(|| read::parse(black_box(text), entry.name).is_ok());
        });
        group.bench_function(BenchmarkId::new("zoo", entry.name), |b| {
            b.iter(|| zoo::load(black_box(entry.name)).is_ok());
        });
    }
    group.finish();

    let mut group = c.benchmark_group("transformer");
    group.sample_size(20);
    for operators in [1_000, 10_000, 100_000] {
        let options = Transformer::with_operators(operators);
        group.throughput(Throughput::Elements(u64::from(operators)));
        group.bench_function(BenchmarkId::new("generate", operators), |b| b.iter(|| black_box(options).trace()));
        let trace = options.trace();
        group.bench_function(BenchmarkId::new("check", operators), |b| {
            b.iter_batched(|| trace.clone(), Graph::new, criterion::BatchSize::LargeInput);
        });
        let Ok(graph) = Graph::new(trace) else { continue };
        group.bench_function(BenchmarkId::new("reduce", operators), |b| b.iter(|| ChainOfGraph::of(&graph)));
        group.bench_function(BenchmarkId::new("dag", operators), |b| b.iter(|| Dag::of(&graph)));
    }
    group.finish();
}

criterion_group!(load_benches, benches);
criterion_main!(load_benches);
