//! All methods on the same steps: least peak, and least recomputation within the same budget.

use std::fmt::Write;
use std::time::Instant;

use remat::algorithms::checker;
use remat::algorithms::cost::Costs;
use remat::algorithms::interval::{self, Options};
use remat::algorithms::kusumoto::{self, Centric};
use remat::algorithms::plan::assemble::rerun;
use remat::algorithms::predict::{Predictor, Scratch};
use remat::algorithms::rotor;
use remat::algorithms::{Algorithm, Problem, Regions, Request, Segment, algorithm::Decision};
use remat::graphs::{CostModel, Graph, zoo};

pub(crate) const INSTANCES: [&str; 8] = [
    "resnet50-b32",
    "resnet101-b32",
    "densenet121-b32",
    "unet-b8",
    "vit_b_16-b32",
    "gpt2-b8-s512",
    "bert-base-b16-s256",
    "llama-1b-b2-s1024-bf16",
];

/// Per cent of the peak without checkpointing that the second half of each table allows.
const BUDGETS: [u64; 2] = [70, 50];

/// How a method is called, and where its figures come from.
const METHODS: [(&str, &str); 9] = [
    ("sqrt", "Chen et al. 2016, sqrt(n); own implementation"),
    ("chen", "Chen et al. 2016, greedy; own implementation"),
    ("cubic", "Hong et al. 2025, O(n^3); own implementation"),
    ("linear", "Hong et al. 2025, O(n); own implementation"),
    ("kusumoto-time", "Kusumoto et al. 2019, time-centric; own implementation"),
    ("kusumoto-memory", "Kusumoto et al. 2019, memory-centric; own implementation"),
    ("rotor", "Beaumont et al. 2019 on the chain of the step; own implementation"),
    ("interval", "remat, flat regions"),
    ("interval --nesting 2", "remat, regions in regions"),
];

/// A plan by one method; nothing where the method has none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    pub(crate) peak: u64,
    pub(crate) overhead: f64,
    pub(crate) seconds: f64,
}

/// A method, its least peak and its plan within each budget.
type Row = (&'static str, Vec<Option<Cell>>);

/// A step with all that planners need.
struct Bench<'g> {
    predictor: Predictor<'g>,
    costs: Costs,
}

impl Bench<'_> {
    fn cell(&self, started: Instant, segments: &[Segment]) -> Result<Cell, Box<dyn std::error::Error>> {
        let seconds = started.elapsed().as_secs_f64();
        let graph = self.predictor.graph();
        let regions = Regions::resolve(graph, segments)?;
        let (replayed, again) = rerun(&self.predictor, &self.costs, &regions, &mut Scratch::default());
        let peak = self.predictor.with_optimizer(&replayed, None).peak;
        let verified = checker::check(graph, segments)?;
        if verified.peak != peak {
            return Err(format!("the checker finds {} instead of {peak}", verified.peak).into());
        }
        Ok(Cell { peak, overhead: again.ns as f64 / self.costs.step_ns() as f64, seconds })
    }

    fn plan(&self, method: &str, budget: Option<u64>) -> Result<Option<Cell>, Box<dyn std::error::Error>> {
        let started = Instant::now();
        let segments = match method {
            "kusumoto-time" | "kusumoto-memory" => {
                let centric = if method == "kusumoto-time" { Centric::Time } else { Centric::Memory };
                let planner = kusumoto::GraphPlanner::new(&self.predictor, &self.costs, centric);
                let found = match budget {
                    None => Some(planner.least_peak(None)),
                    Some(budget) => planner.least_time(budget, None),
                };
                found.map(|p| p.segments)
            }
            "rotor" => {
                let planner = rotor::GraphPlanner::new(&self.predictor, &self.costs)?;
                match budget {
                    None => Some(planner.least_peak(None).segments),
                    Some(budget) => planner.least_time(budget, None).ok().map(|p| p.segments),
                }
            }
            _ if method.starts_with("interval") => {
                let nesting = method.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(1);
                let planner = interval::Planner::new(&self.predictor, &self.costs);
                let options = Options { nesting, ..Options::default() };
                match budget {
                    None => planner.least_peak(&options).ok().map(|p| p.segments),
                    Some(budget) => planner.least_time(budget, &options).ok().map(|p| p.segments),
                }
            }
            _ => {
                let request = Request::min_peak(Problem::Graph(self.predictor.graph()));
                match method.parse::<Algorithm>()?.planner().plan(&request)?.decision {
                    Decision::Segments(segments) => Some(segments),
                    Decision::Checkpoints(_) => None,
                }
            }
        };
        let cell = segments.map(|segments| self.cell(started, &segments)).transpose()?;
        // Methods that know no budget have one plan: it fits or it does not.
        Ok(cell.filter(|c| budget.is_none_or(|b| c.peak <= b)))
    }
}

