//! `remat predict`: what a step takes, to the byte.

use remat::algorithms::Regions;
use remat::algorithms::checker::{CheckError, check_chain};
use remat::algorithms::plan::{PlanError, PlanErrorKind};
use remat::algorithms::predict::{
    AliveAtPeak, ElementType, FactorOptions, FactorTable, Factors, PeakOf, Predictor, Scratch, alive_at_peak,
};
use remat::bytes::human;
use remat::graphs::{Chain, Document, Source};
use remat::{Graph, Optimizer, Peaks, Plan};
use serde::Serialize;

use crate::args::{self, Format};
use crate::failure::Failure;
use crate::terminal::Canvas;
use crate::timeline::Picture;
use crate::{input, output, table};

/// What to predict.
pub(crate) struct Settings {
    graph: Source,
    plan: Option<Source>,
    optimizer: Option<Optimizer>,
    depth: u32,
    gradient_type: Option<ElementType>,
    format: Format,
}

impl Settings {
    pub(crate) fn resolve(args: &args::Predict) -> Result<Self, Failure> {
        let graph = input::source(&args.graph);
        let plan = args.plan.as_deref().map(input::plan_source);
        input::refuse_two_stdin(plan.iter().chain([&graph]))?;
        let gradient_type = args.gradient_dtype.as_deref().map(str::parse).transpose();
        let gradient_type = gradient_type.map_err(|e| Failure::wrong(format!("--gradient-dtype: {e}")))?;
        Ok(Self { graph, plan, optimizer: args.optimizer, depth: args.depth, gradient_type, format: args.format })
    }
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let document = input::document(&settings.graph)?;
    let plan = settings.plan.as_ref().map(input::plan).transpose()?;
    match document {
        Document::Graph(graph) => of_graph(settings, &graph, plan.as_ref()),
        Document::Chain(chain) => of_chain(settings, &chain, plan.as_ref()),
    }
}

/// What is wrong with the plan that was given.
fn at_plan(settings: &Settings, error: &CheckError) -> Failure {
    match &settings.plan {
        Some(source) if matches!(error, CheckError::WrongKind(_)) => input::wrong_kind(source, error),
        Some(source) => Failure::wrong(format!("{}: {error}", source.label())),
        None => Failure::wrong(error.to_string()),
    }
}

fn of_graph(settings: &Settings, graph: &Graph, plan: Option<&Plan>) -> Result<(), Failure> {
    let segments = match plan {
        Some(plan) => plan.segments.as_deref().ok_or(CheckError::WrongKind("segments")),
        None => Ok(Default::default()),
    };
    let segments = segments.map_err(|e| at_plan(settings, &e))?;
    let label = settings.plan.as_ref().map(Source::label).unwrap_or_default();
    if let Some(plan) = plan {
        super::rules::refuse_other_graph(&label, plan, graph.name())?;
    }
    let peaks = remat::predict(graph, segments, settings.optimizer).map_err(|e| {
        let failure = Failure::wrong(format!("{label}: {e}"));
        match e {
            remat::Error::Plan(PlanError { kind: PlanErrorKind::UnsafeCut { cut }, .. }) => {
                failure.hint(safe_cuts(graph, cut))
            }
            _ => failure.hint("`remat inspect` shows the graph"),
        }
    })?;
    if settings.optimizer.is_none() && plan.and_then(|p| p.predicted).is_some_and(|p| p.peak_optimizer.is_some()) {
        output::note(&format!("{label} counts an optimizer; --optimizer NAME counts it here, too"));
    }
    let predictor = Predictor::new(graph);
    let regions = Regions::resolve(graph, segments).unwrap_or_default();
    let mut scratch = Scratch::default();
    let alive = alive_at_peak(&predictor, &regions, settings.optimizer, PeakOf::Step, &mut scratch);
    let options =
        FactorOptions { depth: settings.depth, optimizer: settings.optimizer, gradient_type: settings.gradient_type };
    let factors = FactorTable::new(&predictor, &regions, &options, &mut scratch)
        .map_err(|e| Failure::wrong(format!("{}: {e}", settings.graph.label())))?;
    match settings.format {
        Format::Json => output::data(&output::json(&Prediction { peaks, alive_at_peak: alive, factors })?),
        Format::Table => {
            let budget = plan.and_then(|p| p.budget);
            let picture = Picture::new(&predictor, &regions, settings.optimizer, budget);
            let picture = picture.text(Canvas::stdout());
            output::styled(&[text(&peaks), picture, factor_table(&factors), largest(alive.as_ref())].join("\n"))
        }
    }
}

/// What is printed for programs: the fields of `predicted` first.
#[derive(Serialize)]
struct Prediction {
    #[serde(flatten)]
    peaks: Peaks,
    alive_at_peak: Option<AliveAtPeak>,
    factors: FactorTable,
}

