//! What the checker finds wrong.

use std::fmt;

/// A step of the replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A kernel of the forward pass.
    Forward {
        /// Operator.
        operator: u32,
        /// Kernel of the operator.
        kernel: u32,
    },
    /// A kernel that runs again.
    Recompute {
        /// First operator of the region that is recomputed.
        start: u32,
        /// One past the region's last operator.
        end: u32,
        /// Operator.
        operator: u32,
        /// Kernel of the operator.
        kernel: u32,
    },
    /// A kernel of the backward pass.
    Backward {
        /// Index of the backward kernel.
        kernel: u32,
    },
    /// A region starts its recomputation.
    Enter {
        /// First operator of the region.
        start: u32,
        /// One past its last operator.
        end: u32,
    },
    /// Autograd saves for an operator, once so many of its kernels have run.
    Save {
        /// Operator.
        operator: u32,
        /// Kernels that have run.
        after: u32,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward { operator, kernel } => write!(f, "operator {operator}, kernel {kernel}"),
            Self::Recompute { start, end, operator, kernel } => {
                write!(f, "recomputing region {start}..{end}: operator {operator}, kernel {kernel}")
            }
            Self::Backward { kernel } => write!(f, "backward kernel {kernel}"),
            Self::Enter { start, end } => write!(f, "entering region {start}..{end}"),
            Self::Save { operator, after } => write!(f, "saving for operator {operator} after {after} kernels"),
        }
    }
}

/// One number of a plan that the replay does not confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Field of the plan, for example `predicted.peak_backward`.
    pub field: &'static str,
    /// What the plan says.
    pub claimed: u64,
    /// What the replay gives.
    pub found: u64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the plan says {}, the replay gives {}", self.field, self.claimed, self.found)
    }
}

/// Why a plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The objective takes too long to evaluate.
    #[error("a chain of {layers} layers is too long to verify this objective; the limit is {limit}")]
    TooLong {
        /// Layers of the chain.
        layers: usize,
        /// Most layers.
        limit: usize,
    },
    /// A region is empty, reversed or reaches into the loss.
    #[error("{path}: region {start}..{end} is not a non-empty range of the {loss} operators before the loss")]
    Range {
        /// Place in the plan.
        path: String,
        /// First operator.
        start: u32,
        /// One past the last operator.
        end: u32,
        /// Index of the loss.
        loss: u32,
    },
    /// Two regions of the same level share operators.
    #[error("{path}: region {start}..{end} overlaps region {other_start}..{other_end}")]
    Overlap {
        /// Place in the plan.
        path: String,
        /// First operator.
        start: u32,
        /// One past the last operator.
        end: u32,
        /// First operator of the other region.
        other_start: u32,
        /// One past the last operator of the other region.
        other_end: u32,
    },
    /// An inner region is not contained in its outer region.
    #[error("{path}: region {start}..{end} leaves the region {outer_start}..{outer_end} around it")]
    NotNested {
        /// Place in the plan.
        path: String,
        /// First operator.
        start: u32,
        /// One past the last operator.
        end: u32,
        /// First operator of the region around it.
        outer_start: u32,
        /// One past the last operator of the region around it.
        outer_end: u32,
    },
    /// Regions are nested too deeply.
    #[error("{path}: regions are nested more than {limit} deep")]
    TooDeep {
        /// Place in the plan.
        path: String,
        /// Deepest nesting that is checked.
        limit: usize,
    },
    /// A region starts or ends where something made before is changed in place afterwards.
    #[error("{path}: cut {cut} is unsafe: operator {operator} changes in place storage {storage}, made before the cut")]
    UnsafeCut {
        /// Place in the plan.
        path: String,
        /// The cut.
        cut: u32,
        /// The storage.
        storage: u32,
        /// Operator that mutates it.
        operator: u32,
    },
    /// A region would repeat a change of a parameter.
    #[error("{path}: operator {operator} changes parameter storage {storage} in place and would do so again")]
    ReplayedMutation {
        /// Place in the plan.
        path: String,
        /// The operator.
        operator: u32,
        /// The storage.
        storage: u32,
    },
    /// A kept operator is not one of the region's own.
    #[error("{path}: operator {operator} is kept but is not one of the region's own operators")]
    KeepOutside {
        /// Place in the plan.
        path: String,
        /// The operator.
        operator: u32,
    },
    /// A kept result is changed in place after it was made.
    #[error(
        "{path}: operator {operator}, kernel {kernel}: kept storage {storage} is changed in place by operator {by}"
    )]
    KeepMutated {
        /// Place in the plan.
        path: String,
        /// Operator that makes the result.
        operator: u32,
        /// Kernel that makes the result.
        kernel: u32,
        /// The storage.
        storage: u32,
        /// Operator that mutates it.
        by: u32,
    },
    /// A step needs what was never made, or not made again.
    #[error("{step}: storage {storage} is needed but does not exist")]
    Missing {
        /// The step.
        step: Step,
        /// The storage.
        storage: u32,
    },
    /// A step needs what has already been released.
    #[error("{step}: storage {storage} is needed but was released before")]
    Dead {
        /// The step.
        step: Step,
        /// The storage.
        storage: u32,
    },
    /// The plan is of another graph or chain; its cuts may be safe in this one by chance.
    #[error("graph: the plan is for {claimed}, not {found}")]
    OtherGraph {
        /// What the plan says.
        claimed: String,
        /// The graph's name.
        found: String,
    },
    /// A region names another operator than the graph does.
    #[error("{path}: operator {operator} is {found}, not {claimed}")]
    Name {
        /// Place in the plan.
        path: String,
        /// The operator.
        operator: u32,
        /// What the plan says.
        claimed: String,
        /// Its name.
        found: String,
    },
    /// Numbers of the plan are wrong.
    #[error("{}", join(.0))]
    Mismatch(Vec<Mismatch>),
    /// The plan is of the other kind: segments for a chain, or checkpoints for a graph.
    #[error("the plan has no `{0}`")]
    WrongKind(&'static str),
    /// The document does not name the format of plans.
    #[error("format: expected \"plan/1\", found \"{0}\"")]
    Format(String),
    /// A checkpoint is no layer of the chain, or checkpoints do not ascend.
    #[error("checkpoints[{at}]: {layer} is out of range or out of order; the chain has {layers} layers")]
    Checkpoint {
        /// Place in the list.
        at: usize,
        /// The layer named.
        layer: u32,
        /// Layers of the chain.
        layers: usize,
    },
    /// The chain's first or last layer is not checkpointed, which the objective demands.
    #[error("checkpoints: layer {0} must be checkpointed under this objective")]
    EndNotKept(u32),
}

fn join(all: &[Mismatch]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
