//! What the command line accepts, as it was written. Each command resolves its own arguments to settings.

mod report;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use remat::{Algorithm, MOST_NESTING, Optimizer};

pub(crate) use report::{Chart, Published, Report};

use crate::algorithms;

/// Headings of options that several commands have.
const REGIONS: &str = "Regions (exact planner)";
/// See [`REGIONS`].
const SEARCH: &str = "Search (exact planner)";
/// See [`REGIONS`].
const ASSUMED: &str = "Assumptions";

/// Plan activation checkpointing: what to recompute, and the peak, to the byte
#[derive(Debug, Parser)]
#[command(
    name = "remat",
    version,
    max_term_width = 80,
    propagate_version = true,
    after_help = "GRAPH is a recorded training step (trace/1) or a list of layers (chain/1), plain or gzip: a path, \
                  - for standard input, or the name of a built-in step. `remat help COMMAND` has the options of a \
                  command and examples.\n\n\
                  Exit codes: 0 done; 1 a no (the plan is refused; no plan fits the budget, which is proven unless the \
                  message says otherwise); 2 wrong usage or bad input.\n\n\
                  Examples:\n  \
                  remat zoo                            # the built-in steps\n  \
                  remat compare resnet50-b32 unet-b8   # what each algorithm makes of them\n  \
                  remat plan gpt2-b8-s512 --budget 4GiB -o plan.json\n  \
                  remat predict gpt2-b8-s512 --plan plan.json --optimizer adamw-foreach\n  \
                  remat check gpt2-b8-s512 plan.json"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Plan(Plan),
    Predict(Predict),
    Compare(Compare),
    Frontier(Frontier),
    Report(Report),
    Check(Check),
    Inspect(Inspect),
    Zoo(Zoo),
    Completions(Completions),
    Man(Man),
}

/// Form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people; sizes in binary units.
    Table,
    /// For programs; sizes in bytes.
    Json,
}

/// Times of kernels.
#[derive(Debug, Args)]
pub(crate) struct Device {
    #[arg(
        long,
        help = device_help(),
        value_name = "NAME|FILE",
        default_value = remat::graphs::cost::DEFAULT_DEVICE,
        value_hint = ValueHint::FilePath,
        help_heading = ASSUMED
    )]
    pub device: OsString,
}

fn device_help() -> String {
    format!(
        "Device whose peak rates give a time to kernels that the trace has none for: {}, or a JSON file of your own such as \
         {{\"name\": \"mine\", \"bandwidth_gb_s\": 900, \"launch_ns\": 4000, \"gflops\": {{\"float32\": 15000, \"bfloat16\": 120000}}}}",
        remat::graphs::cost::device_names().join(", ")
    )
}

/// What the exact planner may do.
#[derive(Debug, Clone, Args)]
pub(crate) struct Exact {
    /// Let regions keep the results of kernels that take long per byte, such as matrix products: of a few sets of kernel
    /// names, each region one
    #[arg(long, help_heading = REGIONS)]
    pub selective: bool,
    /// How deep regions may lie within regions: less memory for more time; such plans come with a lower bound instead of
    /// a proof
    #[arg(long, value_name = "LEVELS", help_heading = REGIONS, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_NESTING)))]
    pub nesting: u32,
    /// What a region is made of: any operators, or whole module calls and runs of sibling calls [default: operator; where
    /// `plan --emit` writes code: module]
    #[arg(long, value_enum, value_name = "WHAT", help_heading = REGIONS)]
    pub granularity: Option<Granularity>,
    /// Recompute only within modules whose path matches, such as 'layer[34]*'; * matches dots, too; repeatable
    #[arg(long, value_name = "GLOB", help_heading = REGIONS)]
    pub only: Vec<String>,
    /// Never recompute modules whose path matches; repeatable
    #[arg(long, value_name = "GLOB", help_heading = REGIONS)]
    pub never: Vec<String>,
    /// Stop the search for least recomputation after so long; the plan is then feasible, with a lower bound, and a frontier
    /// has fewer points
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = SEARCH)]
    pub time_limit: Option<std::time::Duration>,
    /// Stop it at so many labels, 32 bytes each; the plan is then feasible, with a lower bound [default: 12000000]
    #[arg(long, value_name = "N", help_heading = SEARCH)]
    pub max_labels: Option<u64>,
}

/// What a region is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Granularity {
    /// Any operators between two safe cuts.
    Operator,
    /// Whole module calls, or runs of consecutive calls of siblings.
    Module,
}

