//! Element types of gradients, read off the kernels that make them.

use std::fmt;
use std::str::FromStr;

use remat_graphs::{Graph, StorageKind};
use serde::{Deserialize, Serialize};

/// An element type that gradients can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// 8 bytes.
    Float64,
    /// 4 bytes.
    Float32,
    /// 2 bytes.
    Float16,
    /// 2 bytes.
    Bfloat16,
}

impl ElementType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::Float64, Self::Float32, Self::Float16, Self::Bfloat16];

    /// Name, as PyTorch and traces write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float64 => "float64",
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Float64 => 8,
            Self::Float32 => 4,
            Self::Float16 | Self::Bfloat16 => 2,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ElementType {
    type Err = UnknownElementType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|t| t.name() == name).ok_or_else(|| UnknownElementType(name.into()))
    }
}

/// The name is not that of a known element type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown element type {0:?}; known are float64, float32, float16 and bfloat16")]
pub struct UnknownElementType(pub String);

/// Element types of the gradients of parameters, for each storage; `None` for other storages and where it cannot be told.
///
/// A trace names the type of each kernel's first result only. So a gradient that is its kernel's first result has that
/// type. Later results may differ from the first: batch normalisation in bfloat16 has float32 parameters. They take the
/// one type that all gradients of the first sort have; if those disagree, or there are none, that of their kernel's
/// first result.
///
/// Time and memory O(size of the backward pass + storages).
pub(super) fn gradient_types(graph: &Graph) -> Vec<Option<ElementType>> {
    let mut types: Vec<Option<ElementType>> = vec![None; graph.storages().len()];
    let mut later: Vec<(u32, Option<ElementType>)> = Vec::new();
    let is_gradient = |s: u32| graph.kind(s) == StorageKind::ParamGrad;
    for kernel in graph.backward() {
        let of_kernel = kernel.dtype.as_deref().and_then(|name| name.parse().ok());
        for (i, &s) in kernel.writes.iter().enumerate().filter(|(_, s)| is_gradient(**s)) {
            if i == 0 {
                types[s as usize] = of_kernel;
            } else {
                later.push((s, of_kernel));
            }
        }
    }
    let mut certain = types.iter().flatten();
    let first = certain.next().copied();
    let common = first.filter(|f| certain.all(|t| t == f));
    for (s, of_kernel) in later {
        types[s as usize] = common.or(of_kernel);
    }
    types
}
