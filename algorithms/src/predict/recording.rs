//! One replay, written down: what was born and died between which moments, and what for.

use remat_graphs::{Graph, StorageKind};
use serde::{Deserialize, Serialize};

use super::replay::{Moment, Observer, Replayed, Scratch, replay};
use super::{Optimizer, Predictor};
use crate::plan::Regions;

/// What memory is alive for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Parameters.
    Parameters,
    /// Gradients of parameters.
    Gradients,
    /// States of the optimizer.
    OptimizerStates,
    /// Buffers and tensor constants of the model.
    Buffers,
    /// Inputs and targets of the step.
    Inputs,
    /// Made by the forward pass and held into the backward pass: saved tensors, inputs of regions, what selective
    /// regions keep, the loss.
    Saved,
    /// Made again by a recomputation.
    Recomputed,
    /// All else: made and released within the forward pass, or within the backward pass (gradients of activations
    /// among them), and what the optimizer's step allocates.
    Temporaries,
}

impl Kind {
    /// All kinds, in the order of their fields in [`ByKind`].
    pub const ALL: [Self; 8] = [
        Self::Parameters,
        Self::Gradients,
        Self::OptimizerStates,
        Self::Buffers,
        Self::Inputs,
        Self::Saved,
        Self::Recomputed,
        Self::Temporaries,
    ];

    /// Kind of a storage that is alive during the whole step.
    pub(super) fn of_static(kind: StorageKind) -> Option<Self> {
        match kind {
            StorageKind::Param => Some(Self::Parameters),
            StorageKind::Buffer | StorageKind::Constant => Some(Self::Buffers),
            StorageKind::Input => Some(Self::Inputs),
            _ => None,
        }
    }
}

/// Bytes of each [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ByKind {
    /// [`Kind::Parameters`].
    pub parameters: u64,
    /// [`Kind::Gradients`].
    pub gradients: u64,
    /// [`Kind::OptimizerStates`].
    pub optimizer_states: u64,
    /// [`Kind::Buffers`].
    pub buffers: u64,
    /// [`Kind::Inputs`].
    pub inputs: u64,
    /// [`Kind::Saved`].
    pub saved: u64,
    /// [`Kind::Recomputed`].
    pub recomputed: u64,
    /// [`Kind::Temporaries`].
    pub temporaries: u64,
}

impl ByKind {
    /// Bytes of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        let mut copy = *self;
        *copy.of_mut(kind)
    }

    /// Bytes of all kinds together.
    pub fn sum(&self) -> u64 {
        Kind::ALL.into_iter().map(|k| self.of(k)).sum()
    }

    pub(super) fn of_mut(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Parameters => &mut self.parameters,
            Kind::Gradients => &mut self.gradients,
            Kind::OptimizerStates => &mut self.optimizer_states,
            Kind::Buffers => &mut self.buffers,
            Kind::Inputs => &mut self.inputs,
            Kind::Saved => &mut self.saved,
            Kind::Recomputed => &mut self.recomputed,
            Kind::Temporaries => &mut self.temporaries,
        }
    }

    /// What is alive before the step, inputs included. Time O(storages).
    pub(super) fn before(graph: &Graph, optimizer: Option<Optimizer>) -> Self {
        let mut bytes = Self { optimizer_states: optimizer.map_or(0, |o| o.state_bytes(graph)), ..Self::default() };
        for (s, &size) in graph.sizes().iter().enumerate() {
            if let Some(kind) = Kind::of_static(graph.kind(s as u32)) {
                *bytes.of_mut(kind) += size;
            }
        }
        bytes
    }
}

/// Birth or death of a storage instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) storage: u32,
    pub(super) level: u32,
    pub(super) is_birth: bool,
    pub(super) kind: Kind,
}

/// A moment of the replay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    pub(super) moment: Moment,
    /// Bytes alive, optimizer states excluded.
    pub(super) live: u64,
    /// How many events precede it.
    pub(super) events: usize,
}

/// A replay, written down. Time O(kernels run), memory O(births and moments).
#[derive(Debug, Default)]
pub(super) struct Recording {
    pub(super) events: Vec<Event>,
    pub(super) stops: Vec<Stop>,
    /// Events of the forward pass.
    pub(super) forward_events: usize,
    pub(super) replayed: Replayed,
}

impl Recording {
    pub(super) fn of(predictor: &Predictor<'_>, regions: &Regions, scratch: &mut Scratch) -> Self {
        let mut recording = Self::default();
        recording.replayed = replay(predictor.program(), regions, scratch, &mut recording);
        recording.tell_kinds(predictor.graph());
        recording
    }

    /// What the storage was alive for shows only when it dies: a forward activation is saved if it survives the pass.
    fn tell_kinds(&mut self, graph: &Graph) {
        let (forward, backward) = self.events.split_at_mut(self.forward_events);
        let mut kinds = vec![Kind::Saved; graph.sizes().len()];
        for event in forward.iter_mut().rev().filter(|e| e.level == 0) {
            let kind = &mut kinds[event.storage as usize];
            if !event.is_birth {
                *kind = Kind::Temporaries;
            }
            event.kind = *kind;
            if event.is_birth {
                *kind = Kind::Saved;
            }
        }
        for event in backward {
            event.kind = match graph.kind(event.storage) {
                StorageKind::ParamGrad => Kind::Gradients,
                StorageKind::Gradient => Kind::Temporaries,
                _ if event.level > 0 => Kind::Recomputed,
                _ => Kind::Saved,
            };
        }
    }

    /// The first moment with the most bytes, of those that `is_wanted` selects.
    pub(super) fn peak(&self, is_wanted: impl Fn(Moment) -> bool) -> Option<&Stop> {
        self.stops.iter().filter(|s| is_wanted(s.moment)).reduce(|best, s| if s.live > best.live { s } else { best })
    }

    /// Instances that are alive after the first `events` events, as (storage, level, kind), by level and storage. Time
    /// and memory O(events + storages × depth).
    pub(super) fn alive(&self, storages: usize, events: usize) -> Vec<(u32, u32, Kind)> {
        let events = &self.events[..events];
        let levels = events.iter().map(|e| e.level as usize + 1).max().unwrap_or(0);
        let mut kinds: Vec<Option<Kind>> = vec![None; storages * levels];
        for event in events {
            kinds[event.level as usize * storages + event.storage as usize] = event.is_birth.then_some(event.kind);
        }
        let instance =
            |(at, kind): (usize, Option<Kind>)| Some(((at % storages) as u32, (at / storages) as u32, kind?));
        kinds.into_iter().enumerate().filter_map(instance).collect()
    }

    fn add(&mut self, storage: u32, level: u32, is_birth: bool) {
        self.events.push(Event { storage, level, is_birth, kind: Kind::Temporaries });
    }
}

impl Observer for Recording {
    fn moment(&mut self, moment: Moment, live: u64) {
        self.stops.push(Stop { moment, live, events: self.events.len() });
    }

    fn backward_starts(&mut self) {
        self.forward_events = self.events.len();
    }

    fn born(&mut self, storage: u32, level: u32) {
        self.add(storage, level, true);
    }

    fn died(&mut self, storage: u32, level: u32) {
        self.add(storage, level, false);
    }
}