/// Plan which operators of a step to recompute
///
/// Writes a plan/1 document: the regions to checkpoint, the peaks predicted with and without them, and what is
/// recomputed. On a terminal, the memory of the step is drawn beside it, on standard error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat plan resnet50-b32 -o plan.json   # the least peak\n  \
    remat plan resnet50-b32 --budget 60%   # the least recomputation within it\n  \
    remat plan gpt2-b8-s512 --budget 4GiB --optimizer adamw-foreach\n  \
    remat plan unet-b8 --granularity module --never 'head*' --format table\n  \
    remat plan step.trace.json.gz --budget 8GiB --emit torch -o checkpointing.py\n  \
    zcat step.trace.json.gz | remat plan - | remat check step.trace.json.gz -")]
pub(crate) struct Plan {
    /// Training step or chain to plan: a path, - or a built-in step
    #[arg(value_name = "GRAPH", value_hint = ValueHint::FilePath)]
    pub graph: OsString,
    /// Planning algorithm
    #[arg(long, short, value_name = "NAME", default_value = algorithms::AUTO, value_parser = algorithms::or_auto())]
    pub algorithm: algorithms::Choice,
    /// Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan): recompute as
    /// little as it allows. Without a bound, the plan has the least peak
    #[arg(long, short, value_name = "SIZE", allow_hyphen_values = true)]
    pub budget: Option<String>,
    #[command(flatten)]
    pub exact: Exact,
    /// Optimizer whose states and temporaries count towards the peak
    #[arg(long, value_name = "NAME", value_parser = optimizers(), help_heading = ASSUMED)]
    pub optimizer: Option<Optimizer>,
    #[command(flatten)]
    pub device: Device,
    /// Write code that applies the plan, in place of the plan: a Python file for PyTorch, which does not need remat
    #[arg(long, value_enum, value_name = "TARGET")]
    pub emit: Option<Emit>,
    /// Write the plan to a file, whole or not at all; - is standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Print the plan itself (json) or a summary (table); a file named by --output gets the plan, or its code, in any case
    /// [default: json; nothing where --output names a file or --emit writes code]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// What a plan is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emit {
    /// A Python file with `apply(model)` and `remove(model)`.
    Torch,
}

/// Predict the peak memory of a step, to the byte
///
/// Replays the step allocation by allocation. Shows the peak of each phase, memory over the step, which modules hold
/// what at the peak, and the largest tensors among it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat predict resnet50-b32 --depth 2\n  \
    remat predict gpt2-b8-s512 --plan plan.json --optimizer adamw-foreach\n  \
    remat predict gpt2-b8-s512 --format json | jq .peak")]
