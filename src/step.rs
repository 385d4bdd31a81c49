//! A training step, prepared once for any number of plans.

use remat_algorithms::algorithm::Decision;
use remat_algorithms::cost::Costs;
use remat_algorithms::plan::assemble::{self, Provenance};
use remat_algorithms::predict::{Optimizer, Predictor};
use remat_algorithms::{Algorithm, Plan, Problem, Request};
use remat_graphs::{ChainOfGraph, Graph};

use crate::chains;
use crate::options::{Error, Options};

/// A training step with its predictor and times.
#[derive(Debug)]
pub struct Step<'g> {
    predictor: Predictor<'g>,
    costs: Costs,
    optimizer: Option<Optimizer>,
}

impl<'g> Step<'g> {
    /// Prepares a step; `options.algorithm` plays no part yet. Time and memory O(size of the graph).
    pub fn new(graph: &'g Graph, options: &Options) -> Self {
        let model = &options.costs;
        Self {
            predictor: Predictor::new(graph),
            costs: Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k)),
            optimizer: options.optimizer,
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

    /// Algorithms that are worth trying on this graph, in the order of the table of algorithms. Time O(graph).
    pub fn candidates(&self) -> Vec<Algorithm> {
        chains::candidates(ChainOfGraph::of(self.graph()).chain.layers.len())
    }

    /// Plans by an algorithm, or by the one whose plan has the least predicted peak, of equals the least recomputation.
    ///
    /// # Errors
    /// [`Error`], if the algorithm cannot plan the graph.
    ///
    /// # Complexity
    /// That of the algorithm, or of all [`Self::candidates`], and O(kernels run) for each prediction.
    pub fn plan(&self, algorithm: Option<Algorithm>) -> Result<Plan, Error> {
        match algorithm {
            Some(algorithm) => self.plan_by(algorithm),
            None => self.best(),
        }
    }

    fn best(&self) -> Result<Plan, Error> {
        let mut best: Option<Plan> = None;
        for algorithm in self.candidates() {
            let plan = self.plan_by(algorithm)?;
            if best.as_ref().is_none_or(|b| cost(&plan) < cost(b)) {
                best = Some(plan);
            }
        }
        best.ok_or(Error::Nothing)
    }

    fn plan_by(&self, algorithm: Algorithm) -> Result<Plan, Error> {
        let request = Request::min_peak(Problem::Graph(self.graph()));
        let solution = algorithm.planner().plan(&request)?;
        let provenance = Provenance::of(&request, &solution);
        let Decision::Segments(segments) = solution.decision else { return Err(Error::Nothing) };
        Ok(assemble::graph_plan(&self.predictor, &self.costs, self.optimizer, segments, provenance)?)
    }
}

/// Peak in bytes, then recomputation: less is better.
fn cost(plan: &Plan) -> (u64, u64) {
    // Bits of floats that are not negative ascend as the floats do.
    (plan.predicted.map_or(u64::MAX, |p| p.peak), plan.recompute.map_or(u64::MAX, |r| r.time.to_bits()))
}
