//! What is alive at many moments of a step: the largest storages and modules at each.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::alive::{Alive, described, statics};
use super::factors::cut;
use super::recording::{Kind, Recording};
use super::replay::Scratch;
use super::{Optimizer, Predictor};
use crate::plan::Regions;

/// How much is told of every moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Largest {
    /// Storages.
    pub storages: usize,
    /// Modules.
    pub modules: usize,
    /// How many components of a module's path are told apart.
    pub depth: u32,
}

/// What is alive at some moments. Moments refer to one list of storages and one of modules.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AliveOver {
    /// Storages that are among the largest at some moment, in order of first mention.
    pub storages: Vec<Alive>,
    /// Paths of modules that are among the largest at some moment, in order of first mention.
    pub modules: Vec<String>,
    /// One per moment asked for.
    pub moments: Vec<AliveThen>,
}

/// What is alive at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AliveThen {
    /// How many storages are alive.
    pub count: usize,
    /// The largest, by size, then storage, as indices into [`AliveOver::storages`].
    pub storages: Vec<u32>,
    /// Modules with the most bytes, by bytes, then path, as indices into [`AliveOver::modules`], and their bytes.
    pub modules: Vec<(u32, u64)>,
}

/// Order of storages: size, storage, level, kind. Temporaries of the optimizer have no storage.
type Key = (Reverse<u64>, u32, u32, Kind);

/// Lists the largest storages and modules that are alive at some entries of a timeline.
///
/// # Arguments
/// * `predictor`: of the graph.
/// * `regions`: of the plan.
/// * `optimizer`: whose states and temporaries count.
/// * `entries`: of the [`Timeline`](super::Timeline) with the same arguments, ascending.
/// * `largest`: how much is told.
/// * `scratch`: reusable memory.
///
/// # Complexity
/// One replay and O(log a) per birth and death for a storages alive, O(m log m) per entry asked for with m modules.
pub fn alive_over(
    predictor: &Predictor<'_>,
    regions: &Regions,
    optimizer: Option<Optimizer>,
    entries: &[usize],
    largest: Largest,
    scratch: &mut Scratch,
) -> AliveOver {
    let graph = predictor.graph();
    let recording = Recording::of(predictor, regions, scratch);
    let mut state = State { largest, ..State::default() };
    for storage in statics(graph, optimizer) {
        state.born(storage);
    }
    // One description per storage; level and kind differ between instances.
    let all: Vec<(u32, u32, Kind)> = (0..graph.sizes().len() as u32).map(|s| (s, 0, Kind::Temporaries)).collect();
    let shapes = described(graph, &all);
    let mut at = 0;
    for &entry in entries {
        let is_optimizer = entry >= recording.stops.len();
        let until = recording.stops.get(entry).map_or(recording.events.len(), |stop| stop.events);
        for event in &recording.events[at..until] {
            let shape = &shapes[event.storage as usize];
            let module = if event.kind == Kind::Gradients { owner(shape) } else { shape.module.clone() };
            let alive = Alive { level: event.level, kind: event.kind, module, ..shape.clone() };
            if event.is_birth { state.born(alive) } else { state.died(&alive) }
        }
        at = until;
        if is_optimizer && let Some(bytes) = optimizer.and_then(|o| o.temporary_bytes(graph)) {
            state.born(Alive {
                bytes,
                kind: Kind::Temporaries,
                storage: None,
                level: 0,
                name: None,
                operator: None,
                module: String::new(),
            });
        }
        state.tell();
    }
    state.told
}

/// Gradients of parameters belong to the parameter's module, whoever computes them.
fn owner(of: &Alive) -> String {
    let name = of.name.as_deref().and_then(|n| n.rsplit_once('.'));
    name.map_or_else(String::new, |(module, _)| module.into())
}

#[derive(Default)]
struct State {
    largest: Largest,
    alive: BTreeSet<Key>,
    descriptions: BTreeMap<Key, Alive>,
    modules: BTreeMap<String, u64>,
    told: AliveOver,
    told_storages: BTreeMap<Key, u32>,
    told_modules: BTreeMap<String, u32>,
}

impl Default for Largest {
    /// Eight storages, and six of the model's own modules.
    fn default() -> Self {
        Self { storages: 8, modules: 6, depth: 1 }
    }
}

impl State {
    fn key(of: &Alive) -> Key {
        (Reverse(of.bytes), of.storage.unwrap_or(u32::MAX), of.level, of.kind)
    }

    fn born(&mut self, alive: Alive) {
        let key = Self::key(&alive);
        *self.modules.entry(cut(&alive.module, self.largest.depth).into()).or_default() += alive.bytes;
        self.alive.insert(key);
        self.descriptions.entry(key).or_insert(alive);
    }

    fn died(&mut self, alive: &Alive) {
        self.alive.remove(&Self::key(alive));
        if let Some(bytes) = self.modules.get_mut(cut(&alive.module, self.largest.depth)) {
            *bytes -= alive.bytes;
        }
    }

    fn tell(&mut self) {
        let mut then = AliveThen { count: self.alive.len(), ..AliveThen::default() };
        for key in self.alive.iter().take(self.largest.storages) {
            let next = self.told.storages.len() as u32;
            let at = *self.told_storages.entry(*key).or_insert(next);
            if at == next {
                self.told.storages.push(self.descriptions[key].clone());
            }
            then.storages.push(at);
        }
        let mut modules: Vec<(&String, u64)> =
            self.modules.iter().map(|(path, &bytes)| (path, bytes)).filter(|m| m.1 > 0).collect();
        // In order of paths so far, and sorting is stable.
        modules.sort_by_key(|m| Reverse(m.1));
        for (path, bytes) in modules.into_iter().take(self.largest.modules) {
            let next = self.told.modules.len() as u32;
            let at = *self.told_modules.entry(path.clone()).or_insert(next);
            if at == next {
                self.told.modules.push(path.clone());
            }
            then.modules.push((at, bytes));
        }
        self.told.moments.push(then);
    }
}
