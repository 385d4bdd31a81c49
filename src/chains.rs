//! Plans of plain chains.

use std::num::NonZeroU32;

use remat_algorithms::algorithm::Decision;
use remat_algorithms::checker::ChainObjective;
use remat_algorithms::interval;
use remat_algorithms::plan::Objective;
use remat_algorithms::plan::assemble::{self, Provenance};
use remat_algorithms::{Algorithm, Plan, PlanningError, Problem, Request, rotor};
use remat_graphs::Chain;

use crate::options::{Error, Options};

/// Plans a plain chain of layers; without an algorithm in the options by [`Algorithm::Linear`].
///
/// # Errors
/// [`Error::Planning`], if the chain is empty, its sizes add up to more than 2^62 bytes, or the algorithm keeps to no
/// budget; [`Error::Budget`], if [`Algorithm::Rotor`] finds that no schedule keeps to it.
///
/// # Complexity
/// That of the algorithm.
pub fn plan_chain(chain: &Chain, options: &Options) -> Result<Plan, Error> {
    let mut request = Request::min_peak(Problem::Chain(chain));
    if let Some(budget) = options.budget {
        request.budget = Some(budget.resolve(chain.layers.iter().fold(0, |sum, l| l.bytes.saturating_add(sum))));
        request.objective = Objective::MinTime;
    }
    let solution = options.algorithm.unwrap_or(Algorithm::Linear).planner().plan(&request).map_err(|e| match e {
        PlanningError::Rotor(rotor::Error::Budget { budget, least }) => {
            Error::Budget(interval::Error::BudgetTooSmall { budget, minimum: least, is_proven: true })
        }
        other => other.into(),
    })?;
    let provenance = Provenance::of(&request, &solution);
    match solution.decision {
        Decision::Checkpoints(checkpoints) => Ok(assemble::chain_plan(chain, checkpoints, solution.value, provenance)),
        Decision::Segments(_) => Err(Error::Nothing),
    }
}

/// Algorithms that are worth trying on a chain, in the order of the table of algorithms; the cubic planner and rotor
/// only on chains where they are quick.
pub fn chain_candidates(chain: &Chain) -> Vec<Algorithm> {
    let layers = chain.layers.len();
    let mut candidates = candidates(layers);
    if layers <= ROTOR_LAYERS {
        candidates.push(Algorithm::Rotor);
    }
    candidates
}

/// Longest chain on which rotor is tried unasked.
pub(crate) const ROTOR_LAYERS: usize = 120;

/// Longest chain on which the cubic planner is tried unasked.
const CUBIC_LAYERS: usize = 2000;

/// As [`chain_candidates`], for a chain of that many layers.
pub(crate) fn candidates(layers: usize) -> Vec<Algorithm> {
    let mut candidates = vec![Algorithm::None, Algorithm::Every, Algorithm::Sqrt];
    candidates.extend(NonZeroU32::new(8).map(Algorithm::Uniform));
    candidates.push(Algorithm::Chen);
    if layers <= CUBIC_LAYERS {
        candidates.push(Algorithm::Cubic);
    }
    candidates.extend([Algorithm::Linear, Algorithm::LinearX]);
    candidates
}

/// The objective whose value `predicted.peak` of a chain's plan is: that of the algorithm the plan names, and the
/// conservative one, which any set of checkpoints has, where it names none that is known.
pub fn chain_objective(plan: &Plan) -> ChainObjective {
    match plan.algorithm.parse() {
        Ok(Algorithm::Linear) => ChainObjective::Traced,
        Ok(Algorithm::LinearX) => ChainObjective::Stepwise,
        Ok(Algorithm::Rotor) => ChainObjective::Persistent,
        _ => ChainObjective::Conservative,
    }
}
