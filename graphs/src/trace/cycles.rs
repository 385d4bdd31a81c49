//! Finds kernels that wait for each other's results, in whatever order the document lists them.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Faults, Trace};

/// Kernels named in one fault.
const KERNELS_NAMED: usize = 4;

/// Reports every strongly connected component of the kernels, by ascending first kernel. Time and memory O(kernel
/// arguments), without recursion.
pub(super) fn find(trace: &Trace, faults: &mut Faults) {
    let forward: usize = trace.operators.iter().map(|o| o.kernels.len()).sum();
    let kernels = forward + trace.backward.len();
    let lists = || {
        let forward = trace.operators.iter().flat_map(|o| &o.kernels).map(|k| (&k.reads, &k.mutates, &k.writes));
        forward.chain(trace.backward.iter().map(|k| (&k.reads, &k.mutates, &k.writes)))
    };
    let mut writer = vec![None; trace.storages.len()];
    for (k, (_, _, writes)) in lists().enumerate() {
        for &s in writes {
            if let Some(writer) = writer.get_mut(s as usize) {
                writer.get_or_insert(k);
            }
        }
    }
    let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(kernels, kernels);
    for _ in 0..kernels {
        graph.add_node(());
    }
    let mut reads_itself = vec![false; kernels];
    for (k, (reads, mutates, _)) in lists().enumerate() {
        for &s in reads.iter().chain(mutates) {
            if let Some(&Some(w)) = writer.get(s as usize) {
                reads_itself[k] |= w == k;
                graph.add_edge(NodeIndex::new(w), NodeIndex::new(k), ());
            }
        }
    }
    let mut cycles: Vec<Vec<usize>> = kosaraju_scc(&graph)
        .into_iter()
        .filter(|c| c.len() > 1 || c.iter().any(|k| reads_itself[k.index()]))
        .map(|c| c.into_iter().map(NodeIndex::index).collect())
        .collect();
    for cycle in &mut cycles {
        cycle.sort_unstable();
    }
    cycles.sort_unstable();
    let starts: Vec<usize> = trace
        .operators
        .iter()
        .scan(0, |start, o| {
            let here = *start;
            *start += o.kernels.len();
            Some(here)
        })
        .collect();
    let place = |k: usize| {
        if k >= forward {
            return format!("backward[{}]", k - forward);
        }
        let o = starts.partition_point(|&start| start <= k) - 1;
        format!("operators[{o}].kernels[{}]", k - starts[o])
    };
    for cycle in cycles {
        faults.add(
            || place(cycle[0]),
            || {
                if let [_] = cycle[..] {
                    return "a cycle: the kernel reads what it writes itself".into();
                }
                let named: Vec<String> = cycle.iter().take(KERNELS_NAMED).map(|&k| place(k)).collect();
                let more = if cycle.len() > KERNELS_NAMED { ", ..." } else { "" };
                format!("a cycle: {} kernels need each other's results: {}{more}", cycle.len(), named.join(", "))
            },
        );
    }
}
