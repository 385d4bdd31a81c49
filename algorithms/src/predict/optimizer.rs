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
        let trainable = trainable_bytes(graph);
        match self {
            Self::Sgd => 0,
            Self::SgdMomentum => trainable,
            _ => 2 * trainable + graph.trace().block * trainable_count(graph),
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

/// Sizes of all parameters that get a gradient.
fn trainable_sizes(graph: &Graph) -> impl Iterator<Item = u64> + '_ {
    let is = |s: &u32| graph.kind(*s) == StorageKind::Param && graph.is_trainable(*s);
    (0..graph.storages().len() as u32).filter(is).map(|s| graph.size(s))
}

fn trainable_bytes(graph: &Graph) -> u64 {
    trainable_sizes(graph).sum()
}

fn trainable_count(graph: &Graph) -> u64 {
    trainable_sizes(graph).count() as u64
}

/// The denominator `sqrt(v) / c + eps` of one parameter is computed in two temporaries, with four scalars beside them.
fn single_tensor_temporaries(graph: &Graph) -> u64 {
    trainable_sizes(graph).max().map_or(0, |largest| 2 * largest + 4 * graph.trace().block)
}
