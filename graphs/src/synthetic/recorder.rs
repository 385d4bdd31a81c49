//! Records a forward pass operator by operator, as autograd would see it; the backward pass follows from it.

use std::collections::{BTreeMap, HashMap};

use crate::trace::{Kernel, ModuleCall, Operator, Storage, StorageKind, TRACE_FORMAT, Trace};

/// A tensor of the forward pass: a storage, or a view of one, at one point of its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensor {
    /// Storage it lies in.
    pub storage: u32,
    /// Its own size in bytes; a view may be smaller than its storage.
    pub bytes: u64,
    /// Number of the tensor among all of the step; gradients are kept per tensor.
    pub(super) value: u32,
    /// Is its element type the reduced precision of autocast?
    pub(super) half: bool,
}

/// Where a gradient goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    Tensor(Tensor),
    Param(u32),
}

/// One way in which an operator's gradient reaches what it read.
#[derive(Debug, Clone)]
pub(super) enum Flow {
    /// The incoming gradient itself is handed on; a view of it, for view operators.
    Through { to: Tensor, view: bool },
    /// A kernel that reads the incoming gradient and saved storages `(storage, kernels run when saved)`.
    Kernel { op: &'static str, to: Vec<To>, saved: Vec<(u32, u32)>, cast: bool, flops: u64 },
}

/// What one operator call does.
pub(super) struct Call {
    pub(super) op: &'static str,
    pub(super) node: &'static str,
    pub(super) kernels: Vec<Kernel>,
    pub(super) flows: Vec<Flow>,
    pub(super) random: bool,
}

/// How the gradient of one recorded operator is made.
#[derive(Debug)]
pub(super) struct Formula {
    pub(super) output: u32,
    pub(super) node: &'static str,
    pub(super) flows: Vec<Flow>,
}

/// Records one training step. Sizes are bytes; every operator allocates what it returns unless it says otherwise.
#[derive(Debug)]
pub struct Recorder {
    pub(super) trace: Trace,
    /// Per tensor: its size, and whether a gradient may flow to it.
    pub(super) values: Vec<(u64, bool)>,
    pub(super) formulas: Vec<Formula>,
    pub(super) trainable: Vec<bool>,
    /// Has any operator saved the storage so far?
    saved: Vec<bool>,
    /// Parameters are made without gradients while this holds.
    pub(super) frozen: bool,
    /// Casts of trainable parameters that autocast keeps.
    pub(super) casts: BTreeMap<u32, u32>,
    scope: Vec<(String, u32)>,
    record_modules: bool,
    names: HashMap<&'static str, u32>,
}

impl Recorder {
    /// Starts a step whose storages occupy multiples of `block` bytes.
    pub fn new(name: impl Into<String>, block: u64) -> Self {
        let trace = Trace {
            format: TRACE_FORMAT.into(),
            name: name.into(),
            device: "cuda".into(),
            autocast: None,
            torch: String::new(),
            block,
            storages: Vec::new(),
            operators: Vec::new(),
            backward: Vec::new(),
            modules: None,
            outputs: Vec::new(),
        };
        Self {
            trace,
            values: Vec::new(),
            formulas: Vec::new(),
            trainable: Vec::new(),
            saved: Vec::new(),
            frozen: false,
            casts: BTreeMap::new(),
            scope: Vec::new(),
            record_modules: false,
            names: HashMap::new(),
        }
    }

    /// Runs the step under bfloat16 autocast from here on.
    pub fn autocast(&mut self) {
        self.trace.autocast = Some("bfloat16".into());
    }

    /// Writes the module calls into the trace, too, not only each operator's path.
    pub fn record_modules(&mut self) {
        self.record_modules = true;
        self.trace.modules.get_or_insert_default();
    }

    /// Makes parameters without gradients from here on, or with gradients again.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Number of operators so far.
    pub fn operators(&self) -> u32 {
        self.trace.operators.len() as u32
    }

    /// Runs `body` inside the module of that name.
    pub fn module<T>(&mut self, name: impl AsRef<str>, body: impl FnOnce(&mut Self) -> T) -> T {
        let path = match self.scope.last() {
            Some((outer, _)) => format!("{outer}.{}", name.as_ref()),
            None => name.as_ref().to_owned(),
        };
        self.scope.push((path, self.operators()));
        let result = body(self);
        let end = self.operators();
        if let Some((path, start)) = self.scope.pop()
            && self.record_modules
        {
            self.trace.modules.get_or_insert_default().push(ModuleCall::new(path, start, end));
        }
        result
    }

