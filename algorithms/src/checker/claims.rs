//! Holds a plan's numbers against the replay.

use remat_graphs::Graph;

use super::error::{CheckError, Mismatch};
use super::{Verified, check};
use crate::plan::{PLAN_FORMAT, Peaks, Plan};

/// Verifies a plan over a graph, and every number it predicts: `predicted`, `without`, `recompute` (operators, FLOPs and
/// bytes; times depend on a cost model and are not checked) and, where there is one, that the budget is met.
///
/// Optimizer states are no part of a graph: where `predicted.peak_optimizer` is there, `static` may exceed the graph's,
/// and all peaks must exceed the replay's by as much.
///
/// Time and memory as [`check`], twice if the plan has `without`.
///
/// # Errors
/// What [`check`] finds, or all numbers that differ.
pub fn check_plan(graph: &Graph, plan: &Plan) -> Result<Verified, CheckError> {
    if plan.format != PLAN_FORMAT {
        return Err(CheckError::Format(plan.format.clone()));
    }
    let segments = plan.segments.as_ref().ok_or(CheckError::WrongKind("segments"))?;
    let found = check(graph, segments)?;
    let mut wrong = Claims(Vec::new());
    if let Some(claimed) = &plan.predicted {
        wrong.peaks(&PREDICTED, claimed, &found);
        if let Some(budget) = plan.budget.filter(|&b| claimed.peak > b) {
            wrong.same("budget", budget, claimed.peak);
        }
    } else if let Some(budget) = plan.budget.filter(|&b| found.peak > b) {
        wrong.same("budget", budget, found.peak);
    }
    if let Some(claimed) = &plan.without {
        wrong.peaks(&WITHOUT, claimed, &check(graph, &[])?);
    }
    if let Some(claimed) = &plan.recompute {
        wrong.same("recompute.operators", claimed.operators, found.operators_recomputed);
        wrong.same("recompute.flops", claimed.flops, found.flops_recomputed);
        wrong.same("recompute.bytes", claimed.bytes, found.bytes_recomputed);
    }
    if wrong.0.is_empty() { Ok(found) } else { Err(CheckError::Mismatch(wrong.0)) }
}

/// Names of the fields of one set of peaks.
struct Names {
    static_bytes: &'static str,
    peak: &'static str,
    peak_forward: &'static str,
    peak_backward: &'static str,
    after_forward: &'static str,
    after_backward: &'static str,
}

const PREDICTED: Names = Names {
    static_bytes: "predicted.static",
    peak: "predicted.peak",
    peak_forward: "predicted.peak_forward",
    peak_backward: "predicted.peak_backward",
    after_forward: "predicted.after_forward",
    after_backward: "predicted.after_backward",
};

const WITHOUT: Names = Names {
    static_bytes: "without.static",
    peak: "without.peak",
    peak_forward: "without.peak_forward",
    peak_backward: "without.peak_backward",
    after_forward: "without.after_forward",
    after_backward: "without.after_backward",
};

struct Claims(Vec<Mismatch>);

impl Claims {
    fn same(&mut self, field: &'static str, claimed: u64, found: u64) {
        if claimed != found {
            self.0.push(Mismatch { field, claimed, found });
        }
    }

    fn peaks(&mut self, names: &Names, claimed: &Peaks, found: &Verified) {
        // With an optimizer its states lie under everything.
        let states =
            claimed.peak_optimizer.and_then(|_| claimed.static_bytes.checked_sub(found.static_bytes)).unwrap_or(0);
        let peak = found.peak.saturating_add(states).max(claimed.peak_optimizer.unwrap_or(0));
        self.same(names.static_bytes, claimed.static_bytes, found.static_bytes.saturating_add(states));
        self.same(names.peak, claimed.peak, peak);
        self.same(names.peak_forward, claimed.peak_forward, found.peak_forward.saturating_add(states));
        self.same(names.peak_backward, claimed.peak_backward, found.peak_backward.saturating_add(states));
        self.same(names.after_forward, claimed.after_forward, found.after_forward.saturating_add(states));
        // Plans may leave this field out, and nothing reads as zero.
        if claimed.after_backward != 0 {
            self.same(names.after_backward, claimed.after_backward, found.after_backward.saturating_add(states));
        }
    }
}
