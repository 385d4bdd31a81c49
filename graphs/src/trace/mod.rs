//! The `trace/1` document: one training step of a real network, kernel by kernel.
//!
//! These types mirror the JSON one to one and promise nothing about their content; [`crate::Graph`] is the checked form.

mod bounded;
mod cycles;
mod faults;
mod validate;

pub use bounded::ENTRIES_LIMIT;
pub use faults::{Fault, Faults};
pub use validate::validate;

use serde::{Deserialize, Serialize};

/// The `format` value of a trace document.
pub const TRACE_FORMAT: &str = "trace/1";

/// A recorded training step: one forward pass, a loss, one backward pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Always [`TRACE_FORMAT`].
    pub format: String,
    /// Name of the recorded step, for example `resnet50-b32`.
    pub name: String,
    /// Device whose kernels were recorded, `cuda` or `cpu`.
    #[serde(default)]
    pub device: String,
    /// Reduced precision of the autocast context, if one was active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autocast: Option<String>,
    /// PyTorch version that was recorded.
    #[serde(default)]
    pub torch: String,
    /// Allocation granularity in bytes: a storage occupies its size rounded up to this.
    pub block: u64,
    /// All allocations of the step.
    #[serde(deserialize_with = "bounded::list")]
    pub storages: Vec<Storage>,
    /// The forward pass in execution order; the last operator is the loss.
    pub operators: Vec<Operator>,
    /// The backward pass in execution order, one entry per kernel.
    #[serde(deserialize_with = "bounded::list")]
    pub backward: Vec<BackwardKernel>,
    /// Module calls as operator ranges; read off the operators' `module` paths when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<Vec<ModuleCall>>,
    /// Storages that the model returns, held until the loss is computed (optional extension).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<u32>,
}

/// Per operator the storages that it saves, ascending and without repetitions. Time O(saves log saves).
pub(crate) fn saved_storages(trace: &Trace) -> Vec<Vec<u32>> {
    let of = |o: &Operator| {
        let mut saved: Vec<u32> = o.saves.iter().map(|s| s.0).collect();
        saved.sort_unstable();
        saved.dedup();
        saved
    };
    trace.operators.iter().map(of).collect()
}

/// One allocation; tensors that are views of each other share it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Storage {
    /// Size in bytes, before rounding to the block.
    pub bytes: u64,
    /// What the storage is for, which fixes how long it lives.
    pub kind: StorageKind,
    /// Name of the parameter, buffer or input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For `param_grad`: the storage of its parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// For `gradient`: backward kernel after which it is released; absent if it outlives the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dies: Option<u32>,
}

/// Kind of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageKind {
    /// A model parameter, alive the whole step.
    Param,
    /// A model buffer, alive the whole step.
    Buffer,
    /// An input or target of the step, alive the whole step.
    Input,
    /// A tensor constant of the model, alive the whole step.
    Constant,
    /// Made by the forward pass.
    Activation,
    /// Made by the backward pass and released in it.
    Gradient,
    /// The gradient of a parameter, which stays after the step.
    ParamGrad,
}

impl StorageKind {
    /// Is the storage alive during the whole step?
    pub fn is_static(self) -> bool {
        matches!(self, Self::Param | Self::Buffer | Self::Input | Self::Constant)
    }

    /// Name of the kind in the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Param => "param",
            Self::Buffer => "buffer",
            Self::Input => "input",
            Self::Constant => "constant",
            Self::Activation => "activation",
            Self::Gradient => "gradient",
            Self::ParamGrad => "param_grad",
        }
    }
}

/// One call in the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    /// Unique name of the call, for example `conv2d_3`.
    pub name: String,
    /// ATen name, for example `conv2d.default`.
    pub op: String,
    /// Path of the module that made the call; empty for the model itself.
    #[serde(default)]
    pub module: String,
    /// Recomputation must restore the random state.
    #[serde(default)]
    pub random: bool,
    /// Kernels in execution order; may be empty.
    pub kernels: Vec<Kernel>,
    /// What autograd saves: `(storage, k)`, saved once `k` kernels have run.
    pub saves: Vec<(u32, u32)>,
}

/// One kernel of the forward pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// ATen name of the kernel.
    pub op: String,
    /// Storages it reads.
    pub reads: Vec<u32>,
    /// Storages it allocates.
    pub writes: Vec<u32>,
    /// Storages it changes in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutates: Vec<u32>,
    /// Floating-point operations.
    #[serde(default)]
    pub flops: u64,
    /// Traffic of tensor arguments and results in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Element type of the first result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Measured nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns: Option<u64>,
}

/// One kernel of the backward pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackwardKernel {
    /// Operator whose gradient is computed; absent for accumulation into a parameter's gradient.
    #[serde(default)]
    pub of: Option<u32>,
    /// Autograd node that runs the kernel.
    #[serde(default)]
    pub node: Option<String>,
    /// ATen name of the kernel.
    pub op: String,
    /// Storages it reads.
    pub reads: Vec<u32>,
    /// Storages it allocates.
    pub writes: Vec<u32>,
    /// Storages it changes in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutates: Vec<u32>,
    /// Floating-point operations.
    #[serde(default)]
    pub flops: u64,
    /// Traffic of tensor arguments and results in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Element type of the first result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Measured nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns: Option<u64>,
}

/// One module call as a range of operators.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModuleCall {
    /// Path of the module, for example `layer1.0`.
    pub path: String,
    /// First operator of the call.
    pub start: u32,
    /// One past the last operator.
    pub end: u32,
    /// Storages of activations that the call returns; absent if nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<Vec<u32>>,
    /// What the call returns, where `returns` is there; absent if it is neither a tensor nor a tuple of them, or if the
    /// caller's own code does something with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Returned>,
    /// The call changes state that a second run would change again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stateful: bool,
}

impl ModuleCall {
    /// A call of which only the operators are known.
    pub fn new(path: impl Into<String>, start: u32, end: u32) -> Self {
        Self { path: path.into(), start, end, ..Self::default() }
    }
}

/// What a module returns: a tensor, or a tuple of tensors and nothings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Returned {
    /// A tensor.
    One(Tensor),
    /// A tuple; `None` where it has no tensor.
    Tuple(Vec<Option<Tensor>>),
}

/// The word `tensor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tensor {
    /// A tensor.
    Tensor,
}
