//! The `chain/1` document: a plain chain of layers.

use serde::{Deserialize, Serialize};

use crate::read::excerpt;
use crate::trace::Faults;

/// The `format` value of a chain document.
pub const CHAIN_FORMAT: &str = "chain/1";

/// A chain of layers; layer 0 is the network's input, the last layer its output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// Always [`CHAIN_FORMAT`].
    pub format: String,
    /// Name of the chain.
    #[serde(default)]
    pub name: String,
    /// The layers, in execution order; at least one.
    pub layers: Vec<Layer>,
}

/// One layer of a chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Name of the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Size of what the layer leaves behind, in bytes.
    pub bytes: u64,
    /// Time of the layer's forward pass in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
}

impl Chain {
    /// A chain of unnamed layers of the given sizes.
    pub fn from_sizes(name: impl Into<String>, sizes: impl IntoIterator<Item = u64>) -> Self {
        let layers = sizes.into_iter().map(|bytes| Layer { name: None, bytes, time: None }).collect();
        Self { format: CHAIN_FORMAT.into(), name: name.into(), layers }
    }

    /// Sizes of the layers in bytes.
    pub fn sizes(&self) -> Vec<u64> {
        self.layers.iter().map(|l| l.bytes).collect()
    }

    /// Checks format, sizes and times. Time O(layers).
    ///
    /// # Errors
    /// All faults found, each with its place. The sum of all sizes must stay below 2^62 bytes, so that no objective
    /// of a planner can overflow.
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        if self.format != CHAIN_FORMAT {
            faults.add(
                || "format".into(),
                || format!("expected \"{CHAIN_FORMAT}\", found \"{}\"", excerpt(&self.format)),
            );
        }
        if self.layers.is_empty() {
            faults.add(|| "layers".into(), || "is empty; a chain has at least one layer".into());
        }
        if self.layers.len() >= u32::MAX as usize {
            faults.add(|| "layers".into(), || "has too many layers to index".into());
        }
        let mut total = 0u64;
        let mut overflowed = false;
        for (i, layer) in self.layers.iter().enumerate() {
            total = total.saturating_add(layer.bytes);
            if total > 1 << 62 && !overflowed {
                overflowed = true;
                faults.add(
                    || format!("layers[{i}].bytes"),
                    || "sizes overflow: all layers together exceed 2^62 bytes".into(),
                );
            }
            if let Some(time) = layer.time.filter(|t| !t.is_finite() || !(0.0..1e9).contains(t)) {
                faults
                    .add(|| format!("layers[{i}].time"), || format!("must be between 0 and 1e9 seconds, found {time}"));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
