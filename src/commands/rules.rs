//! What the exact planner may do, from arguments to settings.

use remat::bytes::{Budget, human};
use remat::{Algorithm, Granularity, MOST_NESTING, Options, Plan, RegionRules};

use crate::args;
use crate::failure::Failure;

/// Sets what the arguments ask of the exact planner.
pub(crate) fn apply(options: &mut Options, rules: args::Exact) {
    let granularity = match rules.granularity {
        None | Some(args::Granularity::Operator) => Granularity::Operator,
        Some(args::Granularity::Module) => Granularity::Module,
    };
    options.regions = RegionRules { granularity, only: rules.only, never: rules.never, ..RegionRules::default() };
    options.selective = rules.selective;
    options.nesting = rules.nesting;
    options.max_labels = rules.max_labels;
    options.time_limit = rules.time_limit;
}

/// Refuses what only the exact planner heeds, where another planner would leave it out.
pub(crate) fn refuse_unheeded(rules: &args::Exact, planner: &str) -> Result<(), Failure> {
    // All by name: a new option does not compile before it is listed here.
    let args::Exact { selective, nesting, granularity, only, never, time_limit, max_labels } = rules;
    let given = [
        ("--selective", *selective),
        ("--nesting", *nesting > 1),
        ("--granularity", *granularity == Some(args::Granularity::Module)),
        ("--only", !only.is_empty()),
        ("--never", !never.is_empty()),
        ("--time-limit", time_limit.is_some()),
        ("--max-labels", max_labels.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((flag, _)) => Err(Failure::wrong(format!("{flag} is for the interval planner; {planner}"))
            .hint(format!("leave {flag} out, or plan a training step by interval"))),
    }
}

/// Refuses a budget for an algorithm that does not keep to one.
pub(crate) fn refuse_budget(algorithm: Algorithm) -> Result<(), Failure> {
    use Algorithm::{Interval, KusumotoMemory, KusumotoTime, Rotor};
    if matches!(algorithm, Interval | Rotor | KusumotoTime | KusumotoMemory) {
        return Ok(());
    }
    Err(Failure::wrong("only interval, rotor and kusumoto keep to a --budget").hint("leave --algorithm out"))
}

/// What to do with a plan that names another graph.
pub(crate) const OTHER_GRAPH: &str =
    "give the graph that the plan was made of, or make a plan of this one with `remat plan`";

/// Refuses a plan that names another graph; its cuts may be safe here by chance. Plans need not name any.
pub(crate) fn refuse_other_graph(label: &str, plan: &Plan, graph: &str) -> Result<(), Failure> {
    if plan.graph.is_empty() || plan.graph == graph {
        return Ok(());
    }
    Err(Failure::wrong(format!("{label} is a plan for {}, not {graph}", plan.graph)).hint(OTHER_GRAPH))
}

/// Bytes, with a unit beside them where they are many.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => human(bytes),
        _ => format!("{} ({bytes} bytes)", human(bytes)),
    }
}

/// A size or a share of the peak without checkpointing.
pub(crate) fn budget(flag: &str, text: &str) -> Result<Budget, Failure> {
    let budget: Budget = text.parse().map_err(|e| Failure::wrong(format!("{flag} {text}: {e}")))?;
    match budget {
        Budget::Bytes(0) | Budget::Share(0) => Err(Failure::wrong(format!("{flag} {text}: must be more than nothing"))),
        budget => Ok(budget),
    }
}

/// What allows plans with a lower peak, beyond what is allowed already.
fn more(options: &Options) -> String {
    if options.algorithm.is_some_and(|algorithm| algorithm != Algorithm::Interval) {
        return "raise --budget, or leave --algorithm out: the exact planner may find a lower peak".into();
    }
    let nesting = format!("--nesting {}", options.nesting + 1);
    let rules = &options.regions;
    let ways = [
        (options.nesting < MOST_NESTING, nesting.as_str()),
        (!options.selective, "--selective"),
        (rules.granularity == Granularity::Module, "--granularity operator"),
        (!rules.only.is_empty(), "less strict --only"),
        (!rules.never.is_empty(), "less strict --never"),
    ];
    let ways: Vec<&str> = ways.into_iter().filter(|way| way.0).map(|way| way.1).collect();
    if ways.is_empty() {
        return "raise --budget".into();
    }
    format!("raise --budget, or allow more with {}", ways.join(" or "))
}

/// Why the exact planner gave no plan.
pub(crate) fn failure(label: &str, error: &remat::Error, options: &Options) -> Failure {
    use remat::algorithms::interval::Error::BudgetTooSmall;
    let failure = format!("{label}: {error}");
    match *error {
        remat::Error::Budget(BudgetTooSmall { budget, minimum, is_proven }) => {
            let least =
                if is_proven { "the least possible peak" } else { "the least peak found, which is not proven," };
            let failure = Failure::no(format!(
                "{label}: no plan within {}: {least} is {} ({minimum} bytes)",
                size(budget),
                human(minimum)
            ));
            match budget {
                // A number that was meant to have a unit.
                _ if budget < minimum / 1000 => {
                    failure.hint("a number without a unit is in bytes; 8GiB or 80% is more likely meant")
                }
                // Of a chain: no other planner keeps to a budget.
                _ if is_proven && options.algorithm == Some(Algorithm::Rotor) => failure.hint("raise --budget"),
                _ => failure.hint(more(options)),
            }
        }
        remat::Error::Pattern { .. } | remat::Error::NoModule { .. } => {
            Failure::wrong(failure).hint("`remat inspect GRAPH --depth 3` lists the modules")
        }
        _ => Failure::wrong(failure),
    }
}
