//! Least recomputation over all persistent schedules of a chain, exact to the byte (`rotor`).
//!
//! # The model
//! Beaumont, Eyraud-Dubois, Hermann, Joly and Shilova, "Optimal checkpointing for heterogeneous chains: how to train deep
//! neural networks with limited memory" (Inria RR-9302, 2019; arXiv 1911.13214). A chain of stages `1 ..= n`, the last
//! of which is the loss. Stage `l` turns `a^{l-1}` into `a^l`, and its backward pass turns the gradient `δ^l` into
//! `δ^{l-1}` with the help of `a^{l-1}` and of the tape `ā^l`, which holds `a^l`. A schedule runs
//!
//! | operation | needs | leaves |
//! |---|---|---|
//! | `F_all` | `a^{l-1}` | `a^{l-1}`, `ā^l` |
//! | `F_ck` | `a^{l-1}` | `a^{l-1}`, `a^l` |
//! | `F_∅` | `a^{l-1}` | `a^l` |
//! | `B` | `a^{l-1}`, `ā^l`, `δ^l` | `δ^{l-1}` (`a^{l-1}` stays only as part of `ā^{l-1}`) |
//!
//! and takes, at each operation, what is stored, what the operation leaves, and its own [extra](Stage). It is
//! *persistent* if what it stores for the backward pass is released only by the backward pass that needs it.
//!
//! # The recurrence
//! Persistent schedules are nested frames. Frame `(s, t)` starts with `a^{s-1}`, which is not counted, and `δ^t`, and
//! ends with `δ^{s-1}`. Its recomputation in `m` bytes is `E(t, t, m) = 0` from `save(t, t)` bytes on, and otherwise the
//! least of
//!
//! ```text
//! keep ā^s:        E(s+1, t, m - ā_s)                                      if m >= save(s, t)
//! jump to k > s:   time(s..k) + E(k, t, m - a_{k-1}) + E(s, k-1, m)        if m >= run(s, k, t)
//!
//! save(s, t)   = max( δ_t + ā_s + save_extra_s,  δ_s + ā_s + δ_{s-1} + backward_extra_s )
//! run(s, k, t) = δ_t + max over s <= j < k of (a_{j-1} if j > s) + a_j + run_extra_j
//! ```
//!
//! which is theorem 1 of the paper, less the time that every schedule takes (it bounds runs up to `t` instead of `k`,
//! which the rest of the frame does anyway).
//!
//! # Without slots
//! The paper's program tabulates `E` over memory in slots (500 in practice), each size rounded up, for O(n^3 slots) time.
//! Here memory is exact: only the amounts that occur, the budget less sums of what is held, are looked at, and only where
//! needed. A frame's `E` falls in steps as memory grows, so a few facts say it all: *from `m` bytes on a schedule with
//! time `e` works*, and *up to `m` bytes nothing takes less than `e`*. A question (frame, memory, limit) is answered
//! from the facts, or expanded: its steps are tried by rising lower bound, and only below the limit that is left.
//!
//! - **Bounds.** What is held at the end of a frame is at most its memory. Priced per byte (Lagrange), and with
//!   inner frames given the whole budget, the steps are a shortest path, for 40 prices at once. The path is exact but
//!   for the gap of duality where segments are recomputed once, which is where most budgets lie.
//! - **Least memory** of every frame is tabulated in O(n^3); frames that cannot work are never asked.
//! - **Equal stages.** Frames of equal stages, such as the blocks of a transformer, share their facts.
//! - **Rising limits.** The whole chain is asked with limits that start near its bound and rise, so that few frames are
//!   expanded far from the optimum.
//!
//! All of it excludes only what is proven to be no better, so the result is the optimum. It equals brute force over all
//! persistent schedules, operation by operation, on small chains, and the plain recursion over bytes on longer ones.
//!
//! # Complexity
//! O(n^3 prices) for the tables. The search is exponential at worst, as the problem is NP-hard in the number of
//! bits of the sizes (it contains the knapsack problem). `benches/rotor.rs` shows how it grows: chains of real networks
//! repeat few sizes, and are far easier than random ones.
//!
//! # On graphs and plain chains
//! A training graph is reduced to its chain, and a schedule becomes nested regions ([`of_graph`]): a jump is a region, its
//! inner frame lies nested in it, what is kept runs plainly. Which budget of the chain serves best is decided by the
//! predictor ([`GraphPlanner`]). On a plain chain the reported value is the peak of the schedule in the model above, input
//! included ([`plan_chain`]).
//!
//! ```
//! use remat_algorithms::rotor::{Solver, Stage, Stages};
//!
//! // Ten equal stages and a loss: tapes of three, outputs of one.
//! let stage = Stage { forward: 1, output: 1, tape: 3, gradient: 1, ..Stage::default() };
//! let mut all = vec![stage; 10];
//! all.push(Stage::default());
//! let stages = Stages::new(1, 0, &all)?;
//! let mut solver = Solver::new(&stages);
//! let plan = solver.solve(12).expect("12 bytes are enough");
//! assert_eq!((plan.peak, plan.time), (12, 9));
//! # Ok::<(), remat_algorithms::rotor::Error>(())
//! ```

mod classes;
mod facts;
mod frames;
pub mod of_graph;
mod planner;
mod price;
pub mod schedule;
mod search;
mod stages;

pub use planner::{GraphOutcome, GraphPlanner, plan_chain, stages_of};
pub use schedule::Step;
pub use search::{EXPANSION_LIMIT, Outcome, Solver};
pub use stages::{BYTES_LIMIT, STAGE_LIMIT, Stage, Stages, TIME_LIMIT};

/// Why a chain of stages cannot be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are no stages.
    #[error("the chain is empty; it needs at least one stage")]
    Empty,
    /// There are too many stages.
    #[error("the chain has {0} stages; rotor plans at most {STAGE_LIMIT}")]
    TooLong(usize),
    /// Sums of sizes or of times could overflow.
    #[error("all stages up to {stage} together exceed 2^60 bytes or 2^50 nanoseconds")]
    TooLarge {
        /// First stage at which a sum passes the limit.
        stage: usize,
    },
    /// A tape contains its output, so it cannot be smaller.
    #[error("the output of stage {stage} is larger than its tape")]
    Output {
        /// The stage.
        stage: usize,
    },
    /// No schedule stays within the budget.
    #[error("no persistent schedule stays within {budget} bytes; the least is {least}")]
    Budget {
        /// The budget in bytes.
        budget: u64,
        /// The least budget that has a schedule.
        least: u64,
    },
}
