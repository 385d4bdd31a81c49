//! What the template fills in: everything is text by now.

use remat::algorithms::plan::{Objective, Status};
use remat::algorithms::predict::Factors;
use remat::bytes::human;

use super::moments::{self, Panel};
use crate::report::chart::{CLASSES, NAMES, named};
use crate::report::data::{Case, OfGraph, Point};
use crate::table;

/// A graph of the page.
#[derive(Default)]
pub(super) struct GraphView {
    pub index: usize,
    pub name: String,
    pub facts: Vec<String>,
    /// Peak without and with the best plan, and what it saves; absent where there is no plan.
    pub headline: Option<Headline>,
    pub rows: Vec<Cell>,
    pub cases: Vec<CaseView>,
    pub frontier: Option<[String; 2]>,
    /// How far apart its budgets are.
    pub apart: String,
    pub points: Vec<PointView>,
    pub factor_charts: [String; 2],
    pub factors: Vec<FactorsView>,
    pub regions: Vec<RegionsView>,
}

/// The line that is read first.
pub(super) struct Headline {
    pub before: String,
    pub after: String,
    pub chips: Vec<String>,
}

/// One case in a comparison.
pub(super) struct Cell {
    pub name: String,
    /// Where on the page.
    pub link: String,
    pub peak: String,
    pub bytes: u64,
    pub share: String,
    pub width: String,
    pub time: String,
    pub regions: String,
    pub status: String,
}

/// One timeline.
pub(super) struct CaseView {
    pub id: String,
    pub label: String,
    pub said: String,
    pub warning: Option<String>,
    pub charts: [String; 2],
    /// How many moments it tells apart, and which of them is the peak.
    pub last: usize,
    pub at: usize,
    pub panel: Panel,
}

/// A point of the frontier, or an algorithm.
pub(super) struct PointView {
    pub label: String,
    pub peak: String,
    pub bytes: u64,
    pub time: String,
    pub regions: usize,
    pub status: &'static str,
}

/// A factor table.
pub(super) struct FactorsView {
    pub label: String,
    pub is_open: bool,
    pub columns: Vec<&'static str>,
    pub rows: Vec<(String, Vec<String>)>,
    pub total: Vec<String>,
}

/// Regions of a plan.
pub(super) struct RegionsView {
    pub id: String,
    pub label: String,
    pub rows: Vec<RegionRow>,
}

pub(super) struct RegionRow {
    pub index: usize,
    pub indent: u32,
    pub modules: String,
    pub all_modules: String,
    pub operators: String,
    pub saved: String,
    pub saved_width: String,
    pub time: String,
    pub time_width: String,
    pub peak_without: String,
}

impl GraphView {
    pub(super) fn of(index: usize, graph: &OfGraph) -> Self {
        let mut facts = vec![
            format!("recorded from {}", graph.recorded),
            format!("times by the rates of {}", graph.device),
            graph.optimizer.map_or_else(|| "no optimizer counted".into(), |o| format!("optimizer {o}")),
        ];
        facts.extend(graph.budgets.iter().map(|&b| format!("budget {}", human(b))));
        Self {
            index,
            name: graph.graph.clone(),
            facts,
            headline: Headline::of(graph),
            rows: graph.cases.iter().enumerate().map(|(c, case)| Cell::of_case(index, c, graph, case)).collect(),
            ..Self::default()
        }
    }
}

/// The plan with the least peak.
fn best(graph: &OfGraph) -> Option<&Case> {
    graph.cases.iter().skip(1).min_by_key(|c| c.predicted.peak)
}

