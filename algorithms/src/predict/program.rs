//! A graph compiled for replay: flat lists of what each operator allocates, releases and saves.

use remat_graphs::{Graph, StorageKind};

/// A slice of one of the flat lists.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of<T>(list: &[T], from: usize) -> Self {
        Self { start: from as u32, end: list.len() as u32 }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One kernel of the forward pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelStep {
    /// Activations it allocates.
    pub allocs: Span,
    /// Activations its operator made for itself that no later kernel reads.
    pub frees: Span,
}

/// One operator of the forward pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OperatorStep {
    /// Its kernels.
    pub kernels: Span,
    /// Activations that the running code lets go when the operator returns.
    pub returns: Span,
    /// Activations it saves, as `(storage, kernels run before)`, ascending in the latter; each storage once.
    pub saves: Span,
    /// Cached casts of trainable parameters that it reads but did not make.
    pub casts: Span,
    /// How many kernels have run when its last tensor is saved, parameters included.
    pub last_save: Option<u32>,
}

/// A graph compiled for replay. Building takes O(size of the graph) time and memory; it is shared by all replays.
#[derive(Debug, Clone)]
pub struct Program<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) operators: Vec<OperatorStep>,
    pub(crate) kernels: Vec<KernelStep>,
    pub(crate) storages: Vec<u32>,
    pub(crate) saves: Vec<(u32, u32)>,
    /// Cached casts of trainable parameters under autocast.
    pub(crate) is_cached_cast: Vec<bool>,
    /// Operators that save something but have no backward kernel, ascending, each with the first node of an operator
    /// below it, or [`u32::MAX`]: there it lets go.
    pub(crate) orphans: Vec<(u32, u32)>,
    /// First node of an operator below each operator, or [`u32::MAX`].
    below: Vec<u32>,
    /// Last node of each operator, as an index into the graph's nodes.
    pub(crate) last_node: Vec<Option<u32>>,
    /// Storages that the caller holds until the backward pass is over: the loss.
    pub(crate) held_by_caller: Vec<u32>,
    /// Storages released after each backward kernel, as spans of `storages`.
    pub(crate) deaths: Vec<Span>,
}

impl<'g> Program<'g> {
    /// Compiles a graph.
    pub fn new(graph: &'g Graph) -> Self {
        let n = graph.operators().len();
        let is_activation = |s: u32| graph.kind(s) == StorageKind::Activation;
        let mut p = Self {
            graph,
            operators: Vec::with_capacity(n),
            kernels: Vec::new(),
            storages: Vec::new(),
            saves: Vec::new(),
            is_cached_cast: cached_casts(graph),
            orphans: Vec::new(),
            below: vec![u32::MAX; n],
            last_node: vec![None; n],
            held_by_caller: Vec::new(),
            deaths: Vec::new(),
        };
        let mut lowest = n;
        for (i, node) in graph.nodes().iter().enumerate() {
            if let Some(of) = node.of {
                p.last_node[of as usize] = Some(i as u32);
                if (of as usize) < lowest {
                    p.below[of as usize + 1..n.min(lowest + 1)].fill(i as u32);
                    lowest = of as usize;
                }
            } else {
                let kernels = &graph.backward()[node.start as usize..node.end as usize];
                p.held_by_caller.extend(kernels.iter().flat_map(|k| &k.reads).filter(|&&s| is_activation(s)));
            }
        }
        p.held_by_caller.sort_unstable();
        p.held_by_caller.dedup();
        for o in 0..n as u32 {
            p.operator(o);
        }
        let mut deaths: Vec<(u32, u32)> =
            graph.storages().iter().enumerate().filter_map(|(s, st)| Some((st.dies?, s as u32))).collect();
        deaths.sort_unstable();
        let mut at = 0;
        for b in 0..graph.backward().len() as u32 {
            let from = p.storages.len();
            while at < deaths.len() && deaths[at].0 == b {
                p.storages.push(deaths[at].1);
                at += 1;
            }
            p.deaths.push(Span::of(&p.storages, from));
        }
        p
    }

