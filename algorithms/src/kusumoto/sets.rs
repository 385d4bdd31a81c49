//! The graph of values, and families of its lower sets.

use std::collections::{BTreeSet, VecDeque};

use remat_graphs::{Graph, StorageKind};

use crate::cost::Costs;

/// Most lower sets for which all of them are used instead of the pruned family.
pub const ALL_LIMIT: usize = 512;

/// Values of a forward pass, in an order in which they can be computed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dag {
    /// Bytes of each value.
    pub bytes: Vec<u64>,
    /// Time to compute it, in nanoseconds.
    pub time: Vec<u64>,
    /// What each is computed from: earlier vertices, ascending, without repeats.
    pub inputs: Vec<Vec<u32>>,
    /// The operator that computes it.
    pub operator: Vec<u32>,
}

impl Dag {
    /// The values of a step, one for each operator before the loss that makes or changes an activation. Who reads a value
    /// that was changed in place depends on both operators. Time O(size of the graph).
    pub fn of(graph: &Graph, costs: &Costs) -> Self {
        let mut dag = Self::default();
        let mut writers: Vec<Vec<u32>> = vec![Vec::new(); graph.storages().len()];
        for (o, operator) in graph.operators().iter().enumerate().take(graph.loss() as usize) {
            let is_activation = |s: &&u32| graph.kind(**s) == StorageKind::Activation;
            let kernels = || operator.kernels.iter();
            let made: Vec<u32> = kernels().flat_map(|k| &k.writes).filter(is_activation).copied().collect();
            let changed: Vec<u32> = kernels().flat_map(|k| &k.mutates).filter(is_activation).copied().collect();
            if made.is_empty() && changed.is_empty() {
                continue;
            }
            let read = kernels().flat_map(|k| k.reads.iter().chain(&k.mutates));
            let inputs: BTreeSet<u32> = read.flat_map(|&s| writers[s as usize].iter().copied()).collect();
            let vertex = dag.bytes.len() as u32;
            dag.bytes.push(made.iter().fold(0, |sum, &s| graph.size(s).saturating_add(sum)));
            dag.time.push(costs.operator_kernels(o as u32).iter().fold(0, |sum, &ns| ns.saturating_add(sum)));
            dag.inputs.push(inputs.into_iter().filter(|&v| v < vertex).collect());
            dag.operator.push(o as u32);
            for s in made.into_iter().chain(changed) {
                let writers = &mut writers[s as usize];
                if writers.last() != Some(&vertex) {
                    writers.push(vertex);
                }
            }
        }
        dag
    }

    /// Number of vertices.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Is there no vertex?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Successors of each vertex.
    fn outputs(&self) -> Vec<Vec<u32>> {
        let mut outputs = vec![Vec::new(); self.len()];
        for (v, inputs) in self.inputs.iter().enumerate() {
            for &u in inputs {
                outputs[u as usize].push(v as u32);
            }
        }
        outputs
    }
}

/// A set of vertices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    fn empty(vertices: usize) -> Self {
        Self(vec![0; vertices.div_ceil(64)])
    }

    fn insert(&mut self, v: u32) {
        self.0[v as usize / 64] |= 1 << (v % 64);
    }

    pub(super) fn contains(&self, v: u32) -> bool {
        self.0[v as usize / 64] >> (v % 64) & 1 == 1
    }

    pub(super) fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    /// Number of vertices in the set.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|w| w.count_ones()).sum()
    }
}

/// A lower set with what the program asks of it.
pub(super) struct LowerSet {
    pub members: Bits,
    /// `M(L)`.
    pub bytes: u64,
    /// `T(L)`.
    pub time: u64,
    /// `∂L`.
    pub boundary: Vec<u32>,
    /// `M(δ⁺(L) \ L) + M(δ⁻(δ⁺(L)) \ L)`.
    pub around: u64,
    /// The last operator of its vertices.
    pub last: Option<u32>,
}

/// The family: the empty set first, all vertices last, no set after one that holds it.
pub(super) fn family(dag: &Dag) -> Vec<LowerSet> {
    let outputs = dag.outputs();
    let mut sets = all(dag).unwrap_or_else(|| pruned(dag));
    sets.sort_by_cached_key(|set| (set.count(), set.clone()));
    sets.dedup();
    sets.into_iter().map(|members| LowerSet::new(dag, &outputs, members)).collect()
}

/// All lower sets, unless there are too many.
fn all(dag: &Dag) -> Option<Vec<Bits>> {
    let empty = Bits::empty(dag.len());
    let mut known = BTreeSet::from([empty.clone()]);
    let mut open = VecDeque::from([empty]);
    while let Some(set) = open.pop_front() {
        for v in 0..dag.len() as u32 {
            if !set.contains(v) && dag.inputs[v as usize].iter().all(|&u| set.contains(u)) {
                let mut larger = set.clone();
                larger.insert(v);
                if known.insert(larger.clone()) {
                    if known.len() > ALL_LIMIT {
                        return None;
                    }
                    open.push_back(larger);
                }
            }
        }
    }
    Some(known.into_iter().collect())
}

/// The ancestors of each vertex, itself included; nothing; and everything.
fn pruned(dag: &Dag) -> Vec<Bits> {
    let mut sets: Vec<Bits> = Vec::with_capacity(dag.len() + 2);
    let mut everything = Bits::empty(dag.len());
    for (v, inputs) in dag.inputs.iter().enumerate() {
        let mut set = Bits::empty(dag.len());
        for &u in inputs {
            for (word, more) in set.0.iter_mut().zip(&sets[u as usize].0) {
                *word |= more;
            }
        }
        set.insert(v as u32);
        everything.insert(v as u32);
        sets.push(set);
    }
    sets.extend([Bits::empty(dag.len()), everything]);
    sets
}

impl LowerSet {
    fn new(dag: &Dag, outputs: &[Vec<u32>], members: Bits) -> Self {
        let inside = || (0..dag.len() as u32).filter(|&v| members.contains(v));
        let sum = |of: &[u64], vertices: &mut dyn Iterator<Item = u32>| {
            vertices.fold(0u64, |sum, v| sum.saturating_add(of[v as usize]))
        };
        let leaves = |v: &u32| outputs[*v as usize].iter().any(|&w| !members.contains(w));
        let boundary: Vec<u32> = inside().filter(leaves).collect();
        let next: BTreeSet<u32> =
            boundary.iter().flat_map(|&v| &outputs[v as usize]).copied().filter(|&w| !members.contains(w)).collect();
        let beside: BTreeSet<u32> =
            next.iter().flat_map(|&w| &dag.inputs[w as usize]).copied().filter(|&u| !members.contains(u)).collect();
        let around = sum(&dag.bytes, &mut next.iter().copied());
        Self {
            bytes: sum(&dag.bytes, &mut inside()),
            time: sum(&dag.time, &mut inside()),
            around: around.saturating_add(sum(&dag.bytes, &mut beside.iter().copied())),
            last: inside().map(|v| dag.operator[v as usize]).max(),
            boundary,
            members,
        }
    }
}
