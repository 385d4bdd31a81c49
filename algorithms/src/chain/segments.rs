//! From checkpointed layers to regions of operators.
//!
//! A chain planner sees a training graph as the layers of its [`ChainOfGraph`]: layer 0 is the input, layer `i` holds
//! operators `cuts[i-1] .. cuts[i]`, the last layer holds the loss. A checkpoint at a layer means that what crosses the
//! layer's end is kept from the forward pass on. So a checkpoint is a **boundary between regions**: between
//! consecutive checkpoints `i < j` there is one region, operators `cuts[i] .. cuts[j]`, which contains layer `j`
//! itself. Layer `j`'s end is kept, what lies inside it is recomputed. The input is always kept, and what
//! precedes the loss bounds the last region: the loss is never recomputed.
//!
//! ```text
//! layers        0  |  1  |  2  |  3  |  4  |  5  | loss
//! checkpoints   x           x           x
//! regions          [ - - - - ][ - - - - ][ - - ]
//! ```
//!
//! So no region at all is not a set of checkpoints: `none` maps to no segments, `every` to one per layer.

use remat_graphs::{ChainOfGraph, Graph};

use crate::plan::Segment;

/// The regions that a set of checkpointed layers stands for.
///
/// A region in which no operator saves anything made in the region is left out, as it would be recomputed for nothing:
/// all it could release, its inputs, a region holds at least as long as plain operators do.
///
/// # Arguments
/// * `graph`: the training graph.
/// * `chain`: its reduction.
/// * `checkpoints`: layers of the reduction, in any order; those out of range are ignored.
///
/// # Returns
/// Segments in order of operators, without overlap; both ends of each are safe cuts, none contains the loss.
///
/// # Complexity
/// Time O(N + S + c log c), memory O(c) for N operators with S kernels, arguments and saves, and c checkpoints.
pub fn segments(graph: &Graph, chain: &ChainOfGraph, checkpoints: &[u32]) -> Vec<Segment> {
    chain
        .regions(checkpoints)
        .into_iter()
        .filter(|&(start, end)| saves_its_own(graph, start, end))
        .map(|(start, end)| Segment::new(start, end))
        .collect()
}

/// Does an operator of `start..end` save a storage that is made there?
fn saves_its_own(graph: &Graph, start: u32, end: u32) -> bool {
    let made_here = |s: u32| graph.producer(s).is_some_and(|o| (start..end).contains(&o));
    graph.operators()[start as usize..end as usize].iter().flat_map(|o| &o.saves).any(|&(s, _)| made_here(s))
}
