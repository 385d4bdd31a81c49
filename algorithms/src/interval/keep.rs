//! Candidate sets of kernels whose results a selective region keeps.

use remat_graphs::Graph;

use crate::cost::Costs;

/// Most candidate sets.
const LEVELS: usize = 4;

/// A set of kernels, by name.
#[derive(Debug, Clone)]
pub(super) struct Keep {
    /// Kernel names, in the order of what they save per byte.
    pub names: Vec<String>,
    /// Storages whose kernels are in the set.
    pub is_kept: Vec<bool>,
    /// Nanoseconds saved per operator, of all its kernels and of those before its last save.
    pub saved: Vec<(u64, u64)>,
    /// Operators that change a kept result in place: no region may hold both.
    pub mutates: Vec<bool>,
}

/// Nested sets of kernel names: those that take the most time per byte of their results first, as matrix products and
/// attention do. Names of which some kernel returns a view or changes something in place are left out.
pub(super) fn levels(graph: &Graph, costs: &Costs) -> Vec<Keep> {
    let mut names: Vec<(&str, u128, u128, bool)> = Vec::new();
    for (o, operator) in graph.operators()[..graph.loss() as usize].iter().enumerate() {
        for (kernel, &ns) in operator.kernels.iter().zip(costs.operator_kernels(o as u32)) {
            let bytes: u64 = kernel.writes.iter().map(|&s| graph.size(s)).sum();
            let plain = !kernel.writes.is_empty() && kernel.mutates.is_empty();
            match names.iter_mut().find(|n| n.0 == kernel.op) {
                Some(entry) => {
                    entry.1 += u128::from(ns);
                    entry.2 += u128::from(bytes);
                    entry.3 &= plain;
                }
                None => names.push((&kernel.op, u128::from(ns), u128::from(bytes), plain)),
            }
        }
    }
    // Casts may come from the autocast cache instead of their kernel.
    names.retain(|n| n.3 && n.1 > 0 && n.2 > 0 && !n.0.starts_with("_to_copy"));
    // By time per byte, without division.
    names.sort_by(|a, b| (b.1 * a.2).cmp(&(a.1 * b.2)).then_with(|| a.0.cmp(b.0)));
    (1..=names.len().min(LEVELS))
        .map(|k| Keep::new(graph, costs, names[..k].iter().map(|n| n.0.to_owned()).collect()))
        .collect()
}

impl Keep {
    fn new(graph: &Graph, costs: &Costs, names: Vec<String>) -> Self {
        let mut is_kept = vec![false; graph.storages().len()];
        let mut saved = Vec::with_capacity(graph.operators().len());
        let mut mutates = Vec::with_capacity(graph.operators().len());
        for (o, operator) in graph.operators().iter().enumerate() {
            let last_save = operator.saves.iter().map(|s| s.1).max().unwrap_or(0);
            let (mut all, mut before) = (0, 0);
            for (k, (kernel, &ns)) in operator.kernels.iter().zip(costs.operator_kernels(o as u32)).enumerate() {
                if names.contains(&kernel.op) {
                    kernel.writes.iter().for_each(|&s| is_kept[s as usize] = true);
                    all += ns;
                    before += if (k as u32) < last_save { ns } else { 0 };
                }
            }
            saved.push((all, before));
            mutates.push(operator.kernels.iter().flat_map(|k| &k.mutates).any(|&s| is_kept[s as usize]));
        }
        Self { names, is_kept, saved, mutates }
    }
}
