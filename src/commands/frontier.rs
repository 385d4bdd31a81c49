//! `remat frontier`: every plan worth having.

use std::fmt::Write as _;

use remat::algorithms::plan::Status;
use remat::algorithms::predict::Optimizer;
use remat::bytes::{Budget, human};
use remat::graphs::{Document, Source};
use remat::{Options, Plan, Resolution, Segment, Step};
use serde::Serialize;

use super::rules;
use crate::args::{self, Listed};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{input, output, table};

/// What to list.
pub(crate) struct Settings {
    graph: Source,
    options: Options,
    /// Absent: every point.
    resolution: Option<Budget>,
    format: Listed,
}

impl Settings {
    pub(crate) fn resolve(args: args::Frontier) -> Result<Self, Failure> {
        let mut options =
            Options { optimizer: args.optimizer, costs: input::device(&args.device.device)?, ..Options::default() };
        rules::apply(&mut options, args.rules);
        let resolution = if args.exact { None } else { Some(rules::budget("--resolution", &args.resolution)?) };
        Ok(Self { graph: input::source(&args.graph), options, resolution, format: args.format })
    }
}

/// The frontier of a step.
#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // The names are those of the document.
struct Points {
    graph: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    optimizer: Option<&'static str>,
    /// Whose cost model gave the times.
    device: String,
    /// Distance of budgets in bytes; absent where every point is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<u64>,
    /// Peak without checkpointing, in bytes.
    without: u64,
    points: Vec<Point>,
}

/// One plan: bytes, seconds, and `overhead` relative to forward and backward pass.
#[derive(Serialize)]
struct Point {
    peak: u64,
    time: f64,
    overhead: f64,
    status: Status,
    /// Of a plan that is not proven: nanoseconds that no plan within its peak undercuts, and how far it is above, as a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_bound: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<f64>,
    segments: Vec<Segment>,
}

impl Point {
    fn of(plan: Plan) -> Self {
        let again = plan.recompute.unwrap_or_default();
        Self {
            peak: plan.predicted.unwrap_or_default().peak,
            time: again.time,
            overhead: again.overhead,
            status: plan.status,
            lower_bound: plan.lower_bound,
            gap: plan.gap,
            segments: plan.segments.unwrap_or_default(),
        }
    }
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let label = settings.graph.label();
    let Document::Graph(graph) = input::document(&settings.graph)? else {
        return Err(Failure::wrong(format!("{label} is a chain; the frontier needs a training graph"))
            .hint("`remat compare` shows what the chain planners make of it"));
    };
    let step = Step::new(&graph, &settings.options);
    let without = step.without();
    let distance = settings.resolution.map(|r| r.resolve(without));
    let resolution = distance.map_or(Resolution::Exact, Resolution::Step);
    let progress = Progress::new(format!("planning {label}"));
    let plans = step.frontier(resolution, &mut |done, all| progress.at(done, all));
    drop(progress);
    let plans = plans.map_err(|e| rules::failure(&label, &e, &settings.options))?;
    let points = Points {
        graph: graph.name().into(),
        optimizer: settings.options.optimizer.map(Optimizer::name),
        device: settings.options.costs.of().name.clone(),
        resolution: distance,
        without,
        points: plans.into_iter().map(Point::of).collect(),
    };
    match settings.format {
        Listed::Json => output::data(&output::json(&points)?),
        Listed::Csv => output::data(&csv(&points)),
        Listed::Table => output::data(&text(&points)),
    }
}

fn text(points: &Points) -> String {
    let mut t = table::new(&[points.graph.as_str(), "share", "recomputed", "regions", ""], "lrrrl");
    for p in &points.points {
        table::row(
            &mut t,
            [
                human(p.peak),
                table::percent(p.peak, points.without),
                format!("{:.2}%", p.overhead * 100.0),
                p.segments.len().to_string(),
                match (p.status, p.gap) {
                    (Status::Optimal, _) => "optimal".into(),
                    (_, Some(gap)) => format!("gap {:.1}%", gap * 100.0),
                    _ => "feasible".into(),
                },
            ],
        );
    }
    table::text(&t)
}

fn csv(points: &Points) -> String {
    let mut out = String::from("peak_bytes,time_seconds,overhead,regions,status,lower_bound_ns\n");
    for p in &points.points {
        let status = if p.status == Status::Optimal { "optimal" } else { "feasible" };
        // Writing to a string cannot fail.
        let bound = p.lower_bound.map(|b| b.to_string()).unwrap_or_default();
        let _ = writeln!(out, "{},{},{},{},{status},{bound}", p.peak, p.time, p.overhead, p.segments.len());
    }
    out
}