/// Bytes by module and factor; columns that are empty throughout are left out.
fn factor_table(factors: &FactorTable) -> String {
    type Column = (&'static str, fn(&Factors) -> u64);
    let columns: [Column; 8] = [
        ("trainable", |f| f.trainable_parameters),
        ("frozen", |f| f.frozen_parameters),
        ("buffers, inputs", |f| f.buffers + f.inputs),
        ("gradients", |f| f.gradients),
        ("optimizer", |f| f.optimizer_states),
        ("activations", |f| f.activations),
        ("recomputed", |f| f.recomputed),
        ("temporaries", |f| f.temporaries),
    ];
    let shown: Vec<Column> = columns.into_iter().filter(|(_, of)| of(&factors.total) > 0).collect();
    let header: Vec<&str> = ["module"].into_iter().chain(shown.iter().map(|c| c.0)).collect();
    let mut t = table::wide(&header, &format!("l{}", "r".repeat(shown.len())));
    let cell = |bytes: u64| if bytes == 0 { String::new() } else { human(bytes) };
    let row = |name: &str, f: &Factors| {
        [name.to_owned()].into_iter().chain(shown.iter().map(|(_, of)| cell(of(f)))).collect::<Vec<_>>()
    };
    for f in &factors.modules {
        table::row(&mut t, row(module(&f.module), f));
    }
    table::row(&mut t, row("total", &factors.total));
    table::text(&t)
}

/// The path of a module; the model itself has none.
fn module(path: &str) -> &str {
    if path.is_empty() { "(model)" } else { path }
}

/// The largest storages at the peak.
fn largest(alive: Option<&AliveAtPeak>) -> String {
    const SHOWN: usize = 8;
    let Some(alive) = alive else { return String::new() };
    let mut t = table::new(&["alive at the peak", "module", "size"], "llr");
    for s in alive.storages.iter().take(SHOWN) {
        let kind = format!("{:?}", s.kind).to_lowercase();
        table::row(&mut t, [s.name.clone().unwrap_or(kind), module(&s.module).into(), human(s.bytes)]);
    }
    let rest: u64 = alive.storages.iter().skip(SHOWN).map(|s| s.bytes).sum();
    let more = alive.storages.len().saturating_sub(SHOWN);
    if more > 0 {
        table::row(&mut t, [format!("{more} more"), String::new(), human(rest)]);
    }
    table::text(&t)
}

/// The safe cuts on both sides of one that is not.
fn safe_cuts(graph: &Graph, cut: u32) -> String {
    let before = graph.safe_cuts().take_while(|&k| k < cut).last();
    let after = graph.safe_cuts().find(|&k| k > cut);
    let both: Vec<String> = before.into_iter().chain(after).map(|k| k.to_string()).collect();
    format!("the nearest safe cuts are {}", both.join(" and "))
}

/// A chain has one number: the objective's value, and without a plan the sum of all layers.
fn of_chain(settings: &Settings, chain: &Chain, plan: Option<&Plan>) -> Result<(), Failure> {
    if settings.optimizer.is_some() {
        return Err(Failure::wrong(format!("{} is a chain; it has no parameters to optimize", settings.graph.label()))
            .hint("leave --optimizer out"));
    }
    if let (Some(source), Some(plan)) = (&settings.plan, plan.filter(|p| p.checkpoints.is_some())) {
        super::rules::refuse_other_graph(&source.label(), plan, &chain.name)?;
    }
    let all: Vec<u32> = (0..chain.layers.len() as u32).collect();
    let peak = match plan {
        None => check_chain(chain, &all, remat::algorithms::checker::ChainObjective::Conservative),
        Some(plan) => plan
            .checkpoints
            .as_deref()
            .ok_or(CheckError::WrongKind("checkpoints"))
            .and_then(|checkpoints| check_chain(chain, checkpoints, remat::chain_objective(plan))),
    };
    let peak = peak.map_err(|e| at_plan(settings, &e))?;
    match settings.format {
        Format::Json => output::data(&output::json(&Peaks { peak, ..Peaks::default() })?),
        Format::Table => output::data(&table::pairs([("peak", format!("{} ({peak} B)", human(peak)))])),
    }
}

fn text(peaks: &Peaks) -> String {
    let mut t = table::new(&["", "size", "bytes"], "lrr");
    let mut rows = vec![
        ("peak", peaks.peak),
        ("  forward", peaks.peak_forward),
        ("  backward", peaks.peak_backward),
        ("static", peaks.static_bytes),
        ("after forward", peaks.after_forward),
        ("after backward", peaks.after_backward),
    ];
    if let Some(optimizer) = peaks.peak_optimizer {
        rows.insert(3, ("  optimizer", optimizer));
    }
    for (name, bytes) in rows {
        table::row(&mut t, [name.into(), human(bytes), bytes.to_string()]);
    }
    table::text(&t)
}