impl Headline {
    fn of(graph: &OfGraph) -> Option<Self> {
        let (plain, best) = (graph.cases.first()?, best(graph)?);
        let (before, after) = (plain.predicted.peak, best.predicted.peak);
        let mut chips = vec![
            format!("{} of the peak", table::percent(after, before)),
            format!("{} more time", percent(best.recompute.overhead)),
            count(best.regions.len(), "region"),
            status(best),
        ];
        if graph.cases.len() > 2 {
            chips.insert(0, best.label.clone());
        }
        Some(Self { before: human(before), after: human(after), chips })
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A share of forward and backward pass.
fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn status(case: &Case) -> String {
    let Some(made) = &case.plan else { return String::new() };
    match (made.status, made.lower_bound, made.objective) {
        (Status::Optimal, _, _) => "proven optimal".into(),
        (Status::Feasible, Some(bound), Objective::MinPeak) => {
            format!("not proven; no plan peaks below {}", human(bound))
        }
        (Status::Feasible, Some(bound), Objective::MinTime) => {
            format!("not proven; no plan takes less than {}", table::time(bound as f64 / 1e9))
        }
        (Status::Feasible, None, _) => "not proven".into(),
    }
}

impl Cell {
    fn of_case(g: usize, c: usize, graph: &OfGraph, case: &Case) -> Self {
        let whole = graph.cases.first().map_or(0, |plain| plain.predicted.peak);
        Self {
            name: case.label.clone(),
            link: format!("#time-{g}-{c}"),
            peak: human(case.predicted.peak),
            bytes: case.predicted.peak,
            share: table::percent(case.predicted.peak, whole),
            width: width(case.predicted.peak, whole),
            time: if c == 0 { "0%".into() } else { percent(case.recompute.overhead) },
            regions: if c == 0 { String::new() } else { case.regions.len().to_string() },
            status: status(case),
        }
    }

    /// A graph's best plan.
    pub(super) fn of_graph((g, graph): (usize, &OfGraph)) -> Self {
        let case = best(graph).unwrap_or(&graph.cases[0]);
        let plain = human(graph.cases[0].predicted.peak);
        let cell = Self::of_case(g, 1, graph, case);
        Self {
            name: graph.graph.clone(),
            link: format!("#graph-{g}"),
            peak: format!("{plain} → {}", cell.peak),
            ..cell
        }
    }
}

/// A width for a bar, in hundredths of a percent.
fn width(part: u64, whole: u64) -> String {
    let share = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{}%", share.min(1000) / 10, share.min(1000) % 10)
}

impl CaseView {
    pub(super) fn of(g: usize, c: usize, graph: &OfGraph, case: &Case, charts: [String; 2]) -> Self {
        let peaks = &case.predicted;
        let parts = [("forward", Some(peaks.peak_forward)), ("backward", Some(peaks.peak_backward))];
        let parts = parts.into_iter().chain([("optimizer", peaks.peak_optimizer.filter(|&p| p > 0))]);
        let parts: Vec<String> = parts.filter_map(|(name, b)| Some(format!("{name} {}", human(b?)))).collect();
        let at = moments::peak(case);
        Self {
            id: format!("time-{g}-{c}"),
            label: case.label.clone(),
            said: format!("Peak {} ({} B): {}.", human(peaks.peak), peaks.peak, parts.join(", ")),
            warning: case.plan.as_ref().and_then(|p| p.stated_peak).map(|stated| {
                format!(
                    "The plan's document states a peak of {} ({stated} B): it was made for other settings.",
                    human(stated)
                )
            }),
            charts,
            last: case.timeline.runs.len().saturating_sub(1),
            at,
            panel: moments::panel(graph, case, at),
        }
    }
}

pub(super) fn points(graph: &OfGraph) -> Vec<PointView> {
    let view = |p: &Point, label: String| PointView {
        label,
        peak: human(p.peak),
        bytes: p.peak,
        time: percent(p.overhead),
        regions: p.regions,
        status: if p.status == Status::Optimal { "optimal" } else { "" },
    };
    let shown = graph.cases.iter().map(|c| view(&c.point(), format!("shown: {}", c.label)));
    let others = graph.algorithms.iter().map(|p| view(p, p.label.clone()));
    let frontier = graph.frontier.iter().flatten().map(|p| view(p, "frontier".into()));
    shown.chain(others).chain(frontier).collect()
}

impl FactorsView {
    pub(super) fn of(case: &Case) -> Self {
        type Column = (&'static str, fn(&Factors) -> u64);
        let columns: [Column; 9] = [
            ("trainable", |f| f.trainable_parameters),
            ("frozen", |f| f.frozen_parameters),
            ("buffers", |f| f.buffers),
            ("inputs", |f| f.inputs),
            ("gradients", |f| f.gradients),
            ("optimizer", |f| f.optimizer_states),
            ("activations", |f| f.activations),
            ("recomputed", |f| f.recomputed),
            ("temporaries", |f| f.temporaries),
        ];
        let shown: Vec<Column> = columns.into_iter().filter(|(_, of)| of(&case.factors.total) > 0).collect();
        let size = |bytes: u64| if bytes == 0 { String::new() } else { human(bytes) };
        let cells = |f: &Factors| shown.iter().map(|(_, of)| size(of(f))).chain([size(f.sum())]).collect::<Vec<_>>();
        Self {
            label: case.label.clone(),
            is_open: case.plan.is_some(),
            columns: shown.iter().map(|c| c.0).chain(["sum"]).collect(),
            rows: case.factors.modules.iter().map(|f| (named(&f.module).to_owned(), cells(f))).collect(),
            total: cells(&case.factors.total),
        }
    }
}

impl RegionsView {
    pub(super) fn of(g: usize, c: usize, case: &Case) -> Self {
        let most = case.regions.iter().filter_map(|r| r.saved).max().unwrap_or(0).max(1).unsigned_abs();
        let longest = case.regions.iter().map(|r| r.ns).max().unwrap_or(0);
        let row = |(i, r): (usize, &crate::report::data::Region)| RegionRow {
            index: i,
            indent: r.depth - 1,
            modules: r.modules_short(3),
            all_modules: r.modules.join(", "),
            operators: format!("{}–{}", r.start, r.end - 1),
            saved: r.saved.map_or_else(|| "–".into(), signed),
            saved_width: width(u64::try_from(r.saved.unwrap_or(0)).unwrap_or(0), most),
            time: table::time(r.ns as f64 / 1e9),
            time_width: width(r.ns, longest),
            peak_without: human(r.peak_without),
        };
        Self {
            id: format!("regions-{g}-{c}"),
            label: case.label.clone(),
            rows: case.regions.iter().enumerate().map(row).collect(),
        }
    }
}

fn signed(bytes: i64) -> String {
    let size = human(bytes.unsigned_abs());
    if bytes < 0 { format!("−{size}") } else { size }
}

/// Swatch and name of a kind.
pub(super) fn kind_name(kind: usize) -> (&'static str, &'static str) {
    (CLASSES[kind], NAMES[kind])
}
