//! An independent verifier of plans: replays a step under a plan symbolically and adds up what is alive.
//!
//! It shares no code with the predictor or the planners: it reads the raw trace and the plan's raw segments, groups
//! backward kernels into nodes itself, resolves regions itself, and finds peaks by another method. The predictor follows
//! events and counts holders; the checker gives every allocation a life, an interval of moments, and sweeps the
//! intervals.
//!
//! # The step as one line
//!
//! Let `o` range over operators, `(o, k)` over their kernels, `s` over storages, `w(s)` the forward kernel that writes
//! `s`, `L(s)` the last operator that reads it. A plan is a forest of regions `R = [a, b)`. The step is a sequence of
//! *activities*: the forward pass `F`, and for each region `R` at most one recomputation `A(R)`, laid out on one line of
//! ticks together with the backward kernels:
//!
//! - `F` runs all operators. A region is entered before its first operator and returns after its last.
//! - The backward pass is a sequence of nodes: maximal runs of kernels with the same operator and node name. A node has
//!   three parts: its *formula*; *reductions* of its gradients to the shape and type wanted (trailing sums, views and
//!   casts of gradients); *summation* with gradients that earlier nodes left.
//! - Before the first node that reads a tensor saved by an operator of `R`, `A(R)` runs, after `A(P)` for the region `P`
//!   around it unless that has run or `R` has no inputs.
//! - `A(R)` stops at the last thing that `R` itself saves: `(o, k)`, a save of an operator in `R` but in no inner region,
//!   after `k` of its kernels; or the entry of an inner region with inputs, at which that saves them. Inner regions before
//!   the stop run as checkpoints.
//! - Results that `R` keeps are handed over instead of being computed in `A(R)`.
//!
//! An *allocation* is a pair `(A, s)`. Where a step of `A(R)` reads `s`, it finds `(A(Q), s)` for the smallest region
//! `Q ⊇ R` that contains `w(s)`, and `(F, s)` if none does, if `Q` keeps `w(s)`, or if it reads through a kept view.
//!
//! # Lives
//!
//! The life of `(A, s)` is `[birth, death]`, both included: birth is the tick of `w(s)` in `A`, death the latest of
//!
//! - *running code*: the last kernel of `w(s)`'s operator that reads `s` or runs before it is saved, if no later operator
//!   reads `s`; else the return of `L(s)`, or of the outermost region of `A` that contains `L(s)` but not `w(s)`; the end of `A`, if `L(s)` lies behind it
//!   or is not reached;
//! - *casts*: the return of the operator, for a cast of its inputs under autocast or in the loss; the end of `A`, for a
//!   cast of a trainable parameter to the autocast type. `A(R)` makes a cast that `F` made before `R` anew when it calls
//!   the first operator that reads it;
//! - *saves*, in `F` outside regions: the end of the last node that reads the saved tensor, reductions included and
//!   summation excluded; in `A(R)`, for operators of `R` itself: the end of that node's formula; if no node of its operator
//!   reads it, of the operator's last node; if it has none, the start of the first node of an operator below;
//! - *region inputs*, if something saved refers to `R`: from the entry until the last of it is released, for an outermost
//!   region; until the end of `A(R)`, counted from its entry in `A(P)`, for an inner one;
//! - *kept results*: until they are handed over, then as results of `A(R)`; until the backward pass of `R` is done, if they
//!   never are; until `R` returns, if nothing saved refers to it. In `A(P)` an inner region keeps once more, until the end;
//! - the loss: the end of the step.
//!
//! Gradients live as recorded. `live(t)` is the sum of all sizes (rounded to the block) whose life contains `t`, plus
//! parameters, buffers, constants and inputs; peaks are its maxima.
//!
//! # What is checked
//!
//! 1. Regions are non-empty, end before the loss, do not overlap, and lie inside the region around them.
//! 2. No region starts or ends at an unsafe cut: there is no `s` made before it and mutated at or after it. No region
//!    replays the mutation of a parameter.
//! 3. `keep` names operators of the region itself. No kept kernel mutates anything, no kept result, nor what a kept view
//!    looks at, is mutated later: PyTorch refuses to hand it over.
//! 4. For every kernel at tick `t` and every `s` it reads or mutates, the allocation it finds exists and its life contains
//!    `t`, in the forward pass, in recomputations and in the backward pass.
//! 5. Every storage that autograd saves is alive when it is saved, and every region input when its region is entered.
//! 6. With [`check_plan`], every number that the plan predicts equals the replay's; with [`check_chain_plan`], a chain
//!    plan's value is its objective's.
//!
//! # What is not checked
//!
//! - Optimality, times, and memory of the optimizer beyond its states lying under everything.
//! - The trace itself: that it was recorded faithfully, or that kernels compute what they should.
//! - What a trace cannot show. An operator without kernels names nothing that it reads; at the start of a region it is
//!   taken to read the result before it. What the model returns besides what the loss reads is held until the loss is
//!   done, but only a trace with `outputs` names it.
//!
//! # Rules of PyTorch that experiments showed
//!
//! - In a region a node holds only what it has unpacked, and lets go when its formula returns, before the engine reduces
//!   its gradients (the sum over rows for a bias, say). Outside regions it lets go after the reductions.
//! - `save` reaches into inner regions: the outer region keeps what it names there too, and hands it over when the outer
//!   recomputation runs the inner region. The inner region's own recomputation computes it again.
//! - A kept kernel that returns a view keeps the storage behind it from the forward pass on. Where the operator returns
//!   the view, later operators read, and save, the kept storage and not the recomputed one.
//! - A region that starts between an operator with several results and the `getitem`s that take them apart is given a
//!   tuple. `torch.utils.checkpoint` saves tensors only and holds a tuple itself: from the forward pass until the region's
//!   backward is over, also for an inner region, whose recomputation reads the held one. The tuple is no save of the
//!   region around.
//! - A kept kernel that works in place always fails when it is handed over, also if what it changes is a buffer.
//! - The loss holds casts of its inputs until it returns, with or without autocast.
//!
//! The method follows the checker of regalloc2 (Fallin, 2022), which verifies register allocations by symbolic
//! execution; the memory rules are those of `torch.utils.checkpoint` with `use_reentrant=False`.

