//! The chain of a training graph: what planners for plain chains can see of a network.

use std::collections::HashMap;

use crate::chain::{CHAIN_FORMAT, Chain, Layer};
use crate::cost::CostModel;
use crate::cuts;
use crate::graph::Graph;
use crate::trace::StorageKind;

/// A graph reduced to a chain of layers, and the way back.
///
/// **Layers.** Layer 0 is the network's input and holds no operators. Layer `i >= 1` holds operators
/// `cuts[i - 1] .. cuts[i]`. The last layer holds the loss, alone wherever the cut before the loss is safe.
///
/// **Where layers end.** At safe cuts that the network crosses in one storage: exactly one activation *that carries a
/// gradient* crosses (it depends on a trainable parameter), or none does and exactly one activation crosses at all.
/// Side values without a gradient, such as attention masks and position tables, may cross beside it; else most
/// transformers would be one layer. Of consecutive such cuts that the same storage crosses, only the last one counts: a
/// view belongs to the layer that made its storage. The cut before the loss ends a layer whenever it is safe.
///
/// **`bytes`.** `bytes` of layer 0 are the inputs and targets. `bytes` of another layer are all activations that it
/// makes and leaves behind: those that an operator saves for the backward pass (here or in a later layer) and those
/// read after its end. Each activation counts once, in the layer that makes it, rounded up to the block; so the sum over
/// all layers is what a step without checkpointing holds, besides what is static.
///
/// **What the reduction loses.** Gradients and the temporaries inside kernels; that an activation which only the
/// neighbour saves is held with the neighbour; that side values crossing a cut stay alive beside the checkpoint; that
/// a checkpointed layer keeps its last storage and not all its `bytes` (`bytes` is what running the layer plainly
/// leaves, `handed_on` the part that crosses its end); that recomputation stops early; all skips over a cut. A peak of
/// the chain is a guide; the peak of the plan it gives is the predictor's business.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainOfGraph {
    /// The chain, named as the graph is.
    pub chain: Chain,
    /// Ends of the layers as cuts: `cuts[0] = 0`, one entry per layer, the last one is the number of operators. All but
    /// the last are safe cuts.
    pub cuts: Vec<u32>,
    /// Per layer, the part of its bytes that is read after its end: what a checkpoint at the layer must hold.
    pub handed_on: Vec<u64>,
}

impl ChainOfGraph {
    /// Reduces a graph to its chain.
    ///
    /// # Complexity
    /// Time O(K + S + layers log layers) and memory O(N + S) for N operators, K kernel arguments and saves, S storages.
    pub fn of(graph: &Graph) -> Self {
        let cuts = layer_ends(graph);
        let (mut bytes, mut handed_on) = left_behind(graph, &cuts);
        bytes[0] = graph.input_bytes();
        handed_on[0] = graph.input_bytes();
        let names = layer_names(graph, &cuts);
        let layers =
            names.into_iter().zip(bytes).map(|(name, bytes)| Layer { name: Some(name), bytes, time: None }).collect();
        let chain = Chain { format: CHAIN_FORMAT.into(), name: graph.name().into(), layers };
        Self { chain, cuts, handed_on }
    }

    /// Fills in the forward time of every layer by a cost model; the graph is the one that was reduced. Time O(kernels).
    #[must_use]
    pub fn timed(mut self, graph: &Graph, model: &CostModel) -> Self {
        // Seconds are what the format asks for; planners count the nanoseconds of operators instead.
        let seconds = |from: u32, to: u32| (from..to).map(|o| model.operator_ns(graph, o)).sum::<u64>() as f64 / 1e9;
        self.chain.layers[0].time = Some(0.0);
        for (layer, w) in self.chain.layers[1..].iter_mut().zip(self.cuts.windows(2)) {
            layer.time = Some(seconds(w[0], w[1]));
        }
        self
    }

    /// Operator ranges to recompute when exactly the given layers are checkpoints: between two consecutive checkpoints
    /// `i < j` the operators `cuts[i] .. cuts[j]`, cut off before the last layer, which is never recomputed.
    ///
    /// A range of one layer is a region like any other: a chain's checkpoint set says nothing of layers run plainly. Layers out of range are ignored; layer 0 and the last
    /// layer count as checkpoints whether listed or not. Time O(c log c) for c checkpoints.
    pub fn regions(&self, checkpoints: &[u32]) -> Vec<(u32, u32)> {
        let last = self.cuts.len() as u32 - 1;
        let mut ends: Vec<u32> = checkpoints.iter().copied().filter(|&c| c < last).collect();
        // The loss is never recomputed, so the last region ends where the last layer starts.
        ends.extend([0, last.saturating_sub(1)]);
        ends.sort_unstable();
        ends.dedup();
        ends.windows(2).map(|w| (self.cuts[w[0] as usize], self.cuts[w[1] as usize])).collect()
    }
}

