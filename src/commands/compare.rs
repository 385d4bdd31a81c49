//! `remat compare`: all algorithms on the same steps.

use remat::algorithms::checker::{ChainObjective, check_chain};
use remat::algorithms::plan::Status;
use remat::bytes::human;
use remat::graphs::{Chain, Document, Source};
use remat::{Algorithm, Graph, Options, Plan, Segment, Step};
use serde::Serialize;

use crate::args::{self, Format};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{input, output, table};

/// What to compare.
pub(crate) struct Settings {
    graphs: Vec<Source>,
    algorithms: Vec<Algorithm>,
    options: Options,
    format: Format,
}

impl Settings {
    pub(crate) fn resolve(args: args::Compare) -> Result<Self, Failure> {
        let graphs: Vec<Source> = args.graphs.iter().map(|g| input::source(g)).collect();
        input::refuse_two_stdin(&graphs)?;
        let options =
            Options { optimizer: args.optimizer, costs: input::device(&args.device.device)?, ..Options::default() };
        Ok(Self { graphs, algorithms: args.algorithm, options, format: args.format })
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Comparison {
    Graph { graph: String, without: u64, rows: Vec<Row> },
    Chain { graph: String, without: u64, rows: Vec<ChainRow> },
}

/// One algorithm on a graph; bytes and seconds, `share` and `overhead` relative to the step without checkpointing.
#[derive(Serialize)]
struct Row {
    algorithm: String,
    status: Status,
    peak: u64,
    share: f64,
    overhead: f64,
    flops: u64,
    regions: usize,
    seconds: f64,
}

/// One algorithm on a chain: its checkpoints under each objective, where the objective admits them.
#[derive(Serialize)]
struct ChainRow {
    algorithm: String,
    status: Status,
    conservative: Option<u64>,
    traced: Option<u64>,
    stepwise: Option<u64>,
    persistent: Option<u64>,
    checkpoints: usize,
    seconds: f64,
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    // All are read before the first is planned: a name that is wrong is said at once.
    let documents = settings.graphs.iter().map(input::document).collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::with_capacity(documents.len());
    for (source, document) in settings.graphs.iter().zip(&documents) {
        let failed = |e: remat::Error| Failure::wrong(format!("{}: {e}", source.label()));
        all.push(match document {
            Document::Graph(graph) => of_graph(graph, settings).map_err(failed)?,
            Document::Chain(chain) => of_chain(chain, settings).map_err(failed)?,
        });
    }
    match settings.format {
        Format::Json => output::data(&output::json(&all)?),
        Format::Table => {
            let parts: Vec<String> = all.iter().map(text).collect();
            output::data(&parts.join("\n"))
        }
    }
}

fn of_graph(graph: &Graph, settings: &Settings) -> Result<Comparison, remat::Error> {
    let step = Step::new(graph, &settings.options);
    let algorithms = if settings.algorithms.is_empty() { step.candidates() } else { settings.algorithms.clone() };
    let (progress, all) = (Progress::new(""), algorithms.len() as u64);
    let plan = |(i, algorithm): (u64, Algorithm)| {
        progress.doing(format!("{}: {algorithm}", graph.name()));
        progress.at(i, all);
        step.plan(Some(algorithm))
    };
    let plans = (0..).zip(algorithms).map(plan).collect::<Result<Vec<_>, _>>()?;
    drop(progress);
    let without = plans.iter().find_map(|p| p.without).map_or(0, |p| p.peak);
    let rows = plans.iter().map(|plan| row(plan, without)).collect();
    Ok(Comparison::Graph { graph: graph.name().into(), without, rows })
}

fn row(plan: &Plan, without: u64) -> Row {
    let (peaks, again) = (plan.predicted.unwrap_or_default(), plan.recompute.unwrap_or_default());
    Row {
        algorithm: plan.algorithm.clone(),
        status: plan.status,
        peak: peaks.peak,
        share: if without == 0 { 0.0 } else { peaks.peak as f64 / without as f64 },
        overhead: again.overhead,
        flops: again.flops,
        regions: plan.segments.as_deref().map_or(0, count),
        seconds: plan.stats.unwrap_or_default().seconds,
    }
}

/// Regions at all depths.
fn count(segments: &[Segment]) -> usize {
    segments.iter().map(|s| 1 + count(&s.inner)).sum()
}

fn of_chain(chain: &Chain, settings: &Settings) -> Result<Comparison, remat::Error> {
    let algorithms =
        if settings.algorithms.is_empty() { remat::chain_candidates(chain) } else { settings.algorithms.clone() };
    let mut rows = Vec::with_capacity(algorithms.len());
    for algorithm in algorithms {
        let plan = remat::plan_chain(chain, &Options { algorithm: Some(algorithm), ..settings.options.clone() })?;
        let checkpoints = plan.checkpoints.unwrap_or_default();
        let value = |objective| check_chain(chain, &checkpoints, objective).ok();
        rows.push(ChainRow {
            algorithm: plan.algorithm,
            status: plan.status,
            conservative: value(ChainObjective::Conservative),
            traced: value(ChainObjective::Traced),
            stepwise: value(ChainObjective::Stepwise),
            persistent: value(ChainObjective::Persistent),
            checkpoints: checkpoints.len(),
            seconds: plan.stats.unwrap_or_default().seconds,
        });
    }
    let without = chain.layers.iter().map(|l| l.bytes).sum();
    Ok(Comparison::Chain { graph: chain.name.clone(), without, rows })
}

fn text(comparison: &Comparison) -> String {
    let proof = |status: Status| if status == Status::Optimal { "optimal" } else { "" };
    match comparison {
        Comparison::Graph { graph, without, rows } => {
            let header = [graph.as_str(), "peak", "share", "recomputed", "regions", "planned in", ""];
            let mut t = table::new(&header, "lrrrrrl");
            for r in rows {
                table::row(
                    &mut t,
                    [
                        r.algorithm.clone(),
                        human(r.peak),
                        table::percent(r.peak, *without),
                        format!("{:.1}%", r.overhead * 100.0),
                        r.regions.to_string(),
                        table::time(r.seconds),
                        proof(r.status).into(),
                    ],
                );
            }
            table::text(&t)
        }
        Comparison::Chain { graph, rows, .. } => {
            let header =
                [graph.as_str(), "conservative", "traced", "stepwise", "persistent", "checkpoints", "planned in", ""];
            let mut t = table::new(&header, "lrrrrrrl");
            let value = |v: Option<u64>| v.map_or_else(|| "-".into(), human);
            for r in rows {
                table::row(
                    &mut t,
                    [
                        r.algorithm.clone(),
                        value(r.conservative),
                        value(r.traced),
                        value(r.stepwise),
                        value(r.persistent),
                        r.checkpoints.to_string(),
                        table::time(r.seconds),
                        proof(r.status).into(),
                    ],
                );
            }
            table::text(&t)
        }
    }
}
