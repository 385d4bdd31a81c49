//! The `plan/1` document, and its resolved form over a graph.

pub mod assemble;
pub mod modules;
mod read;
mod regions;

pub use read::parse;
pub use regions::{DEPTH_LIMIT, PlanError, PlanErrorKind, Region, Regions};

use std::collections::BTreeMap;

use remat_graphs::Returned;
use serde::{Deserialize, Serialize};

/// The `format` value of a plan document.
pub const PLAN_FORMAT: &str = "plan/1";

/// A plan: which operator ranges of a step to recompute, and what that is predicted to cost.
///
/// A reader needs `format` and `segments` (or `checkpoints`); everything else may be absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Always [`PLAN_FORMAT`].
    pub format: String,
    /// Name of the planned graph or chain.
    #[serde(default)]
    pub graph: String,
    /// Algorithm that made the plan.
    #[serde(default)]
    pub algorithm: String,
    /// What was minimised.
    #[serde(default)]
    pub objective: Objective,
    /// Budget on the peak in bytes, if one was given.
    #[serde(default)]
    pub budget: Option<u64>,
    /// Whether optimality was proven.
    #[serde(default)]
    pub status: Status,
    /// Proven lower bound on the objective, where the search was stopped before proving optimality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_bound: Option<u64>,
    /// How much of the objective's value lies above that bound, as a share: no plan is better by more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
    /// Device whose cost model gave times to kernels that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What the regions are made of, where they were to be whole modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Granularity>,
    /// Regions to recompute; operators outside run plainly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments: Option<Vec<Segment>>,
    /// For chains: the checkpointed layers, ascending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<Vec<u32>>,
    /// Predicted memory under the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Peaks>,
    /// Predicted memory without any checkpointing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<Peaks>,
    /// What the plan recomputes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recompute: Option<Recompute>,
    /// What the planner did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
}

/// What a planner minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Least peak, and least recomputation among plans that reach it.
    #[default]
    MinPeak,
    /// Least recomputation within a budget.
    MinTime,
}

/// What a region is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// Any operators between two safe cuts.
    #[default]
    Operator,
    /// Whole module calls, or runs of consecutive calls of siblings.
    Module,
}

/// How far a plan is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Optimal within the algorithm's own class of plans.
    Optimal,
    /// Valid, without a proof of optimality.
    #[default]
    Feasible,
}

/// A region of consecutive operators that is recomputed as one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Segment {
    /// First operator.
    pub start: u32,
    /// One past the last operator.
    pub end: u32,
    /// Name of the first operator, for readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Name of the last operator, for readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Regions nested in this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inner: Vec<Segment>,
    /// Operators whose kernels' results are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<u32>,
    /// Names of kernels whose results are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub save: Vec<String>,
    /// At module granularity: paths of the modules that make up the region, in the order of their calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// What each of `modules` but the last returns; empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<Option<Returned>>,
    /// At module granularity, what `keep` names: kernels by name, and by how many of that name ran before in the region.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, Vec<u32>>,
}

impl Segment {
    /// A plain region of operators `start..end`.
    pub fn new(start: u32, end: u32) -> Self {
        Self { start, end, ..Self::default() }
    }
}

/// Predicted memory of a step in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peaks {
    /// Alive before the step: parameters, buffers, optimizer states.
    #[serde(rename = "static", default)]
    pub static_bytes: u64,
    /// Largest sum of live storages during the step.
    #[serde(default)]
    pub peak: u64,
    /// The same over the forward pass and the loss.
    #[serde(default)]
    pub peak_forward: u64,
    /// The same over the backward pass.
    #[serde(default)]
    pub peak_backward: u64,
    /// The same over the optimizer's step, 0 if it allocates nothing; absent without an optimizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_optimizer: Option<u64>,
    /// Alive between forward and backward pass.
    #[serde(default)]
    pub after_forward: u64,
    /// Alive after the backward pass.
    #[serde(default)]
    pub after_backward: u64,
}

/// What a plan recomputes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Recompute {
    /// Operators that run again, counted each time.
    pub operators: u64,
    /// Floating-point operations that run again.
    pub flops: u64,
    /// Kernel traffic that runs again, in bytes.
    pub bytes: u64,
    /// Seconds by the cost model in use.
    pub time: f64,
    /// `time / (forward + backward)`.
    pub overhead: f64,
}

/// What a planner did.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// States (subproblems, labels) that were looked at.
    pub states: u64,
    /// Evaluations of an objective.
    pub evaluations: u64,
    /// Wall-clock seconds; the only field that differs between runs.
    pub seconds: f64,
}

impl Stats {
    /// All work of two searches, one after the other.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            states: self.states + other.states,
            evaluations: self.evaluations + other.evaluations,
            seconds: self.seconds + other.seconds,
        }
    }
}
