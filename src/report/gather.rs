//! From a graph and its plans to what a report says of them.

use remat::algorithms::Regions;
use remat::algorithms::plan::assemble::{self, Provenance};
use remat::algorithms::plan::{PlanError, Recompute};
use remat::algorithms::predict::{
    Clock, FactorError, FactorOptions, FactorTable, Largest, Scratch, Timeline, alive_over, fitting_depth, worth,
};
use remat::graphs::ModuleTree;
use remat::{Algorithm, Graph, Optimizer, Options, Plan, RegionRules, Resolution, Segment, Step};

use super::data::{Case, Curve, Made, Named, OfGraph, Point, Region};

/// Rows of a factor table, unless its depth is given.
const ROWS: usize = 40;

/// How much is gathered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detail {
    pub optimizer: Option<Optimizer>,
    /// Components of module paths that are told apart.
    pub depth: Option<u32>,
    /// Parts of the time that a page tells apart; absent for forms that say nothing to a pointer.
    pub parts: Option<u32>,
}

/// Why nothing is said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatherError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Factors(#[from] FactorError),
}

/// A plan under a name.
pub(crate) struct Labelled {
    pub label: String,
    pub plan: Plan,
}

/// Everything but frontier and other algorithms.
pub(crate) fn of_graph(
    step: &Step<'_>,
    plans: &[Labelled],
    budgets: Vec<u64>,
    device: &str,
    detail: Detail,
) -> Result<OfGraph, (String, GatherError)> {
    let graph = step.graph();
    let trace = graph.trace();
    let autocast = trace.autocast.as_deref().map_or_else(String::new, |a| format!(", autocast to {a}"));
    let mut cases = vec![plain(step, detail).map_err(|e| (graph.name().into(), e))?];
    for Labelled { label, plan } in plans {
        let case = planned(step, label, plan, detail).map_err(|e| (label.clone(), e))?;
        cases.push(case);
    }
    let named = |o: &remat::graphs::Operator| Named { name: o.name.clone(), module: o.module.clone() };
    Ok(OfGraph {
        graph: graph.name().into(),
        recorded: format!("PyTorch {} on {}{autocast}", trace.torch, trace.device),
        optimizer: detail.optimizer,
        device: device.into(),
        seconds: step.costs().step_ns() as f64 / 1e9,
        budgets,
        cases,
        frontier: None,
        resolution: None,
        algorithms: Vec::new(),
        operators: graph.operators().iter().map(named).collect(),
    })
}

