//! What is alive when memory peaks: every storage, and sums by kind, operator and module.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use remat_graphs::Graph;
use serde::{Deserialize, Serialize};

use super::recording::{ByKind, Kind, Recording};
use super::replay::{Moment, Scratch};
use super::timeline::When;
use super::{Optimizer, Predictor};
use crate::plan::Regions;

/// Which peak of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeakOf {
    /// The whole step: the largest of the following, the first one in time if they are equal.
    #[default]
    Step,
    /// The forward pass and the loss.
    Forward,
    /// The backward pass, recomputations included.
    Backward,
    /// The optimizer's step.
    Optimizer,
}

/// What is alive at a peak. Storages, operators and modules each add up to `bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliveAtPeak {
    /// The first moment at which the peak is reached.
    pub when: When,
    /// The peak.
    pub bytes: u64,
    /// Bytes by kind.
    pub by_kind: ByKind,
    /// Bytes by module, largest first, then by path.
    pub by_module: Vec<OfModule>,
    /// Bytes by operator, largest first, then by index; what no operator made comes after operators of its size.
    pub by_operator: Vec<OfOperator>,
    /// Everything alive, largest first, then by storage and level of recomputation.
    pub storages: Vec<Alive>,
}

/// Bytes of one module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfModule {
    /// Path of the module; empty for the model itself.
    pub module: String,
    /// Bytes alive.
    pub bytes: u64,
}

/// Bytes of one operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfOperator {
    /// The operator; absent for parameters, buffers, inputs and what the optimizer holds.
    pub operator: Option<u32>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes alive.
    pub bytes: u64,
}

/// One storage that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// Bytes it occupies.
    pub bytes: u64,
    /// What it is alive for.
    pub kind: Kind,
    /// The storage; for optimizer states that of their parameter; absent for the temporaries of the optimizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<u32>,
    /// How deeply nested a recomputation made it: 0 for the original.
    pub level: u32,
    /// Name of the parameter (also for its gradient and states), buffer or input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Operator that made it, or whose gradient made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<u32>,
    /// Path of the module that made it or that it belongs to; empty for the model itself.
    pub module: String,
}

/// Lists what is alive at a peak.
///
/// # Arguments
/// * `predictor`: of the graph.
/// * `regions`: of the plan.
/// * `optimizer`: whose states and temporaries count.
/// * `peak`: which peak.
/// * `scratch`: reusable memory.
///
/// # Returns
/// What is alive; `None` if nothing runs in that part of the step, as where the optimizer allocates nothing.
///
/// # Complexity
/// One replay: time O(kernels run + a log a) for a storages alive, memory O(kernels run + storages × depth).
pub fn alive_at_peak(
    predictor: &Predictor<'_>,
    regions: &Regions,
    optimizer: Option<Optimizer>,
    peak: PeakOf,
    scratch: &mut Scratch,
) -> Option<AliveAtPeak> {
    let graph = predictor.graph();
    let recording = Recording::of(predictor, regions, scratch);
    let temporaries = optimizer.and_then(|o| o.temporary_bytes(graph));
    let (when, events) = stop_at(predictor, &recording, temporaries, peak)?;
    let mut storages = statics(graph, optimizer);
    storages.extend(described(graph, &recording.alive(graph.sizes().len(), events)));
    if let Some(bytes) = temporaries.filter(|_| when == When::OPTIMIZER) {
        let kind = Kind::Temporaries;
        storages.push(Alive {
            bytes,
            kind,
            storage: None,
            level: 0,
            name: None,
            operator: None,
            module: String::new(),
        });
    }
    storages.sort_by_key(|a| (Reverse(a.bytes), a.storage.unwrap_or(u32::MAX), a.level, a.kind));
    Some(summed(graph, when, storages))
}

/// The moment of the peak and the events before it.
fn stop_at(
    predictor: &Predictor<'_>,
    recording: &Recording,
    temporaries: Option<u64>,
    peak: PeakOf,
) -> Option<(When, usize)> {
    let is_forward = |m: Moment| matches!(m, Moment::Forward { .. });
    let of_passes = recording.peak(|m| match peak {
        PeakOf::Step => true,
        PeakOf::Forward => is_forward(m),
        PeakOf::Backward => !is_forward(m),
        PeakOf::Optimizer => false,
    });
    if let (PeakOf::Step | PeakOf::Optimizer, Some(temporaries)) = (peak, temporaries)
        && of_passes.is_none_or(|stop| recording.replayed.after_backward + temporaries > stop.live)
    {
        return Some((When::OPTIMIZER, recording.events.len()));
    }
    of_passes.map(|stop| (When::of(predictor, stop.moment), stop.events))
}

