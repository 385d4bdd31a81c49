//! What memory goes to, module by module.

use std::collections::{BTreeMap, BTreeSet};

use remat_graphs::{Graph, StorageKind};
use serde::{Deserialize, Serialize};

use super::alive::{Alive, described, statics};
use super::element::{ElementType, gradient_types};
use super::recording::{Kind, Recording};
use super::replay::Scratch;
use super::{Optimizer, Predictor};
use crate::plan::Regions;

/// What a factor table is made for. Nothing here needs another trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactorOptions {
    /// How many components of a module's path are told apart; 0 puts all in one row.
    pub depth: u32,
    /// Whose states count.
    pub optimizer: Option<Optimizer>,
    /// Element type in which gradients of parameters are kept; absent: that of the trace.
    pub gradient_type: Option<ElementType>,
}

impl Default for FactorOptions {
    /// The model's own modules, no optimizer, gradients as recorded.
    fn default() -> Self {
        Self { depth: 1, optimizer: None, gradient_type: None }
    }
}

/// Bytes of one module, or of all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Factors {
    /// Path of the module, cut at the table's depth; empty for what the model itself holds and for the total.
    pub module: String,
    /// Parameters that get a gradient.
    pub trainable_parameters: u64,
    /// Parameters that do not.
    pub frozen_parameters: u64,
    /// Buffers and constants.
    pub buffers: u64,
    /// Inputs and targets of the step.
    pub inputs: u64,
    /// Gradients of parameters, all of them together as after the backward pass.
    pub gradients: u64,
    /// States of the optimizer.
    pub optimizer_states: u64,
    /// What the forward pass made and the backward pass finds: alive between the two under the plan.
    pub activations: u64,
    /// Recomputed storages that are alive when the larger of the two passes' peaks is reached.
    pub recomputed: u64,
    /// Other storages that are alive at that moment for a short time only.
    pub temporaries: u64,
}

impl Factors {
    /// All columns together. Factors do not all peak at once: for the total this is no less than the predicted peak of
    /// both passes, as long as gradients have their recorded type.
    pub fn sum(&self) -> u64 {
        let Self { module: _, trainable_parameters, frozen_parameters, buffers, inputs, gradients, .. } = self;
        let held = trainable_parameters + frozen_parameters + buffers + inputs + gradients + self.optimizer_states;
        held + self.activations + self.recomputed + self.temporaries
    }

    fn add(&mut self, other: &Self) {
        self.trainable_parameters += other.trainable_parameters;
        self.frozen_parameters += other.frozen_parameters;
        self.buffers += other.buffers;
        self.inputs += other.inputs;
        self.gradients += other.gradients;
        self.optimizer_states += other.optimizer_states;
        self.activations += other.activations;
        self.recomputed += other.recomputed;
        self.temporaries += other.temporaries;
    }
}

/// What memory goes to, module by module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FactorTable {
    /// How many components of a module's path are told apart.
    pub depth: u32,
    /// One row per module, in order of first execution; modules that run nothing follow, in order of their storages.
    pub modules: Vec<Factors>,
    /// Sums of the columns.
    pub total: Factors,
}

/// Why there is no factor table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactorError {
    /// Gradients cannot be converted from a type that is not known.
    #[error("storages[{storage}]: the trace does not tell the element type of the gradient of {parameter}")]
    UnknownType {
        /// The gradient's storage.
        storage: u32,
        /// Name of the parameter.
        parameter: String,
    },
}

