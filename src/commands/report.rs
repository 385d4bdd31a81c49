//! `remat report`: pictures of a step with and without its plans.

use std::io::IsTerminal as _;
use std::path::Path;

use remat::bytes::{Budget, human};
use remat::graphs::{Document, Source};
use remat::{Algorithm, Graph, Options, Plan, Resolution, Step};

use super::rules;
use crate::args::{self, Chart, Published};
use crate::failure::Failure;
use crate::output::Destination;
use crate::progress::Progress;
use crate::report::{self, Detail, GatherError, Labelled, Report};
use crate::{input, output};

/// What to report on, and in which form.
pub(crate) struct Settings {
    graphs: Vec<Source>,
    plans: Vec<Source>,
    /// `None` is the choice of whoever finds the least peak.
    algorithms: Vec<Option<Algorithm>>,
    budgets: Vec<Budget>,
    options: Options,
    depth: Option<u32>,
    /// Absent: no frontier.
    resolution: Option<Budget>,
    format: Published,
    chart: Chart,
    destination: Destination,
}

impl Settings {
    pub(crate) fn resolve(args: args::Report) -> Result<Self, Failure> {
        let graphs: Vec<Source> = args.graphs.iter().map(|g| input::source(g)).collect();
        let plans: Vec<Source> = args.plan.iter().map(|p| input::plan_source(p)).collect();
        input::refuse_two_stdin(graphs.iter().chain(&plans))?;
        let mut algorithms: Vec<Option<Algorithm>> = args.algorithm.iter().map(|choice| choice.0).collect();
        if algorithms.is_empty() && plans.is_empty() {
            algorithms.push(None);
        }
        let budgets = args.budget.iter().map(|text| rules::budget("--budget", text)).collect::<Result<Vec<_>, _>>()?;
        if !budgets.is_empty() {
            algorithms.iter().flatten().try_for_each(|&a| rules::refuse_budget(a))?;
        }
        if let Some(algorithm) = algorithms.iter().flatten().find(|a| **a != Algorithm::Interval) {
            rules::refuse_unheeded(&args.exact, &format!("{algorithm} does not heed it"))?;
        }
        let format = match args.format {
            Some(format) => format,
            None => by_ending(args.output.as_deref())?,
        };
        if format == Published::Html && args.output.is_none() && std::io::stdout().is_terminal() {
            return Err(Failure::wrong("a page is for a browser, not for a terminal")
                .hint("-o report.html, or -o - for standard output"));
        }
        if args.chart.is_some() && matches!(format, Published::Html | Published::Json) {
            return Err(Failure::wrong("--chart is for single pictures and tables")
                .hint("add --format svg or --format csv; html and json hold them all"));
        }
        let chart = args.chart.unwrap_or(Chart::Timeline);
        if chart == Chart::Frontier && args.no_frontier {
            return Err(
                Failure::wrong("--chart frontier draws what --no-frontier leaves out").hint("leave one of them out")
            );
        }
        if chart == Chart::Regions && format == Published::Svg {
            return Err(Failure::wrong("the list of regions is no picture")
                .hint("--chart timeline draws them; --chart regions --format csv lists them"));
        }
        let mut options =
            Options { optimizer: args.optimizer, costs: input::device(&args.device.device)?, ..Options::default() };
        rules::apply(&mut options, args.exact);
        let needs_frontier = matches!(format, Published::Html | Published::Json) || chart == Chart::Frontier;
        let resolution = rules::budget("--resolution", &args.resolution)?;
        Ok(Self {
            graphs,
            plans,
            algorithms,
            budgets,
            options,
            depth: args.depth,
            resolution: Some(resolution).filter(|_| needs_frontier && !args.no_frontier),
            format,
            chart,
            destination: Destination::new(args.output),
        })
    }
}

/// The form that the ending of a file's name stands for.
fn by_ending(output: Option<&Path>) -> Result<Published, Failure> {
    let Some((path, ending)) = output.and_then(|path| Some((path, path.extension()?))) else {
        return Ok(Published::Html);
    };
    match ending.to_ascii_lowercase().to_str() {
        Some("html" | "htm") => Ok(Published::Html),
        Some("svg") => Ok(Published::Svg),
        Some("csv") => Ok(Published::Csv),
        Some("json") => Ok(Published::Json),
        _ => Err(Failure::wrong(format!("-o {}: no report has the ending .{}", path.display(), ending.display()))
            .hint("endings are .html, .svg, .csv and .json; --format writes one of them to any name")),
    }
}

pub(crate) fn run(settings: &Settings) -> Result<(), Failure> {
    let graphs = settings.graphs.iter().map(graph).collect::<Result<Vec<_>, Failure>>()?;
    let mut plans: Vec<Vec<Labelled>> = graphs.iter().map(|_| Vec::new()).collect();
    for source in &settings.plans {
        let plan = input::plan(source)?;
        if plan.segments.is_none() {
            return Err(input::wrong_kind(source, &remat::algorithms::checker::CheckError::WrongKind("segments")));
        }
        let at = owner(&graphs, &plan, source)?;
        plans[at].push(Labelled { label: short(source), plan });
    }
    let cases = plans.iter().map(Vec::len).sum::<usize>() + graphs.len() * (1 + settings.algorithms.len());
    let parts = (settings.format == Published::Html).then(|| report::parts(cases));
    let detail = Detail { optimizer: settings.options.optimizer, depth: settings.depth, parts };
    let mut report = Report { graphs: Vec::with_capacity(graphs.len()) };
    for ((graph, source), given) in graphs.iter().zip(&settings.graphs).zip(plans) {
        report.graphs.push(of_graph(settings, graph, source, given, detail)?);
    }
    let document = match settings.format {
        Published::Html => report::page(&report).map_err(|e| Failure::wrong(e.to_string()))?,
        Published::Svg => report::picture(&report, settings.chart),
        Published::Csv => report::csv(&report, settings.chart).map_err(|e| Failure::wrong(e.to_string()))?,
        Published::Json => output::json(&report)?,
    };
    settings.destination.write(&document)?;
    if let Destination::File(path) = &settings.destination
        && output::is_watched()
    {
        output::note(&format!("wrote {}: {}", path.display(), summary(&report)));
    }
    Ok(())
}

