//! Lower sets of a general graph, by dynamic programming (`kusumoto-time`, `kusumoto-memory`).
//!
//! # The method
//! Kusumoto, Inoue, Watanabe, Akiba and Koyama, "A Graph Theoretic Framework of Recomputation Algorithms for
//! Memory-Efficient Backpropagation" (NeurIPS 2019, arXiv 1905.11722). Vertices are values of the forward pass with bytes
//! `M` and times `T`. A *lower set* `L` holds all that its vertices are computed from; its *boundary* `∂L` are the vertices
//! with a successor outside. A growing sequence `L_1 ⊂ .. ⊂ L_k = V` divides the graph into `V_i = L_i \ L_{i-1}`. Its
//! *canonical strategy* keeps only `U_i = ∂L_1 ∪ .. ∪ ∂L_i` of what has run, and runs every `V_i` again for its backward
//! pass. It takes
//!
//! ```text
//! time    sum over i of T(V_i \ ∂L_i)
//! memory  max over i of M(U_{i-1}) + 2 M(V_i) + M(δ⁺(L_i) \ L_i) + M(δ⁻(δ⁺(L_i)) \ L_i)
//! ```
//!
//! with `δ⁺` and `δ⁻` the successors and predecessors: the paper's equations (1) and (2), and term by term what the
//! authors' program computes (github.com/pfnet-research/recompute, `mksch/DP.cpp`: `dt`, `dm`, `peak`; as there, a vertex in
//! both of the last two sets counts twice). Within a memory budget the *time-centric* strategy has the least
//! time, the *memory-centric* one the most: what runs again need not be kept, and liveness analysis then lowers the true
//! peak below the model's.
//!
//! # The program
//! As a vertex of `∂L' ∩ L` is in `∂L`, the step from `L` to `L'` adds `M(∂L' \ L)` to what is kept, whatever came before.
//! So states are lower sets with labels (time, bytes kept); of two labels of a set one may dominate. The least budget
//! needs no labels: `least(L) = min over L' of max(need(L, L'), M(∂L' \ L) + least(L'))`. The paper's table (algorithm 1) has one
//! entry for every time, and its memory-centric strategy the largest of them; undominated labels give the same optimum. The
//! authors' program keeps labels that recompute less and keep less for both strategies, so its memory-centric one may
//! recompute less than the paper's definition, which is followed here. As in the paper there are two families of sets: all
//! lower sets where they are few ([`ALL_LIMIT`]), else the *pruned* family, the ancestors of each vertex, and `V`.
//!
//! # What of it PyTorch can run
//! PyTorch checkpoints runs of consecutive operators. So each `L_i` is mapped to the shortest run from the first operator
//! on that holds it and ends at a safe cut; a region lies between two consecutive ends; the last part, after which the
//! backward pass begins, is not run again. Kept of the method: the model, the objective, both families and the optimum
//! over them. Not kept: sets that take one of two parallel branches first (their order of execution is not the recorded
//! one), boundaries that stay while the rest of their region runs again (a region runs as a whole), and the model's
//! memory. What the plan takes is for the predictor to say, and which budget of the model serves best too
//! ([`GraphPlanner`]).

mod planner;
mod program;
mod sets;

pub use planner::{GraphOutcome, GraphPlanner};
pub use program::{Centric, LABEL_LIMIT, Program, Strategy};
pub use sets::{ALL_LIMIT, Dag};