/// All plans worth having.
pub(crate) fn frontier(
    step: &Step<'_>,
    resolution: Resolution,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Point>, remat::Error> {
    Ok(step.frontier(resolution, progress)?.iter().map(point).collect())
}

/// Could the exact planner have made this plan under these rules? Files do not say under which rules theirs was made.
pub(crate) fn is_exact(plan: &Plan, options: &Options, is_given: bool) -> bool {
    fn is_within(segments: &[Segment], nesting: u32, selective: bool) -> bool {
        let kept = |s: &Segment| s.keep.is_empty() && s.save.is_empty();
        let fits = |s: &Segment| (selective || kept(s)) && is_within(&s.inner, nesting - 1, selective);
        segments.is_empty() || (nesting > 0 && segments.iter().all(fits))
    }
    let is_allowed = || {
        options.regions == RegionRules::default()
            && is_within(plan.segments.as_deref().unwrap_or_default(), options.nesting, options.selective)
    };
    plan.algorithm == Algorithm::Interval.to_string() && (!is_given || is_allowed())
}

/// The points that no other beats in both, from the highest peak to the lowest; of equal points, the first.
pub(crate) fn worth_having(mut points: Vec<Point>) -> Vec<Point> {
    // From the least peak: a point stays if it recomputes less than all before it. Sorting keeps the order of equals.
    points.sort_by(|a, b| a.peak.cmp(&b.peak).then(a.seconds.total_cmp(&b.seconds)));
    let mut least = f64::INFINITY;
    points.retain(|p| {
        let stays = p.seconds < least;
        least = least.min(p.seconds);
        stays
    });
    points.reverse();
    points
}

/// What all other algorithms reach that can plan this graph.
pub(crate) fn algorithms(step: &Step<'_>) -> Vec<Point> {
    let others = step.candidates().into_iter().filter(|&a| a != remat::Algorithm::Interval);
    others.filter_map(|a| step.plan(Some(a)).ok()).map(|plan| point(&plan)).collect()
}

fn point(plan: &Plan) -> Point {
    let again = plan.recompute.unwrap_or_default();
    Point {
        label: plan.algorithm.clone(),
        peak: plan.predicted.unwrap_or_default().peak,
        seconds: again.time,
        overhead: again.overhead,
        regions: count(plan.segments.as_deref().unwrap_or_default()),
        status: plan.status,
    }
}

/// Regions at all depths.
fn count(segments: &[Segment]) -> usize {
    segments.iter().map(|s| 1 + count(&s.inner)).sum()
}

fn plain(step: &Step<'_>, detail: Detail) -> Result<Case, GatherError> {
    let regions = Regions::default();
    let mut scratch = Scratch::default();
    let predicted = step.predictor().peaks(&regions, detail.optimizer, &mut scratch);
    Ok(Case {
        label: "no checkpointing".into(),
        plan: None,
        predicted,
        recompute: Recompute::default(),
        regions: Vec::new(),
        factors: factors(step, &regions, detail, &mut scratch)?,
        timeline: curve(step, &regions, detail, &mut scratch),
    })
}

fn planned(step: &Step<'_>, label: &str, plan: &Plan, detail: Detail) -> Result<Case, GatherError> {
    let segments = plan.segments.clone().unwrap_or_default();
    let mut scratch = Scratch::default();
    let regions = Regions::resolve(step.graph(), &segments)?;
    let again =
        assemble::graph_plan(step.predictor(), step.costs(), detail.optimizer, segments, Provenance::default())?;
    let predicted = again.predicted.unwrap_or_default();
    let timeline = curve(step, &regions, detail, &mut scratch);
    Ok(Case {
        label: label.into(),
        plan: Some(Made {
            algorithm: plan.algorithm.clone(),
            objective: plan.objective,
            budget: plan.budget,
            status: plan.status,
            lower_bound: plan.lower_bound,
            stated_peak: plan.predicted.map(|p| p.peak).filter(|&peak| peak != predicted.peak),
        }),
        predicted,
        recompute: again.recompute.unwrap_or_default(),
        regions: list(step, &regions, detail, &timeline, &mut scratch),
        factors: factors(step, &regions, detail, &mut scratch)?,
        timeline,
    })
}

fn factors(
    step: &Step<'_>,
    regions: &Regions,
    detail: Detail,
    scratch: &mut Scratch,
) -> Result<FactorTable, FactorError> {
    let depth = depth(step.graph(), detail);
    let options = FactorOptions { depth, optimizer: detail.optimizer, ..FactorOptions::default() };
    FactorTable::new(step.predictor(), regions, &options, scratch)
}

fn depth(graph: &Graph, detail: Detail) -> u32 {
    detail.depth.unwrap_or_else(|| fitting_depth(graph, ROWS))
}

fn curve(step: &Step<'_>, regions: &Regions, detail: Detail, scratch: &mut Scratch) -> Curve {
    let predictor = step.predictor();
    let timeline = Timeline::new(predictor, regions, detail.optimizer, scratch);
    let clock = Clock::new(predictor, step.costs(), regions, scratch);
    let spans = timeline.spans();
    let runs = detail.parts.map_or_else(Vec::new, |parts| timeline.runs(&clock, parts));
    let peaks: Vec<usize> = runs.iter().map(|run| run.peak).collect();
    let largest = Largest { depth: depth(step.graph(), detail), ..Largest::default() };
    let alive = alive_over(predictor, regions, detail.optimizer, &peaks, largest, scratch);
    Curve { timeline, clock, spans, runs, alive }
}

fn list(step: &Step<'_>, regions: &Regions, detail: Detail, curve: &Curve, scratch: &mut Scratch) -> Vec<Region> {
    let graph = step.graph();
    let tree = ModuleTree::of(graph);
    let all = worth(step.predictor(), regions, detail.optimizer, &curve.timeline, &curve.clock, scratch);
    let region = |(r, w): (&remat::algorithms::plan::Region, remat::algorithms::predict::Worth)| Region {
        start: r.start,
        end: r.end,
        parent: r.parent,
        depth: r.depth,
        modules: modules(graph, &tree, r.start, r.end),
        kept: r.kept.len(),
        saved: w.saved,
        peak_without: w.peak_without,
        ns: w.ns,
        kernels: w.kernels,
        forward: curve.timeline.forward_of(r.start, r.end),
    };
    regions.all.iter().zip(all).map(region).collect()
}

fn modules(graph: &Graph, tree: &ModuleTree, start: u32, end: u32) -> Vec<String> {
    // A list of modules that runs one of them is that one.
    let named = |mut call: u32| {
        while let [inner] = tree.calls()[call as usize].inner[..]
            && (tree.calls()[inner as usize].start, tree.calls()[inner as usize].end)
                == (tree.calls()[call as usize].start, tree.calls()[call as usize].end)
        {
            call = inner;
        }
        tree.path(graph, call).to_owned()
    };
    let mut paths: Vec<String> = tree.within(start, end).into_iter().map(named).collect();
    paths.dedup();
    if !paths.is_empty() {
        return paths;
    }
    let name = |o: u32| graph.operators()[o as usize].name.clone();
    if end - start == 1 { vec![name(start)] } else { vec![name(start), name(end - 1)] }
}

/// Gives every plan a label of its own.
pub(crate) fn tell_apart(plans: &mut [Labelled]) {
    let labels: Vec<String> = plans.iter().map(|p| p.label.clone()).collect();
    for (i, plan) in plans.iter_mut().enumerate() {
        let before = labels[..i].iter().filter(|&l| *l == labels[i]).count();
        if before > 0 {
            plan.label = format!("{} ({})", plan.label, before + 1);
        }
    }
}