    fn operator(&mut self, o: u32) {
        let graph = self.graph;
        let operator = &graph.operators()[o as usize];
        let is_activation = |s: u32| graph.kind(s) == StorageKind::Activation;
        // What the operator made for itself goes at its last reading kernel; casts of its inputs when it returns.
        let own =
            |s: u32| is_activation(s) && graph.producer(s) == Some(o) && graph.last_reader(s).is_none_or(|l| l <= o);
        let mut last_kernel: Vec<(u32, u32)> = Vec::new();
        // What is saved is held until then, whoever reads it.
        let saved_after = |s: u32| operator.saves.iter().filter(|v| v.0 == s).map(|v| v.1.saturating_sub(1)).max();
        let mut returns: Vec<u32> = Vec::new();
        for (k, kernel) in operator.kernels.iter().enumerate() {
            // The loss is a function of several calls: a cast of the logits is an argument of the next one.
            let is_cast = kernel.op.starts_with("_to_copy")
                && (o == graph.loss()
                    || graph.trace().autocast.is_some() && kernel.reads.iter().all(|&s| graph.producer(s) != Some(o)));
            for &s in kernel.reads.iter().chain(&kernel.mutates).chain(&kernel.writes) {
                if !is_activation(s) || self.is_cached_cast[s as usize] || self.held_by_caller.contains(&s) {
                    continue;
                }
                if own(s) {
                    if is_cast && kernel.writes.contains(&s) {
                        returns.push(s);
                    } else if !returns.contains(&s) {
                        last_kernel.retain(|l| l.0 != s);
                        last_kernel.push((s, saved_after(s).map_or(k as u32, |at| at.max(k as u32))));
                    }
                } else if graph.last_reader(s) == Some(o) && !returns.contains(&s) {
                    returns.push(s);
                }
            }
        }
        if o == graph.loss() {
            // The loss itself, where the model returns it, stays with the caller.
            let is_dropped = |s: &u32| is_activation(*s) && !self.held_by_caller.contains(s);
            returns.extend(graph.trace().outputs.iter().copied().filter(is_dropped));
            returns.sort_unstable();
            returns.dedup();
        }
        let first_kernel = self.kernels.len();
        for (k, kernel) in operator.kernels.iter().enumerate() {
            let from = self.storages.len();
            self.storages.extend(&kernel.writes);
            let allocs = Span::of(&self.storages, from);
            let from = self.storages.len();
            self.storages.extend(last_kernel.iter().filter(|l| l.1 as usize == k).map(|l| l.0));
            let frees = Span::of(&self.storages, from);
            self.kernels.push(KernelStep { allocs, frees });
        }
        let kernels = Span::of(&self.kernels, first_kernel);
        let from = self.storages.len();
        self.storages.extend(&returns);
        let returns = Span::of(&self.storages, from);
        let saves = self.saves_of(operator);
        let from = self.storages.len();
        let mut casts: Vec<u32> = operator.kernels.iter().flat_map(|k| k.reads.iter().copied()).collect();
        casts.retain(|&s| self.is_cached_cast[s as usize] && graph.producer(s) != Some(o));
        casts.sort_unstable();
        casts.dedup();
        self.storages.extend(casts);
        let casts = Span::of(&self.storages, from);
        let last_save = operator.saves.iter().map(|s| s.1).max();
        if last_save.is_some() && self.last_node[o as usize].is_none() {
            self.orphans.push((o, self.below[o as usize]));
        }
        self.operators.push(OperatorStep { kernels, returns, saves, casts, last_save });
    }

    /// Saved activations, each once, from the first moment it is saved.
    fn saves_of(&mut self, operator: &remat_graphs::Operator) -> Span {
        let mut saves: Vec<(u32, u32)> =
            operator.saves.iter().copied().filter(|s| self.graph.kind(s.0) == StorageKind::Activation).collect();
        saves.sort_unstable();
        saves.dedup_by_key(|s| s.0);
        saves.sort_by_key(|s| s.1);
        let from = self.saves.len();
        self.saves.extend(saves);
        Span::of(&self.saves, from)
    }

    /// What a region is given because its first operator has no kernels that would name it: the result before it, where
    /// that is still alive. Time O(operators without kernels before it).
    pub(crate) fn handed_to(&self, start: u32) -> Option<u32> {
        let first = &self.graph.operators()[start as usize];
        if !first.kernels.is_empty() || is_getitem(&first.op) {
            return None;
        }
        let last = self.graph.operators()[..start as usize].iter().rev().find_map(|o| o.kernels.last())?;
        let result = *if last.writes.is_empty() { last.reads.first() } else { last.writes.first() }?;
        let is_alive = self.graph.producer(result).is_some() && self.graph.last_reader(result) >= Some(start);
        is_alive.then_some(result)
    }

    pub(crate) fn storages(&self, span: Span) -> &[u32] {
        &self.storages[span.range()]
    }
}

/// Does the operator take apart what an operator with several results returns?
pub(crate) fn is_getitem(op: &str) -> bool {
    op.contains("getitem")
}

/// Storages that hold a cast of a trainable parameter under autocast: kept in the autocast cache (FORMATS.md, rule 3).
fn cached_casts(graph: &Graph) -> Vec<bool> {
    let mut is = vec![false; graph.storages().len()];
    if graph.trace().autocast.is_none() {
        return is;
    }
    for kernel in graph.operators().iter().flat_map(|o| &o.kernels) {
        let of_parameter = !kernel.reads.is_empty() && kernel.reads.iter().all(|&s| graph.is_trainable(s));
        let is_reduced = kernel.dtype.is_none() || kernel.dtype == graph.trace().autocast;
        if kernel.op.starts_with("_to_copy") && of_parameter && is_reduced {
            for &s in &kernel.writes {
                is[s as usize] = true;
            }
        }
    }
    is
}
