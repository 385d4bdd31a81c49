//! What the command line accepts, as it was written. Each command resolves its own arguments to settings.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use remat::{Algorithm, Optimizer};

/// Plans activation checkpointing: which parts of a training step to recompute, with the peak predicted to the byte.
#[derive(Debug, Parser)]
#[command(
    name = "remat",
    version,
    max_term_width = 100,
    propagate_version = true,
    after_help = "GRAPH is a trace/1 or chain/1 document, plain or gzip: a path, - for standard input, or the name of a \
                  built-in step (see `remat zoo`).\n\n\
                  Exit codes: 0 done; 1 a proven no (a plan that is refused, a budget below the least peak); 2 wrong usage or bad input.\n\n\
                  Examples:\n  \
                  remat compare resnet50-b32 unet-b8\n  \
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
    /// Device whose peak rates give kernels their time where the trace has none: a name such as h200, h100, a100 or
    /// rtx4090, or a JSON file
    #[arg(long, value_name = "NAME|FILE", default_value = remat::graphs::cost::DEFAULT_DEVICE)]
    pub device: OsString,
}

/// What the exact planner may do.
#[derive(Debug, Args)]
pub(crate) struct Exact {
    /// Let regions keep the results of kernels that take long per byte, such as matrix products
    #[arg(long)]
    pub selective: bool,
    /// What a region is made of: any operators, or whole module calls and runs of sibling calls
    #[arg(long, value_enum, default_value = "operator")]
    pub granularity: Granularity,
    /// Only recompute within modules whose path matches; * matches dots, too; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Never recompute modules whose path matches; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub never: Vec<String>,
    /// Seconds after which the search for least recomputation stops; the plan is then feasible, with a lower bound
    #[arg(long, value_name = "SECONDS")]
    pub time_limit: Option<u64>,
    /// Most labels that this search keeps, 24 bytes each; beyond, the plan is feasible, with a lower bound
    #[arg(long, value_name = "N")]
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
/// recomputed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat plan resnet50-b32\n  \
    remat plan gpt2-b8-s512 --algorithm linear --format table\n  \
    remat plan my-step.trace.json.gz -o plan.json\n  \
    zcat my-step.trace.json.gz | remat plan - | remat check my-step.trace.json.gz -")]
pub(crate) struct Plan {
    /// Training step or chain to plan: a path, - or a built-in step
    #[arg(value_name = "GRAPH")]
    pub graph: OsString,
    /// Planning algorithm: none, every, sqrt, uniform-K, chen, cubic, linear, linear-x, interval, or auto
    ///
    /// auto is interval for a training graph, linear for a chain.
    #[arg(long, short, value_name = "NAME", default_value = "auto")]
    pub algorithm: String,
    /// Bound on the peak: bytes, 8GiB, 8GB, or 80% of the peak without checkpointing; then the plan recomputes as
    /// little as the bound allows. Without it, the plan has the least peak
    #[arg(long, short, value_name = "SIZE", allow_hyphen_values = true)]
    pub budget: Option<String>,
    #[command(flatten)]
    pub exact: Exact,
    /// Optimizer whose states and temporaries count towards peaks
    #[arg(long, value_name = "NAME", value_parser = optimizers())]
    pub optimizer: Option<Optimizer>,
    #[command(flatten)]
    pub device: Device,
    /// File for the plan, written whole or not at all; - is standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Form of what is printed: the plan itself (json) or a summary (table). A file named by --output always gets the
    /// plan [default: json, or nothing where --output names a file]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// Predict the peak memory of a step, to the byte
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat predict resnet50-b32\n  \
    remat predict gpt2-b8-s512 --plan plan.json --optimizer adamw-foreach --depth 2\n  \
    remat predict gpt2-b8-s512 --format json")]
pub(crate) struct Predict {
    /// Training step or chain: a path, - or a built-in step
    #[arg(value_name = "GRAPH")]
    pub graph: OsString,
    /// Plan to follow, a plan/1 document; without it, nothing is recomputed
    #[arg(long, short, value_name = "FILE")]
    pub plan: Option<OsString>,
    /// Optimizer whose states and temporaries count towards peaks
    #[arg(long, value_name = "NAME", value_parser = optimizers())]
    pub optimizer: Option<Optimizer>,
    /// How many components of module paths the factor table tells apart
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub depth: u32,
    /// Element type in which gradients of parameters are kept, such as float32; that of the trace by default
    #[arg(long, value_name = "TYPE")]
    pub gradient_dtype: Option<String>,
    /// Form of what is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// Compare what all algorithms make of one or more steps
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat compare resnet50-b32 unet-b8 gpt2-b8-s512\n  \
    remat compare my-step.trace.json.gz --algorithm sqrt --algorithm uniform-8 --algorithm linear-x")]
pub(crate) struct Compare {
    /// Training steps or chains: paths, - or built-in steps
    #[arg(value_name = "GRAPH", required = true)]
    pub graphs: Vec<OsString>,
    /// Algorithms to compare; may be given several times [default: all]
    #[arg(long, short, value_name = "NAME", value_parser = str::parse::<Algorithm>)]
    pub algorithm: Vec<Algorithm>,
    /// Optimizer whose states and temporaries count towards peaks
    #[arg(long, value_name = "NAME", value_parser = optimizers())]
    pub optimizer: Option<Optimizer>,
    #[command(flatten)]
    pub device: Device,
    /// Form of what is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// Show every plan worth having between no recomputation and the least peak
///
/// For every budget on a grid there is a point that takes the least recomputation within it; no point is beaten in both
/// peak and recomputation.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat frontier resnet50-b32\n  \
    remat frontier unet-b8 --resolution 1% --format csv\n  \
    remat frontier alexnet-b128 --exact")]
pub(crate) struct Frontier {
    /// Training step: a path, - or a built-in step
    #[arg(value_name = "GRAPH")]
    pub graph: OsString,
    /// Distance of budgets: bytes, 64MiB, or a share of the peak without checkpointing
    #[arg(long, value_name = "SIZE", default_value = "0.5%", allow_hyphen_values = true)]
    pub resolution: String,
    /// Every single point, whatever its distance
    #[arg(long, conflicts_with = "resolution")]
    pub exact: bool,
    /// Optimizer whose states and temporaries count towards peaks
    #[arg(long, value_name = "NAME", value_parser = optimizers())]
    pub optimizer: Option<Optimizer>,
    #[command(flatten)]
    pub rules: Exact,
    #[command(flatten)]
    pub device: Device,
    /// Form of what is printed
    #[arg(long, value_enum, default_value = "table")]
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
/// backward needs it, nothing that is mutated runs twice, and all numbers of the plan are right.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 1 says that the plan is refused.\n\n\
    Examples:\n  \
    remat check resnet50-b32 plan.json\n  \
    remat plan unet-b8 | remat check unet-b8 -")]
pub(crate) struct Check {
    /// Training step or chain: a path, - or a built-in step
    #[arg(value_name = "GRAPH")]
    pub graph: OsString,
    /// Plan to verify, a plan/1 document: a path or -
    #[arg(value_name = "PLAN")]
    pub plan: OsString,
    /// Form of what is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// Show what a step or a chain is made of
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat inspect resnet50-b32 --depth 2\n  \
    remat inspect unet-b8 --format dot | dot -Tsvg -o unet.svg")]
pub(crate) struct Inspect {
    /// Training step or chain: a path, - or a built-in step
    #[arg(value_name = "GRAPH")]
    pub graph: OsString,
    /// Depth of modules in the table and of clusters in the drawing
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub depth: u32,
    /// Draw the backward pass, too (dot only)
    #[arg(long)]
    pub backward: bool,
    #[command(flatten)]
    pub device: Device,
    /// Form of what is printed
    #[arg(long, value_enum, default_value = "table")]
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
#[derive(Debug, Args)]
pub(crate) struct Zoo {
    /// Form of what is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remat completions bash > ~/.local/share/bash-completion/completions/remat")]
pub(crate) struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Print the manual page of remat, or of one of its commands
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remat man plan | man -l -")]
pub(crate) struct Man {
    /// The command
    pub command: Option<String>,
}

/// Offers the names of all optimizers.
fn optimizers() -> impl clap::builder::TypedValueParser<Value = Optimizer> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(Optimizer::ALL.map(Optimizer::name)).try_map(|name| name.parse::<Optimizer>())
}
