//! Synthetic training steps of any size, seeded and the same on every platform.
//!
//! [`networks`] imitates real architectures, [`mod@random`] mixes every feature of the format into small or large graphs.
//! All of them record a forward pass with a [`Recorder`], which derives saves, gradients, their lifetimes and the
//! backward pass as autograd would; so they make only valid steps. The same functions serve property tests, fuzz targets
//! ([`Choices::from_bytes`]) and benches.

mod backward;
mod layers;
pub mod networks;
pub mod random;
mod recorder;
mod rng;
pub mod variations;

pub use networks::{Transformer, chain, residual, transformer, unet};
pub use random::{Features, layered, random, tiny};
pub use recorder::{Recorder, Tensor};
pub use rng::Choices;

use crate::trace::Trace;

/// Gives every kernel a measured time between 1 and 500 microseconds; views keep none. Time O(kernels).
pub fn time_kernels(trace: &mut Trace, choices: &mut Choices) {
    for kernel in trace.operators.iter_mut().flat_map(|o| &mut o.kernels) {
        if !kernel.writes.is_empty() || !kernel.mutates.is_empty() {
            kernel.ns = Some(choices.between(1_000, 500_000));
        }
    }
    for kernel in &mut trace.backward {
        if !kernel.writes.is_empty() || !kernel.mutates.is_empty() {
            kernel.ns = Some(choices.between(1_000, 500_000));
        }
    }
}
