//! What `remat report` accepts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use remat::Optimizer;

use super::{ASSUMED, Device, Exact, optimizers};
use crate::algorithms;

/// Draw a step with and without a plan: memory over time, frontier, modules, regions
///
/// html is one page with everything on it, for any browser; it needs no network. svg is one of its pictures, csv and
/// json are the data behind them, whole. Several graphs make one page; a plan file goes to the graph that it names.
/// Several plans of a graph stand side by side: one of every --algorithm, or with --budget one of each for every budget;
/// only interval (auto), rotor and kusumoto keep to budgets. Beside plan files alone, a budget is only drawn.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    remat report unet-b8 -o report.html\n  \
    remat report gpt2-b8-s512 --plan plan.json -o report.html\n  \
    remat report unet-b8 --budget 1.5GiB --budget 2GiB -o report.html\n  \
    remat report unet-b8 --algorithm interval --algorithm sqrt -o both.svg\n  \
    remat report unet-b8 --chart factors --format csv")]
pub(crate) struct Report {
    /// Training steps: paths, - or built-in steps
    #[arg(value_name = "GRAPH", required = true, value_hint = ValueHint::FilePath)]
    pub graphs: Vec<OsString>,
    /// Plan to show, a plan/1 document: a path or -; repeatable
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub plan: Vec<OsString>,
    /// Planning algorithm; repeatable [default: auto, or none beside a --plan]
    #[arg(long, short, value_name = "NAME", value_parser = algorithms::or_auto())]
    pub algorithm: Vec<algorithms::Choice>,
    /// Bound on the peak, such as 8GiB, 8GB, 8589934592 (bytes) or 80% (of the peak without a plan); repeatable
    #[arg(long, short, value_name = "SIZE", allow_hyphen_values = true)]
    pub budget: Vec<String>,
    #[command(flatten)]
    pub exact: Exact,
    /// Optimizer whose states and temporaries count towards the peak
    #[arg(long, value_name = "NAME", value_parser = optimizers(), help_heading = ASSUMED)]
    pub optimizer: Option<Optimizer>,
    #[command(flatten)]
    pub device: Device,
    /// How many components of module paths are told apart [default: as many as make at most 40 rows]
    #[arg(long, value_name = "N")]
    pub depth: Option<u32>,
    /// Distance between the budgets of the frontier: bytes, 64MiB, or a share of the peak without checkpointing
    #[arg(long, value_name = "SIZE", default_value = "5%", allow_hyphen_values = true)]
    pub resolution: String,
    /// Leave out the frontier and the other algorithms
    #[arg(long, conflicts_with = "resolution")]
    pub no_frontier: bool,
    /// What to write [default: by the ending of --output, html where it has none]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Published>,
    /// Which picture (svg) or table (csv) [default: timeline]
    #[arg(long, value_enum, value_name = "CHART")]
    pub chart: Option<Chart>,
    /// Write to a file, whole or not at all; - is standard output. Endings: .html, .svg, .csv, .json
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Published {
    /// A page with everything on it, for a browser.
    Html,
    /// One picture, for papers and notebooks.
    Svg,
    /// The data behind one picture, for spreadsheets; sizes in bytes.
    Csv,
    /// All data, for programs; sizes in bytes.
    Json,
}

/// Part of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chart {
    /// Memory over the step, by kind.
    Timeline,
    /// Peak against recomputation.
    Frontier,
    /// Memory by module.
    Factors,
    /// The regions of the plans (csv only).
    Regions,
}
