//! Turns decisions into a plan document: names, predicted memory and what is recomputed.

use remat_graphs::{Chain, Graph};

use super::{Objective, PLAN_FORMAT, Peaks, Plan, PlanError, Recompute, Regions, Segment, Stats, Status};
use crate::algorithm::{Request, Solution};
use crate::cost::Costs;
use crate::predict::{Observer, Optimizer, Predictor, Replayed, Scratch, replay};

/// Who made a plan, what was asked for and what was proven.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Provenance {
    /// Name of the algorithm.
    pub algorithm: String,
    /// What was minimised.
    pub objective: Objective,
    /// Budget on the peak in bytes, if one was given.
    pub budget: Option<u64>,
    /// Whether optimality was proven.
    pub status: Status,
    /// Proven lower bound on the objective, where the search was stopped before proving optimality.
    pub lower_bound: Option<u64>,
    /// Device whose cost model gave the times.
    pub device: Option<String>,
    /// What the planner did.
    pub stats: Option<Stats>,
}

impl Provenance {
    /// That of a planner's solution, without a lower bound.
    pub fn of(request: &Request<'_>, solution: &Solution) -> Self {
        Self {
            algorithm: solution.algorithm.to_string(),
            objective: request.objective,
            budget: request.budget,
            status: solution.status,
            lower_bound: None,
            device: None,
            stats: Some(solution.stats),
        }
    }

    fn plan(self, graph: &str) -> Plan {
        Plan {
            format: PLAN_FORMAT.into(),
            graph: graph.into(),
            algorithm: self.algorithm,
            objective: self.objective,
            budget: self.budget,
            status: self.status,
            lower_bound: self.lower_bound,
            gap: None,
            device: self.device,
            granularity: None,
            segments: None,
            checkpoints: None,
            predicted: None,
            without: None,
            recompute: None,
            stats: self.stats,
        }
    }
}

/// What a plan runs again, in whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rerun {
    /// Operators, counted each time.
    pub operators: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Kernel traffic in bytes.
    pub bytes: u64,
    /// Nanoseconds by the cost model.
    pub ns: u64,
}

impl Rerun {
    /// As plans state it: seconds, and relative to a step without recomputation (0 for a step that takes no time).
    pub fn stated(&self, costs: &Costs) -> Recompute {
        let step = costs.step_ns();
        Recompute {
            operators: self.operators,
            flops: self.flops,
            bytes: self.bytes,
            time: self.ns as f64 / 1e9,
            overhead: if step == 0 { 0.0 } else { self.ns as f64 / step as f64 },
        }
    }
}

/// Replays a plan and adds up what runs again. Sums saturate.
///
/// # Complexity
/// Time O(kernels run), memory as [`replay`].
pub fn rerun(predictor: &Predictor<'_>, costs: &Costs, regions: &Regions, scratch: &mut Scratch) -> (Replayed, Rerun) {
    let mut meter = Meter { graph: predictor.graph(), costs, sum: Rerun::default() };
    let replayed = replay(predictor.program(), regions, scratch, &mut meter);
    (replayed, Rerun { operators: replayed.operators, ..meter.sum })
}

struct Meter<'a> {
    graph: &'a Graph,
    costs: &'a Costs,
    sum: Rerun,
}

impl Observer for Meter<'_> {
    fn ran_again(&mut self, operator: u32, kernel: u32) {
        let ran = &self.graph.operators()[operator as usize].kernels[kernel as usize];
        self.sum.flops = self.sum.flops.saturating_add(ran.flops);
        self.sum.bytes = self.sum.bytes.saturating_add(ran.bytes);
        self.sum.ns = self.sum.ns.saturating_add(self.costs.operator_kernels(operator)[kernel as usize]);
    }
}

/// The plan document of a graph.
///
/// # Arguments
/// * `predictor`: of the graph.
/// * `costs`: times of the graph's kernels.
/// * `optimizer`: whose states and temporaries count in `predicted` and `without`.
/// * `segments`: regions to recompute; names of operators are filled in, inner regions included.
/// * `provenance`: who decided so.
///
/// # Returns
/// The plan with `segments`, `predicted`, `without` and `recompute`.
///
/// # Errors
/// [`PlanError`] if the segments do not fit the graph.
///
/// # Complexity
/// Time O(kernels run with and without the plan), memory O(storages × depth).
pub fn graph_plan(
    predictor: &Predictor<'_>,
    costs: &Costs,
    optimizer: Option<Optimizer>,
    mut segments: Vec<Segment>,
    provenance: Provenance,
) -> Result<Plan, PlanError> {
    let graph = predictor.graph();
    let regions = Regions::resolve(graph, &segments)?;
    let mut scratch = Scratch::default();
    let (replayed, again) = rerun(predictor, costs, &regions, &mut scratch);
    name_operators(graph, &mut segments);
    let predicted = predictor.with_optimizer(&replayed, optimizer);
    let value = match provenance.objective {
        Objective::MinPeak => predicted.peak,
        Objective::MinTime => again.ns,
    };
    let above = |bound: u64| if value == 0 { 0.0 } else { value.saturating_sub(bound) as f64 / value as f64 };
    Ok(Plan {
        gap: provenance.lower_bound.map(above),
        segments: Some(segments),
        predicted: Some(predicted),
        without: Some(predictor.peaks(&Regions::default(), optimizer, &mut scratch)),
        recompute: Some(again.stated(costs)),
        ..provenance.plan(graph.name())
    })
}

/// The plan document of a plain chain.
///
/// `predicted.peak` is `value`, `without.peak` the sum of all layers: what it takes to keep everything. A chain knows no
/// parameters, passes or times of a backward pass, so the other peaks are 0 and `recompute` is absent.
///
/// # Arguments
/// * `chain`: the chain.
/// * `checkpoints`: layers to keep, ascending.
/// * `value`: of the algorithm's own objective, in bytes.
/// * `provenance`: who decided so.
///
/// # Complexity
/// Time O(layers), memory O(1) beyond the arguments.
pub fn chain_plan(chain: &Chain, checkpoints: Vec<u32>, value: u64, provenance: Provenance) -> Plan {
    let total = chain.layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.bytes));
    Plan {
        checkpoints: Some(checkpoints),
        predicted: Some(Peaks { peak: value, ..Peaks::default() }),
        without: Some(Peaks { peak: total, ..Peaks::default() }),
        ..provenance.plan(&chain.name)
    }
}

/// Fills in the first and last operator of every segment. The segments fit the graph.
fn name_operators(graph: &Graph, segments: &mut [Segment]) {
    let name = |o: u32| graph.operators().get(o as usize).map(|operator| operator.name.clone());
    for segment in segments {
        segment.first = name(segment.start);
        segment.last = segment.end.checked_sub(1).and_then(name);
        name_operators(graph, &mut segment.inner);
    }
}