pub(crate) struct Predict {
    /// Training step or chain: a path, - or a built-in step
    #[arg(value_name = "GRAPH", value_hint = ValueHint::FilePath)]
    pub graph: OsString,
    /// Plan to follow: a path or -; without it, nothing is recomputed
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plan: Option<OsString>,
    /// Optimizer whose states and temporaries count towards the peak
    #[arg(long, value_name = "NAME", value_parser = optimizers(), help_heading = ASSUMED)]
    pub optimizer: Option<Optimizer>,
    /// How many components of module paths the table of modules tells apart
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub depth: u32,
    /// Element type of the gradients of parameters, such as float32 [default: that of the trace]
    #[arg(long, value_name = "TYPE", help_heading = ASSUMED)]
    pub gradient_dtype: Option<String>,
    /// What to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Compare what all algorithms make of one or more steps
///
/// For each: the peak, its share of the peak without checkpointing, the time that goes into recomputation as a share of
/// the step's, and how long planning took.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat compare resnet50-b32 unet-b8 gpt2-b8-s512\n  \
    remat compare step.trace.json.gz -a sqrt -a uniform-8 -a interval\n  \
    remat compare unet-b8 --device a100 --format json")]
pub(crate) struct Compare {
    /// Training steps or chains: paths, - or built-in steps
    #[arg(value_name = "GRAPH", required = true, value_hint = ValueHint::FilePath)]
    pub graphs: Vec<OsString>,
    /// Algorithm to compare; repeatable [default: all; kusumoto-* and rotor only where they take seconds]
    #[arg(long, short, value_name = "NAME", value_parser = algorithms::any())]
    pub algorithm: Vec<Algorithm>,
    /// Optimizer whose states and temporaries count towards the peak
    #[arg(long, value_name = "NAME", value_parser = optimizers(), help_heading = ASSUMED)]
    pub optimizer: Option<Optimizer>,
    #[command(flatten)]
    pub device: Device,
    /// What to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Show all plans worth having, from no recomputation to the least peak
///
/// For every budget on a grid, from the least peak upwards, there is a point that takes the least recomputation within it;
/// no point is beaten in both peak and recomputation.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat frontier resnet50-b32\n  \
    remat frontier unet-b8 --resolution 1% --format csv > frontier.csv\n  \
    remat frontier alexnet-b128 --exact")]
pub(crate) struct Frontier {
    /// Training step: a path, - or a built-in step
    #[arg(value_name = "GRAPH", value_hint = ValueHint::FilePath)]
    pub graph: OsString,
    /// Distance of budgets: 64MiB, bytes, or a share of the peak without a plan
    #[arg(long, value_name = "SIZE", default_value = "0.5%", allow_hyphen_values = true)]
    pub resolution: String,
    /// Show every point, however close to the next
    #[arg(long, conflicts_with = "resolution")]
    pub exact: bool,
    /// Optimizer whose states and temporaries count towards the peak
    #[arg(long, value_name = "NAME", value_parser = optimizers(), help_heading = ASSUMED)]
    pub optimizer: Option<Optimizer>,
    #[command(flatten)]
    pub rules: Exact,
    #[command(flatten)]
    pub device: Device,
    /// What to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub format: Listed,
}

/// Form of a list of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// For people; sizes in binary units.
    Table,
    /// For programs; sizes in bytes.
    Json,
    /// For spreadsheets; sizes in bytes.
    Csv,
}

/// Verify a plan independently of planners and predictor
///
/// Replays the step under the plan symbolically: every tensor read is alive, every saved tensor is there when its
/// backward needs it, nothing that is mutated runs twice, and all numbers of the plan are right: peaks, recomputation, the
/// gap to its lower bound. (That no plan is below the bound is for the planner to prove.)
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 the plan is valid; 1 it is refused; 2 wrong usage or bad input.\n\n\
    Examples:\n  \
    remat check resnet50-b32 plan.json\n  \
    remat plan unet-b8 | remat check unet-b8 -")]
pub(crate) struct Check {
    /// Training step or chain: a path, - or a built-in step
    #[arg(value_name = "GRAPH", value_hint = ValueHint::FilePath)]
    pub graph: OsString,
    /// Plan to verify, a plan/1 document: a path or -
    #[arg(value_name = "PLAN", value_hint = ValueHint::FilePath)]
    pub plan: OsString,
    /// Device whose times the plan states [default: the one it names, if that is built in; else times are not verified]
    #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::FilePath, help_heading = ASSUMED)]
    pub device: Option<OsString>,
    /// What to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Show what a step or a chain is made of
///
/// Operators, kernels, the cuts at which regions may begin and end, storages by kind, work and time, modules; or the
/// graph as a drawing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat inspect resnet50-b32 --depth 2\n  \
    remat inspect unet-b8 --format dot | dot -Tsvg -o unet.svg")]
pub(crate) struct Inspect {
    /// Training step or chain: a path, - or a built-in step
    #[arg(value_name = "GRAPH", value_hint = ValueHint::FilePath)]
    pub graph: OsString,
    /// Depth of modules in the table, or of clusters in the drawing
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub depth: u32,
    /// Draw the backward pass, too (with --format dot)
    #[arg(long)]
    pub backward: bool,
    #[command(flatten)]
    pub device: Device,
    /// What to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub format: Drawn,
}

/// Form of what is printed about a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawn {
    /// For people; sizes in binary units.
    Table,
    /// For programs; sizes in bytes.
    Json,
    /// Graphviz.
    Dot,
}

/// List the built-in training steps
///
/// Steps of real networks, recorded in PyTorch. Their names stand for a GRAPH in every command.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat zoo\n  \
    remat zoo --format json | jq -r '.[].name'")]
pub(crate) struct Zoo {
    /// What to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat completions bash > ~/.local/share/bash-completion/completions/remat\n  \
    remat completions zsh > \"${fpath[1]}/_remat\"\n  \
    remat completions fish > ~/.config/fish/completions/remat.fish")]
pub(crate) struct Completions {
    /// Shell that is to read it
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Print the manual page of remat, or of one of its commands
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat man plan | man -l -\n  \
    remat man > ~/.local/share/man/man1/remat.1")]
pub(crate) struct Man {
    /// Command whose page to print; without it, remat's own
    pub command: Option<String>,
}

/// Offers the names of all optimizers.
fn optimizers() -> impl clap::builder::TypedValueParser<Value = Optimizer> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(Optimizer::ALL.map(Optimizer::name)).try_map(|name| name.parse::<Optimizer>())
}

/// A number of seconds, whole or not.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let parsed = text.trim().parse().ok().and_then(|s| std::time::Duration::try_from_secs_f64(s).ok());
    parsed.ok_or_else(|| "expected seconds, for example 30 or 0.5".into())
}
