//! Live bytes at every kernel of a step, by what they are alive for.

use serde::{Deserialize, Serialize};

use super::recording::{ByKind, Recording};
use super::replay::{Moment, Scratch};
use super::{Optimizer, Predictor};
use crate::plan::Regions;

/// Part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The forward pass and the loss.
    Forward,
    /// A recomputation within the backward pass.
    Recompute,
    /// The backward pass.
    Backward,
    /// The optimizer's step.
    Optimizer,
}

/// When a kernel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// Part of the step.
    pub phase: Phase,
    /// Operator that runs, or whose gradient is computed; absent for the accumulation of a parameter's gradient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<u32>,
    /// Kernel: within its operator in the forward pass and in recomputations, else index of the backward kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<u32>,
    /// Region that is recomputed, as an index into [`Regions::all`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<u32>,
}

impl When {
    /// The optimizer's step.
    pub(super) const OPTIMIZER: Self = Self { phase: Phase::Optimizer, operator: None, kernel: None, region: None };

    pub(super) fn of(predictor: &Predictor<'_>, moment: Moment) -> Self {
        match moment {
            Moment::Forward { operator, kernel } => {
                Self { phase: Phase::Forward, operator: Some(operator), kernel: Some(kernel), region: None }
            }
            Moment::Recompute { region, operator, kernel } => {
                Self { phase: Phase::Recompute, operator: Some(operator), kernel: Some(kernel), region: Some(region) }
            }
            Moment::Backward { kernel } => {
                let operator = predictor.graph().backward()[kernel as usize].of;
                Self { phase: Phase::Backward, operator, kernel: Some(kernel), region: None }
            }
        }
    }
}

/// Memory while a kernel runs: its results are allocated, its inputs still alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    #[serde(flatten)]
    pub when: When,
    /// Bytes alive.
    pub live: u64,
    /// The same by kind; adds up to `live`.
    #[serde(flatten)]
    pub by_kind: ByKind,
}

/// Memory over a step under a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timeline {
    /// One entry per kernel run, in order of execution.
    pub entries: Vec<Entry>,
}

impl Timeline {
    /// Memory over a step.
    ///
    /// # Arguments
    /// * `predictor`: of the graph.
    /// * `regions`: of the plan.
    /// * `optimizer`: whose states are alive all the time. If its step allocates temporaries, it is the last entry.
    /// * `scratch`: reusable memory.
    ///
    /// # Complexity
    /// One replay: time O(kernels run), memory O(kernels run) for the result and the record it is made from.
    pub fn new(
        predictor: &Predictor<'_>,
        regions: &Regions,
        optimizer: Option<Optimizer>,
        scratch: &mut Scratch,
    ) -> Self {
        let graph = predictor.graph();
        let recording = Recording::of(predictor, regions, scratch);
        let mut by_kind = ByKind::before(graph, optimizer);
        let states = by_kind.optimizer_states;
        let mut entries = Vec::with_capacity(recording.stops.len() + 1);
        let mut at = 0;
        let mut advance = |by_kind: &mut ByKind, to: usize| {
            for event in &recording.events[at..to] {
                let bytes = by_kind.of_mut(event.kind);
                let size = graph.size(event.storage);
                *bytes = if event.is_birth { *bytes + size } else { *bytes - size };
            }
            at = to;
        };
        for stop in &recording.stops {
            advance(&mut by_kind, stop.events);
            entries.push(Entry { when: When::of(predictor, stop.moment), live: stop.live + states, by_kind });
        }
        advance(&mut by_kind, recording.events.len());
        if let Some(temporaries) = optimizer.and_then(|o| o.temporary_bytes(graph)) {
            by_kind.temporaries += temporaries;
            entries.push(Entry { when: When::OPTIMIZER, live: by_kind.sum(), by_kind });
        }
        Self { entries }
    }

    /// The first entry with the most bytes. Time O(entries).
    pub fn peak(&self) -> Option<&Entry> {
        self.entries.iter().reduce(|best, e| if e.live > best.live { e } else { best })
    }
}
