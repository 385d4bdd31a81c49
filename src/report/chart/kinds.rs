//! Kinds of memory as pictures tell them apart, in the order in which they are stacked.

use remat::algorithms::predict::{ByKind, Factors, Kind};

/// Names, in the order of [`KINDS`](crate::report::svg::theme::KINDS).
pub(crate) const NAMES: [&str; 7] =
    ["parameters", "optimizer", "inputs, buffers", "gradients", "saved activations", "recomputed", "temporaries"];

/// Bytes of an entry by kind; they add up to its live bytes.
pub(crate) fn of_entry(by: &ByKind) -> [u64; 7] {
    [by.parameters, by.optimizer_states, by.inputs + by.buffers, by.gradients, by.saved, by.recomputed, by.temporaries]
}

/// Bytes of a row of a factor table by kind; they add up to its sum.
pub(crate) fn of_factors(f: &Factors) -> [u64; 7] {
    [
        f.trainable_parameters + f.frozen_parameters,
        f.optimizer_states,
        f.inputs + f.buffers,
        f.gradients,
        f.activations,
        f.recomputed,
        f.temporaries,
    ]
}

/// CSS classes of kinds.
pub(crate) const CLASSES: [&str; 7] =
    ["k-parameters", "k-optimizer", "k-inputs", "k-gradients", "k-saved", "k-recomputed", "k-temporaries"];

/// Index of a kind in these lists.
pub(crate) fn kind_of(kind: Kind) -> usize {
    match kind {
        Kind::Parameters => 0,
        Kind::OptimizerStates => 1,
        Kind::Inputs | Kind::Buffers => 2,
        Kind::Gradients => 3,
        Kind::Saved => 4,
        Kind::Recomputed => 5,
        Kind::Temporaries => 6,
    }
}
