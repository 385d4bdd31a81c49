//! Exact planning over interval plans: least peak, least recomputation within a budget, and the frontier between.
//!
//! An *interval plan* checkpoints disjoint runs of operators `[a, b)` between safe cuts; all other operators run plainly.
//! The planner is exact for this class under the predictor's own rules ([`crate::predict`]): its optimum equals that of
//! trying every set of regions and predicting each.
//!
//! # Why live bytes decompose
//!
//! PyTorch runs operators one after the other and their gradients in the opposite order. So while the backward pass
//! stands in region `[a, b)`, every operator behind `b` has let go of what it saved, and the live bytes are
//!
//! ```text
//! fixed(t) + |H(a) ∪ I(a, b)| + L(a, t)
//! ```
//!
//! `fixed(t)`: what is alive the whole step, the loss, and all gradients alive at backward kernel `t`; backward kernels
//! run in the recorded order under any plan. `H(a)`: the storages held by the steps before `a`, that is what plain
//! operators save and what regions take as inputs. `I(a, b)`: the inputs of the region. `L(a, t)`: what the region has
//! recomputed and still holds; these are new allocations, so nothing is shared with `H`. While a plain operator's
//! nodes run the same holds with `I` = what it saves. In the forward pass the live bytes are `|R(t) ∪ H(a) ∪ I(a, b)|`,
//! with `R(t)` what the running code holds, again whatever the plan.
//!
//! Four things need care.
//!
//! - *Cached casts.* Under autocast, casts of parameters are alive in the whole forward pass, held or not: they belong to
//!   `R(t)` there and do not count in `H(a)`. So a state has two weights, `w` with casts for the backward pass and `f`
//!   without for the forward pass, and a step one need for each. Regions hold no casts: a recomputation makes its own.
//! - *Saves that nobody reads.* An operator may save what none of its nodes needs; without a node it lets go once the
//!   backward pass has moved below it. So while the pass stands at operator `k`, what is saved is still that of the
//!   operators up to `k`. A region is recomputed for its last operator with a node that needs something: operators behind
//!   it run again, but hold nothing. A region in which no node needs anything is not recomputed. Recomputed or not, a region
//!   holds its inputs until its lowest operator that saves anything has let go.
//! - *The loss* is held by the caller to the end, whether the loss operator or the model computes it. So its first
//!   instance counts in `fixed`, and only instances that recomputations make are like other storages.
//! - *The model's results* are held by the running code until the loss operator returns: its last readers.
//!
//! # The network
//!
//! Of the past only `w = |H(a)|` matters, and which storages crossing cut `a` are in `H(a)`, because a later step that
//! wants them too pays nothing. A state is a cut and that set; a step is a plain operator or a region. In a given
//! state a step *needs* a number of bytes (its largest live bytes less `w`) and *holds* a number of further bytes
//! afterwards: both do not depend on `w`. A plan is a path; its peak is the largest `w + need` along it.
//!
//! - **Local peaks.** For a fixed start `a` all needs are running maxima as `b` grows: a recomputation from `a` runs
//!   the same kernels whatever `b` is, up to the last save before `b`; and while the backward pass stands at operator
//!   `k`, what is alive are the saves of `a ..= k`. So one scan per start gives all regions: O(cuts × kernels) in all,
//!   in parallel. Scans stop where local peaks pass the limit.
//! - **Least peak.** `w + need` is linear in `w`, so the least peak to go from a state is `w + rest(state)` with
//!   `rest = min over steps of max(need, held + rest after)`: one pass backwards over the steps, no search.
//! - **Least time within a budget.** Labels (time, `w`) along the network. Of two labels of a state the one that is no
//!   worse in both dominates: every way to go on has the same needs, holds and times from both. So does a
//!   label of another state of the same cut that is no worse even after it has paid for what it lacks
//!   (`differences`). A label is dropped if `w + rest(state)` passes the budget (then, and only then, nothing leads to
//!   the end), or if its time plus a lower bound of the time to go is no better than a plan already known. The bound
//!   relaxes the budget to what may be held at the end, priced per byte (Lagrange); prices are found by bisection.
//!   Steps whose reduced cost is too high are dropped before the search.
//! - **Dominated cuts.** Operators that do nothing (views) neither start nor end a region: moving the cut behind or
//!   before them never costs anything.
//! - **Two weights.** With cached casts the least peak to go is a pair of rests (`least.rs`), and labels carry `f` as
//!   a third part, which takes part in dominance at the states from which the forward bound can be the tighter one. Either
//!   weight has prices of its own: mostly it is the forward pass that is full, with all casts in it.
//!
//! - **Large graphs.** Most pairs of cuts are far apart, and such regions run much again that would better be held. A
//!   plan of short regions comes first; with its time and one price, long regions are left out that no better plan has, and
//!   all plans get a lower bound (`long`). Nothing is lost.
//! - **Too many steps.** A network that still grows too large is built with fewer sets of kernels to keep, then with
//!   shorter regions. Its plan is feasible, and a lower bound comes from the prices above or from single operators
//!   (`bound`).
//!
//! The argument needs one thing of a trace: backward kernels in descending order of operators, as autograd runs them.
//! Where that fails the plan is still valid and predicted exactly, but only [`Feasible`](crate::plan::Status::Feasible).
//!
//! # Regions within regions
//!
//! A region whose own backward pass is planned again takes in and holds the same; it needs fewer bytes and takes more
//! time. So nested regions are further steps between the same states (`nested`), found and not proven; a lower bound for
//! plans of any depth comes from the network in which a region needs no more than its operators do one by one (`deepen`).
//!
//! # Source
//!
//! The decomposition follows from the rules of `torch.utils.checkpoint` (non-reentrant); the path formulation
//! generalises the chain programs of Hong et al. 2025 (arXiv 2502.12499) and Feng & Huang 2021 to the peak that the
//! allocator sees.

mod active;
mod allowed;
mod answer;
mod bound;
mod builder;
mod deepen;
mod differences;
mod frontier;
mod keep;
mod labels;
mod least;
mod long;
mod nested;
mod network;
mod planner;
mod prepare;
mod profile;
mod scan;
mod slots;
mod states;

pub use allowed::Allowed;
pub use frontier::{Frontier, Resolution};
pub use planner::{Error, Options, Outcome, Planner};