fn graph(source: &Source) -> Result<Graph, Failure> {
    match input::document(source)? {
        Document::Graph(graph) => Ok(*graph),
        Document::Chain(_) => {
            Err(Failure::wrong(format!("{} is a chain; a report needs a training graph", source.label()))
                .hint("`remat compare` shows what the chain planners make of it"))
        }
    }
}

/// What a plan is called on a picture: the name of its file.
fn short(source: &Source) -> String {
    match source {
        Source::Path(path) => {
            path.file_name().map_or_else(|| source.label(), |name| name.to_string_lossy().into_owned())
        }
        _ => source.label(),
    }
}

/// The graph that a plan is for: the only one, or the one it names.
fn owner(graphs: &[Graph], plan: &Plan, source: &Source) -> Result<usize, Failure> {
    if let [graph] = graphs {
        return rules::refuse_other_graph(&source.label(), plan, graph.name()).map(|()| 0);
    }
    let mut named = graphs.iter().enumerate().filter(|(_, g)| g.name() == plan.graph).map(|(i, _)| i);
    match (named.next(), named.next()) {
        (Some(at), None) => Ok(at),
        (None, _) => {
            Err(Failure::wrong(format!("{} is for {:?}, which is none of the graphs", source.label(), plan.graph))
                .hint("among several graphs, a plan goes to the one whose name is its `graph`"))
        }
        _ => Err(Failure::wrong(format!("{} is for {:?}, the name of several graphs", source.label(), plan.graph))
            .hint("report on them one by one")),
    }
}

fn of_graph(
    settings: &Settings,
    graph: &Graph,
    source: &Source,
    given: Vec<Labelled>,
    detail: Detail,
) -> Result<report::OfGraph, Failure> {
    let label = source.label();
    let step = Step::new(graph, &settings.options);
    let without = step.without();
    let progress = Progress::new(format!("planning {label}"));
    let mut plans = given;
    let given = plans.len();
    for &algorithm in &settings.algorithms {
        if settings.budgets.is_empty() {
            let plan = step.plan(algorithm).map_err(|e| rules::failure(&label, &e, &settings.options))?;
            plans.push(Labelled { label: plan.algorithm.clone(), plan });
        }
        for &budget in &settings.budgets {
            let options = Options { budget: Some(budget), ..settings.options.clone() };
            let plan = Step::new(graph, &options)
                .plan(algorithm)
                .map_err(|e| rules::failure(&label, &e, &settings.options))?;
            let label = format!("{} within {}", plan.algorithm, human(budget.resolve(without)));
            plans.push(Labelled { label, plan });
        }
    }
    report::tell_apart(&mut plans);
    let mut budgets: Vec<u64> = settings.budgets.iter().map(|b| b.resolve(without)).collect();
    budgets.extend(plans.iter().filter_map(|p| p.plan.budget));
    budgets.sort_unstable();
    budgets.dedup();
    let device = &settings.options.costs.of().title;
    progress.doing(format!("replaying {label}"));
    let gathered = report::of_graph(&step, &plans, budgets, device, detail);
    let mut gathered = gathered.map_err(|(place, e)| failed(&place, &e))?;
    if let Some(resolution) = settings.resolution {
        progress.doing(format!("frontier of {label}"));
        let distance = resolution.resolve(without);
        let points = report::frontier(&step, Resolution::Step(distance), &mut |done, all| progress.at(done, all));
        let mut points = points.map_err(|e| rules::failure(&label, &e, &settings.options))?;
        for (i, (shown, case)) in plans.iter().zip(&gathered.cases[1..]).enumerate() {
            if report::is_exact(&shown.plan, &settings.options, i < given) {
                points.push(report::Point { label: shown.plan.algorithm.clone(), ..case.point() });
            }
        }
        gathered.frontier = Some(report::worth_having(points));
        gathered.resolution = Some(distance);
        gathered.algorithms = report::algorithms(&step);
    }
    drop(progress);
    for case in &gathered.cases {
        if let Some(stated) = case.plan.as_ref().and_then(|made| made.stated_peak) {
            output::note(&format!(
                "note: {} states a peak of {stated} B; here it is {} B. Was it made with another --optimizer?",
                case.label, case.predicted.peak
            ));
        }
    }
    Ok(gathered)
}

fn failed(place: &str, error: &GatherError) -> Failure {
    let failure = Failure::wrong(format!("{place}: {error}"));
    match error {
        GatherError::Plan(_) => failure.hint("was the plan made for another graph? `remat inspect` shows this one"),
        GatherError::Factors(_) => failure,
    }
}

fn summary(report: &Report) -> String {
    let of = |g: &report::OfGraph| {
        let peaks: Vec<String> = g.cases.iter().map(|c| format!("{} {}", c.label, human(c.predicted.peak))).collect();
        format!("{}: {}", g.graph, peaks.join(", "))
    };
    report.graphs.iter().map(of).collect::<Vec<_>>().join("; ")
}
