//! `remat plan`: a plan/1 document.

use remat::algorithms::Regions;
use remat::algorithms::interval::Error::BudgetTooSmall;
use remat::algorithms::plan::{Objective, Status};
use remat::algorithms::predict::Predictor;
use remat::bytes::human;
use remat::graphs::{Document, Source};
use remat::{Algorithm, EmitError, Graph, Optimizer, Options, Plan, Segment};
use serde::Serialize;

use super::rules;

use crate::args::{self, Emit, Format};
use crate::failure::Failure;
use crate::output::Destination;
use crate::progress::Progress;
use crate::terminal::Canvas;
use crate::timeline::Picture;
use crate::{input, output, table};

/// What to plan, and where the plan goes.
pub(crate) struct Settings {
    graph: Source,
    options: Options,
    /// What `options` have of them, to say which was given.
    rules: args::Exact,
    destination: Destination,
    /// What is printed beside the document; the plan itself, where nobody asked for a file or for code.
    format: Option<Format>,
    /// Is the document code for PyTorch?
    is_code: bool,
}

impl Settings {
    pub(crate) fn resolve(args: args::Plan) -> Result<Self, Failure> {
        let destination = Destination::new(args.output);
        let is_code = args.emit == Some(Emit::Torch);
        let format = match (&destination, args.format) {
            (Destination::Stdout, Some(_)) if is_code => {
                return Err(Failure::wrong("--emit and --format would both write to standard output")
                    .hint("name a file for the code with --output"));
            }
            (Destination::Stdout, None) if !is_code => Some(Format::Json),
            (_, format) => format,
        };
        let mut options = Options {
            algorithm: args.algorithm.0,
            optimizer: args.optimizer,
            costs: input::device(&args.device.device)?,
            budget: args.budget.as_deref().map(|text| rules::budget("--budget", text)).transpose()?,
            ..Options::default()
        };
        if let Some(algorithm) = options.algorithm.filter(|a| *a != Algorithm::Interval) {
            if options.budget.is_some() {
                rules::refuse_budget(algorithm)?;
            }
            rules::refuse_unheeded(&args.exact, &format!("{algorithm} does not heed it"))?;
        }
        let rules = args.exact.clone();
        let mut exact = args.exact;
        if is_code {
            exact.granularity.get_or_insert(args::Granularity::Module);
        }
        rules::apply(&mut options, exact);
        Ok(Self { graph: input::source(&args.graph), options, rules, destination, format, is_code })
    }
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let label = settings.graph.label();
    let failed = |e: remat::Error| Failure::wrong(format!("{label}: {e}"));
    let document = input::document(&settings.graph)?;
    let progress = Progress::new(format!("planning {label}"));
    let plan = match &document {
        Document::Graph(graph) => match remat::plan(graph, &settings.options) {
            Err(error) => {
                drop(progress);
                return refused(settings, graph.name(), &error);
            }
            Ok(plan) => plan,
        },
        Document::Chain(chain) => {
            if settings.is_code {
                return Err(Failure::wrong(format!("{label} is a chain; code is for the model of a training graph"))
                    .hint("leave --emit out"));
            }
            let is_rotor = settings.options.algorithm == Some(Algorithm::Rotor);
            if settings.options.budget.is_some() && !is_rotor {
                return Err(Failure::wrong(format!(
                    "{label} is a chain; of the chain planners only rotor keeps to a budget"
                ))
                .hint("leave --budget out, or plan with --algorithm rotor"));
            }
            if settings.options.optimizer.is_some() {
                return Err(Failure::wrong(format!("{label} is a chain; a chain has no parameters to optimize"))
                    .hint("leave --optimizer out"));
            }
            rules::refuse_unheeded(&settings.rules, &format!("{label} is a chain"))?;
            match remat::plan_chain(chain, &settings.options) {
                Err(error @ remat::Error::Budget(_)) => {
                    drop(progress);
                    return refused(settings, &chain.name, &error);
                }
                planned => planned.map_err(failed)?,
            }
        }
    };
    drop(progress);
    let picture = picture(&document, &plan, settings.options.optimizer);
    let json = output::json(&plan)?;
    let text = match &document {
        Document::Graph(graph) if settings.is_code => &code(&label, graph, &plan)?,
        _ => &json,
    };
    if settings.is_code || settings.destination != Destination::Stdout {
        settings.destination.write(text)?;
    }
    match settings.format {
        Some(Format::Table) => return output::styled(&summary(&plan, picture.as_ref())),
        Some(Format::Json) => output::data(&json)?,
        None => {}
    }
    // Whoever looks on, and reads no summary on standard output, sees one beside it.
    if output::is_watched() {
        let peak = peak(&plan);
        match &settings.destination {
            Destination::File(path) => output::note(&format!("wrote {}: {peak}", path.display())),
            Destination::Stdout => output::note(&peak),
        }
        if let Some(picture) = picture {
            output::show(&picture.text(Canvas::stderr()));
        }
    }
    Ok(())
}

