//! A training step, prepared once for any number of plans.

use std::time::Instant;

use remat_algorithms::algorithm::Decision;
use remat_algorithms::cost::Costs;
use remat_algorithms::interval::{self, Resolution};
use remat_algorithms::kusumoto::Centric;
use remat_algorithms::plan::assemble::{self, Provenance};
use remat_algorithms::plan::modules::name as name_modules;
use remat_algorithms::plan::{Granularity, Objective, Stats, Status};
use remat_algorithms::predict::{Optimizer, Predictor, Scratch};
use remat_algorithms::{Algorithm, Plan, PlanningError, Problem, Regions, Request, Segment, kusumoto, rotor};
use remat_graphs::{ChainOfGraph, Graph, ModuleRegions};

use crate::chains;
use crate::modules;
use crate::options::{Error, Options, RegionRules};

/// Most operators of a step for which programs over lower sets are tried unasked.
const LOWER_SET_OPERATORS: usize = 250;

/// A training step with its predictor and times.
#[derive(Debug)]
pub struct Step<'g> {
    predictor: Predictor<'g>,
    costs: Costs,
    optimizer: Option<Optimizer>,
    options: Options,
}

impl<'g> Step<'g> {
    /// Prepares a step; `options.algorithm` plays no part yet. Time and memory O(size of the graph).
    pub fn new(graph: &'g Graph, options: &Options) -> Self {
        let model = &options.costs;
        Self {
            predictor: Predictor::new(graph),
            costs: Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k)),
            optimizer: options.optimizer,
            options: options.clone(),
        }
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.predictor.graph()
    }

    /// The predictor.
    pub fn predictor(&self) -> &Predictor<'g> {
        &self.predictor
    }

    /// Times of kernels.
    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    fn device(&self) -> &str {
        &self.options.costs.of().name
    }

    /// Algorithms that are worth trying on this graph, in the order of the table of algorithms. Time O(graph).
    pub fn candidates(&self) -> Vec<Algorithm> {
        let layers = ChainOfGraph::of(self.graph()).chain.layers.len();
        let mut candidates = chains::candidates(layers);
        if self.graph().operators().len() <= LOWER_SET_OPERATORS {
            candidates.extend([Algorithm::KusumotoTime, Algorithm::KusumotoMemory]);
        }
        if layers <= chains::ROTOR_LAYERS {
            candidates.push(Algorithm::Rotor);
        }
        candidates.push(Algorithm::Interval);
        candidates
    }

    /// Plans by an algorithm; without one by [`Algorithm::Interval`], whose proven plans no other beats.
    ///
    /// # Errors
    /// [`Error`], if the algorithm cannot plan the graph, or not within the budget.
    ///
    /// # Complexity
    /// That of the algorithm, and O(kernels run) for the prediction.
    pub fn plan(&self, algorithm: Option<Algorithm>) -> Result<Plan, Error> {
        match algorithm {
            None => self.best(),
            Some(Algorithm::Interval) => self.interval(),
            Some(Algorithm::Rotor) => self.rotor(),
            Some(algorithm @ (Algorithm::KusumotoTime | Algorithm::KusumotoMemory)) => self.kusumoto(algorithm),
            Some(algorithm) => self.plan_by(algorithm),
        }
    }

    /// The exact planner's plan; where it is not proven, any other's that has a lower peak.
    fn best(&self) -> Result<Plan, Error> {
        let mut best = self.interval()?;
        let is_free = self.options.budget.is_none() && self.options.regions == RegionRules::default();
        if best.status == Status::Feasible && is_free {
            let peak = |plan: &Plan| plan.predicted.map_or(u64::MAX, |p| p.peak);
            for algorithm in chains::candidates(ChainOfGraph::of(self.graph()).chain.layers.len()) {
                let plan = self.plan_by(algorithm)?;
                if peak(&plan) < peak(&best) {
                    best = plan;
                }
            }
        }
        Ok(best)
    }

    /// Peak of the step without checkpointing, optimizer included, in bytes.
    pub fn without(&self) -> u64 {
        self.predictor.peaks(&Regions::default(), self.optimizer, &mut Scratch::default()).peak
    }

    fn interval(&self) -> Result<Plan, Error> {
        let allowed = modules::allowed(self.graph(), &self.options.regions)?;
        let planner = interval::Planner::new(&self.predictor, &self.costs);
        let options = self.interval_options(&allowed);
        let budget = self.options.budget.map(|b| b.resolve(self.without()));
        let found = match budget {
            Some(budget) => planner.least_time(budget, &options),
            None => planner.least_peak(&options),
        };
        let found = found.map_err(Error::Budget)?;
        let objective = if budget.is_some() { Objective::MinTime } else { Objective::MinPeak };
        self.assemble(found, objective, budget)
    }

    /// All plans worth having between no recomputation and the least peak, as plan documents.
    ///
    /// # Errors
    /// [`Error`], if the rules on regions cannot be read.
    ///
    /// # Complexity
    /// One search per budget; see [`interval::Planner::frontier`].
    pub fn frontier(&self, resolution: Resolution, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<Plan>, Error> {
        let allowed = modules::allowed(self.graph(), &self.options.regions)?;
        let planner = interval::Planner::new(&self.predictor, &self.costs);
        let found = planner.frontier(resolution, &self.interval_options(&allowed), progress).map_err(Error::Budget)?;
        found
            .points
            .into_iter()
            .map(|point| {
                let budget = Some(point.peak);
                self.assemble(point, Objective::MinTime, budget)
            })
            .collect()
    }

    fn interval_options<'a>(&self, allowed: &'a interval::Allowed) -> interval::Options<'a> {
        interval::Options {
            allowed: Some(allowed),
            optimizer: self.optimizer,
            selective: self.options.selective,
            nesting: self.options.nesting,
            max_labels: self.options.max_labels,
            time_limit: self.options.time_limit,
        }
    }

    fn assemble(&self, found: interval::Outcome, objective: Objective, budget: Option<u64>) -> Result<Plan, Error> {
        let provenance = Provenance {
            algorithm: Algorithm::Interval.to_string(),
            objective,
            budget,
            status: found.status,
            lower_bound: found.lower_bound,
            device: Some(self.device().to_owned()),
            stats: Some(found.stats),
        };
        let mut plan = assemble::graph_plan(&self.predictor, &self.costs, self.optimizer, found.segments, provenance)?;
        if self.options.regions.granularity == Granularity::Module {
            plan.granularity = Some(Granularity::Module);
            let regions = ModuleRegions::of(self.graph());
            name_modules(self.graph(), &regions, plan.segments.as_deref_mut().unwrap_or_default())?;
        }
        Ok(plan)
    }

    fn kusumoto(&self, algorithm: Algorithm) -> Result<Plan, Error> {
        let started = Instant::now();
        let centric = if algorithm == Algorithm::KusumotoTime { Centric::Time } else { Centric::Memory };
        let planner = kusumoto::GraphPlanner::new(&self.predictor, &self.costs, centric);
        let budget = self.options.budget.map(|b| b.resolve(self.without()));
        let found = match budget {
            None => planner.least_peak(self.optimizer),
            Some(budget) => planner.least_time(budget, self.optimizer).ok_or_else(|| {
                let minimum = planner.least_peak(self.optimizer).peak;
                Error::Budget(interval::Error::BudgetTooSmall { budget, minimum, is_proven: false })
            })?,
        };
        let stats = Stats { seconds: started.elapsed().as_secs_f64(), ..found.stats };
        self.assemble_of(algorithm, found.segments, budget, stats)
    }

    fn rotor(&self) -> Result<Plan, Error> {
        let started = Instant::now();
        let planner = rotor::GraphPlanner::new(&self.predictor, &self.costs).map_err(PlanningError::from)?;
        let budget = self.options.budget.map(|b| b.resolve(self.without()));
        let found = match budget {
            None => planner.least_peak(self.optimizer),
            Some(budget) => planner.least_time(budget, self.optimizer).map_err(|e| match e {
                rotor::Error::Budget { budget, least } => {
                    Error::Budget(interval::Error::BudgetTooSmall { budget, minimum: least, is_proven: false })
                }
                other => PlanningError::from(other).into(),
            })?,
        };
        let stats = Stats { seconds: started.elapsed().as_secs_f64(), ..found.stats };
        self.assemble_of(Algorithm::Rotor, found.segments, budget, stats)
    }

    /// The document of a plan that proves nothing about the graph.
    fn assemble_of(
        &self,
        algorithm: Algorithm,
        segments: Vec<Segment>,
        budget: Option<u64>,
        stats: Stats,
    ) -> Result<Plan, Error> {
        let provenance = Provenance {
            algorithm: algorithm.to_string(),
            objective: if budget.is_some() { Objective::MinTime } else { Objective::MinPeak },
            budget,
            status: Status::Feasible,
            lower_bound: None,
            device: Some(self.device().to_owned()),
            stats: Some(stats),
        };
        Ok(assemble::graph_plan(&self.predictor, &self.costs, self.optimizer, segments, provenance)?)
    }

    fn plan_by(&self, algorithm: Algorithm) -> Result<Plan, Error> {
        let request = Request::min_peak(Problem::Graph(self.graph()));
        let solution = algorithm.planner().plan(&request)?;
        let provenance = Provenance { device: Some(self.device().to_owned()), ..Provenance::of(&request, &solution) };
        let Decision::Segments(segments) = solution.decision else { return Err(Error::Nothing) };
        Ok(assemble::graph_plan(&self.predictor, &self.costs, self.optimizer, segments, provenance)?)
    }
}