/// Parameters, optimizer states, buffers and inputs.
pub(super) fn statics(graph: &Graph, optimizer: Option<Optimizer>) -> Vec<Alive> {
    let mut alive = Vec::new();
    for s in 0..graph.sizes().len() as u32 {
        let Some(kind) = Kind::of_static(graph.kind(s)) else { continue };
        let storage = describe(graph, s, 0, kind, None);
        if let Some(bytes) = optimizer.map(|o| o.state_bytes_of(graph, s)).filter(|&bytes| bytes > 0) {
            alive.push(Alive { bytes, kind: Kind::OptimizerStates, ..storage.clone() });
        }
        alive.push(storage);
    }
    alive
}

/// Operators for which each storage of the backward pass is made. Time and memory O(size of the backward pass).
fn made_for(graph: &Graph) -> Vec<Option<u32>> {
    let mut made_for = vec![None; graph.sizes().len()];
    for kernel in graph.backward() {
        for &s in &kernel.writes {
            made_for[s as usize] = kernel.of;
        }
    }
    made_for
}

/// Storage instances, described.
pub(super) fn described(graph: &Graph, instances: &[(u32, u32, Kind)]) -> Vec<Alive> {
    let made_for = made_for(graph);
    instances.iter().map(|&(s, level, kind)| describe(graph, s, level, kind, made_for[s as usize])).collect()
}

fn describe(graph: &Graph, s: u32, level: u32, kind: Kind, made_for: Option<u32>) -> Alive {
    let storage = &graph.storages()[s as usize];
    let named = storage.of.map_or(storage, |parameter| &graph.storages()[parameter as usize]);
    let operator = graph.producer(s).or(made_for);
    let module = match (kind, operator) {
        (Kind::Inputs, _) => "",
        (Kind::Parameters | Kind::Gradients | Kind::Buffers, _) | (_, None) => {
            module_of_parameter(named.name.as_deref())
        }
        (_, Some(o)) => &graph.operators()[o as usize].module,
    };
    Alive {
        bytes: graph.size(s),
        kind,
        storage: Some(s),
        level,
        name: named.name.clone(),
        operator,
        module: module.into(),
    }
}

/// The module that owns a parameter or buffer: its name without the last component.
fn module_of_parameter(name: Option<&str>) -> &str {
    name.and_then(|n| n.rsplit_once('.')).map_or("", |(module, _)| module)
}

fn summed(graph: &Graph, when: When, storages: Vec<Alive>) -> AliveAtPeak {
    let mut by_kind = ByKind::default();
    let mut by_module: BTreeMap<&str, u64> = BTreeMap::new();
    let mut by_operator: BTreeMap<u32, u64> = BTreeMap::new();
    for a in &storages {
        *by_kind.of_mut(a.kind) += a.bytes;
        *by_module.entry(&a.module).or_default() += a.bytes;
        *by_operator.entry(a.operator.unwrap_or(u32::MAX)).or_default() += a.bytes;
    }
    // Both maps are in order of their keys, and sorting is stable.
    let mut by_module: Vec<OfModule> =
        by_module.into_iter().map(|(module, bytes)| OfModule { module: module.into(), bytes }).collect();
    by_module.sort_by_key(|m| Reverse(m.bytes));
    let of_operator = |(o, bytes)| {
        let operator = Some(o).filter(|&o| o != u32::MAX);
        let name = operator.map(|o| graph.operators()[o as usize].name.clone());
        OfOperator { operator, name, bytes }
    };
    let mut by_operator: Vec<OfOperator> = by_operator.into_iter().map(of_operator).collect();
    by_operator.sort_by_key(|o| Reverse(o.bytes));
    AliveAtPeak { when, bytes: by_kind.sum(), by_kind, by_module, by_operator, storages }
}
