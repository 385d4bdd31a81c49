//! The stages of a training graph, and what a schedule of them is as a plan.

use remat_graphs::{ChainOfGraph, Graph, trace::StorageKind};

use super::{Error, Stage, Stages, Step};
use crate::cost::Costs;
use crate::plan::Segment;

/// The stages of a graph: one for each layer of its [`ChainOfGraph`] but the input, the layer of the loss last.
///
/// Output and tape are what the layer hands on and leaves behind; the gradient of an output counts as large as the
/// output. Extras are read off the trace, operator by operator: what is alive inside a layer at most, in a forward pass
/// with and without saving, and among the gradients of its backward pass. Gradients of parameters are in no stage: they
/// stay, whatever the schedule.
///
/// # Errors
/// [`Error`], if there are more layers than can be planned, or sums overflow.
///
/// # Complexity
/// Time and memory O(size of the graph).
pub fn stages(graph: &Graph, chain: &ChainOfGraph, costs: &Costs) -> Result<Stages, Error> {
    let layers = chain.cuts.len();
    let mut saved = vec![false; graph.storages().len()];
    for &(s, _) in graph.operators().iter().flat_map(|o| &o.saves) {
        saved[s as usize] = true;
    }
    let gradients = gradient_peaks(graph, &chain.cuts);
    let gradient = |layer: usize| if layer == 0 { 0 } else { chain.handed_on[layer] };
    let stages: Vec<Stage> = (1..layers)
        .map(|layer| {
            let (start, end) = (chain.cuts[layer - 1], chain.cuts[layer]);
            let (output, tape) = (chain.handed_on[layer], chain.chain.layers[layer].bytes);
            Stage {
                forward: (start..end)
                    .flat_map(|o| costs.operator_kernels(o))
                    .fold(0, |sum, &ns| ns.saturating_add(sum)),
                output,
                tape,
                gradient: gradient(layer),
                run_extra: forward_peak(graph, start, end, |_| false).saturating_sub(output),
                save_extra: forward_peak(graph, start, end, |s| saved[s as usize]).saturating_sub(tape),
                backward_extra: gradients[layer].saturating_sub(gradient(layer) + gradient(layer - 1)),
            }
        })
        .collect();
    Stages::new(chain.handed_on[0], 0, &stages)
}

/// Most bytes alive of what operators `start .. end` make, when it stays as long as it is read, and if it `stays`.
fn forward_peak(graph: &Graph, start: u32, end: u32, stays: impl Fn(u32) -> bool) -> u64 {
    let (mut alive, mut peak) = (0u64, 0u64);
    let mut dying: Vec<Vec<u32>> = vec![Vec::new(); (end - start) as usize];
    for o in start..end {
        for &s in graph.operators()[o as usize].kernels.iter().flat_map(|k| &k.writes) {
            if graph.kind(s) == StorageKind::Activation {
                alive = alive.saturating_add(graph.size(s));
                let read = graph.last_reader(s).unwrap_or(o).max(o);
                if read < end && !stays(s) {
                    dying[(read - start) as usize].push(s);
                }
            }
        }
        peak = peak.max(alive);
        for &s in &dying[(o - start) as usize] {
            alive = alive.saturating_sub(graph.size(s));
        }
    }
    peak
}

/// Per layer, most bytes of gradients alive at a kernel of its backward pass.
fn gradient_peaks(graph: &Graph, cuts: &[u32]) -> Vec<u64> {
    let mut peaks = vec![0u64; cuts.len()];
    let mut dying: Vec<Vec<u32>> = vec![Vec::new(); graph.backward().len()];
    let (mut alive, mut layer) = (0u64, cuts.len() - 1);
    for (at, kernel) in graph.backward().iter().enumerate() {
        if let Some(of) = kernel.of {
            layer = cuts.partition_point(|&cut| cut <= of).min(cuts.len() - 1);
        }
        for &s in &kernel.writes {
            if graph.kind(s) == StorageKind::Gradient {
                alive = alive.saturating_add(graph.size(s));
                if let Some(dies) = graph.storages()[s as usize].dies.map(|d| d as usize).filter(|&d| d < dying.len()) {
                    dying[dies].push(s);
                }
            }
        }
        peaks[layer] = peaks[layer].max(alive);
        for &s in &dying[at] {
            alive = alive.saturating_sub(graph.size(s));
        }
    }
    peaks
}

/// A schedule as regions of operators. A region that is rerun stage by stage nests its inner regions; the layer of the
/// loss is kept by every schedule, so no region holds it. Time O(regions).
pub fn segments(chain: &ChainOfGraph, steps: &[Step]) -> Vec<Segment> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Keep(_) => None,
            Step::Region { start, end, inner } => Some(Segment {
                inner: segments(chain, inner),
                ..Segment::new(chain.cuts[*start as usize - 1], chain.cuts[*end as usize])
            }),
        })
        .collect()
}
