//! What can be watched of a replay, and what it returns.

/// A moment at which memory may peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A kernel of the forward pass.
    Forward {
        /// Operator.
        operator: u32,
        /// Kernel within the operator.
        kernel: u32,
    },
    /// A kernel that runs again for the backward pass.
    Recompute {
        /// Region that is recomputed, as an index into the plan's [`Regions`].
        region: u32,
        /// Operator.
        operator: u32,
        /// Kernel within the operator.
        kernel: u32,
    },
    /// A kernel of the backward pass.
    Backward {
        /// Index of the backward kernel.
        kernel: u32,
    },
}

/// Watches a replay. All methods have empty defaults.
pub trait Observer {
    /// A kernel has allocated its results and still has its inputs: `live` bytes are alive, optimizer states excluded.
    fn moment(&mut self, _moment: Moment, _live: u64) {}

    /// The forward pass and the loss are over, the running code has let go of all its storages.
    fn backward_starts(&mut self) {}

    /// Instance `level` of a storage came to life.
    fn born(&mut self, _storage: u32, _level: u32) {}

    /// Instance `level` of a storage was released.
    fn died(&mut self, _storage: u32, _level: u32) {}

    /// A kernel ran again for the backward pass; not called where its kept result was handed over instead.
    fn ran_again(&mut self, _operator: u32, _kernel: u32) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// What a replay finds, in bytes; optimizer states excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Largest sum of live storages in the forward pass and the loss.
    pub peak_forward: u64,
    /// The same in the backward pass.
    pub peak_backward: u64,
    /// Alive between the passes.
    pub after_forward: u64,
    /// Alive after the backward pass.
    pub after_backward: u64,
    /// Operators that ran again, counted each time.
    pub operators: u64,
}
