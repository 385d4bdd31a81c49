//! Holds a plan's numbers against the replay.

use remat_graphs::{CostModel, Graph};

use super::error::{CheckError, Mismatch};
use super::{Verified, check_with};
use crate::plan::{Objective, PLAN_FORMAT, Peaks, Plan, Segment};

/// Verifies a plan over a graph, and every number it states: `predicted`, `without`, `recompute`, that the budget is met, that
/// a lower bound lies below what it bounds, by the stated gap, and the names of operators. Of `recompute` the times depend
/// on a cost model: that of the device that the plan names, if it is built in; else they are not looked at. That no plan is
/// below the lower bound is for the planner to prove.
///
/// Optimizer states are no part of a graph: where `predicted.peak_optimizer` is there, `static` may exceed the graph's,
/// and all peaks must exceed the replay's by as much.
///
/// Time and memory as [`check`](super::check), twice if the plan has `without`.
///
/// # Errors
/// What [`check`](super::check) finds, or all numbers that differ.
pub fn check_plan(graph: &Graph, plan: &Plan) -> Result<Verified, CheckError> {
    let times = plan.device.as_ref().and_then(|name| CostModel::device(name).ok());
    check_plan_with(graph, plan, times.as_ref())
}

/// The same with times of another cost model, or none.
///
/// # Errors
/// As [`check_plan`].
pub fn check_plan_with(graph: &Graph, plan: &Plan, times: Option<&CostModel>) -> Result<Verified, CheckError> {
    if plan.format != PLAN_FORMAT {
        return Err(CheckError::Format(plan.format.clone()));
    }
    let segments = plan.segments.as_ref().ok_or(CheckError::WrongKind("segments"))?;
    of_graph(plan, graph.name())?;
    let found = check_with(graph, segments, times)?;
    names(graph, segments, "segments")?;
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
        wrong.peaks(&WITHOUT, claimed, &check_with(graph, &[], None)?);
    }
    if let Some(claimed) = &plan.recompute {
        wrong.same("recompute.operators", claimed.operators, found.operators_recomputed);
        wrong.same("recompute.flops", claimed.flops, found.flops_recomputed);
        wrong.same("recompute.bytes", claimed.bytes, found.bytes_recomputed);
        if let (Some(model), Some(ns)) = (times, found.ns_recomputed) {
            let step = model.forward_ns(graph).saturating_add(model.backward_ns(graph));
            wrong.close("recompute.time in ns", claimed.time * 1e9, ns as f64);
            wrong.close("recompute.overhead in billionths", claimed.overhead * 1e9, billionths(ns, step));
        }
    }
    wrong.bound(plan);
    if wrong.0.is_empty() { Ok(found) } else { Err(CheckError::Mismatch(wrong.0)) }
}

/// Plans need not name their graph.
pub(super) fn of_graph(plan: &Plan, name: &str) -> Result<(), CheckError> {
    if plan.graph.is_empty() || plan.graph == name {
        return Ok(());
    }
    Err(CheckError::OtherGraph { claimed: plan.graph.clone(), found: name.into() })
}

/// Names of first and last operators, where they are given.
fn names(graph: &Graph, segments: &[Segment], path: &str) -> Result<(), CheckError> {
    for (i, segment) in segments.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let ends = [("first", &segment.first, segment.start), ("last", &segment.last, segment.end - 1)];
        for (field, claimed, operator) in ends {
            let found = &graph.operators()[operator as usize].name;
            if let Some(claimed) = claimed.as_ref().filter(|claimed| *claimed != found) {
                let (claimed, found) = (claimed.clone(), found.clone());
                return Err(CheckError::Name { path: format!("{path}.{field}"), operator, claimed, found });
            }
        }
        names(graph, &segment.inner, &format!("{path}.inner"))?;
    }
    Ok(())
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

    /// For what is stated in decimals: the same but for rounding.
    fn close(&mut self, field: &'static str, claimed: f64, found: f64) {
        if (claimed - found).abs() > 1.0 + found / 1e6 {
            self.0.push(Mismatch { field, claimed: whole(claimed), found: whole(found) });
        }
    }

    /// A lower bound is no larger than what it bounds, and the gap says by how much of that.
    fn bound(&mut self, plan: &Plan) {
        let value = match plan.objective {
            Objective::MinPeak => plan.predicted.as_ref().map(|p| p.peak),
            Objective::MinTime => plan.recompute.as_ref().map(|r| whole(r.time * 1e9)),
        };
        let (Some(bound), Some(value)) = (plan.lower_bound, value) else { return };
        if bound > value {
            self.same("lower_bound", bound, value);
        } else if let Some(gap) = plan.gap {
            self.close("gap in billionths", gap * 1e9, billionths(value - bound, value));
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

/// A part as a share of all, nothing of nothing.
fn billionths(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 * 1e9 }
}

/// The nearest whole number; 0 for what is below.
#[expect(clippy::cast_sign_loss, reason = "such casts saturate")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