    /// An input of the step, or a target.
    pub fn input(&mut self, name: &str, bytes: u64) -> Tensor {
        let storage = self.storage(bytes, StorageKind::Input, Some(name.into()));
        self.tensor(storage, bytes, false, false)
    }

    /// A tensor constant of the model.
    pub fn constant(&mut self, bytes: u64) -> Tensor {
        let storage = self.storage(bytes, StorageKind::Constant, None);
        self.tensor(storage, bytes, false, false)
    }

    /// A parameter; it gets a gradient unless it is made frozen.
    pub fn param(&mut self, bytes: u64) -> u32 {
        let name = format!("p{}", self.trace.storages.len());
        let storage = self.storage(bytes, StorageKind::Param, Some(name));
        self.trainable[storage as usize] = !self.frozen;
        storage
    }

    /// A buffer.
    pub fn buffer(&mut self, bytes: u64) -> u32 {
        let name = format!("b{}", self.trace.storages.len());
        self.storage(bytes, StorageKind::Buffer, Some(name))
    }

    /// May an operator change the tensor in place: is it an activation that nobody has saved?
    pub fn may_mutate(&self, tensor: Tensor) -> bool {
        let s = tensor.storage as usize;
        self.trace.storages[s].kind == StorageKind::Activation && !self.saved[s]
    }

    /// Does a gradient flow to the tensor?
    pub fn has_gradient(&self, tensor: Tensor) -> bool {
        self.values[tensor.value as usize].1
    }

    pub(super) fn storage(&mut self, bytes: u64, kind: StorageKind, name: Option<String>) -> u32 {
        self.trace.storages.push(Storage { bytes, kind, name, of: None, dies: None });
        self.trainable.push(false);
        self.saved.push(false);
        self.trace.storages.len() as u32 - 1
    }

    pub(super) fn activation(&mut self, bytes: u64) -> u32 {
        self.storage(bytes, StorageKind::Activation, None)
    }

    fn tensor(&mut self, storage: u32, bytes: u64, grad: bool, half: bool) -> Tensor {
        self.values.push((bytes, grad));
        Tensor { storage, bytes, value: self.values.len() as u32 - 1, half }
    }

    /// Does the gradient that `to` names exist?
    pub(super) fn wants(&self, to: &To) -> bool {
        match to {
            To::Tensor(t) => self.has_gradient(*t),
            To::Param(p) => self.trainable[*p as usize],
        }
    }

    /// Does anything along the flow want a gradient?
    pub(super) fn is_wanted(&self, flow: &Flow) -> bool {
        match flow {
            Flow::Through { to, .. } => self.has_gradient(*to),
            Flow::Kernel { to, .. } => to.iter().any(|to| self.wants(to)),
        }
    }

    /// A kernel over the given storages; its traffic is their sizes.
    pub(super) fn kernel(&self, op: &str, reads: &[u32], writes: &[u32], mutates: &[u32]) -> Kernel {
        let mut reads = reads.to_vec();
        reads.extend(mutates);
        reads.sort_unstable();
        reads.dedup();
        let bytes = reads.iter().chain(writes).map(|&s| self.trace.storages[s as usize].bytes).sum();
        Kernel {
            op: op.into(),
            reads,
            writes: writes.to_vec(),
            mutates: mutates.to_vec(),
            flops: 0,
            bytes,
            dtype: Some("float32".into()),
            ns: None,
        }
    }

    /// Records a call that returns a tensor in `storage`. What autograd saves are the saved storages of all flows that
    /// some gradient is wanted of.
    pub(super) fn call(&mut self, call: Call, storage: u32, bytes: u64, half: bool) -> Tensor {
        let mut saves: Vec<(u32, u32)> = Vec::new();
        let mut grad = false;
        for flow in call.flows.iter().filter(|f| self.is_wanted(f)) {
            grad = true;
            if let Flow::Kernel { saved, .. } = flow {
                for save in saved {
                    if !saves.contains(save) {
                        saves.push(*save);
                    }
                }
            }
        }
        saves.sort_by_key(|save| save.1);
        for save in &saves {
            self.saved[save.0 as usize] = true;
        }
        let count = self.names.entry(call.op).or_insert(0);
        let base = call.op.split('.').next().unwrap_or(call.op);
        let name = if *count == 0 { base.into() } else { format!("{base}_{count}") };
        *count += 1;
        let module = self.scope.last().map_or_else(String::new, |(path, _)| path.clone());
        let Call { op, node, kernels, flows, random } = call;
        self.trace.operators.push(Operator { name, op: op.into(), module, random, kernels, saves });
        let output = self.tensor(storage, bytes, grad, half);
        self.formulas.push(Formula { output: output.value, node, flows });
        output
    }
}
