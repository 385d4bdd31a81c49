//! The checked training graph, with what predictors and planners look up all the time.

use crate::cuts;
use crate::nodes::{self, Node};
use crate::trace::{BackwardKernel, Faults, Operator, Storage, StorageKind, Trace, validate};

/// A validated training step.
///
/// Indices are those of the trace: storages, operators (the last one is the loss) and backward kernels count from 0.
/// Sizes are bytes rounded up to the block, as an allocation occupies them; their sum is below 2^57, so that sums of
/// sizes never overflow.
#[derive(Debug, Clone)]
pub struct Graph {
    trace: Trace,
    sizes: Vec<u64>,
    producer: Vec<Option<u32>>,
    last_reader: Vec<Option<u32>>,
    safe: Vec<bool>,
    nodes: Vec<Node>,
    trainable: Vec<bool>,
}

impl Graph {
    /// Checks a trace and derives what planning needs. Time and memory O(size of the trace).
    ///
    /// # Errors
    /// All faults of the trace, each with its place.
    pub fn new(trace: Trace) -> Result<Self, Faults> {
        validate(&trace)?;
        let sizes = trace.storages.iter().map(|s| s.bytes.div_ceil(trace.block) * trace.block).collect();
        let mut producer = vec![None; trace.storages.len()];
        let mut last_reader = vec![None; trace.storages.len()];
        for (o, operator) in trace.operators.iter().enumerate() {
            for kernel in &operator.kernels {
                for &s in kernel.reads.iter().chain(&kernel.mutates) {
                    last_reader[s as usize] = Some(o as u32);
                }
                for &s in &kernel.writes {
                    producer[s as usize] = Some(o as u32);
                }
            }
        }
        let loss = trace.operators.len() as u32 - 1;
        for &s in &trace.outputs {
            last_reader[s as usize] = Some(loss);
        }
        let mut trainable = vec![false; trace.storages.len()];
        for s in &trace.storages {
            if let Some(parameter) = s.of.filter(|_| s.kind == StorageKind::ParamGrad) {
                trainable[parameter as usize] = true;
            }
        }
        let safe = cuts::safe(&trace, &producer);
        let nodes = nodes::group(&trace);
        Ok(Self { trace, sizes, producer, last_reader, safe, nodes, trainable })
    }

    /// The document the graph was made from.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Name of the recorded step.
    pub fn name(&self) -> &str {
        &self.trace.name
    }

    /// All storages.
    pub fn storages(&self) -> &[Storage] {
        &self.trace.storages
    }

    /// The forward pass; never empty, the last operator is the loss.
    pub fn operators(&self) -> &[Operator] {
        &self.trace.operators
    }

    /// The backward pass, kernel by kernel.
    pub fn backward(&self) -> &[BackwardKernel] {
        &self.trace.backward
    }

    /// Index of the loss operator, which is also the last cut at which a region may end.
    pub fn loss(&self) -> u32 {
        self.trace.operators.len() as u32 - 1
    }

    /// Occupied bytes of a storage: its size rounded up to the block.
    pub fn size(&self, storage: u32) -> u64 {
        self.sizes[storage as usize]
    }

    /// Occupied bytes of all storages.
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// Kind of a storage.
    pub fn kind(&self, storage: u32) -> StorageKind {
        self.trace.storages[storage as usize].kind
    }

    /// Operator that allocates a storage in the forward pass.
    pub fn producer(&self, storage: u32) -> Option<u32> {
        self.producer[storage as usize]
    }

    /// Last operator of the forward pass that reads a storage.
    pub fn last_reader(&self, storage: u32) -> Option<u32> {
        self.last_reader[storage as usize]
    }

    /// Does the storage hold a parameter that gets a gradient?
    pub fn is_trainable(&self, storage: u32) -> bool {
        self.trainable[storage as usize]
    }

    /// May a region start or end at cut `k`, between operators `k - 1` and `k`? False beyond the loss.
    pub fn is_safe_cut(&self, k: u32) -> bool {
        k <= self.loss() && self.safe[k as usize]
    }

    /// All safe cuts in ascending order, from 0 to the loss.
    pub fn safe_cuts(&self) -> impl Iterator<Item = u32> + '_ {
        (0..=self.loss()).filter(|&k| self.safe[k as usize])
    }

    /// The backward pass grouped into autograd nodes, in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// FLOPs of an operator's kernels. Time O(kernels).
    pub fn operator_flops(&self, operator: u32) -> u64 {
        self.trace.operators[operator as usize].kernels.iter().map(|k| k.flops).sum()
    }

    /// Traffic of an operator's kernels in bytes. Time O(kernels).
    pub fn operator_bytes(&self, operator: u32) -> u64 {
        self.trace.operators[operator as usize].kernels.iter().map(|k| k.bytes).sum()
    }

    /// Bytes alive before the step: parameters, buffers and constants.
    pub fn static_bytes(&self) -> u64 {
        self.bytes_of(|k| matches!(k, StorageKind::Param | StorageKind::Buffer | StorageKind::Constant))
    }

    /// Bytes of inputs and targets, alive during the whole step.
    pub fn input_bytes(&self) -> u64 {
        self.bytes_of(|k| k == StorageKind::Input)
    }

    fn bytes_of(&self, is: impl Fn(StorageKind) -> bool) -> u64 {
        self.trace.storages.iter().zip(&self.sizes).filter(|(s, _)| is(s.kind)).map(|(_, size)| size).sum()
    }
}