/// Ends of all layers, ascending, layer 0 included.
fn layer_ends(graph: &Graph) -> Vec<u32> {
    let loss = graph.loss();
    let mut ends = vec![0];
    let mut previous = None;
    for (k, crossing) in single_crossings(graph).into_iter().enumerate().skip(1) {
        let k = k as u32;
        let Some(storage) = crossing.filter(|_| graph.is_safe_cut(k)) else { continue };
        if previous == Some(storage) {
            ends.pop();
        }
        previous = Some(storage);
        ends.push(k);
    }
    if loss > 0 && graph.is_safe_cut(loss) && ends.last() != Some(&loss) {
        ends.push(loss);
    }
    ends.push(loss + 1);
    ends
}

/// The storage in which the network crosses each cut `0 ..= loss`, where it does so in one.
fn single_crossings(graph: &Graph) -> Vec<Option<u32>> {
    let cuts = graph.loss() as usize + 1;
    let carries = cuts::carries_gradient(graph);
    // Per class of storages a difference array of (how many cross, sum of their indices): a sum over one is that one.
    let mut change = [vec![(0i64, 0i64); cuts + 1], vec![(0i64, 0i64); cuts + 1]];
    for s in 0..graph.storages().len() as u32 {
        let (Some(made), Some(read)) = (graph.producer(s), graph.last_reader(s)) else { continue };
        if read > made {
            let change = &mut change[usize::from(carries[s as usize])];
            for (at, sign) in [(made + 1, 1), (read + 1, -1)] {
                change[at as usize].0 += sign;
                change[at as usize].1 += sign * i64::from(s);
            }
        }
    }
    let mut now = [(0i64, 0i64); 2];
    (0..cuts)
        .map(|k| {
            for (now, change) in now.iter_mut().zip(&change) {
                now.0 += change[k].0;
                now.1 += change[k].1;
            }
            match (now[1].0, now[0].0) {
                (1, _) => u32::try_from(now[1].1).ok(),
                (0, 1) => u32::try_from(now[0].1).ok(),
                _ => None,
            }
        })
        .collect()
}

/// Per layer: bytes of the activations it makes and leaves behind, and the part read after its end.
fn left_behind(graph: &Graph, cuts: &[u32]) -> (Vec<u64>, Vec<u64>) {
    let mut saved = vec![false; graph.storages().len()];
    for &(s, _) in graph.operators().iter().flat_map(|o| &o.saves) {
        saved[s as usize] = true;
    }
    let mut layer_of = Vec::with_capacity(graph.operators().len());
    for (layer, w) in (1usize..).zip(cuts.windows(2)) {
        layer_of.resize(w[1] as usize, layer);
    }
    let (mut bytes, mut handed_on) = (vec![0; cuts.len()], vec![0; cuts.len()]);
    for s in 0..graph.storages().len() as u32 {
        let Some(made) = graph.producer(s).filter(|_| graph.kind(s) == StorageKind::Activation) else { continue };
        let layer = layer_of[made as usize];
        let crosses = graph.last_reader(s).is_some_and(|read| read >= cuts[layer]);
        if crosses {
            handed_on[layer] += graph.size(s);
        }
        if crosses || saved[s as usize] {
            bytes[layer] += graph.size(s);
        }
    }
    (bytes, handed_on)
}

/// Names read off the modules: the path all operators of a layer share, or the paths of its first and last operator
/// where they share none. A name used before gets `#2`, `#3` and so on.
fn layer_names(graph: &Graph, cuts: &[u32]) -> Vec<String> {
    let mut used: HashMap<String, u32> = HashMap::new();
    let mut unique = |name: String| {
        let count = used.entry(name.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { name } else { format!("{name}#{count}") }
    };
    let mut names = vec![unique("input".into())];
    for w in cuts.windows(2) {
        let operators = &graph.operators()[w[0] as usize..w[1] as usize];
        let place = |o: &crate::trace::Operator| if o.module.is_empty() { o.name.clone() } else { o.module.clone() };
        let name = match operators {
            [] => String::new(),
            [one] => place(one),
            [first, .., last] => {
                let shared = operators.iter().fold(first.module.as_str(), |shared, o| common_module(shared, &o.module));
                if shared.is_empty() { format!("{}..{}", place(first), place(last)) } else { shared.into() }
            }
        };
        names.push(unique(name));
    }
    names
}

/// The longest module path that both lie in.
fn common_module<'a>(a: &'a str, b: &str) -> &'a str {
    let mut end = 0;
    let mut at = 0;
    for (x, y) in a.split('.').zip(b.split('.')) {
        if x != y {
            break;
        }
        at += x.len();
        end = at;
        at += 1;
    }
    &a[..end.min(a.len())]
}

#[cfg(test)]
mod tests {
    use super::common_module;

    #[test]
    fn common_modules_end_at_dots() {
        assert_eq!(common_module("layer1.0.conv1", "layer1.0.bn1"), "layer1.0");
        assert_eq!(common_module("layer1", "layer10"), "");
        assert_eq!(common_module("a.b", "a.b"), "a.b");
        assert_eq!(common_module("a", "a.b"), "a");
        assert_eq!(common_module("", "a"), "");
    }
}
