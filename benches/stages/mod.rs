//! Chains of stages to plan.

use remat::algorithms::rotor::{Stage, Stages};

/// Three groups of equal blocks, as the chain of a residual network.
pub(crate) fn residual(count: usize) -> Option<Stages> {
    let mut all: Vec<Stage> = (0..count - 1)
        .map(|i| {
            let group = i * 3 / (count - 1);
            let output = (1 << 24) >> group;
            let tape = output * 5 / 2 + (2048 << group);
            let forward = 1_000_000 >> group;
            Stage { forward, output, tape, gradient: output, backward_extra: output / 2, ..Stage::default() }
        })
        .collect();
    all.push(Stage { forward: 1000, ..Stage::default() });
    Stages::new(1 << 20, 0, &all).ok()
}