/// Least peaks by all methods, and plans within each budget.
pub(crate) fn rows(graph: &Graph) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let model = CostModel::device("h100")?;
    let costs = Costs::new(graph, |k| model.kernel_ns(k), |k| model.backward_kernel_ns(k));
    let bench = Bench { predictor: Predictor::new(graph), costs };
    let without = bench.predictor.peaks(&Regions::default(), None, &mut Scratch::default()).peak;
    let budgets = std::iter::once(None).chain(BUDGETS.map(|percent| Some(without * percent / 100)));
    let budgets: Vec<Option<u64>> = budgets.collect();
    let row = |(method, _): (&'static str, &str)| {
        eprintln!("{}: {method}", graph.name());
        let cells: Result<Vec<_>, _> = budgets.iter().map(|&budget| bench.plan(method, budget)).collect();
        cells.map(|cells| (method, cells))
    };
    METHODS.into_iter().map(row).collect()
}

pub(crate) fn section(instances: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
    let mut out = String::from(
        "## Against neighbours\n\n\
         The same recorded steps, in the recorded order of operators, the same predictor, the same budgets. All are remat's own \
         implementations of the published methods, and run as nested or flat regions that PyTorch can checkpoint; what that leaves \
         out of a method is said in its module's documentation.\n\n| method | what |\n|---|---|\n",
    );
    for (method, what) in METHODS {
        writeln!(out, "| `{method}` | {what} |")?;
    }
    writeln!(
        out,
        "\nMethods for general budgets show the overhead of their plan within the budget; those without a notion of budgets show \
         that of their only plan if it fits. `-`: no plan fits. The lowest peak and the lowest overheads are bold.\n"
    )?;
    for name in instances {
        let graph = zoo::load(name)?;
        let plain = Predictor::new(&graph).peaks(&Regions::default(), None, &mut Scratch::default()).peak;
        let rows = rows(&graph)?;
        writeln!(
            out,
            "### {name}\n\n{:.1} MB without checkpointing, {} operators.\n",
            plain as f64 / 1e6,
            graph.operators().len()
        )?;
        writeln!(out, "| method | least peak | of plain | overhead | planned in | {} |", budget_titles())?;
        writeln!(out, "|---|---:|---:|---:|---:|{}", "---:|".repeat(BUDGETS.len()))?;
        let lowest = rows.iter().filter_map(|(_, cells)| cells[0]).map(|c| c.peak).min();
        let fastest: Vec<Option<u64>> = (0..=BUDGETS.len())
            .map(|i| rows.iter().filter_map(|(_, cells)| cells[i]).map(|c| per_mille(c.overhead)).min())
            .collect();
        for (method, cells) in &rows {
            let Some(least) = cells[0] else { continue };
            let bold = |is_best: bool, text: String| if is_best { format!("**{text}**") } else { text };
            write!(
                out,
                "| `{method}` | {} | {:.1} % | {:.1} % | {} |",
                bold(Some(least.peak) == lowest, format!("{:.1} MB", least.peak as f64 / 1e6)),
                100.0 * least.peak as f64 / plain as f64,
                100.0 * least.overhead,
                time(least.seconds),
            )?;
            for (i, cell) in cells.iter().enumerate().skip(1) {
                let text = cell.map_or_else(
                    || "-".into(),
                    |c| bold(Some(per_mille(c.overhead)) == fastest[i], format!("{:.1} %", 100.0 * c.overhead)),
                );
                write!(out, " {text} |")?;
            }
            writeln!(out)?;
        }
        writeln!(out)?;
    }
    Ok(out)
}

fn budget_titles() -> String {
    BUDGETS.map(|percent| format!("overhead within {percent} %")).join(" | ")
}

/// As the table shows it.
#[expect(clippy::cast_sign_loss, reason = "overheads are not negative")]
fn per_mille(share: f64) -> u64 {
    (share * 1000.0).round() as u64
}

pub(crate) fn time(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.0} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}
