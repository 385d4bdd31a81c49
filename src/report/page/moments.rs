//! What is alive at the moments of a timeline: the numbers behind the pointer, and the panel at the peak.

use remat::algorithms::predict::{Alive, Kind, Phase};
use remat::bytes::human;
use serde::Serialize;

use super::views::kind_name;
use crate::report::chart::{CLASSES, NAMES, kind_of, named, of_entry};
use crate::report::data::{Case, OfGraph, Report};
use crate::report::svg::time_label;

/// What the page says about one moment, before the script says it about another.
pub(super) struct Panel {
    pub said: String,
    pub runs: String,
    /// Class, name and size of each kind.
    pub kinds: Vec<(&'static str, &'static str, String)>,
    /// Class of the kind, name, module and size.
    pub storages: Vec<(&'static str, String, String, String)>,
    pub count: usize,
    pub modules: Vec<(String, String)>,
}

/// The first moment with the most bytes.
pub(super) fn peak(case: &Case) -> usize {
    let live = |run: &remat::algorithms::predict::Run| case.timeline.timeline.entries[run.peak].live;
    let most = case.timeline.runs.iter().map(live).max();
    case.timeline.runs.iter().position(|run| Some(live(run)) == most).unwrap_or(0)
}

/// The panel of one moment.
pub(super) fn panel(graph: &OfGraph, case: &Case, at: usize) -> Panel {
    let curve = &case.timeline;
    let (Some(run), Some(then)) = (curve.runs.get(at), curve.alive.moments.get(at)) else {
        return Panel {
            said: "Nothing runs in this step.".into(),
            runs: String::new(),
            kinds: Vec::new(),
            storages: Vec::new(),
            count: 0,
            modules: Vec::new(),
        };
    };
    let entry = &curve.timeline.entries[run.peak];
    let time = if curve.is_timed() {
        time_label(curve.start(run.peak), curve.length())
    } else {
        format!("kernel {}", run.peak)
    };
    let storage = |&s: &u32| {
        let s = &curve.alive.storages[s as usize];
        (kind_name(kind_of(s.kind)).0, name(graph, s), named(&s.module).to_owned(), human(s.bytes))
    };
    let kinds = of_entry(&entry.by_kind).into_iter().enumerate().filter(|k| k.1 > 0);
    Panel {
        said: format!("{time}, {}: {} alive", phase(entry.when.phase), human(entry.live)),
        runs: entry
            .when
            .operator
            .and_then(|o| graph.operators.get(o as usize))
            .map_or_else(String::new, |o| o.name.clone()),
        kinds: kinds.map(|(kind, bytes)| (kind_name(kind).0, kind_name(kind).1, human(bytes))).collect(),
        storages: then.storages.iter().map(storage).collect(),
        count: then.count,
        modules: then
            .modules
            .iter()
            .map(|&(m, b)| (named(&curve.alive.modules[m as usize]).to_owned(), human(b)))
            .collect(),
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Forward => "forward",
        Phase::Recompute => "recomputation",
        Phase::Backward => "backward",
        Phase::Optimizer => "optimizer",
    }
}

/// Parameters have names; what an operator made is called after it.
fn name(graph: &OfGraph, of: &Alive) -> String {
    let operator = of.operator.and_then(|o| graph.operators.get(o as usize)).map(|o| o.name.as_str());
    match (&of.name, operator, of.kind) {
        (Some(name), _, Kind::Gradients) => format!("gradient of {name}"),
        (Some(name), _, Kind::OptimizerStates) => format!("states of {name}"),
        (Some(name), _, _) => name.clone(),
        (None, Some(operator), Kind::Temporaries) => format!("temporary of {operator}"),
        (None, Some(operator), _) => format!("result of {operator}"),
        (None, None, _) => "temporary".into(),
    }
}

#[derive(Serialize)]
struct Data<'a> {
    kinds: [&'static str; 7],
    classes: [&'static str; 7],
    phases: [&'static str; 4],
    graphs: Vec<GraphData<'a>>,
}

#[derive(Serialize)]
struct GraphData<'a> {
    operators: Vec<&'a str>,
    cases: Vec<CaseData>,
}

/// Columns of numbers, one per run.
#[derive(Serialize)]
struct CaseData {
    /// Are positions nanoseconds? Otherwise they count kernels.
    timed: bool,
    length: u64,
    start: Vec<u64>,
    /// When the kernel of the moment shown begins, and its middle.
    at: Vec<u64>,
    middle: Vec<u64>,
    phase: Vec<u8>,
    operator: Vec<i64>,
    region: Vec<i64>,
    /// Per kind: one number where it never changes.
    kinds: Vec<Vec<u64>>,
    /// Name, kind, bytes, module.
    storages: Vec<(String, usize, u64, u32)>,
    modules: Vec<String>,
    /// How many storages are alive, and the largest.
    count: Vec<usize>,
    largest: Vec<Vec<u32>>,
    /// Modules with the most bytes, and how many: flat pairs.
    by_module: Vec<Vec<u64>>,
}

/// The script's data as JSON that may stand in a page.
pub(super) fn data(report: &Report) -> String {
    let graph = |g| {
        let graph: &OfGraph = g;
        GraphData {
            operators: graph.operators.iter().map(|o| o.name.as_str()).collect(),
            cases: graph.cases.iter().map(|case| case_data(graph, case)).collect(),
        }
    };
    let data = Data {
        kinds: NAMES,
        classes: CLASSES,
        phases: [Phase::Forward, Phase::Recompute, Phase::Backward, Phase::Optimizer].map(phase),
        graphs: report.graphs.iter().map(graph).collect(),
    };
    // Numbers and texts always have a form as JSON.
    serde_json::to_string(&data).unwrap_or_default().replace('<', "\\u003c")
}

fn case_data(graph: &OfGraph, case: &Case) -> CaseData {
    let curve = &case.timeline;
    let entries: Vec<_> = curve.runs.iter().map(|run| &curve.timeline.entries[run.peak]).collect();
    let mut modules: Vec<String> = curve.alive.modules.iter().map(|m| named(m).to_owned()).collect();
    let mut index = |module: &str| {
        let module = named(module);
        modules.iter().position(|m| m == module).unwrap_or_else(|| {
            modules.push(module.to_owned());
            modules.len() - 1
        }) as u32
    };
    let storages =
        curve.alive.storages.iter().map(|s| (name(graph, s), kind_of(s.kind), s.bytes, index(&s.module))).collect();
    let kind = |kind: usize| {
        let mut all: Vec<u64> = entries.iter().map(|e| of_entry(&e.by_kind)[kind]).collect();
        if all.windows(2).all(|w| w[0] == w[1]) {
            all.truncate(1);
        }
        all
    };
    let letter = |phase: Phase| match phase {
        Phase::Forward => 0,
        Phase::Recompute => 1,
        Phase::Backward => 2,
        Phase::Optimizer => 3,
    };
    CaseData {
        timed: curve.is_timed(),
        length: curve.length(),
        start: curve.runs.iter().map(|run| curve.start(run.first)).collect(),
        at: curve.runs.iter().map(|run| curve.start(run.peak)).collect(),
        middle: curve.runs.iter().map(|run| u64::midpoint(curve.start(run.peak), curve.end(run.peak))).collect(),
        phase: entries.iter().map(|e| letter(e.when.phase)).collect(),
        operator: entries.iter().map(|e| e.when.operator.map_or(-1, i64::from)).collect(),
        region: entries.iter().map(|e| e.when.region.map_or(-1, i64::from)).collect(),
        kinds: (0..7).map(kind).collect(),
        storages,
        modules,
        count: curve.alive.moments.iter().map(|m| m.count).collect(),
        largest: curve.alive.moments.iter().map(|m| m.storages.clone()).collect(),
        by_module: curve
            .alive
            .moments
            .iter()
            .map(|m| m.modules.iter().flat_map(|&(i, b)| [u64::from(i), b]).collect())
            .collect(),
    }
}
