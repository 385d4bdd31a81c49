//! What an optimizer adds to a step: its states, and the temporaries of its own step.

use std::fmt;
use std::str::FromStr;

use remat_graphs::{Graph, StorageKind};
use serde::{Deserialize, Serialize};

/// An optimizer of PyTorch, as named in `measured` documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// SGD without momentum.
    Sgd,
    /// SGD with momentum.
    SgdMomentum,
    /// Adam, one tensor at a time.
    Adam,
    /// Adam over all tensors at once.
    AdamForeach,
    /// Adam in one fused kernel.
    AdamFused,
    /// AdamW, one tensor at a time.
    Adamw,
    /// AdamW over all tensors at once.
    AdamwForeach,
    /// AdamW in one fused kernel.
    AdamwFused,
}

impl Optimizer {
    /// All optimizers, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Sgd,
        Self::SgdMomentum,
        Self::Adam,
        Self::AdamForeach,
        Self::AdamFused,
        Self::Adamw,
        Self::AdamwForeach,
        Self::AdamwFused,
    ];

    /// Name on the command line and in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::SgdMomentum => "sgd-momentum",
            Self::Adam => "adam",
            Self::AdamForeach => "adam-foreach",
            Self::AdamFused => "adam-fused",
            Self::Adamw => "adamw",
            Self::AdamwForeach => "adamw-foreach",
            Self::AdamwFused => "adamw-fused",
        }
    }

    /// Bytes of optimizer state that are alive before and after every step but the first (FORMATS.md, rule 11).
    pub fn state_bytes(self, graph: &Graph) -> u64 {
        (0..graph.storages().len() as u32).map(|s| self.state_bytes_of(graph, s)).sum()
    }

    /// The part of [`state_bytes`](Self::state_bytes) that belongs to one storage; 0 unless that is a trainable parameter.
    pub fn state_bytes_of(self, graph: &Graph, storage: u32) -> u64 {
        if !is_trainable(graph, storage) {
            return 0;
        }
        match self {
            Self::Sgd => 0,
            Self::SgdMomentum => graph.size(storage),
            _ => 2 * graph.size(storage) + graph.trace().block,
        }
    }

    /// Bytes that the optimizer's own step allocates at most on top of what is alive after the backward pass; `None`
    /// if it allocates nothing.
    pub fn temporary_bytes(self, graph: &Graph) -> Option<u64> {
        let bytes = match self {
            Self::Sgd | Self::SgdMomentum | Self::AdamFused | Self::AdamwFused => 0,
            Self::AdamForeach | Self::AdamwForeach => trainable_bytes(graph),
            Self::Adam | Self::Adamw => single_tensor_temporaries(graph),
        };
        (bytes > 0).then_some(bytes)
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Optimizer {
    type Err = UnknownOptimizer;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|o| o.name() == name).ok_or_else(|| UnknownOptimizer(name.into()))
    }
}

/// The name is not that of a known optimizer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown optimizer {0:?}; known are sgd, sgd-momentum, adam, adamw, and the last two with -foreach or -fused")]
pub struct UnknownOptimizer(pub String);

fn is_trainable(graph: &Graph, storage: u32) -> bool {
    graph.kind(storage) == StorageKind::Param && graph.is_trainable(storage)
}

/// Sizes of all parameters that get a gradient.
fn trainable_sizes(graph: &Graph) -> impl Iterator<Item = u64> + '_ {
    (0..graph.storages().len() as u32).filter(|&s| is_trainable(graph, s)).map(|s| graph.size(s))
}

fn trainable_bytes(graph: &Graph) -> u64 {
    trainable_sizes(graph).sum()
}

/// The denominator `sqrt(v) / c + eps` of one parameter is computed in two temporaries, with four scalars beside them.
fn single_tensor_temporaries(graph: &Graph) -> u64 {
    trainable_sizes(graph).max().map_or(0, |largest| 2 * largest + 4 * graph.trace().block)
}