impl FactorTable {
    /// Splits memory by module and factor.
    ///
    /// Parameters, buffers, gradients and states belong to the module in their parameter's name; activations to the
    /// module of the operator that made them, and what the backward pass makes to that of the operator whose gradient is
    /// computed.
    ///
    /// With [`FactorOptions::gradient_type`] a gradient's bytes scale with the element size. Storages have no element
    /// type in a trace: it is that of the backward kernel's first result if this is the gradient; for other results it is
    /// the one type that all such gradients have, or their kernel's where these disagree. States of the optimizer are
    /// those of the parameters' own type.
    ///
    /// # Arguments
    /// * `predictor`: of the graph.
    /// * `regions`: of the plan.
    /// * `options`: see [`FactorOptions`].
    /// * `scratch`: reusable memory.
    ///
    /// # Errors
    /// [`FactorError`] if gradients are to be converted and the type of one is unknown.
    ///
    /// # Complexity
    /// One replay: time O(kernels run + s log m) for s storages and m modules, memory O(kernels run + storages × depth).
    pub fn new(
        predictor: &Predictor<'_>,
        regions: &Regions,
        options: &FactorOptions,
        scratch: &mut Scratch,
    ) -> Result<Self, FactorError> {
        let graph = predictor.graph();
        let recording = Recording::of(predictor, regions, scratch);
        let mut rows = Rows::new(graph, options.depth);
        for storage in statics(graph, options.optimizer) {
            let is_trainable = storage.storage.is_some_and(|s| graph.is_trainable(s));
            let row = rows.of(&storage);
            *match storage.kind {
                Kind::Parameters if is_trainable => &mut row.trainable_parameters,
                Kind::Parameters => &mut row.frozen_parameters,
                Kind::Inputs => &mut row.inputs,
                Kind::OptimizerStates => &mut row.optimizer_states,
                _ => &mut row.buffers,
            } += storage.bytes;
        }
        for gradient in gradients(graph, options.gradient_type)? {
            rows.of(&gradient).gradients += gradient.bytes;
        }
        let between = recording.alive(graph.sizes().len(), recording.forward_events);
        for activation in described(graph, &between) {
            rows.of(&activation).activations += activation.bytes;
        }
        if let Some(peak) = recording.peak(|_| true) {
            for storage in described(graph, &recording.alive(graph.sizes().len(), peak.events)) {
                match storage.kind {
                    Kind::Recomputed => rows.of(&storage).recomputed += storage.bytes,
                    Kind::Temporaries => rows.of(&storage).temporaries += storage.bytes,
                    _ => {}
                }
            }
        }
        let mut modules = rows.rows;
        modules.retain(|row| row.sum() > 0);
        let mut total = Factors::default();
        for row in &modules {
            total.add(row);
        }
        Ok(Self { depth: options.depth, modules, total })
    }
}

/// The largest depth at which a table tells at most `rows` modules apart, and 1 if none does. Time O(graph × depth).
pub fn fitting_depth(graph: &Graph, rows: usize) -> u32 {
    let paths: BTreeSet<&str> = graph.operators().iter().map(|o| o.module.as_str()).collect();
    let deepest = paths.iter().map(|p| p.matches('.').count() as u32 + 1).max().unwrap_or(1);
    let fits = |depth: &u32| paths.iter().map(|p| cut(p, *depth)).collect::<BTreeSet<_>>().len() <= rows;
    (1..=deepest).rev().find(fits).unwrap_or(1)
}

/// All gradients of parameters, in the wanted element type.
fn gradients(graph: &Graph, wanted: Option<ElementType>) -> Result<Vec<Alive>, FactorError> {
    let all: Vec<(u32, u32, Kind)> = (0..graph.sizes().len() as u32)
        .filter(|&s| graph.kind(s) == StorageKind::ParamGrad)
        .map(|s| (s, 0, Kind::Gradients))
        .collect();
    let mut gradients = described(graph, &all);
    let Some(wanted) = wanted else { return Ok(gradients) };
    let types = gradient_types(graph);
    for (gradient, &(storage, ..)) in gradients.iter_mut().zip(&all) {
        let Some(recorded) = types[storage as usize] else {
            let parameter = gradient.name.clone().unwrap_or_else(|| "a parameter without a name".into());
            return Err(FactorError::UnknownType { storage, parameter });
        };
        let elements = graph.storages()[storage as usize].bytes.div_ceil(recorded.bytes());
        gradient.bytes = (elements * wanted.bytes()).next_multiple_of(graph.trace().block);
    }
    Ok(gradients)
}

/// Rows of the table by module.
#[allow(clippy::struct_field_names)]
struct Rows {
    depth: u32,
    index: BTreeMap<String, usize>,
    rows: Vec<Factors>,
}

impl Rows {
    fn new(graph: &Graph, depth: u32) -> Self {
        let mut rows = Self { depth, index: BTreeMap::new(), rows: Vec::new() };
        for operator in graph.operators() {
            rows.of_module(&operator.module);
        }
        rows
    }

    fn of(&mut self, storage: &Alive) -> &mut Factors {
        self.of_module(&storage.module)
    }

    fn of_module(&mut self, path: &str) -> &mut Factors {
        let module = cut(path, self.depth);
        let at = self.index.get(module).copied().unwrap_or_else(|| {
            self.index.insert(module.into(), self.rows.len());
            self.rows.push(Factors { module: module.into(), ..Factors::default() });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }
}

/// The first `depth` components of a path.
pub(super) fn cut(path: &str, depth: u32) -> &str {
    let Some(last) = depth.checked_sub(1) else { return "" };
    path.match_indices('.').nth(last as usize).map_or(path, |(at, _)| &path[..at])
}
