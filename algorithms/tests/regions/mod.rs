//! Plans for any graph, for tests of what is said about plans.
#![allow(dead_code, reason = "each test uses some of these")]

use remat_algorithms::Segment;
use remat_graphs::Graph;

/// About `k` regions of equally many operators, each from a safe cut to a safe cut.
pub(crate) fn uniform(graph: &Graph, k: u32) -> Vec<Segment> {
    within(graph, 0, graph.loss(), k)
}

/// About four regions with about three in each.
pub(crate) fn nested(graph: &Graph) -> Vec<Segment> {
    let mut segments = uniform(graph, 4);
    for s in &mut segments {
        s.inner = within(graph, s.start, s.end, 3);
    }
    segments
}

/// One plan of each kind.
pub(crate) fn all(graph: &Graph) -> [(&'static str, Vec<Segment>); 3] {
    [("none", Vec::new()), ("uniform", uniform(graph, 6)), ("nested", nested(graph))]
}

fn within(graph: &Graph, start: u32, end: u32, k: u32) -> Vec<Segment> {
    let mut cuts: Vec<u32> = (0..=k).map(|i| start + (end - start) * i / k).collect();
    for cut in &mut cuts {
        while *cut > start && *cut < end && !graph.is_safe_cut(*cut) {
            *cut += 1;
        }
    }
    cuts.dedup();
    cuts.windows(2).map(|w| Segment::new(w[0], w[1])).collect()
}
