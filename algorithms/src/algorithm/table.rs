//! What is known about every algorithm.

/// What is known about an algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlgorithmInfo {
    /// Name on the command line; `K` stands for a positive number.
    pub name: &'static str,
    /// What it optimises.
    pub objective: &'static str,
    /// What it proves.
    pub exactness: &'static str,
    /// Time for n layers (after O(graph) for the reduction of a graph).
    pub complexity: &'static str,
    /// Where it comes from.
    pub source: &'static str,
}

const CHEN: &str = "Chen, Xu, Zhang, Guestrin 2016, arXiv 1604.06174";
const KUSUMOTO: &str = "Kusumoto, Inoue, Watanabe, Akiba, Koyama, NeurIPS 2019, arXiv 1905.11722";
const HONG: &str = "Hong, Tsai, Wang, Liu, Wu, JPDC 2025, arXiv 2502.12499";

/// All algorithms, from the simplest to the most exact.
pub const TABLE: [AlgorithmInfo; 12] = [
    AlgorithmInfo {
        name: "none",
        objective: "nothing: keeps everything, recomputes nothing",
        exactness: "baseline",
        complexity: "O(n)",
        source: "-",
    },
    AlgorithmInfo {
        name: "every",
        objective: "nothing: recomputes every layer on its own",
        exactness: "baseline",
        complexity: "O(n)",
        source: "-",
    },
    AlgorithmInfo {
        name: "sqrt",
        objective: "nothing: about sqrt(n) regions of equally many layers",
        exactness: "baseline",
        complexity: "O(n)",
        source: CHEN,
    },
    AlgorithmInfo {
        name: "uniform-K",
        objective: "nothing: K regions of equally many layers",
        exactness: "baseline",
        complexity: "O(n)",
        source: "-",
    },
    AlgorithmInfo {
        name: "chen",
        objective: "conservative peak of a chain: all checkpoints and the largest region",
        exactness: "heuristic: greedy by a threshold, best of about 130",
        complexity: "O(n log bytes)",
        source: CHEN,
    },
    AlgorithmInfo {
        name: "cubic",
        objective: "conservative peak of a chain: all checkpoints and the largest region",
        exactness: "optimal on chains",
        complexity: "O(n^3) at worst; parallel, skips what cannot win",
        source: HONG,
    },
    AlgorithmInfo {
        name: "linear",
        objective: "traced peak of a chain: checkpoints up to the current region, the region, a gradient pair",
        exactness: "optimal on chains",
        complexity: "O(n)",
        source: HONG,
    },
    AlgorithmInfo {
        name: "linear-x",
        objective: "traced peak of a chain, exact for each step of a region's backward pass",
        exactness: "optimal on chains",
        complexity: "O(n)",
        source: HONG,
    },
    AlgorithmInfo {
        name: "kusumoto-time",
        objective: "least recomputation over sequences of lower sets, within a model of memory",
        exactness: "optimal for its model over its family of lower sets; predicted budgets decide",
        complexity: "O(S^2 labels) for S lower sets, at most operators + 2 where they are many",
        source: KUSUMOTO,
    },
    AlgorithmInfo {
        name: "kusumoto-memory",
        objective: "most recomputation over sequences of lower sets, within a model of memory",
        exactness: "optimal for its model over its family of lower sets; predicted budgets decide",
        complexity: "O(S^2 labels) for S lower sets, at most operators + 2 where they are many",
        source: KUSUMOTO,
    },
    AlgorithmInfo {
        name: "rotor",
        objective: "least recomputation of a chain within a memory budget, by nested regions",
        exactness: "optimal on chains over all persistent schedules, exact to the byte",
        complexity: "O(n^3) tables; search by bounds; chains of up to 1000 layers",
        source: "Beaumont, Eyraud-Dubois, Hermann, Joly, Shilova 2019, Inria RR-9302, arXiv 1911.13214",
    },
    AlgorithmInfo {
        name: "interval",
        objective: "peak of the graph as the allocator sees it; least recomputation, within a budget too",
        exactness: "optimal over all sets of regions between safe cuts",
        complexity: "least peak O(n^2 sets held); budgets by label search",
        source: "remat; the argument is in the module's documentation",
    },
];
