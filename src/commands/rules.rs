//! What the exact planner may do, from arguments to settings.

use std::time::Duration;

use remat::bytes::Budget;
use remat::{Granularity, Options, RegionRules};

use crate::args;
use crate::failure::Failure;

/// Sets what the arguments ask of the exact planner.
pub(crate) fn apply(options: &mut Options, rules: args::Exact) {
    let granularity = match rules.granularity {
        args::Granularity::Operator => Granularity::Operator,
        args::Granularity::Module => Granularity::Module,
    };
    options.regions = RegionRules { granularity, only: rules.only, never: rules.never };
    options.selective = rules.selective;
    options.max_labels = rules.max_labels;
    options.time_limit = rules.time_limit.map(Duration::from_secs);
}

/// A size or a share of the peak without checkpointing.
pub(crate) fn budget(flag: &str, text: &str) -> Result<Budget, Failure> {
    let budget: Budget = text.parse().map_err(|e| Failure::wrong(format!("{flag} {text}: {e}")))?;
    match budget {
        Budget::Bytes(0) | Budget::Share(0) => Err(Failure::wrong(format!("{flag} {text}: must be more than nothing"))),
        budget => Ok(budget),
    }
}

/// Why the exact planner gave no plan.
pub(crate) fn failure(label: &str, error: &remat::Error) -> Failure {
    use remat::algorithms::interval::Error::BudgetTooSmall;
    let failure = format!("{label}: {error}");
    match error {
        remat::Error::Budget(BudgetTooSmall { is_proven: true, .. }) => {
            Failure::no(failure).hint("raise --budget, or allow more with --selective or --granularity operator")
        }
        remat::Error::Budget(_) => Failure::no(failure).hint("the minimum is the least peak found; it is not proven"),
        remat::Error::Pattern { .. } | remat::Error::NoModule { .. } => {
            Failure::wrong(failure).hint("`remat inspect GRAPH --depth 3` lists the modules")
        }
        _ => Failure::wrong(failure),
    }
}