/// The plan as a Python file.
fn code(label: &str, graph: &Graph, plan: &Plan) -> Result<String, Failure> {
    remat::emit::torch(graph, plan).map_err(|e| {
        let failure = Failure::wrong(format!("{label}: {e}"));
        match e {
            EmitError::NotModules(_) => failure.hint("plan whole modules: --granularity module, and no --algorithm"),
            _ => failure,
        }
    })
}

/// The memory of the step under the plan; a chain has no kernels to draw.
fn picture<'g>(document: &'g Document, plan: &Plan, optimizer: Option<Optimizer>) -> Option<Picture<'g>> {
    let (Document::Graph(graph), Some(segments)) = (document, &plan.segments) else { return None };
    let regions = Regions::resolve(graph, segments).ok()?;
    Some(Picture::new(&Predictor::new(graph), &regions, optimizer, plan.budget))
}

/// No plan: programs get the least peak as a document, people as a message.
fn refused(settings: &Settings, graph: &str, error: &remat::Error) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Refusal<'a> {
        graph: &'a str,
        budget: u64,
        minimum: u64,
        minimum_is_proven: bool,
    }
    if let remat::Error::Budget(BudgetTooSmall { budget, minimum, is_proven }) = *error
        && settings.format == Some(Format::Json)
    {
        let refusal = Refusal { graph, budget, minimum, minimum_is_proven: is_proven };
        output::data(&output::json(&refusal)?)?;
    }
    Err(rules::failure(&settings.graph.label(), error, &settings.options))
}

fn peak(plan: &Plan) -> String {
    let peak = |p: Option<remat::Peaks>| p.map_or(0, |p| p.peak);
    let (with, without) = (peak(plan.predicted), peak(plan.without));
    let share = table::percent(with, without);
    format!("peak {} instead of {} ({share}){}", human(with), human(without), gap(plan))
}

/// How far a plan that is not proven may be from the best.
fn gap(plan: &Plan) -> String {
    let Some(gap) = plan.gap.filter(|_| plan.status == Status::Feasible) else { return String::new() };
    let what = match plan.objective {
        Objective::MinPeak => "a peak",
        Objective::MinTime => "recomputation",
    };
    format!(", not proven: {what} more than {:.1}% less is impossible", gap * 100.0)
}

fn summary(plan: &Plan, picture: Option<&Picture<'_>>) -> String {
    let mut pairs = vec![
        ("graph", plan.graph.clone()),
        ("algorithm", plan.algorithm.clone()),
        ("status", format!("{:?}", plan.status).to_lowercase() + &gap(plan)),
    ];
    let both = |get: fn(&remat::Peaks) -> u64| {
        let of = |p: &Option<remat::Peaks>| p.as_ref().map_or(0, get);
        let (with, without) = (of(&plan.predicted), of(&plan.without));
        format!("{} ({with} B) instead of {} ({})", human(with), human(without), table::percent(with, without))
    };
    if plan.checkpoints.is_some() {
        // The objective's value counts gradients, the sum of all layers does not: no share of one another.
        let peak = plan.predicted.map_or(0, |p| p.peak);
        pairs.push(("peak", format!("{} ({peak} B)", human(peak))));
    } else {
        pairs.push(("peak", both(|p| p.peak)));
        pairs.push(("  forward", both(|p| p.peak_forward)));
        pairs.push(("  backward", both(|p| p.peak_backward)));
    }
    if let Some(r) = &plan.recompute {
        let flops = table::flops(r.flops);
        pairs.push((
            "recomputed",
            format!(
                "{}, {flops}, {:.1}% of the step's time",
                table::count(r.operators, "operator"),
                r.overhead * 100.0
            ),
        ));
    }
    if let Some(checkpoints) = &plan.checkpoints {
        pairs.push(("checkpoints", list(checkpoints)));
    }
    let mut out = table::pairs(pairs);
    if let Some(picture) = picture {
        out.push('\n');
        out.push_str(&picture.text(Canvas::stdout()));
    }
    if let Some(segments) = plan.segments.as_ref().filter(|s| !s.is_empty()) {
        let mut t = table::new(&["region", "operators", "first", "last"], "lrll");
        regions(&mut t, segments, 0);
        out.push('\n');
        out.push_str(&table::text(&t));
    }
    out
}

/// The first checkpoints, and how many more there are.
fn list(checkpoints: &[u32]) -> String {
    const SHOWN: usize = 24;
    let shown: Vec<String> = checkpoints.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = checkpoints.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(", ... ({more} more)") } else { String::new() };
    format!("{}: {}{more}", checkpoints.len(), shown.join(", "))
}

fn regions(t: &mut comfy_table::Table, segments: &[Segment], depth: usize) {
    for s in segments {
        let name = |n: &Option<String>| n.clone().unwrap_or_default();
        let range = format!("{}{}..{}", "  ".repeat(depth), s.start, s.end);
        table::row(t, [range, (s.end - s.start).to_string(), name(&s.first), name(&s.last)]);
        regions(t, &s.inner, depth + 1);
    }
}
