//! draft

mod chain;
mod claims;
mod error;
mod facts;
mod lives;
mod replay;
mod schedule;
mod sweep;
mod tree;

pub use chain::{ChainObjective, check_chain, check_chain_plan};
pub use claims::check_plan;
pub use error::{CheckError, Mismatch, Step};

use remat_graphs::{Graph, StorageKind};

use crate::plan::Segment;
use facts::Facts;
use lives::Lives;
use schedule::Schedule;
use tree::Tree;

/// What the replay of a plan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Bytes alive before the step: parameters, buffers and constants.
    pub static_bytes: u64,
    /// Largest sum of live bytes during the step.
    pub peak: u64,
    /// The same over the forward pass and the loss.
    pub peak_forward: u64,
    /// The same over the backward pass.
    pub peak_backward: u64,
    /// Bytes alive between forward and backward pass.
    pub after_forward: u64,
    /// Bytes alive after the backward pass.
    pub after_backward: u64,
    /// Floating-point operations that run again.
    pub flops_recomputed: u64,
    /// Kernel traffic that runs again, in bytes.
    pub bytes_recomputed: u64,
    /// Operators of which at least one kernel runs again, counted once for each recomputation.
    pub operators_recomputed: u64,
    /// Regions that were recomputed.
    pub regions_recomputed: u64,
    /// Allocations whose lives were added up.
    pub allocations: u64,
}

/// Verifies segments over a graph by symbolic replay and recomputes what they reach.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(graph: &Graph, segments: &[Segment]) -> Result<Verified, CheckError> {
    let facts = Facts::new(graph);
    let tree = Tree::new(&facts, segments)?;
    let line = Schedule::new(&facts, &tree);
    let lives = Lives::new(&facts, &tree, &line)?;
    let gradients = replay::gradients(&facts, &line);
    let again = replay::forward(&facts, &tree, &line, &lives)?;
    replay::backward(&facts, &tree, &line, &lives, &gradients)?;

    let bytes_of = |kinds: &[StorageKind]| -> u64 {
        let all = facts.trace.storages.iter().zip(&facts.size);
        all.filter(|(s, _)| kinds.contains(&s.kind)).map(|(_, size)| size).sum()
    };
    let static_bytes = bytes_of(&[StorageKind::Param, StorageKind::Buffer, StorageKind::Constant]);
    let base = static_bytes + bytes_of(&[StorageKind::Input]);
    let all: Vec<_> = lives.allocations().chain(
        gradients.iter().zip(&facts.size).filter_map(|(life, &size)| life.map(|(birth, death)| (birth, death, size))),
    ).collect();
    let sums = sweep::sweep(&line, base, all.iter().copied());
    Ok(Verified {
        static_bytes,
        peak: sums.peak_forward.max(sums.peak_backward),
        peak_forward: sums.peak_forward,
        peak_backward: sums.peak_backward,
        after_forward: sums.after_forward,
        after_backward: sums.after_backward,
        flops_recomputed: again.flops,
        bytes_recomputed: again.bytes,
        operators_recomputed: again.operators,
        regions_recomputed: line.activities.len() as u64 - 1,
        allocations: all.len() as u64,
    })
}