mod chain;
mod claims;
mod error;
mod facts;
mod lives;
mod persistent;
mod replay;
mod schedule;
mod sweep;
mod tree;

pub use chain::{ChainObjective, check_chain, check_chain_plan};
pub use claims::{check_plan, check_plan_with};
pub use error::{CheckError, Mismatch, Step};
pub use persistent::PERSISTENT_LIMIT;

use remat_graphs::{CostModel, Graph, StorageKind};

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
    /// Nanoseconds that run again, if a cost model was given.
    pub ns_recomputed: Option<u64>,
    /// Operators of which at least one kernel runs again, counted once for each recomputation.
    pub operators_recomputed: u64,
    /// Regions that were recomputed.
    pub regions_recomputed: u64,
    /// Allocations whose lives were added up.
    pub allocations: u64,
}

/// Verifies segments over a graph by symbolic replay, and recomputes what they reach.
///
/// Time O(d n log n) and memory O(d n) for n storages, kernels and their arguments together, and d levels of nesting.
///
/// # Errors
/// The first thing that is wrong, with the place in the plan or the step that fails.
pub fn check(graph: &Graph, segments: &[Segment]) -> Result<Verified, CheckError> {
    check_with(graph, segments, None)
}

/// The same, with the time that runs again.
fn check_with(graph: &Graph, segments: &[Segment], times: Option<&CostModel>) -> Result<Verified, CheckError> {
    let facts = Facts::new(graph);
    let tree = Tree::new(&facts, segments)?;
    let line = Schedule::new(&facts, &tree);
    let lives = Lives::new(&facts, &tree, &line)?;
    let gradients = replay::gradients(&facts, &line);
    let again = replay::forward(&facts, &tree, &line, &lives, times)?;
    replay::backward(&facts, &tree, &line, &lives, &gradients)?;

    let bytes_of = |kinds: &[StorageKind]| -> u64 {
        let all = facts.trace.storages.iter().zip(&facts.size);
        all.filter(|(s, _)| kinds.contains(&s.kind)).map(|(_, size)| size).sum()
    };
    let static_bytes = bytes_of(&[StorageKind::Param, StorageKind::Buffer, StorageKind::Constant]);
    let base = static_bytes + bytes_of(&[StorageKind::Input]);
    let mut all = lives.allocations();
    all.extend(gradients.iter().zip(&facts.size).filter_map(|(life, &size)| life.map(|(b, d)| (b, d, size))));
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
        ns_recomputed: times.map(|_| again.ns),
        operators_recomputed: again.operators,
        regions_recomputed: line.activities.len() as u64 - 1,
        allocations: all.len() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::lives::Lives;
    use super::schedule::NEVER;
    use super::*;

    /// Replays ResNet-18 with operators 5..11 and 11..23 as regions, after `line` and `lives` have been corrupted.
    fn replay(
        corrupt_line: impl FnOnce(&mut Schedule),
        corrupt_lives: impl FnOnce(&Facts<'_>, &mut Lives<'_>),
    ) -> Result<(), CheckError> {
        replay_with(corrupt_line, corrupt_lives, |_, _| {})
    }

    fn replay_with(
        corrupt_line: impl FnOnce(&mut Schedule),
        corrupt_lives: impl FnOnce(&Facts<'_>, &mut Lives<'_>),
        corrupt_gradients: impl FnOnce(&Schedule, &mut [Option<(usize, usize)>]),
    ) -> Result<(), CheckError> {
        let graph = remat_graphs::zoo::load("resnet18-b64").unwrap();
        let facts = Facts::new(&graph);
        let tree = Tree::new(&facts, &[Segment::new(5, 11), Segment::new(11, 23)]).unwrap();
        let mut line = Schedule::new(&facts, &tree);
        corrupt_line(&mut line);
        let mut lives = Lives::new(&facts, &tree, &line)?;
        corrupt_lives(&facts, &mut lives);
        let mut gradients = replay::gradients(&facts, &line);
        corrupt_gradients(&line, &mut gradients);
        replay::forward(&facts, &tree, &line, &lives, None)?;
        replay::backward(&facts, &tree, &line, &lives, &gradients)
    }

    #[test]
    fn an_honest_replay_passes() {
        assert_eq!(replay(|_| {}, |_, _| {}), Ok(()));
    }

    #[test]
    fn a_region_that_is_not_recomputed_is_found() {
        let forget = |line: &mut Schedule| {
            line.recomputed[0] = None;
            line.activities.pop();
        };
        let found = replay(forget, |_, _| {});
        assert!(matches!(found, Err(CheckError::Missing { step: Step::Backward { .. }, .. })), "{found:?}");
    }

    #[test]
    fn a_recomputation_that_skips_an_operator_is_found() {
        // Region 11..23 is recomputed first; operator 14 makes storage 141, which operator 16 reads.
        let found = replay(|line| line.activities[1].called[3] = NEVER, |_, _| {});
        assert!(matches!(found, Err(CheckError::Missing { storage: 141, .. })), "{found:?}");
    }

    #[test]
    fn a_saved_tensor_that_goes_early_is_found() {
        // In the recomputation of 5..11, storage 131 is saved by operator 7 and goes when operator 7 returns.
        let found = replay(
            |_| {},
            |facts, lives| {
                let life = &mut lives.all[2][facts.rank[131] - facts.ranks[5]];
                life.death = life.birth + 7;
            },
        );
        assert!(matches!(found, Err(CheckError::Dead { step: Step::Backward { .. }, storage: 131 })), "{found:?}");
    }

    #[test]
    fn a_region_input_that_goes_early_is_found() {
        // Storage 129 is an input of both regions, and only their operators save it; 11..23 is recomputed first.
        let found = replay(|_| {}, |facts, lives| lives.all[0][facts.rank[129]].death = 100);
        let step = Step::Recompute { start: 11, end: 23, operator: 12, kernel: 0 };
        assert_eq!(found, Err(CheckError::Dead { step, storage: 129 }));
    }

    #[test]
    fn a_gradient_that_is_read_after_it_died_is_found() {
        // Storage 231 is the root gradient, which backward kernel 2 reads.
        let found = replay_with(
            |_| {},
            |_, _| {},
            |line, gradients| gradients[231] = gradients[231].map(|g| (g.0, line.backward[1])),
        );
        assert_eq!(found, Err(CheckError::Dead { step: Step::Backward { kernel: 2 }, storage: 231 }));
        let found = replay_with(|_| {}, |_, _| {}, |_, gradients| gradients[231] = None);
        assert_eq!(found, Err(CheckError::Missing { step: Step::Backward { kernel: 2 }, storage: 231 }));
    }
}
