//! When the forward pass makes, reads and saves each activation, and what it holds at every cut.

use crate::graph::Graph;
use crate::trace::StorageKind;

/// Lifetime of one storage that the forward pass makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Operator that makes it.
    pub made: u32,
    /// Last operator of the forward pass that reads it; `made` if none does.
    pub last_read: u32,
    /// First operator that saves it for the backward pass.
    pub saved: Option<u32>,
    /// Last node of the backward pass that frees it, as an index into [`Graph::nodes`]; absent if it is not saved, or if
    /// no node of an operator that saved it exists.
    pub freed: Option<u32>,
}

/// Lifetimes of all activations in a step without checkpointing.
#[derive(Debug, Clone)]
pub struct Liveness {
    lifetimes: Vec<Option<Lifetime>>,
    held: Vec<u64>,
}

impl Liveness {
    /// Lifetimes in a graph. Time and memory O(N + S + saves) for N operators and S storages.
    pub fn of(graph: &Graph) -> Self {
        let mut lifetimes: Vec<Option<Lifetime>> = (0..graph.storages().len() as u32)
            .map(|s| {
                let made = graph.producer(s).filter(|_| graph.kind(s) == StorageKind::Activation)?;
                Some(Lifetime { made, last_read: graph.last_reader(s).unwrap_or(made), saved: None, freed: None })
            })
            .collect();
        for (o, operator) in graph.operators().iter().enumerate() {
            for &(s, _) in &operator.saves {
                if let Some(lifetime) = &mut lifetimes[s as usize] {
                    lifetime.saved.get_or_insert(o as u32);
                }
            }
        }
        for (i, node) in graph.nodes().iter().enumerate() {
            for &s in &node.frees {
                if let Some(lifetime) = &mut lifetimes[s as usize] {
                    lifetime.freed = Some(i as u32);
                }
            }
        }
        let cuts = graph.loss() as usize + 2;
        let mut change = vec![0i128; cuts + 1];
        for (s, lifetime) in lifetimes.iter().enumerate() {
            let Some(l) = lifetime else { continue };
            let end = if l.saved.is_some() { cuts } else { l.last_read as usize + 1 };
            if l.made as usize + 1 < end {
                change[l.made as usize + 1] += i128::from(graph.size(s as u32));
                change[end] -= i128::from(graph.size(s as u32));
            }
        }
        let mut now = 0i128;
        let held = change[..cuts]
            .iter()
            .map(|change| {
                now += change;
                // A sum of some sizes: never negative, and below 2^57.
                u64::try_from(now).unwrap_or(0)
            })
            .collect();
        Self { lifetimes, held }
    }

    /// Lifetime of a storage; `None` unless it is an activation.
    pub fn lifetime(&self, storage: u32) -> Option<&Lifetime> {
        self.lifetimes[storage as usize].as_ref()
    }

    /// Bytes of activations held at cut `k`, from 0 to the number of operators, if nothing is recomputed: what an
    /// operator before it has saved, and what one at or after it still reads.
    pub fn held(&self, k: u32) -> u64 {
        self.held[k as usize]
    }
}
